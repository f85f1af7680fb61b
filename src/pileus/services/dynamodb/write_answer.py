"""The answer of a single write: attributes, capacity, collection metrics."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.item_collections import collection_metrics
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import Item


def write_answer(
    room: Room,
    call: Call,
    table: Table,
    params: dict[str, Any],
    item: Item,
    result: list[Any] | None,
) -> HttpResponse:
    """Body from a rule's ``[attributes text or nil, price or nil]``; ``item`` holds the key."""
    attributes, price = result or (None, None)
    members = []
    if attributes is not None and attributes != b"{}":
        members.append(b'"Attributes":' + attributes)
    asked = capacity.wanted(params)
    if asked and price:
        report = capacity.report(table, asked, price[0], price[1])
        members.append(member(b"ConsumedCapacity", report))
    if params.get("ReturnItemCollectionMetrics") == "SIZE" and table.sizes:
        metrics = collection_metrics(room.store, table, item)
        members.append(member(b"ItemCollectionMetrics", metrics))
    return respond(call, assemble(members))
