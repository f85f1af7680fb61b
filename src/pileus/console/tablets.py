"""``/_pileus/tablets``: which ranges of keys lie in which shard; cut one, let one go elsewhere.

    GET  /_pileus/tablets?sizes=1   {"epoch", "shards": [{"shard", "tablets", "rows", "bytes"}],
        "tablets": [{"id", "shard", "epoch", "start", "end", "holds", "to", "rows", "bytes"}],
        "tables": [{"name", "rows", "bytes"}]}
    POST /_pileus/tablets/split     {"what"}           → the same, without sizes
    POST /_pileus/tablets/move      {"what", "shard"}  → the same, at once; it goes on by itself

``start`` and ``end`` are ``{"table", "partition", "sort"}``; ``holds`` says in words what is in
it; ``to``: the shard it is on its way to, or null. ``what`` (``named``): a tablet's number,
``dynamodb:TABLE``, ``s3:BUCKET``, ``kv:TABLE``, or a key: ``TABLE/PARTITION/SORT`` or ``hex:…``.
Permissions: ``pileus:ListTablets``, ``SplitTablet`` and ``MoveTablet`` on
``arn:pileus:cluster::ACCOUNT:tablet/*``, in the cluster's first account.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import orjson

from pileus.console import sizes
from pileus.console.rows import END, answer, place_of, table_names, text_of, whole
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.services import placing
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal
from pileus.state import keys
from pileus.state.moving import Mover
from pileus.state.sharded import ShardedStore
from pileus.state.tablets import Tablet

log = logging.getLogger("pileus.console.tablets")
TABLETS = "/_pileus/tablets"
SPLIT, MOVE = TABLETS + "/split", TABLETS + "/move"
ACTIONS = {("GET", TABLETS): "ListTablets", ("POST", SPLIT): "SplitTablet"}
ACTIONS |= {("POST", MOVE): "MoveTablet"}
Range = tuple[bytes, bytes]
BODY_BYTES_MAX = 64 * 1024


class TabletsDoor:
    """Serves callers that are known and allowed (``access`` says what to ask)."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._account, self._region = parts.config.account, parts.config.region
        self._going: asyncio.Future[None] | None = None

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]:
        """The permission this request needs; ``AwsError`` for a path or method that is none."""
        action = ACTIONS.get((request.method, request.path))
        if action is None:
            raise AwsError("MethodNotAllowed", f"{request.method} is not offered here", 405)
        place = f"arn:pileus:cluster::{self._account}:tablet/*"
        return [Access(f"pileus:{action}", place, owner=self._account)]

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """Answer one request; errors are JSON ``{"__type", "message"}``."""
        try:
            if request.method == "POST":
                asked = _body(await request.read(BODY_BYTES_MAX))
                ranges = self._named(str(asked.get("what", "")))
                await (self._split(ranges) if request.path == SPLIT else self._move(ranges, asked))
            told = await self._told("sizes" in request.query)
        except AwsError as e:
            return answer(e.status, {"__type": e.code, "message": e.message})
        return answer(200, told)

    # -- what is where -----------------------------------------------------------------------

    async def _told(self, measured: bool) -> dict[str, Any]:
        now = self._store.tablets
        ranges = [(t.start, t.end or END) for t in now.tablets]
        names = table_names(self._store) if measured else []
        of_tables = [whole(name) for name in names]
        counted: list[Any] = [None] * (len(ranges) + len(of_tables))
        if measured:
            counted = await asyncio.to_thread(sizes.measure, self._store, [*ranges, *of_tables])
        bound = {p.start: p.target for p in self._plans()}
        mine = self._table_names()
        pairs = list(zip(now.tablets, counted, strict=False))
        told = [_tablet(t, size, bound.get(t.start), mine) for t, size in pairs]
        of = zip(names, counted[len(ranges) :], strict=True)
        tables = [{"name": name, **_counted(size)} for name, size in of]
        shards = [_shard(number, pairs) for number in range(now.count)]
        return {"epoch": now.epoch, "shards": shards, "tablets": told, "tables": tables}

    def _plans(self) -> list[Any]:
        return self._store.mover.plans if isinstance(self._store, ShardedStore) else []

    def _table_names(self) -> dict[str, str]:
        """DynamoDB tables by their short names in keys."""
        start, end = whole("dynamodb")
        found = {}
        for row in self._store.range(start, end, placing.COUNTED_MAX):
            described = orjson.loads(row.value)
            found[described["id"]] = described["TableName"]
        return found

    # -- what is to change -------------------------------------------------------------------

    def _named(self, what: str) -> list[Range]:
        """The ranges (``end`` b"": no end) that ``what`` names; of a key both ends are it."""
        kind, _, name = what.partition(":")
        if what.isdecimal():
            for t in self._store.tablets.tablets:
                if t.id == int(what):
                    return [(t.start, t.end)]
            raise AwsError("ResourceNotFound", f"there is no tablet {what}", 404)
        if kind == "dynamodb":
            scope = f"{self._account}/{self._region}"
            row = self._store.get_json(keys.key("dynamodb", scope, name))
            if row is None:
                raise AwsError("ResourceNotFound", f"there is no table {name}", 404)
            prefix = placing.DYNAMODB + row["id"].encode()
            return [(prefix, keys.after_prefix(prefix))]
        if kind == "s3":
            if self._store.get(keys.key("s3", "buckets", name)) is None:
                raise AwsError("ResourceNotFound", f"there is no bucket {name}", 404)
            prefixes = [keys.partition_prefix(table, name) for table in placing.BUCKETS]
            return [(p, keys.after_prefix(p)) for p in prefixes]
        if kind == "kv":
            return [whole(what)]
        at = _key(what)
        return [(at, at)]

    async def _split(self, ranges: list[Range]) -> None:
        for at in dict.fromkeys(at for pair in ranges for at in pair if at):
            if self._store.tablets.locate(at).start != at:
                await self._store.submit("tablet.split", {"at": at})

    async def _move(self, ranges: list[Range], asked: dict[str, Any]) -> None:
        target, count = asked.get("shard"), self._store.tablets.count
        if not isinstance(self._store, ShardedStore):
            raise AwsError("InvalidMove", "this cloud has one shard: see the setting shards")
        if type(target) is not int or not 0 <= target < count:
            raise AwsError("InvalidMove", f"shards are 0 to {count - 1}")
        if ranges[0][0] == ranges[0][1] and ranges[0][0]:
            raise AwsError("InvalidMove", "name a tablet's number, or a table or bucket")
        for start, end in ranges:
            for low, high in self._store.placing.together(start, end):
                await self._store.mover.plan(low, high, target)
        self._going = asyncio.ensure_future(self._carry_out(self._store.mover))

    async def _carry_out(self, mover: Mover) -> None:
        """Begin at once; whoever keeps the house goes on where this ends."""
        try:
            await mover.advance()
        except (Conflict, Unavailable, AwsError) as e:
            log.info("a move is left to others: %s", e)


