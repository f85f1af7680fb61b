"""The chore that carries out lifecycle rules: one process walks the buckets that have some.

A run reads a bucket's current versions, then the older ones, then unfinished uploads, in slices,
and submits what is due with its position: after a crash it goes on there. It begins when the rules
change and at every midnight UTC (an eighth of a day, where a day is shorter).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.services.s3 import events, lifecycle_apply, notifications, rows
from pileus.services.s3.lifecycle import KIND, terms
from pileus.services.s3.lifecycle_terms import Terms
from pileus.services.s3.locks import DAY_MS
from pileus.services.s3.room import Bucket, Room
from pileus.state import keys
from pileus.state.tx import Row

TICK_S = 10.0
TICK_S_MIN = 0.1
SLICE_ROWS = 250
SLICES_PER_TURN = 40
ACTIONS_MAX = 200
PARTS_MAX = 2000  # part rows that one entry may remove
SAVE_ROWS = 25_000
PAUSE_FACTOR = 4  # a run rests this many times as long as it works
_KINDS = {
    "expire": (lifecycle_apply.EXPIRED, lifecycle_apply.MARKED),
    "remove": (lifecycle_apply.EXPIRED,),
    "move": (lifecycle_apply.MOVED,),
}
PHASES = (rows.OBJECTS, rows.VERSIONS, rows.UPLOADS)

log = logging.getLogger("pileus.s3.lifecycle")
Action = list[Any]


@dataclass
class Walk:
    """One run over a bucket: where it is, and what it remembers of the key it is in."""

    rules: int  # version of the rules' row
    next_ms: int  # when the next run begins
    phase: int = 0
    at: bytes = b""  # read on from here; b"": from the phase's beginning
    key: str = ""
    since_ms: int = 0
    newer: int = 0
    unsaved: int = 0
    actions: list[Action] = field(default_factory=list)
    told: dict[int, list[Any]] = field(default_factory=dict)
    parts: int = 0

    @property
    def finished(self) -> bool:
        return self.phase == len(PHASES)

    def position(self, name: str) -> bytes:
        """Where another process would go on: at the beginning of a key's versions, since what is
        due for one hangs on the newer ones."""
        at = rows.versions_of(name, self.key)[0] if self.key else self.at
        return msgspec.msgpack.encode([self.rules, self.next_ms, self.phase, at])


class Lifecycle:
    """The loop. ``turn`` does a bounded piece of work; answers whether more is waiting."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._day_ms = room.config.s3_day_s * 1000
        self._walks: dict[str, Walk] = {}
        self._names: list[str] = []
        self._generation = -1
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        tick_s = max(TICK_S_MIN, min(TICK_S, self._day_ms / 1000 / 10))
        more = False
        while True:
            await self._room.clock.sleep(TICK_S_MIN if more else tick_s)
            try:
                more = await self.turn()
            except (AwsError, Conflict, Unavailable, OSError) as error:
                log.warning("put off: %s", error)
                more = False

    async def turn(self) -> bool:
        """Go on with every run that is due."""
        more = await self._tell_restores()
        for name in self._due():
            more |= await self._advance(name)
        return more

    async def _tell_restores(self) -> bool:
        """Who asked for it hears that a restored copy is ready, or gone."""
        store = self._room.store
        start = keys.partition_prefix(rows.RESTORES, "due")
        end = rows.restore_due(self._room.clock.now_ms() + 1, 0, "")
        found = store.range(start, end, ACTIONS_MAX)
        if found:
            await store.submit("s3.restore_told", [[row.key for row in found]])
        return len(found) == ACTIONS_MAX

    def _due(self) -> list[str]:
        store = self._room.store
        generation = store.generation(rows.TABLE)
        if generation != self._generation:
            found = store.partition(rows.TABLE, "buckets")
            names = [keys.split(row.key)[2].decode() for row in found]
            self._names = [n for n in names if store.get(rows.setting(n, KIND)) is not None]
            self._walks = {n: w for n, w in self._walks.items() if n in set(self._names)}
            self._generation = generation
        return self._names

    async def _advance(self, name: str) -> bool:
        """Some slices of a bucket; True when its run is not at its end."""
        room = self._room
        setting = room.store.row(rows.setting(name, KIND))
        if setting is None:
            return False
        now_ms = room.clock.now_ms()
        walk = self._walk(name, setting.version, now_ms)
        if walk.finished:
            return False
        bucket = room.bucket(name)
        told = terms(room, bucket)
        if told is None:
            return False
        for _ in range(SLICES_PER_TURN):
            began = room.clock.monotonic()
            self._slice(walk, bucket, told, now_ms)
            saving = walk.actions or walk.unsaved >= SAVE_ROWS or walk.finished
            if saving and not await self._flush(walk, name):
                del self._walks[name]
                return True
            if walk.finished:
                return False
            pause_s = min(1.0, PAUSE_FACTOR * (room.clock.monotonic() - began))
            await room.clock.sleep(pause_s)
        return True

    def _walk(self, name: str, rules: int, now_ms: int) -> Walk:
        """The run under way, taken up from its row after a start; or a new one when it is due."""
        walk = self._walks.get(name)
        if walk is None:
            value = self._room.store.get(rows.lifecycle_run(name))
            if value is not None:
                walk = Walk(*msgspec.msgpack.decode(value))
        if walk is None or walk.rules != rules or (walk.finished and self._is_due(walk, now_ms)):
            walk = Walk(rules, self._next_ms(now_ms))
        self._walks[name] = walk
        return walk

    def _next_ms(self, now_ms: int) -> int:
        if self._day_ms == DAY_MS:
            return (now_ms // DAY_MS + 1) * DAY_MS
        return now_ms + self._day_ms // 8

    def _is_due(self, walk: Walk, now_ms: int) -> bool:
        """The last run may have been of a clock that was ahead: none lies further than the next
        would now."""
        return not now_ms < walk.next_ms <= self._next_ms(now_ms)

    async def _flush(self, walk: Walk, name: str) -> bool:
        """Submit what was found, with the position; False when the rules changed."""
        actions, told = walk.actions, walk.told
        walk.actions, walk.told, walk.parts, walk.unsaved = [], {}, 0, 0
        if walk.finished and not actions and self._day_ms != DAY_MS:
            return True  # a run every few seconds need not leave a trace
        args = [name, walk.rules, walk.position(name), actions, told]
        done = await self._room.store.submit("s3.lifecycle", args)
        if done > 0:
            log.info("%s: %d versions and uploads", name, done)
        return bool(done >= 0)

    # -- one slice -----------------------------------------------------------------------------

    def _slice(self, walk: Walk, bucket: Bucket, told: Terms, now_ms: int) -> None:
        """Read one page of rows and note what is due."""
        table = PHASES[walk.phase]
        start, end = rows.prefix_range(table, bucket.name, "")
        found = self._room.store.range(max(start, walk.at), end, SLICE_ROWS)
        due = (self._current, self._old, self._upload)[walk.phase]
        for row in found:
            action = due(walk, bucket, told, row, now_ms)
            walk.unsaved += 1
            if action is not None:
                self._note(walk, bucket, action, row)
            if len(walk.actions) >= ACTIONS_MAX or walk.parts >= PARTS_MAX:
                walk.at = row.key + b"\x00"
                return
        if len(found) < SLICE_ROWS:
            walk.phase, walk.at, walk.key = walk.phase + 1, b"", ""
        else:
            walk.at = found[-1].key + b"\x00"

    def _note(self, walk: Walk, bucket: Bucket, action: Action, row: Row) -> None:
        """An action, and who wants to be told of it."""
        kinds = _KINDS.get(action[0])
        if kinds and notifications.KIND in bucket.settings:
            told = events.by_service(bucket, kinds, action[1], rows.describe(row.value))
            if told:
                walk.told[len(walk.actions)] = told
        walk.actions.append(action)

    def _current(
        self, walk: Walk, bucket: Bucket, told: Terms, row: Row, now_ms: int
    ) -> Action | None:
        key, meta = rows.key_of(row.key), rows.describe(row.value)
        due = told.current(key, meta, now_ms, bool(bucket.versioning))
        if due is None:
            return None
        if due[0] == "move":
            return ["move", key, -1, row.version, due[1]]
        walk.parts += meta.parts
        return ["expire", key, row.version, self._room.clock.random_bytes(16), bucket.owner]

    def _old(self, walk: Walk, bucket: Bucket, told: Terms, row: Row, now_ms: int) -> Action | None:
        """Rows come newest first within a key; what superseded a row is the one before it."""
        key, place = rows.compound_of(row.key)
        order = rows.ORDER_MAX - int.from_bytes(place, "big")
        meta = rows.describe(row.value)
        if key != walk.key:
            value = self._room.store.get(rows.current(bucket.name, key))
            walk.key, walk.newer = key, 0
            if value is None:  # the newest of the key, a delete marker
                walk.since_ms = meta.modified_ms
                due = self._alone(bucket.name, key, row) and told.marker(key, meta, now_ms)
                return ["unmark", key, order] if due else None
            walk.since_ms = rows.describe(value).modified_ms
        found = told.old(key, meta, walk.since_ms, walk.newer, now_ms)
        walk.since_ms, walk.newer = meta.modified_ms, walk.newer + 1
        if found is None:
            return None
        if found[0] == "move":
            return ["move", key, order, row.version, found[1]]
        walk.parts += meta.parts
        return ["remove", key, order, row.version]

    def _alone(self, name: str, key: str, row: Row) -> bool:
        end = rows.versions_of(name, key)[1]
        return not self._room.store.range(row.key + b"\x00", end, 1)

    def _upload(
        self, walk: Walk, bucket: Bucket, told: Terms, row: Row, now_ms: int
    ) -> Action | None:
        key, upload_id = rows.compound_of(row.key)
        begun = rows.unpack_meta(rows.upload_record(row.value)["meta"]).modified_ms
        if not told.upload(key, begun, now_ms):
            return None
        walk.parts += PARTS_MAX  # how many it has is not in its row
        return ["abort", key, upload_id.decode()]
