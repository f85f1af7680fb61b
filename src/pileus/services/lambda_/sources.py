"""Reading streams for functions: one reader per event source mapping, in order, at least once.

A reader asks the streams' own API as the function's role, so that what the role may not read is
not read for it. Its place is a row, moved in one entry when a batch (or the first part of one) is
done; a lease keeps a second process from reading for the same mapping.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from typing import Any

import orjson

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.hub.lease import Lease, LostLease
from pileus.hub.wake import Wake
from pileus.runtime.function import Invocation
from pileus.services.lambda_ import mappings, rows
from pileus.services.lambda_.batches import Delivery, Lost, Outcome, arrived_s, sequence_of
from pileus.services.lambda_.destinations import Destinations
from pileus.services.lambda_.event_filter import compiled
from pileus.services.lambda_.room import Room
from pileus.services.lambda_.targets import Targets, Version
from pileus.services.lambda_.times import iso
from pileus.state import keys
from pileus.state.draft import Draft

PAGE_MAX = 1000
PAYLOAD_BYTES_MAX = 6 * 1024 * 1024
GAP_S = 0.05  # between two looks at a stream that had something
TROUBLE_S, TROUBLE_S_MAX = 1.0, 30.0
Record = dict[str, Any]

log = logging.getLogger(__name__)


class Sources:
    """Keeps a reader at work for every mapping that is switched on. ``run`` is ``Invoker.run``."""

    def __init__(
        self, room: Room, targets: Targets, run: Any, destinations: Destinations, owner: str
    ) -> None:
        self._room, self._targets, self._run = room, targets, run
        self._destinations, self._owner = destinations, owner
        self._wake = Wake(room.store, room.clock, mappings.TABLE)
        self._task: asyncio.Task[None] | None = None
        self._readers: dict[str, tuple[Record, Reader]] = {}

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="event sources")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(reader.stop() for _, reader in self._readers.values()))
        self._readers.clear()

    async def _watch(self) -> None:
        while True:
            self._wake.look()
            try:
                await self._settle()
            except Exception:  # a mapping that cannot be read must not stop the others for ever
                log.exception("event sources")
                await self._room.clock.sleep(TROUBLE_S_MAX)
            await self._wake.wait()

    async def _settle(self) -> None:
        """Readers for what is switched on as it is now, and no others."""
        wanted = {
            record["uuid"]: (partition, record)
            for partition, record in mappings.every(self._room.store)
            if record["enabled"]
        }
        for uuid in list(self._readers):
            if uuid not in wanted or self._readers[uuid][0] != wanted[uuid][1]:
                await self._readers.pop(uuid)[1].stop()
        for uuid, (partition, record) in wanted.items():
            if uuid not in self._readers:
                reader = Reader(
                    self._room, self._targets, self._run, self._destinations, self._owner,
                    partition, record,
                )  # fmt: skip
                self._readers[uuid] = record, reader
                reader.start()


class Reader:
    """Of one mapping, as it is configured now."""

    def __init__(
        self,
        room: Room,
        targets: Targets,
        run: Any,
        destinations: Destinations,
        owner: str,
        partition: str,
        mapping: Record,
    ) -> None:
        self._room, self._targets, self._run = room, targets, run
        self._destinations, self._partition = destinations, partition
        self._uuid, self._source = mapping["uuid"], mapping["source"]
        self._record, self._mapping, self._settings = mapping, mapping, mapping["settings"]
        self._name = mappings.function_of(mapping)
        self._passes = compiled(self._settings.get("FilterCriteria"))
        self._lease = Lease(room.store, room.clock, f"esm/{self._uuid}", owner)
        self._wake = Wake(room.store, room.clock, "changes")
        self._task: asyncio.Task[None] | None = None
        self._shard, self._iterator = "", ""
        self._last: Version | None = None
        rules = mappings.rules_of(self._settings)
        self._delivery = Delivery(
            rules, room.clock, self._invoke, self._passed, self._gave_up, self._failing
        )

    def start(self) -> None:
        self._task = asyncio.create_task(self._read(), name=f"event source {self._uuid}")

    async def stop(self) -> None:
        await self._lease.let_go(self._task)

    async def _read(self) -> None:
        trouble = 0
        while True:
            try:
                self._wake.look()
                if await self._step():
                    await self._room.clock.sleep(GAP_S)
                else:
                    await self._wake.wait()
                trouble = 0
            except (AwsError, Unavailable, Conflict, LostLease) as error:
                log.warning("event source mapping %s pauses: %s", self._uuid, error)
                self._iterator = ""
                pause_s = min(TROUBLE_S * 2**trouble, TROUBLE_S_MAX)
                trouble = min(trouble + 1, 10)
                if isinstance(error, AwsError):
                    await self._tell(f"PROBLEM: {error.message}"[:300])
                await self._room.clock.sleep(pause_s)
            except Exception:
                log.exception("event source mapping %s", self._uuid)
                await self._room.clock.sleep(TROUBLE_S_MAX)

    # -- records in ----------------------------------------------------------------------------

    async def _step(self) -> bool:
        """Take a batch and hand it on; False when there was nothing."""
        records, last = await self._gather()
        if not last:
            return False
        if not await self._lease.hold():
            self._iterator = ""  # another process reads; look again later
            await self._room.clock.sleep(1)
            return True
        if not self._stands():
            self._iterator = ""  # what was gathered is for whoever reads next
            return True
        async with self._lease.kept():
            if records:
                await self._delivery.deliver(records)
            await self._move(last, mappings.WELL if records else "")
        return True

    def _stands(self) -> bool:
        """Whether the mapping is still as it was: a reader that is slow to hear that it was
        switched off hands nothing on that came after that."""
        key = mappings.mapping_key(self._partition, self._uuid)
        return self._room.store.get_json(key) == self._record

    async def _gather(self) -> tuple[list[Record], str]:
        """(the records that pass the filter, the last sequence number read): as many as fit, or
        as came in the batching window, which begins with the first."""
        size, limit = 0, self._settings["BatchSize"]
        batch: list[Record] = []
        last, until_ms = "", 0
        while True:
            room = min(PAGE_MAX, limit - len(batch))
            found = await self._page(room)
            for record in found:
                size += len(orjson.dumps(record))
                if batch and size > PAYLOAD_BYTES_MAX:
                    self._iterator = ""  # the rest is read again from the place
                    return batch, last
                last = sequence_of(record)
                if self._passes(record):
                    batch.append(record)
            window_ms = 1000 * self._settings["MaximumBatchingWindowInSeconds"]
            now_ms = self._room.clock.now_ms()
            until_ms = until_ms or (now_ms + window_ms if batch else 0)
            if len(batch) >= limit or not window_ms or not batch or now_ms >= until_ms:
                return batch, last
            if len(found) < room:
                await self._wake.wait(until_ms)
                self._wake.look()

    async def _page(self, limit: int) -> list[Record]:
        if not self._iterator:
            self._iterator = await self._start()
        try:
            told = await self._ask("GetRecords", ShardIterator=self._iterator, Limit=limit)
        except AwsError as error:
            if error.code not in ("ExpiredIteratorException", "TrimmedDataAccessException"):
                raise
            self._iterator = await self._start(error.code.startswith("Trimmed"))
            told = await self._ask("GetRecords", ShardIterator=self._iterator, Limit=limit)
        after = told.get("NextShardIterator")
        if after is None:
            raise AwsError("ResourceNotFoundException", f"Stream has ended: {self._source}")
        self._iterator = after
        found = [_plain(r, self._source) for r in told["Records"]]
        if self._mapping["position"] == "LATEST" and self._place() is None:
            since_s = self._mapping["created_ms"] // 1000  # the first iterator may have expired
            found = [r for r in found if arrived_s(r) >= since_s]
        return found

    def _place(self) -> str | None:
        place = self._room.store.get_json(mappings.place_key(self._uuid)) or {}
        told: str | None = place.get("sequence")
        return told

    async def _start(self, trimmed: bool = False) -> str:
        """An iterator behind what is done; the one made with the mapping while it lasts."""
        place = self._place()
        told = await self._ask("DescribeStream", StreamArn=self._source)
        self._shard = told["StreamDescription"]["Shards"][-1]["ShardId"]
        first, self._mapping = self._mapping.get("iterator"), {**self._mapping, "iterator": ""}
        if place is None and first:
            return str(first)
        wanted: Record = {"ShardIteratorType": "TRIM_HORIZON"}
        if place is not None and not trimmed:
            wanted = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place}
        try:
            found = await self._ask(
                "GetShardIterator", StreamArn=self._source, ShardId=self._shard, **wanted
            )
        except AwsError as error:
            if error.code != "TrimmedDataAccessException" or trimmed:
                raise
            return await self._start(trimmed=True)
        return str(found["ShardIterator"])

    async def _ask(self, operation: str, **params: Any) -> dict[str, Any]:
        version = self._version()
        session = await self._room.roles.session(version.role, version.function.name)
        region = self._source.split(":")[3]
        return await self._room.dispatch(
            "dynamodbstreams", operation, params, principal=session.principal, region=region
        )

    def _version(self) -> Version:
        self._last = self._targets.find(self._name).choose()
        return self._last

    # -- records out ---------------------------------------------------------------------------

    async def _invoke(self, records: list[Record]) -> Outcome:
        request_id = rows.new_id(self._room.clock)
        version = self._version()
        payload = orjson.dumps({"Records": records})
        try:
            invocation = Invocation(payload, request_id, invoked_arn=self._name.qualified_arn)
            told = await self._run(version, invocation)
        except AwsError as error:
            return Outcome(error.code, b"", request_id, version.number, started=False)
        return Outcome(told.function_error, told.payload, request_id, version.number)

    async def _passed(self, record: Record) -> None:
        await self._move(sequence_of(record), "")

    async def _failing(self, outcome: Outcome) -> None:
        await self._tell("PROBLEM: Function call failed")

    async def _move(self, sequence: str, result: str) -> None:
        """Everything up to ``sequence`` is done."""
        key = mappings.place_key(self._uuid)
        place = self._room.store.get_json(key) or {}
        told = result or place.get("result", mappings.UNTOUCHED)
        after = {"sequence": sequence, "result": told}
        if place == after:
            return

        def change(draft: Draft) -> None:
            self._lease.guard(draft)
            if draft.get(mappings.mapping_key(self._partition, self._uuid)) is not None:
                draft.put_json(key, after)  # else it was deleted meanwhile

        await self._room.store.transact(change)

    async def _tell(self, result: str) -> None:
        """What GetEventSourceMapping shows as the last result."""
        key = mappings.place_key(self._uuid)
        if (self._room.store.get_json(key) or {}).get("result") == result:
            return

        def change(draft: Draft) -> None:
            if draft.get(mappings.mapping_key(self._partition, self._uuid)) is not None:
                draft.put_json(key, {**(draft.get_json(key) or {}), "result": result})

        with contextlib.suppress(Unavailable, Conflict):
            await self._room.store.transact(change)

    # -- records lost --------------------------------------------------------------------------

    async def _gave_up(self, lost: Lost) -> None:
        """Tell the destination; what it does not take is kept in a row."""
        log.error("event source mapping %s gives up: %s", self._uuid, lost.condition)
        target = self._settings["DestinationConfig"]["OnFailure"].get("Destination")
        if not target:
            return
        letter = self._letter(lost)
        told = dict(letter)
        if ":s3:" in target:  # a bucket has room for the records, too
            told["payload"] = orjson.dumps({"Records": lost.records}).decode()
        where = f"aws/lambda/{self._uuid}/{self._shard}"
        version = self._last or self._version()
        undelivered = await self._destinations.tell(target, version, told, where)
        if not undelivered:
            return
        log.error("event source mapping %s: undelivered: %s", self._uuid, undelivered)
        sort = f"{self._name.name}/{self._uuid}/{sequence_of(lost.records[0])}"
        key = keys.key("lambdadead", self._partition, sort)
        kept = {**letter, "undelivered": undelivered}
        await self._room.store.transact(lambda draft: draft.put_json(key, kept))

    def _letter(self, lost: Lost) -> Record:
        outcome = lost.outcome
        first, last = lost.records[0], lost.records[-1]
        context: Record = {
            "requestId": outcome.request_id if outcome else rows.new_id(self._room.clock),
            "functionArn": self._name.qualified_arn,
            "condition": lost.condition,
            "approximateInvokeCount": lost.attempts,
        }
        letter: Record = {"requestContext": context}
        if outcome is not None and outcome.started:
            letter["responseContext"] = {
                "statusCode": 200,
                "executedVersion": outcome.version,
                "functionError": outcome.error or None,
            }
        return letter | {
            "version": "1.0",
            "timestamp": iso(self._room.clock.now_ms()),
            "DDBStreamBatchInfo": {
                "shardId": self._shard,
                "startSequenceNumber": sequence_of(first),
                "endSequenceNumber": sequence_of(last),
                "approximateArrivalOfFirstRecord": _moment(first),
                "approximateArrivalOfLastRecord": _moment(last),
                "batchSize": len(lost.records),
                "streamArn": self._source,
            },
        }


def _moment(record: Record) -> str:
    return iso(int(arrived_s(record)) * 1000).split(".")[0] + "Z"


def _plain(record: Record, source: str) -> Record:
    """A record of the streams' API as functions get it."""
    told = dict(record["dynamodb"])
    when = told["ApproximateCreationDateTime"]
    told["ApproximateCreationDateTime"] = float(getattr(when, "timestamp", lambda: when)())
    for member in ("Keys", "NewImage", "OldImage"):
        if member in told:
            told[member] = {name: _value(value) for name, value in told[member].items()}
    found = {**record, "dynamodb": told, "eventSourceARN": source}
    if "userIdentity" in record:  # an event's members begin small
        by = record["userIdentity"]
        found["userIdentity"] = {f"{n[0].lower()}{n[1:]}": v for n, v in by.items()}
    return found


def _value(value: Record) -> Record:
    """Binary values in base64, at any depth."""
    ((kind, told),) = value.items()
    if kind == "B":
        return {"B": _text(told)}
    if kind == "BS":
        return {"BS": [_text(v) for v in told]}
    if kind == "L":
        return {"L": [_value(v) for v in told]}
    if kind == "M":
        return {"M": {n: _value(v) for n, v in told.items()}}
    return value


def _text(told: bytes | str) -> str:
    return told if isinstance(told, str) else base64.b64encode(told).decode()
