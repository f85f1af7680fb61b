"""What functions and services print goes to CloudWatch Logs, in somebody's name (F7, C7).

Lines wait at most ``FLUSH_S`` and go out in one PutLogEvents per stream. A function's are put
as its role, so a role without ``logs:`` permissions writes nothing, as on AWS. Group and stream
are made when Logs says they are missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Dispatch, Principal

FLUSH_S = 0.2
BATCH_EVENTS_MAX = 10_000
BATCH_BYTES_MAX = 900_000
PENDING_LINES_MAX = 500_000
STREAMS_KNOWN_MAX = 50_000

log = logging.getLogger(__name__)

Line = tuple[int, str]


class LogShip:
    """``put`` takes an invocation's lines; a task sends them; ``stop`` sends the rest."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._closing = False
        self._pending: dict[tuple[str, str, str], tuple[Principal, list[Line]]] = {}
        self._lines = 0
        self._known: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(
        self, principal: Principal, region: str, group: str, stream: str, lines: list[Line]
    ) -> None:
        """Queue lines of one invocation. When Logs cannot keep up the oldest wait and these are
        dropped, loudly: a function must not stall for its log."""
        if not lines:
            return
        if self._lines > PENDING_LINES_MAX:
            log.error("log lines of %s dropped: %d wait already", group, self._lines)
            return
        entry = self._pending.get((region, group, stream))
        if entry is None:
            entry = self._pending[region, group, stream] = (principal, [])
        entry[1].extend(lines)
        self._lines += len(lines)
        self._wake.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="lambda-logs")

    async def stop(self) -> None:
        """Send what is left."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self.flush()

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            if not self._closing:
                await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Send all that waits."""
        taken, self._pending, self._lines = self._pending, {}, 0
        for at, (place, (principal, lines)) in enumerate(taken.items(), 1):
            lines.sort(key=lambda line: line[0])
            try:
                for batch in _batches(lines):
                    await self._send(principal, place, batch)
            except AwsError as error:
                if error.status >= 500:
                    log.error("log lines of %s lost: %s", place[1], error)
                # Refused to the role: it may not write logs, and nothing is kept of them.
            except Unavailable as error:
                log.error("log lines of %s lost: %s", place[1], error)
            if at % 20 == 0:
                await asyncio.sleep(0)

    async def _send(
        self, principal: Principal, place: tuple[str, str, str], batch: list[Line]
    ) -> None:
        region, group, stream = place
        if place not in self._known:
            await self._make(principal, place)
        events = [{"timestamp": ms, "message": f"{line}\n"} for ms, line in batch]
        params = {"logGroupName": group, "logStreamName": stream, "logEvents": events}
        try:
            await self._call("PutLogEvents", params, principal, region)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            self._known.pop(place, None)  # deleted meanwhile
            await self._make(principal, place)
            await self._call("PutLogEvents", params, principal, region)

    async def _make(self, principal: Principal, place: tuple[str, str, str]) -> None:
        """The stream, and the group when it is missing."""
        region, group, stream = place
        params = {"logGroupName": group, "logStreamName": stream}
        try:
            await self._create("CreateLogStream", params, principal, region)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            await self._create("CreateLogGroup", {"logGroupName": group}, principal, region)
            await self._create("CreateLogStream", params, principal, region)
        self._known[place] = None
        if len(self._known) > STREAMS_KNOWN_MAX:
            self._known.popitem(last=False)

    async def _create(
        self, operation: str, params: dict[str, Any], principal: Principal, region: str
    ) -> None:
        try:
            await self._call(operation, params, principal, region)
        except AwsError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def _call(
        self, operation: str, params: dict[str, Any], principal: Principal, region: str
    ) -> None:
        await self._dispatch("logs", operation, params, principal=principal, region=region)


def _batches(lines: list[Line]) -> list[list[Line]]:
    """Cut to what one PutLogEvents takes."""
    batches: list[list[Line]] = []
    size = BATCH_BYTES_MAX + 1
    for ms, line in lines:
        cost = 4 * len(line) + 27  # UTF-8 takes at most four bytes a character
        if size + cost > BATCH_BYTES_MAX or len(batches[-1]) == BATCH_EVENTS_MAX:
            batches.append([])
            size = 0
        batches[-1].append((ms, line[:200_000]))
        size += cost
    return batches
