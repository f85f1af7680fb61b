"""Server access logs: one line a request, delivered as objects to the bucket the owner names.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
As on AWS, delivery is a best effort and comes some time after the request: each front process
keeps its lines in memory and puts them every ``s3_log_delivery_s`` seconds, and when it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Call, HttpRequest, HttpResponse, Principal
from pileus.services.s3.acl import DELIVERER, grant_headers
from pileus.services.s3.log_line import line
from pileus.services.s3.names import bucket_arn
from pileus.services.s3.room import Bucket, Room

log = logging.getLogger("pileus.s3")
LINES_MAX = 20_000


@dataclass(slots=True)
class Pending:
    """Lines of one bucket that wait to be put; ``lost`` were too many."""

    owner: str
    region: str
    target: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    lost: int = 0


class Journal:
    """One process's lines."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pending: dict[str, Pending] = {}
        self._task: asyncio.Task[None] | None = None

    def note(
        self,
        bucket: Bucket,
        request: HttpRequest,
        operation: str,
        call: Call | None,
        response: HttpResponse,
        started_ms: int,
    ) -> None:
        """Remember a request of a logged bucket."""
        told = bucket.settings["logging"]
        pending = self._pending.get(bucket.name)
        if pending is None or pending.target != told:
            pending = Pending(bucket.owner, bucket.region, told, pending.lines if pending else [])
            self._pending[bucket.name] = pending
        if len(pending.lines) >= LINES_MAX:
            pending.lost += 1
            return
        now_ms = self._room.clock.now_ms()
        pending.lines.append(line(bucket, request, operation, call, response, started_ms, now_ms))

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="s3 access logs")

    async def stop(self) -> None:
        """Put what waits, then let go."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.deliver()

    async def _run(self) -> None:
        while True:
            await self._room.clock.sleep(self._room.config.s3_log_delivery_s)
            await self.deliver()

    async def deliver(self) -> None:
        """Put every bucket's lines; those of a bucket that cannot take them are given up, as S3
        does when its service may not write there."""
        waiting, self._pending = self._pending, {}
        for name, pending in waiting.items():
            if pending.lost:
                log.warning("%d lines of %s's access log were too many", pending.lost, name)
            try:
                await self._put(name, pending)
            except (AwsError, Unavailable) as error:
                log.warning("the access log of %s cannot be delivered: %s", name, error)

    async def _put(self, name: str, pending: Pending) -> None:
        if not pending.lines:
            return
        target = pending.target
        unique = self._room.clock.random_bytes(8).hex().upper()
        key = object_key(name, pending, self._room.clock.now_ms(), unique)
        params: dict[str, Any] = {
            "Bucket": target["TargetBucket"],
            "Key": key,
            "Body": ("\n".join(pending.lines) + "\n").encode("utf-8", "replace"),
            "ContentType": "text/plain",
        }
        if self._room.bucket(target["TargetBucket"]).acls:
            params |= grant_headers(target.get("TargetGrants") or [])
        await self._room.dispatch(
            "s3",
            "PutObject",
            params,
            principal=Principal("service", pending.owner, DELIVERER, DELIVERER),
            region=pending.region,
            context={"aws:SourceArn": bucket_arn(name), "aws:SourceAccount": pending.owner},
        )


def object_key(name: str, pending: Pending, now_ms: int, unique: str) -> str:
    """``PREFIX yyyy-mm-dd-hh-mm-ss-UNIQUE``, or the partitioned form."""
    at = time.gmtime(now_ms // 1000)
    prefix = pending.target.get("TargetPrefix") or ""
    kind = pending.target.get("TargetObjectKeyFormat") or {}
    if "PartitionedPrefix" in kind:
        prefix += f"{pending.owner}/{pending.region}/{name}/{time.strftime('%Y/%m/%d/', at)}"
        if (kind["PartitionedPrefix"] or {}).get("PartitionDateSource") == "EventTime":
            return f"{prefix}{time.strftime('%Y-%m-%d-00-00-00', at)}-{unique}"
    return f"{prefix}{time.strftime('%Y-%m-%d-%H-%M-%S', at)}-{unique}"
