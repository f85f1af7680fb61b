"""The face of the runtime for the front processes: an asyncio client of its Unix socket.

One connection, any number of invocations at once. A lost connection fails the invocations in
flight with ``Unavailable`` (the function may have run), those that waited for a worker with
``NotBegun``, and is made anew by the next call.
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec

from pileus.errors import Unavailable
from pileus.runtime.frames import FrameProtocol
from pileus.runtime.function import (
    FunctionSpec,
    Invocation,
    InvokeOutcome,
    Kept,
    NotBegun,
    Throttled,
)
from pileus.runtime.longrunning import Report, Wish
from pileus.runtime.streaming import StreamedAnswer

REGISTER, INVOKE, FORGET, STATS, PROVISION, WISH, REPORT, STREAM, TAKEN, KEPT = range(1, 11)
OUTCOME, REFUSED_THROTTLED, REFUSED_UNAVAILABLE, VALUE, BEGUN, PART, WAITS, BEGINS = range(1, 9)
IDS = struct.Struct("<II")  # call id, spec number (TAKEN: bytes)
CALL = struct.Struct("<I")
SPECS_KEPT = 4096


class Runtime:
    """``socket`` is ``HOME/run/runtime.sock``."""

    def __init__(self, socket: Path | str) -> None:
        self._path = str(socket)
        self._protocol: FrameProtocol | None = None
        self._connecting: asyncio.Lock = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._streams: dict[int, StreamedAnswer] = {}
        self._queued: set[int] = set()  # calls that wait for a worker
        self._specs: OrderedDict[int, tuple[FunctionSpec, int]] = OrderedDict()
        self._next_call = 0
        self._next_spec = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_outcome = msgspec.msgpack.Decoder(tuple).decode

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvokeOutcome:
        """Run the function once and answer what it said.

        Raises ``Throttled`` when the concurrency is used up, ``NotBegun`` when no worker can be
        had, another ``Unavailable`` when it may have run. Errors of the function itself are
        answers (``function_error``), never exceptions.
        """
        protocol = self._protocol or await self._connect()
        number = self._number(spec, protocol)
        return await self._ask(protocol, INVOKE, number, self._encode(invocation))

    async def stream(self, spec: FunctionSpec, invocation: Invocation) -> StreamedAnswer:
        """Run the function once; its answer can be read while it writes. What ``invoke`` raises is
        raised by reading, or by ``begun``."""
        protocol = self._protocol or await self._connect()
        number = self._number(spec, protocol)
        outcome = self._ask(protocol, STREAM, number, self._encode(invocation))
        call = self._next_call
        self._streams[call] = answer = StreamedAnswer(
            outcome, lambda size: protocol.send(TAKEN, IDS.pack(call, size))
        )
        outcome.add_done_callback(lambda _: self._streams.pop(call, None))
        return answer

    async def forget(self, arn: str) -> None:
        """Code or configuration of ``arn`` changed, or it was deleted: end its idle workers now,
        busy ones after their request."""
        await self._ask(self._protocol or await self._connect(), FORGET, 0, arn.encode())

    async def set_provisioned(self, spec: FunctionSpec, count: int, asked: int = 0) -> None:
        """Keep ``count`` initialised workers of ``spec`` (0: none), started in the background.
        ``asked``: another number each time its owner asks; see ``kept``."""
        protocol = self._protocol or await self._connect()
        number = self._number(spec, protocol)
        await self._ask(protocol, PROVISION, number, self._encode((count, asked)))

    async def kept(self, arn: str, version: str, asked: int) -> Kept:
        """What came of it; a failure is told of the wish ``asked`` alone."""
        protocol = self._protocol or await self._connect()
        return Kept(*await self._ask(protocol, KEPT, 0, self._encode((arn, version, asked))))

    async def stats(self) -> dict[str, Any]:
        """Figures and state: ``isolation`` (kind, reason when it is missing), ``workers``,
        ``functions`` by ARN, counters."""
        return await self._ask(self._protocol or await self._connect(), STATS, 0, b"")

    async def wish(self, wishes: list[Wish]) -> None:
        """These long-running services should run from now on, and no others."""
        protocol = self._protocol or await self._connect()
        await self._ask(protocol, WISH, 0, self._encode(wishes))

    async def report(self, boot: str, serial: int, logs_after: int, wait_s: float) -> Report:
        """What long-running services do, once it differs from (``boot``, ``serial``) of an earlier
        report or ``wait_s`` went by. ``logs_after``: log entries up to this number arrived;
        negative: none are wanted. Raises ``Unavailable``."""
        protocol = self._protocol or await self._connect()
        asked = self._encode((boot, serial, logs_after, wait_s))
        return Report(*await self._ask(protocol, REPORT, 0, asked))

    async def close(self) -> None:
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.close()
        self._protocol = None

    def _ask(
        self, protocol: FrameProtocol, kind: int, number: int, body: bytes
    ) -> asyncio.Future[Any]:
        self._next_call = call = (self._next_call + 1) & 0xFFFFFFFF
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[call] = future
        protocol.send(kind, IDS.pack(call, number), body)
        return future

    def _number(self, spec: FunctionSpec, protocol: FrameProtocol) -> int:
        """The connection's number for ``spec``; tells the runtime the spec the first time."""
        known = self._specs.get(id(spec))
        if known is not None:
            return known[1]
        self._next_spec = number = (self._next_spec + 1) & 0xFFFFFFFF
        self._specs[id(spec)] = (spec, number)  # holding the spec keeps its id() unique
        dropped = self._specs.popitem(last=False)[1][1] if len(self._specs) > SPECS_KEPT else 0
        protocol.send(REGISTER, IDS.pack(dropped, number), self._encode(spec))
        return number

    async def _connect(self) -> FrameProtocol:
        async with self._connecting:
            if self._protocol is not None:
                return self._protocol
            protocol = FrameProtocol(self._on_frame, self._on_lost)
            loop = asyncio.get_running_loop()
            try:
                await loop.create_unix_connection(lambda: protocol, self._path)
            except OSError as e:
                raise NotBegun(
                    f"the function runtime does not answer: {e.strerror or e}",
                    f"is it running? its socket is {self._path}",
                ) from e
            self._protocol = protocol
            return protocol

    def _on_frame(self, kind: int, body: memoryview) -> None:
        call = CALL.unpack_from(body)[0]
        if kind in (BEGUN, PART):
            stream = self._streams.get(call)
            data = bytes(body[CALL.size :])
            if stream is not None and kind == PART:
                stream.part(data)
            elif stream is not None:
                stream.begin(data.decode())
            return
        if kind == WAITS:
            self._queued.add(call)
            return
        self._queued.discard(call)
        if kind == BEGINS:
            return
        future = self._waiting.pop(call, None)
        if future is None or future.done():
            return
        value = self._decode_outcome(body[CALL.size :])
        if kind == OUTCOME:
            future.set_result(InvokeOutcome(*value))
        elif kind == REFUSED_THROTTLED:
            future.set_exception(Throttled(*value))
        elif kind == REFUSED_UNAVAILABLE:
            future.set_exception(NotBegun(*value))  # by the runtime, so before it began
        else:
            future.set_result(value[0])

    def _on_lost(self, exc: Exception | None) -> None:
        waiting, self._waiting = self._waiting, {}
        # Not read to its end (``exc``): that a call began may have been told, and not heard.
        queued, self._queued = self._queued if exc is None else set(), set()
        self._specs.clear()
        self._protocol = None
        for call, future in waiting.items():
            if not future.done():
                future.set_exception(_lost(call in queued))


def _lost(queued: bool) -> Unavailable:
    if queued:
        return NotBegun("the function runtime stopped before the call began")
    return Unavailable("the function runtime stopped during the call; it may have run")
