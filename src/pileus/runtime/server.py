"""The runtime's Unix socket: the front processes' invocations in, outcomes out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from pileus.errors import Unavailable
from pileus.runtime.client import (
    BEGINS,
    BEGUN,
    CALL,
    FORGET,
    IDS,
    INVOKE,
    KEPT,
    OUTCOME,
    PART,
    PROVISION,
    REFUSED_THROTTLED,
    REFUSED_UNAVAILABLE,
    REGISTER,
    REPORT,
    STATS,
    STREAM,
    TAKEN,
    VALUE,
    WAITS,
    WISH,
)
from pileus.runtime.fleet import Fleet
from pileus.runtime.fleets import Fleets
from pileus.runtime.frames import FrameProtocol
from pileus.runtime.function import FunctionSpec, Invocation, InvokeOutcome, Kept, Throttled
from pileus.runtime.job import Job, Verdict
from pileus.runtime.longrunning import Wish
from pileus.runtime.longrunning_services import Services
from pileus.runtime.streaming import ALL, Outlet

OUT_S = 0.002


class Caller:
    """One connected front process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._specs: dict[int, FunctionSpec] = {}
        self._fleets: dict[int, Fleet] = {}
        self._outlets: dict[int, Outlet] = {}
        self.protocol = FrameProtocol(self._on_frame, self._on_lost)

    def _on_lost(self, exc: Exception | None) -> None:
        self._server.callers.discard(self)
        for outlet in self._outlets.values():
            outlet.taken(ALL)

    def _on_frame(self, kind: int, frame: memoryview) -> None:
        call, number = IDS.unpack_from(frame)
        body = frame[IDS.size :]
        if kind == INVOKE:
            self._invoke(call, number, body)
        elif kind == STREAM:
            self._outlets[call] = outlet = self._outlet(call)
            self._invoke(call, number, body, outlet)
        elif kind == TAKEN:
            if call in self._outlets:
                self._outlets[call].taken(number)
        elif kind == REGISTER:
            self._specs.pop(call, None)
            self._fleets.pop(call, None)
            self._specs[number] = self._server.decode_spec(body)
        elif kind == STATS:
            self._value(call, self._server.stats())
        elif kind == FORGET:
            if self._server.fleets is not None:
                self._server.fleets.forget(bytes(body).decode())
            self._value(call, None)
        elif kind == WISH:
            wishes = self._server.decode_wishes(body)
            self._server.when_ready(lambda: self._wish(call, wishes))
        elif kind == REPORT:
            asked = self._server.decode_report(body)
            self._server.when_ready(lambda: self._server.spawn(self._report(call, *asked)))
        elif kind == PROVISION:
            wish = msgspec.msgpack.decode(body, type=tuple[int, int])
            self._server.when_ready(lambda: self._provision(call, number, *wish))
        elif kind == KEPT:
            about = msgspec.msgpack.decode(body, type=tuple[str, str, int])
            self._value(call, self._server.kept(*about))

    def _value(self, call: int, value: Any) -> None:
        self._send(VALUE, call, self._server.encode([value]))

    def _send(self, kind: int, call: int, body: bytes) -> None:
        self.protocol.send(kind, CALL.pack(call), body)

    def _refuse(self, call: int, trouble: Unavailable) -> None:
        self._send(REFUSED_UNAVAILABLE, call, self._server.encode([str(trouble), trouble.hint]))

    def _fleet(self, number: int) -> Fleet:
        """The fleet of a registered spec. Raises ``Unavailable``."""
        fleet = self._fleets.get(number)
        if fleet is None or fleet.retired:
            fleet = self._fleets[number] = self._server.running().fleet(self._specs[number])
        return fleet

    def _wish(self, call: int, wishes: list[Wish]) -> None:
        try:
            self._server.running()
            assert self._server.services is not None
        except Unavailable as e:
            self._refuse(call, e)
            return
        self._server.services.wish(wishes)
        self._value(call, None)

    async def _report(
        self, call: int, boot: str, serial: int, logs_after: int, wait_s: float
    ) -> None:
        try:
            self._server.running()
            assert self._server.services is not None
            told = await self._server.services.report(boot, serial, logs_after, wait_s)
        except Unavailable as e:
            self._refuse(call, e)
            return
        self._value(call, (told.boot, told.serial, told.services, told.logs))

    def _provision(self, call: int, number: int, count: int, asked: int) -> None:
        spec = self._specs[number]
        try:
            self._fleet(number).provide(count, asked)
        except Unavailable as e:  # it will not do later either: told to who asks what there is
            if count:
                self._server.unable[spec.arn, spec.version, asked] = str(e)
        self._value(call, None)

    def _outlet(self, call: int) -> Outlet:
        return Outlet(
            lambda content_type: self._send(BEGUN, call, content_type.encode()),
            lambda data: self._send(PART, call, data),
        )

    def _invoke(
        self, call: int, number: int, body: memoryview, outlet: Outlet | None = None
    ) -> None:
        invocation, spec = self._server.decode(body), self._specs[number]
        job = Job(
            spec,
            invocation,
            lambda verdict: self._answer(call, verdict),
            outlet,
            lambda then: self._tell(call, then),
        )
        if not self._server.decided:
            job.wait()
        self._server.when_ready(lambda: self._start(call, number, job))

    def _tell(self, call: int, then: Callable[[], None] | None) -> None:
        """The call waits for a worker; or it begins: ``then`` is called when that has left this
        process, so that it is heard even if this one ends at once."""
        self._send(WAITS if then is None else BEGINS, call, b"")
        if then is not None:
            self._when_out(then)

    def _when_out(self, then: Callable[[], None]) -> None:
        transport = self.protocol.transport
        if transport is not None and transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(OUT_S, self._when_out, then)
        else:
            then()

    def _start(self, call: int, number: int, job: Job) -> None:
        try:
            self._server.running().invoke(job, self._fleet(number))
        except Unavailable as e:
            self._outlets.pop(call, None)
            self._refuse(call, e)

    def _answer(self, call: int, verdict: Verdict) -> None:
        outlet = self._outlets.pop(call, None)
        if outlet is not None:
            outlet.taken(ALL)  # what the worker still writes is read and dropped
        if isinstance(verdict, InvokeOutcome):
            v = verdict
            body = (
                v.payload, v.function_error, v.log, v.log_stream, v.cold,
                v.duration_ms, v.billed_ms, v.max_memory_mb, v.streamed_bytes,
            )  # fmt: skip
            self._send(OUTCOME, call, self._server.encode(body))
        elif isinstance(verdict, Throttled):
            self._send(REFUSED_THROTTLED, call, self._server.encode([verdict.reason]))
        else:
            self._refuse(call, verdict)


