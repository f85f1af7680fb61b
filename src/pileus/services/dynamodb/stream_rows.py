"""Where streams are: on their table; for a day, in what a deleted table left. And their upkeep.

A record lives for 24 hours (DynamoDB Streams, "Data retention limit"). What was trimmed is told by
a row of ``dynamodb.trimmed``: its topic, the place of the last record that went. A deleted table's
streams stand in ``dynamodb.streams``/``account/region``/``table/label``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Any, NamedTuple

import orjson

from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.delete_table import CLOSED, gone_key
from pileus.services.dynamodb.faults import invalid, not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table, topic
from pileus.state import keys
from pileus.state.tx import change_prefix

TRIMMED = "dynamodb.trimmed"
KEPT_MS = 24 * 3600 * 1000
SLICE_ROWS = 200
Place = tuple[int, int]
BEGINNING: Place = (0, -1)


class Stream(NamedTuple):
    """A stream as the API shows it. ``until_ms``: when it was switched off (None: it is on)."""

    table_name: str
    table_arn: str
    table_id: str
    key_schema: list[dict[str, str]]
    label: str
    view: str
    from_ms: int
    until_ms: int | None
    topic: str
    policy: dict[str, Any] | None  # of its own

    @property
    def arn(self) -> str:
        return f"{self.table_arn}/stream/{self.label}"


def _streams(row: dict[str, Any]) -> Iterator[Stream]:
    """Those of a table's metadata row, or of what it left."""
    for told in row.get("streams", ()):
        yield Stream(
            row["TableName"],
            row["TableArn"],
            row["id"],
            row["KeySchema"],
            told["label"],
            told["view"],
            told["from_ms"],
            told.get("until_ms"),
            topic(row["id"], told),
            told.get("policy"),
        )


def every(room: Room, scope: str) -> list[Stream]:
    """All streams of an account in a region, by ARN."""
    found = [s for table in room.tables.all(scope) for s in _streams(table.description)]
    for row in room.store.partition(CLOSED, scope):
        found += _streams(orjson.loads(row.value))
    return sorted(found, key=lambda s: s.arn)


def find(room: Room, arn: str) -> Stream:
    """The stream of an ARN; ResourceNotFoundException."""
    scope, name, label = split_arn(arn)
    for key in (meta_key(scope, name), keys.key(CLOSED, scope, f"{name}/{label}")):
        for stream in _streams(room.store.get_json(key) or {}):
            if stream.label == label:
                return stream
    raise not_found(f"Requested resource not found: Stream: {arn} not found")


def split_arn(arn: str) -> tuple[str, str, str]:
    """Scope, table and label of a stream's ARN; ValidationException for what is none."""
    table_arn, _, label = arn.partition("/stream/")
    pieces = table_arn.split(":", 5)
    if len(pieces) < 6 or not pieces[5].startswith("table/") or not label:
        raise invalid(f"Invalid StreamArn: {arn}")
    return f"{pieces[4]}/{pieces[3]}", pieces[5].removeprefix("table/"), label


def trimmed(room: Room, name: str) -> Place:
    """The place of the last record of a topic that was trimmed."""
    value = room.store.get(keys.key(TRIMMED, name, b""))
    return BEGINNING if value is None else _place(value)


def latest(room: Room, name: str) -> Place:
    """The place of a topic's newest record, trimmed or not."""
    prefix = change_prefix(name)
    rows = room.store.range(prefix, keys.after_prefix(prefix), 1, True)
    return _place(keys.split(rows[0].key)[2]) if rows else trimmed(room, name)


def _place(sort: bytes) -> Place:
    return int.from_bytes(sort[:8], "big"), int.from_bytes(sort[8:], "big")


# -- upkeep -----------------------------------------------------------------------------------


async def keep(room: Room) -> None:
    """Trim every stream by the clock; forget those that ended more than a day ago (a chore)."""
    limit_ms = room.clock.now_ms() - KEPT_MS
    for table in room.tables.all():
        for stream in _streams(table.description):
            await _trim(room, stream.topic, limit_ms)
        await _forget(room, table, limit_ms)
    start = keys.table_prefix(CLOSED)
    end = keys.after_prefix(start)
    while rows := room.store.range(start, end, SLICE_ROWS):
        for row in rows:
            for stream in _streams(orjson.loads(row.value)):
                await _trim(room, stream.topic, limit_ms)
                if _ended(stream.until_ms, limit_ms):
                    topic_rows = gone_key(stream.topic)
                    kept = keys.key(TRIMMED, stream.topic, b"")
                    await room.store.submit(
                        "write", [[row.key, None], [topic_rows, b""], [kept, None]]
                    )
        start = rows[-1].key + b"\x00"


async def _trim(room: Room, name: str, limit_ms: int) -> None:
    prefix = change_prefix(name)
    end = keys.after_prefix(prefix)
    while True:
        rows = room.store.range(prefix, end, SLICE_ROWS)
        old = list(takewhile(lambda r: orjson.loads(r.value)["time"] < limit_ms, rows))
        if old:
            told = [keys.key(TRIMMED, name, b""), keys.split(old[-1].key)[2]]
            await room.store.submit("write", [[r.key, None] for r in old] + [told])
        if len(old) < SLICE_ROWS:
            return
        await room.clock.sleep(0.01)


def _ended(until_ms: int | None, limit_ms: int) -> bool:
    return until_ms is not None and until_ms < limit_ms


async def _forget(room: Room, table: Table, limit_ms: int) -> None:
    """A stream that was switched off more than a day ago is no longer listed."""
    over = {s.label: s.topic for s in _streams(table.description) if _ended(s.until_ms, limit_ms)}
    if not over:
        return

    def forget(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is not None and row["id"] == table.id:
            row["streams"] = [s for s in row["streams"] if s["label"] not in over]
            draft.put_json(table.meta_key, row)
        for name in over.values():
            draft.put(gone_key(name), b"")
            draft.delete(keys.key(TRIMMED, name, b""))

    await room.store.transact(forget)
