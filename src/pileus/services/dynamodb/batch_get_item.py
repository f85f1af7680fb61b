"""BatchGetItem."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.expressions.projections import Projection
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.get_item import check_nested, check_projection
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import check_item, item_size

KEYS_MAX = 100
ANSWER_BYTES_MAX = 16 * 1024 * 1024
Wanted = tuple[str, Table, "Projection | None", list[tuple[dict[str, Any], bytes]], bool]


@dataclass(slots=True)
class _Progress:
    """What a batch has read so far, and what it hands back."""

    bytes: int = 0
    read: int = 0
    left: dict[str, Any] = field(default_factory=dict)
    refused: AwsError | None = None


def batch_get_item(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Up to a hundred items of any tables; what exceeds 16 MB or a table's throughput is handed
    back unprocessed."""
    requests = params["RequestItems"]
    projections = _check(requests)
    wanted = [_resolve(room, call, n, r, projections[n]) for n, r in requests.items()]
    asked = capacity.wanted(params)
    progress = _Progress()
    prices, responses = [], []
    for one in wanted:
        name, table = one[:2]
        texts, units = _read(room, one, requests[name], progress)
        responses.append(orjson.dumps(name) + b":[" + b",".join(texts) + b"]")
        prices.append(capacity.report(table, asked, units))
    if progress.refused is not None and not progress.read:
        raise progress.refused
    members = [b'"Responses":' + assemble(responses), member(b"UnprocessedKeys", progress.left)]
    if asked:
        members.append(member(b"ConsumedCapacity", prices))
    return respond(call, assemble(members))


def _read(
    room: Room, one: Wanted, request: dict[str, Any], progress: _Progress
) -> tuple[list[bytes], float]:
    """The items of one table as they are shown, and the read units they took."""
    name, table, projection, row_keys, consistent = one
    texts: list[bytes] = []
    total = 0.0
    for key, row_key in row_keys:
        if not table.metered or _has_room(room, table, progress):
            text = room.store.get(row_key)
            item = orjson.loads(text) if text is not None else None
            size = item_size(item) if item is not None else 0
            if progress.bytes + size <= ANSWER_BYTES_MAX:
                progress.bytes += size
                progress.read += 1
                units = capacity.read_units(size, consistent)
                total += units
                if table.metered:
                    room.throughput.charge_read(table, units, bulk=True)
                if text is not None and item is not None:
                    shown = orjson.dumps(projection.apply(item)) if projection else text
                    texts.append(shown)
                continue
        progress.left.setdefault(name, {**request, "Keys": []})["Keys"].append(key)
    return texts, total


def _has_room(room: Room, table: Table, progress: _Progress) -> bool:
    try:
        room.throughput.admit_read(table)
    except AwsError as error:
        progress.refused = error
        return False
    return True


def _check(requests: dict[str, Any]) -> dict[str, Projection | None]:
    """Limits, projections and keys of every table, before any table is looked at."""
    out: dict[str, Projection | None] = {}
    total = 0
    for name, request in requests.items():
        out[name] = check_projection(request)
        seen = set()
        for key in request["Keys"]:
            check_item(key)
            text = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
            if text in seen:
                raise invalid("Provided list of item keys contains duplicates")
            seen.add(text)
            total += 1
            if total > KEYS_MAX:
                raise invalid("Too many items requested for the BatchGetItem call")
    return out


def _resolve(
    room: Room, call: Call, name: str, request: dict[str, Any], projection: Projection | None
) -> Wanted:
    table = room.table(call, name)
    if projection:
        check_nested(table, projection.nested)
    row_keys = [(key, table.key_of(key)) for key in request["Keys"]]
    return name, table, projection, row_keys, request.get("ConsistentRead") is True
