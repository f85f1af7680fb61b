"""TransactGetItems."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.expressions.binding import bind
from pileus.services.dynamodb.expressions.projections import Projection
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table, ends_transaction
from pileus.services.dynamodb.throughput import reason
from pileus.services.dynamodb.transacting import BYTES_MAX, canceled, check_payload
from pileus.services.dynamodb.values import check_item, item_size

NONE = {"Code": "None"}
Wanted = tuple[Table, bytes, "Projection | None"]


def transact_get_items(
    room: Room, call: Call, params: dict[str, Any]
) -> HttpResponse | Awaitable[HttpResponse]:
    """Up to a hundred items as they were at one moment."""
    for entry in params["TransactItems"]:
        if "Get" not in entry:
            raise invalid("TransactItems can only contain Get")
        check_item(entry["Get"]["Key"])
    wanted = _prepare(room, call, [e["Get"] for e in params["TransactItems"]])
    admit(room, [table for table, _, _ in wanted])
    if room.store.strong_in is not None:
        return _on_all_nodes(room, call, params, wanted)
    return _answer(room, call, params, wanted, snapshot(room, [key for _, key, _ in wanted]))


async def _on_all_nodes(
    room: Room, call: Call, params: dict[str, Any], wanted: list[Wanted]
) -> HttpResponse:
    """Where items lie in several logs that other nodes write too, their moment must be one for all
    nodes."""
    texts = await room.store.transact(lambda draft: [draft.get(key) for _, key, _ in wanted])
    return _answer(room, call, params, wanted, _fitting(texts))


def _answer(
    room: Room,
    call: Call,
    params: dict[str, Any],
    wanted: list[Wanted],
    texts: list[bytes | None],
) -> HttpResponse:
    responses = []
    for text, (_, _, projection) in zip(texts, wanted, strict=True):
        if text is None:
            responses.append(b"{}")
            continue
        shown = text if projection is None else orjson.dumps(projection.apply(orjson.loads(text)))
        responses.append(b'{"Item":' + shown + b"}")
    members = [b'"Responses":[' + b",".join(responses) + b"]"]
    for (table, _, _), text in zip(wanted, texts, strict=True):
        if table.metered:
            room.throughput.charge_read(table, 2 * capacity.text_units(text, True))
    asked = capacity.wanted(params)
    if asked:
        members.append(member(b"ConsumedCapacity", _report(wanted, texts, asked)))
    return respond(call, assemble(members))


def _prepare(room: Room, call: Call, gets: list[dict[str, Any]]) -> list[Wanted]:
    wanted: list[Wanted] = []
    reasons: list[dict[str, Any]] = []
    for get in gets:
        projection = bind(get).projection
        table = room.table(call, get["TableName"])
        if projection:
            check_nested(table, projection.nested)
        try:
            wanted.append((table, table.key_of(get["Key"]), projection))
            reasons.append(NONE)
        except AwsError as error:
            if ends_transaction(error):
                raise
            reasons.append({"Code": "ValidationError", "Message": error.message})
    if any(r is not NONE for r in reasons):
        raise canceled(reasons)
    row_keys = [key for _, key, _ in wanted]
    if len(set(row_keys)) < len(row_keys):
        raise invalid("Transaction request cannot include multiple operations on one item")
    return wanted


def admit(room: Room, tables: list[Table]) -> None:
    """Every read of a transaction needs room in its table, or the whole is canceled."""
    reasons = []
    for table in tables:
        reasons.append(NONE)
        if table.metered:
            try:
                room.throughput.admit_read(table)
            except AwsError as error:
                reasons[-1] = reason(error)
    if any(r is not NONE for r in reasons):
        raise canceled(reasons)


def snapshot(room: Room, row_keys: list[bytes]) -> list[bytes | None]:
    """The rows at one moment, together no larger than a transaction may be."""
    return _fitting(room.store.values(row_keys))


def _fitting(texts: list[bytes | None]) -> list[bytes | None]:
    if sum(len(t or b"") for t in texts) > BYTES_MAX:
        check_payload(sum(item_size(orjson.loads(t)) for t in texts if t is not None))
    return texts


def _report(wanted: list[Wanted], texts: list[bytes | None], asked: str) -> list[dict[str, Any]]:
    """A transactional read costs two units per 4 KB."""
    sums: dict[str, tuple[Table, float]] = {}
    for (table, _, _), text in zip(wanted, texts, strict=True):
        size = item_size(orjson.loads(text)) if text is not None else 0
        _, total = sums.get(table.name, (table, 0.0))
        sums[table.name] = (table, total + 2 * capacity.read_units(size, True))
    return [capacity.report(t, asked, n, transaction="Read") for t, n in sums.values()]
