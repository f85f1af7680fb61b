"""The job that fills an imported table from objects of a bucket.

Objects are read in the order of their keys; a job that died goes on with the one it was in. Items
that cannot be are told in the log group ``/aws-dynamodb/imports``, in the caller's name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Principal
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.copying.bucket import Bucket
from pileus.services.dynamodb.copying.jobs import Failed, job_key
from pileus.services.dynamodb.copying.loading import Loader, state_tables, target
from pileus.services.dynamodb.copying.sources import Batch, Reader
from pileus.services.dynamodb.copying.unpacking import Malformed
from pileus.services.dynamodb.delete_table import gone_key
from pileus.services.dynamodb.transfers import IMPORT, row_key, tell

LOG_GROUP = "/aws-dynamodb/imports"
OBJECTS_MAX = 50_000
TOLD_MAX = 10_000
MESSAGE_CHARS_MAX = 2000
ZERO = {
    "ProcessedSizeBytes": 0,
    "ProcessedItemCount": 0,
    "ImportedItemCount": 0,
    "ErrorCount": 0,
}
log = logging.getLogger(__name__)


class Journal:
    """The import's log stream. Without permission for it the errors are counted all the same."""

    def __init__(self, room: Any, work: dict[str, Any], told: dict[str, Any]) -> None:
        self._room = room
        self._principal = Principal.restore(work["caller"])
        self._region = work["region"]
        self._arn = told["ImportArn"]
        self._stream = f"{work['import'][1]}/error"
        self._bucket = told["S3BucketSource"]["S3Bucket"]
        self._left = TOLD_MAX
        self._open = False

    async def tell(self, key: str, errors: list[tuple[int, str]]) -> None:
        """Say what was wrong with which items of an object."""
        errors, self._left = errors[: self._left], max(0, self._left - len(errors))
        if not errors:
            return
        now_ms = self._room.clock.now_ms()
        events = [{"timestamp": now_ms, "message": self._line(key, *e)} for e in errors]
        place = {"logGroupName": LOG_GROUP, "logStreamName": self._stream}
        try:
            if not self._open:
                await self._make("CreateLogGroup", {"logGroupName": LOG_GROUP})
                await self._make("CreateLogStream", place)
                self._open = True
            for at in range(0, len(events), 400):
                await self._ask("PutLogEvents", {**place, "logEvents": events[at : at + 400]})
        except (AwsError, Unavailable) as error:
            log.warning("dynamodb: errors of %s cannot be logged: %s", self._arn, error)
            self._left = 0

    def _line(self, key: str, index: int, message: str) -> str:
        place = {"bucket": self._bucket, "key": key, "itemIndex": index}
        told = {
            "itemS3Pointer": place,
            "importArn": self._arn,
            "errorMessages": [message[:MESSAGE_CHARS_MAX]],
        }
        return orjson.dumps(told).decode()

    async def _make(self, operation: str, params: dict[str, Any]) -> None:
        try:
            await self._ask(operation, params)
        except AwsError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def _ask(self, operation: str, params: dict[str, Any]) -> None:
        await self._room.parts.dispatch(
            "logs", operation, params, principal=self._principal, region=self._region
        )


class Importing:
    """The kind ``import``."""

    def __init__(self, room: Any) -> None:
        self._room = room

    async def run(self, work: dict[str, Any]) -> None:
        """``{"target": [scope, name], "import": [scope, id], "caller": principal, "region": name,
        "after": the last object that is done, "counts": what was told by then}``"""
        table = target(self._room, work)
        told = self._room.store.get_json(row_key(IMPORT, *work["import"]))["description"]
        source = told["S3BucketSource"]
        bucket = Bucket(self._room, work, source["S3Bucket"], source.get("S3BucketOwner", ""))
        objects = [key async for key, _ in bucket.objects(source.get("S3KeyPrefix", ""))]
        if len(objects) > OBJECTS_MAX:
            raise Failed("LimitExceeded", f"An import reads up to {OBJECTS_MAX} objects")
        counts = dict(work.get("counts", ZERO))
        loader, journal = Loader(self._room, table), Journal(self._room, work, told)
        for key in objects:
            if key > work.get("after", ""):
                await self._read(bucket, key, Reader(table, told), counts, loader, journal)
                await self._note(work, key, counts)
        await self._finish(work, told, counts)

    async def _read(
        self,
        bucket: Bucket,
        key: str,
        reader: Reader,
        counts: dict[str, int],
        loader: Loader,
        journal: Journal,
    ) -> None:
        async def take(batches: Iterator[Batch]) -> None:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                _count(counts, batch)
                await loader.load(batch.items)
                await journal.tell(key, batch.errors)

        try:
            async with aclosing(bucket.read(key)) as pieces:
                async for piece in pieces:
                    await take(reader.feed(piece))
            await take(reader.end())
        except Malformed as lost:
            counts["ErrorCount"] += 1
            await journal.tell(key, [(0, f"The rest of the object is left out: {lost}")])

    async def _note(self, work: dict[str, Any], key: str, counts: dict[str, int]) -> None:
        job = job_key("import", work["job"])

        def note(draft: Any) -> None:
            row = draft.get_json(job)
            if row is not None:
                draft.put_json(job, {**row, "after": key, "counts": counts})
                tell(draft, row_key(IMPORT, *work["import"]), counts)

        await self._room.store.transact(note)

    async def _finish(
        self, work: dict[str, Any], told: dict[str, Any], counts: dict[str, int]
    ) -> None:
        done: dict[str, Any] = {**counts, "ImportStatus": "COMPLETED"}
        if counts["ErrorCount"]:
            done |= {
                "ImportStatus": "FAILED",
                "FailureCode": "ItemValidationError",
                "FailureMessage": "Some of the items failed validation checks and were not"
                " imported. Please check CloudWatch error logs for more details.",
            }
        key, end_ms = meta_key(*work["target"]), self._room.clock.now_ms()

        def finish(draft: Any) -> None:
            row = draft.get_json(key)
            if row is not None and row["id"] == work["job"]:
                row["TableStatus"] = "ACTIVE"
                draft.put_json(key, row)
            tell(draft, row_key(IMPORT, *work["import"]), done | {"EndTime": end_ms / 1000})
            draft.delete(job_key("import", work["job"]))

        await self._room.store.transact(finish)

    async def give_up(self, work: dict[str, Any], failed: Failed) -> None:
        """An import that cannot be leaves no table, but says why."""
        key, end_ms = meta_key(*work["target"]), self._room.clock.now_ms()
        told = {
            "ImportStatus": "FAILED",
            "EndTime": end_ms / 1000,
            "FailureCode": failed.code,
            "FailureMessage": failed.message,
        }

        def finish(draft: Any) -> None:
            row = draft.get_json(key)
            if row is not None and row["id"] == work["job"]:
                draft.delete(key)
                for rows in state_tables(row):
                    draft.put(gone_key(rows), b"")
            tell(draft, row_key(IMPORT, *work["import"]), told)
            draft.delete(job_key("import", work["job"]))

        await self._room.store.transact(finish)


def _count(counts: dict[str, int], batch: Batch) -> None:
    counts["ProcessedSizeBytes"] += batch.size
    counts["ProcessedItemCount"] += len(batch.items) + len(batch.errors)
    counts["ImportedItemCount"] += len(batch.items)
    counts["ErrorCount"] += len(batch.errors)
