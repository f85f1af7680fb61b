"""The chore that puts inventory reports: daily or, on Sundays, weekly, after midnight UTC.

One process walks a bucket in slices, writes gzipped files of lines, then the manifest, its digest
and the list for Hive, each put as the service: the destination's policy must allow it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Principal
from pileus.services.s3 import inventory, rows
from pileus.services.s3.inventory_report import Report, described
from pileus.services.s3.listing import Merged, has_current
from pileus.services.s3.locks import DAY_MS
from pileus.services.s3.names import bucket_arn
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import Meta
from pileus.state import keys

TICK_S = 10.0
SLICE = 500
FILE_LINES_MAX = 200_000
PAUSE_FACTOR = 4
SERVICE = "s3.amazonaws.com"
WEEK_DAYS = 7
SUNDAY = 3  # 1970 began on a Thursday

log = logging.getLogger("pileus.s3.inventory")
Listed = tuple[str, Meta, bool]


class Inventories:
    """The loop. ``turn`` puts every report that is due."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._day_ms = room.config.s3_day_s * 1000
        self._generation = -1
        self._names: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._loop(), name="s3 inventories")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _loop(self) -> None:
        while True:
            await self._room.clock.sleep(min(TICK_S, self._day_ms / 1000))
            try:
                await self.turn()
            except (AwsError, Unavailable, OSError) as error:
                log.warning("put off: %s", error)

    async def turn(self) -> None:
        """Put what is due."""
        for name in self._configured():
            bucket = self._room.bucket(name)
            for told in inventory.of(bucket).values():
                at_ms = self._room.clock.now_ms()
                if told["IsEnabled"] and self._due(name, told, at_ms):
                    await self._put(Report(bucket, told, at_ms))

    def _configured(self) -> list[str]:
        store = self._room.store
        generation = store.generation(rows.TABLE)
        if generation != self._generation:
            found = store.partition(rows.TABLE, "buckets")
            names = [keys.split(row.key)[2].decode() for row in found]
            at = inventory.KIND
            self._names = [n for n in names if store.get(rows.setting(n, at)) is not None]
            self._generation = generation
        return self._names

    def _due(self, name: str, told: dict[str, Any], now_ms: int) -> bool:
        """The first report comes at once; then one a day, or on the first day of each week. A last
        one further ahead than the next is of a clock that was ahead."""
        value = self._room.store.get(rows.inventory_run(name, told["Id"]))
        if value is None:
            return True
        last, now = int(value) // self._day_ms, now_ms // self._day_ms
        if told["Schedule"]["Frequency"] == "Weekly":
            shift = -SUNDAY if self._day_ms == DAY_MS else 0
            last, now = (last + shift) // WEEK_DAYS, (now + shift) // WEEK_DAYS
        return now > last or last > now + 1

    async def _put(self, report: Report) -> None:
        """Write a report; one that the destination refuses is given up until the next is due."""
        try:
            await self._write(report)
        except AwsError as error:
            log.warning("the inventory of %s is refused: %s", report.bucket.name, error)
        args = [report.bucket.name, report.told["Id"], report.at_ms]
        await self._room.store.submit("s3.inventory_put", args)

    async def _write(self, report: Report) -> None:
        files: list[dict[str, Any]] = []
        async for lines in self._files(report):
            data = gzip.compress(lines, 6, mtime=0)
            unique = uuid.UUID(bytes=self._room.clock.random_bytes(16), version=4)
            key = report.key(f"data/{unique}.csv.gz")
            await self._send(report, key, data, "application/octet-stream")
            files.append(described(key, data))
        manifest = report.manifest(files)
        digest = hashlib.md5(manifest).hexdigest().encode()
        links = "".join(f"s3://{report.target}/{f['key']}\n" for f in files)
        await self._send(report, report.dated("manifest.json"), manifest, "application/json")
        await self._send(report, report.dated("manifest.checksum"), digest, "text/plain")
        await self._send(report, report.hive(), links.encode(), "text/plain")
        log.info("%s: inventory %s put", report.bucket.name, report.told["Id"])

    async def _files(self, report: Report) -> Any:
        """The report's lines, as much as goes into one file at a time."""
        clock, lines = self._room.clock, bytearray()
        count, began = 0, clock.monotonic()
        for key, meta, latest in self._versions(report):
            lines += report.line(key, meta, latest).encode()
            count += 1
            if count % SLICE == 0:
                await clock.sleep(min(1.0, PAUSE_FACTOR * (clock.monotonic() - began)))
                began = clock.monotonic()
            if count % FILE_LINES_MAX == 0:
                yield bytes(lines)
                lines.clear()
        if lines or not count:
            yield bytes(lines)

    def _versions(self, report: Report) -> Iterator[Listed]:
        prefix = (report.told.get("Filter") or {}).get("Prefix") or ""
        return _listed(self._room, report.bucket, prefix, report.whole)

    async def _send(self, report: Report, key: str, body: bytes, kind: str) -> None:
        owner = report.bucket.owner
        await self._room.dispatch(
            "s3",
            "PutObject",
            {
                "Bucket": report.target,
                "Key": key,
                "Body": body,
                "ContentType": kind,
                "ACL": "bucket-owner-full-control",
                **report.encryption,
            },
            principal=Principal("service", owner, SERVICE, SERVICE),
            region=report.bucket.region,
            context={
                "aws:SourceArn": bucket_arn(report.bucket.name),
                "aws:SourceAccount": owner,
            },
        )


def _listed(room: Room, bucket: Bucket, prefix: str, whole: bool) -> Iterator[Listed]:
    """(key, version, whether it is the latest), read in slices: what is written meanwhile may be
    there or not."""
    if whole:
        merged, previous = Merged(room.store, bucket.name, prefix), None
        while (found := merged.next()) is not None:
            key, meta, current = found
            first = key != previous and not has_current(room.store, bucket.name, key)
            yield key, meta, current or first
            previous = key
        return
    start, end = rows.prefix_range(rows.OBJECTS, bucket.name, prefix)
    while page := room.store.range(start, end, SLICE):
        for row in page:
            yield rows.key_of(row.key), rows.describe(row.value), True
        start = page[-1].key + b"\x00"