def _tablet(
    t: Tablet, size: tuple[int, int] | None, to: int | None, names: dict[str, str]
) -> dict[str, Any]:
    told: dict[str, Any] = {"id": t.id, "shard": t.shard, "epoch": t.epoch, "to": to}
    told |= {"start": place_of(t.start), "end": place_of(t.end), "holds": _words(t, names)}
    return {**told, **_counted(size)}


def _words(t: Tablet, names: dict[str, str]) -> str:
    """What lies between the ends, where that can be said shortly."""
    if t.start.startswith(placing.DYNAMODB) and t.start < keys.after_prefix(placing.DYNAMODB):
        held = [n for one, n in names.items() if t.start <= b"d:" + one.encode() < (t.end or END)]
        held += [n for one, n in names.items() if t.start.startswith(b"d:" + one.encode())]
        shown = ", ".join(sorted(set(held))[:5]) + (", …" if len(set(held)) > 5 else "")
        return f"DynamoDB tables {shown}" if held else "no DynamoDB table yet"
    table, _, rest = t.start.partition(b"\x00")
    if table.decode("utf-8", "replace") in placing.BUCKETS:
        try:
            return f"bucket {text_of(keys.split(t.start + keys.END)[1])}"
        except (ValueError, IndexError):
            what = {"s3o": "objects", "s3v": "older versions", "s3p": "parts"}
            kind = what.get(table.decode(), "figures")
            return f"{kind} of buckets from hash {rest[:2].hex() or '0000'}"
    if t.start.startswith(placing.CELLS):
        return "wide tables"
    return "everything else" if not t.start or not t.end else ""


def _shard(number: int, pairs: list[tuple[Tablet, Any]]) -> dict[str, Any]:
    mine = [size for t, size in pairs if t.shard == number]
    known = None not in mine
    total = (sum(m[0] for m in mine), sum(m[1] for m in mine)) if known else None
    return {"shard": number, "tablets": len(mine), **_counted(total)}


def _counted(size: tuple[int, int] | None) -> dict[str, int | None]:
    rows, size_bytes = size or (None, None)
    return {"rows": rows, "bytes": size_bytes}


def _key(text: str) -> bytes:
    """``TABLE/PARTITION/SORT`` (the last two may be missing) or ``hex:…``, the whole key."""
    if text.startswith("hex:"):
        try:
            found = bytes.fromhex(text[4:])
        except ValueError:
            found = b""
    else:
        table, _, rest = text.partition("/")
        partition, _, sort = rest.partition("/")
        found = keys.partition_prefix(table, partition) if rest else keys.table_prefix(table)
        found = keys.key(table, partition, sort) if sort else found
    if len(found) < 2 or b"\x00" in text.encode():
        raise AwsError("ValidationException", f"{text!r} names no table, bucket, tablet or key")
    return found


def _body(data: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise AwsError("ValidationException", "the body is no JSON object")
    return told
