"""The cloud's own metrics: AWS/Lambda, AWS/DynamoDB, AWS/S3, AWS/ApiGateway.

Once a minute the first front of each machine turns what its processes counted since the last minute
(``telemetry.meters``) into points, for the account and region whose resource it was. A minute in
which nothing was asked of a resource has no point, as on AWS.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/aws-services-cloudwatch-metrics.html
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pileus.errors import Unavailable
from pileus.services.call import Parts
from pileus.services.cloudwatch.points import Metric, Point, Points
from pileus.services.owned import place_of
from pileus.telemetry import histogram
from pileus.telemetry.readings import Labels, Reading, Readings

log = logging.getLogger(__name__)
MINUTE_S = 60
EARLY_S = 2.0  # the minute's last second is published by then
STORAGE_EVERY_S = 3600
UNITS = {
    "pileus_table_read_units_total": "ConsumedReadCapacityUnits",
    "pileus_table_write_units_total": "ConsumedWriteCapacityUnits",
}
Block = list[float]
Told = tuple[Metric, Point]


class Stored(Protocol):
    """What a bucket holds."""

    @property
    def bucket(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def objects(self) -> int: ...
    @property
    def size(self) -> int: ...


class Platform:
    """``start`` and ``stop``; ``turn`` publishes a minute. ``stored`` tells what buckets hold
    (blocking); all nodes hold the same, so only the one that ``leads`` tells it."""

    def __init__(
        self,
        parts: Parts,
        stored: Callable[[Path], Iterable[Stored]],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._points = Points(parts.telemetry)
        self._clock = parts.clock
        self._readings = Readings(parts.config.home)
        self._home = parts.config.home
        self._stored = stored
        self._leads = leads
        self._last: dict[str, Reading] = {}
        self._used: dict[tuple[str, Labels], float] = {}  # units, since the last turn
        self._stored_at = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="platform-metrics")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        for reading in self._readings.all():
            self._last[reading.process] = reading
        while True:
            now_s = self._clock.now_ms() / 1000
            await self._clock.sleep(MINUTE_S - (now_s - EARLY_S) % MINUTE_S)
            try:
                leads = self._leads()  # asks the state, which is this thread's
                await asyncio.to_thread(self.turn, self._clock.now_ms() // 1000, leads)
            except (Unavailable, OSError) as error:
                log.warning("a minute of the cloud's own metrics is lost: %s", error)
            except Exception:
                log.exception("the cloud's own metrics failed")

    def turn(self, now_s: int, leads: bool = True) -> None:
        """Publish what happened since the last turn as the minute before ``now_s``. Blocking."""
        at = (now_s // MINUTE_S - 1) * MINUTE_S
        told: list[Told] = []
        for name, labels, block in self._grown():
            told.extend(_told(name, labels, block, at))
        used, self._used = self._used, {}
        told.extend(_consumed(name, dict(labels), n, at) for (name, labels), n in used.items() if n)
        if now_s - self._stored_at >= STORAGE_EVERY_S and leads:
            self._stored_at = now_s
            told.extend(_storage(self._stored(self._home), at))
        if told:
            self._points.put(told)

    def _grown(self) -> Iterator[tuple[str, Labels, Block]]:
        """Blocks that counted something, summed over the processes."""
        grown: dict[tuple[str, Labels], Block] = {}
        for reading in self._readings.all():
            last = self._last.get(reading.process)
            old: Sequence[float] = []
            if last is not None and last.pid == reading.pid:
                old = last.cells
            self._last[reading.process] = reading
            for meter in reading.meters:
                if meter.kind == "counter" and meter.name in UNITS:
                    was_used = old[meter.at] if meter.at < len(old) else 0.0
                    more = reading.cells[meter.at] - was_used
                    key = (meter.name, meter.labels)
                    self._used[key] = self._used.get(key, 0.0) + more
                if meter.kind != "requests":
                    continue
                now = reading.block(meter)
                was: Sequence[float] = [0.0] * len(now)
                if meter.at < len(old):
                    was = old[meter.at : meter.at + len(now)]
                if list(now[2:8]) == list(was[2:8]):
                    continue
                held = grown.setdefault((meter.name, meter.labels), [0.0] * histogram.CELLS)
                for i, (n, w) in enumerate(zip(now, was, strict=True)):
                    held[i] += n - w
        for (name, labels), block in grown.items():
            yield name, labels, block


def _told(name: str, labels: Labels, block: Block, at: int) -> Iterable[Told]:
    told = dict(labels)
    if "account" not in told or "region" not in told:
        return []
    place = place_of(told["account"], told["region"])
    if name == "pileus_function":
        return _function(place, told["function"], block, at)
    if "table" in told:
        return _table(place, told, block, at)
    if "bucket" in told:
        return _bucket(place, told, block, at)
    return _api(place, told["api"], block, at) if "api" in told else []


def _function(place: str, function: str, block: Block, at: int) -> Iterator[Told]:
    count, failed = histogram.count_of(block), block[histogram.CLASSES + 5]
    for dimensions in ((("FunctionName", function),), ()):

        def metric(name: str, d: tuple[tuple[str, str], ...] = dimensions) -> Metric:
            return Metric(place, "AWS/Lambda", name, d)

        if count:
            yield metric("Invocations"), _sum(at, count)
            yield metric("Errors"), _each(at, failed, count)
            yield metric("Duration"), _durations(at, block)
        yield metric("Throttles"), _sum(at, block[histogram.THROTTLED])


def _table(place: str, told: dict[str, str], block: Block, at: int) -> Iterator[Told]:
    both = (("Operation", told["operation"]), ("TableName", told["table"]))
    done = block[histogram.CLASSES + 2]
    if done:
        metric = Metric(place, "AWS/DynamoDB", "SuccessfulRequestLatency", both)
        yield metric, _durations(at, block)
    if block[histogram.THROTTLED]:
        metric = Metric(place, "AWS/DynamoDB", "ThrottledRequests", both)
        yield metric, _sum(at, block[histogram.THROTTLED])
    if block[histogram.CLASSES + 4]:
        yield Metric(place, "AWS/DynamoDB", "UserErrors"), _sum(at, block[histogram.CLASSES + 4])
    if block[histogram.CLASSES + 5]:
        metric = Metric(place, "AWS/DynamoDB", "SystemErrors", both)
        yield metric, _sum(at, block[histogram.CLASSES + 5])


def _consumed(name: str, told: dict[str, str], units: float, at: int) -> Told:
    dimensions = [("TableName", told["table"])]
    if told["index"]:
        dimensions.insert(0, ("GlobalSecondaryIndexName", told["index"]))
    place = place_of(told["account"], told["region"])
    metric = Metric(place, "AWS/DynamoDB", UNITS[name], tuple(dimensions))
    return metric, Point(at, 60, 1.0, units, units, units, "Count")


_S3 = {
    "GetObject": "GetRequests",
    "HeadObject": "HeadRequests",
    "PutObject": "PutRequests",
    "DeleteObject": "DeleteRequests",
}


def _bucket(place: str, told: dict[str, str], block: Block, at: int) -> Iterator[Told]:
    """Request metrics, as of a filter named EntireBucket."""
    dimensions = (("BucketName", told["bucket"]), ("FilterId", "EntireBucket"))
    count = histogram.count_of(block)

    def metric(name: str) -> Metric:
        return Metric(place, "AWS/S3", name, dimensions)

    yield metric("AllRequests"), _sum(at, count)
    name = _S3.get(told["operation"])
    if name is not None:
        yield metric(name), _sum(at, count)
    yield metric("4xxErrors"), _each(at, block[histogram.CLASSES + 4], count)
    yield metric("5xxErrors"), _each(at, block[histogram.CLASSES + 5], count)
    yield metric("TotalRequestLatency"), _durations(at, block)
    if told["operation"] == "GetObject":
        size = block[histogram.BYTES]
        yield metric("BytesDownloaded"), Point(at, 60, count, size, 0.0, size, "Bytes")


def _api(place: str, api: str, block: Block, at: int) -> Iterator[Told]:
    count = histogram.count_of(block)

    def metric(name: str) -> Metric:
        return Metric(place, "AWS/ApiGateway", name, (("ApiId", api),))

    yield metric("Count"), _sum(at, count)
    yield metric("4xx"), _each(at, block[histogram.CLASSES + 4], count)
    yield metric("5xx"), _each(at, block[histogram.CLASSES + 5], count)
    yield metric("Latency"), _durations(at, block)
    size = block[histogram.BYTES]
    yield metric("DataProcessed"), Point(at, 60, count, size, 0.0, size, "Bytes")


def _storage(stored: Iterable[Stored], at: int) -> Iterator[Told]:
    for held in stored:
        place, name = place_of(held.account, held.region), ("BucketName", held.bucket)
        for metric, kind, value, unit in (
            ("BucketSizeBytes", "StandardStorage", float(held.size), "Bytes"),
            ("NumberOfObjects", "AllStorageTypes", float(held.objects), "Count"),
        ):
            dimensions = (name, ("StorageType", kind))
            told = Point(at, 60, 1.0, value, value, value, unit)
            yield Metric(place, "AWS/S3", metric, dimensions), told


def _sum(at: int, count: float) -> Point:
    """``count`` events of one each."""
    return _each(at, count, count)


def _each(at: int, of: float, count: float) -> Point:
    """``count`` events of which ``of`` were it: ones and zeros, so that Average is the share."""
    pairs = tuple((v, n) for v, n in ((0.0, count - of), (1.0, of)) if n > 0) or ((0.0, 1.0),)
    least, most = pairs[0][0], pairs[-1][0]
    return Point(at, 60, sum(n for _, n in pairs), of, least, most, "Count", pairs)


def _durations(at: int, block: Block) -> Point:
    """Milliseconds. Sum and count are exact, the values those of the buckets' middles."""
    pairs = []
    for bucket in range(histogram.FIRST, histogram.CELLS):
        if block[bucket] > 0:
            middle = 500 * (histogram.below(bucket) + histogram.above(bucket))
            pairs.append((round(middle, 4), block[bucket]))
    total = block[histogram.NANOSECONDS] / 1e6
    count = sum(n for _, n in pairs)
    return Point(at, 60, count, total, pairs[0][0], pairs[-1][0], "Milliseconds", tuple(pairs))