class Server:
    """``isolation`` tells how functions are confined, and why not where they are not."""

    def __init__(self, socket: Path, isolation: dict[str, Any]) -> None:
        self._socket = socket
        self.isolation = isolation
        self.fleets: Fleets | None = None
        self.services: Services | None = None
        self._early: list[Callable[[], None]] | None = []
        self.callers: set[Caller] = set()
        self.unable: dict[tuple[str, str, int], str] = {}  # wishes for workers nobody can have
        self.encode = msgspec.msgpack.Encoder().encode
        self.decode = msgspec.msgpack.Decoder(Invocation).decode
        self.decode_spec = msgspec.msgpack.Decoder(FunctionSpec).decode
        self.decode_wishes = msgspec.msgpack.Decoder(list[Wish]).decode
        self.decode_report = msgspec.msgpack.Decoder(tuple[str, int, int, float]).decode
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, with mode 0600. A socket left behind by a killed predecessor is replaced."""
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        previous = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(self._accept, str(self._socket))
        finally:
            os.umask(previous)

    def _accept(self) -> FrameProtocol:
        caller = Caller(self)
        self.callers.add(caller)
        return caller.protocol

    @property
    def decided(self) -> bool:
        """Whether functions can run, or cannot."""
        return self._early is None

    def when_ready(self, act: Callable[[], None]) -> None:
        """Run ``act`` now, or when it is decided whether functions can run."""
        if self._early is None:
            act()
        else:
            self._early.append(act)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def serve(self, fleets: Fleets, services: Services) -> None:
        self.fleets, self.services = fleets, services
        self._decided()

    def refuse(self) -> None:
        """No function can run: ``isolation`` says why."""
        self._decided()

    def _decided(self) -> None:
        early, self._early = self._early or [], None
        for act in early:
            act()

    def running(self) -> Fleets:
        """The fleets, or ``Unavailable`` with the reason why no function can run."""
        if self.fleets is None:
            raise Unavailable(self.isolation["reason"], self.isolation["hint"])
        return self.fleets

    def stats(self) -> dict[str, Any]:
        figures = self.fleets.stats() if self.fleets is not None else {}
        return {"isolation": self.isolation, "callers": len(self.callers)} | figures

    def kept(self, arn: str, version: str, asked: int) -> Kept:
        """What there is of a version's provisioned workers here; see ``Fleet.kept``."""
        if trouble := self.unable.get((arn, version, asked)):
            return Kept(trouble=trouble)
        return self.fleets.kept(arn, version, asked) if self.fleets is not None else Kept()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for caller in list(self.callers):
            if caller.protocol.transport is not None:
                caller.protocol.transport.close()
        self._socket.unlink(missing_ok=True)
