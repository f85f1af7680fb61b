"""One execution environment, seen from the runtime: from enclosure to specialised worker to end.

A worker serves one function version and one request at a time. Python workers speak frames on a
socket, the others the Runtime API over HTTP; both lead to the same outcomes.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from pileus.errors import Unavailable
from pileus.runtime import environment, jail, log
from pileus.runtime.authority import Authority
from pileus.runtime.egress import NOTHING, Allowed
from pileus.runtime.environment import Places
from pileus.runtime.faults import (
    ANSWER_BYTES_MAX,
    exit_error,
    too_large_error,
    truncated_error,
)
from pileus.runtime.frames import FrameProtocol
from pileus.runtime.function import STREAMED_BYTES_MAX, FunctionSpec, InvokeOutcome
from pileus.runtime.job import Job
from pileus.runtime.launcher import Enclosure
from pileus.runtime.memory import exceeds, resident_bytes
from pileus.runtime.proxy import Proxy
from pileus.runtime.python_worker import ANSWER, ERROR, INIT_ERROR, INVOKE, READY, SPECIALISE
from pileus.runtime.relay import Relay
from pileus.runtime.runtime_api import RuntimeApi
from pileus.runtime.streaming import Source

LAST_WORDS_S = 0.5
FRAME_BYTES_MAX = 48 * 1024 * 1024
PROCESSES_MAX = jail.PROCESSES_MAX
CREDENTIALS_MARGIN_MS = 60_000
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What all workers of this runtime share. ``api``: (host, port) of the AWS endpoint;
    ``code``: the code cache's folder on the host; ``egress_allowed``: see ``egress.Allowed``."""

    api: tuple[str, int]
    code: Path
    weak: bool = False
    node: str = ""
    node_client: str = ""
    node_modules: str = ""
    egress_allowed: Allowed = NOTHING
    init_timeout_s: float = 10.0  # or the function's own, if that is longer
    tls: Authority | None = None  # of the second door to the endpoint; None without a jail


class Worker:
    """Call ``prepare`` (in the pool), ``specialise``, then ``deliver`` again and again.
    ``on_free(worker)`` is called after each answer, ``on_end(worker)`` once."""

    def __init__(self, enclosure: Enclosure, setting: Setting) -> None:
        self.enclosure = enclosure
        self.spec: FunctionSpec | None = None
        self.job: Job | None = None
        self.idle_since = 0.0
        self.served = 0
        self.alive = True
        self.init_error: bytes | None = None
        self.on_free: Callable[[Worker], None] | None = None
        self.on_end: Callable[[Worker], None] | None = None
        self._setting = setting
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._frames = FrameProtocol(self._on_frame, self._on_lost, FRAME_BYTES_MAX)
        self._lost = self._ended = self._serving = False
        self._status: int | None = None
        self._output = log.LogReader(enclosure.log_fd)
        self._relay = Relay(setting.api)
        self._secure = Relay(setting.api, setting.tls)
        self._proxy = Proxy(setting.egress_allowed)
        self._api = RuntimeApi(self)
        self._timer: asyncio.TimerHandle | None = None
        self._init_ms = 0.0
        self._framed = True

    async def prepare(self) -> None:
        """Open the doors and the conversation with process 1."""
        self.enclosure.on_exit = self._on_exit
        self._output.watch(self._loop, self._on_flood)
        await self._loop.create_unix_connection(lambda: self._frames, sock=self.enclosure.control)
        if not self._setting.weak:
            await self._relay.start(self.enclosure.doors[0])
            await self._proxy.start(self.enclosure.doors[1])
            await self._secure.start(self.enclosure.doors[2])
        await self._api.start(self.enclosure.doors[-1])

    def _on_flood(self) -> None:
        """Endless output without a request to account it to: a thread left running."""
        if self.served and self.job is None:
            self.kill()

    def places(self, code: str, layers: str) -> Places:
        if not self._setting.weak:
            return Places()
        host, port = self._setting.api
        return Places(
            task=str(self._setting.code / code),
            layers=str(self._setting.code / layers) if layers else "/opt",
            node=self._setting.node,
            node_client=f"{self._setting.node_client}/client.mjs",
            node_modules=self._setting.node_modules,
            api=f"http://{host}:{port}",
            proxy="",
            runtime_api=f"127.0.0.1:{self.enclosure.port}",
            certificates="",
        )

    async def specialise(self, spec: FunctionSpec, code: str, layers: str) -> None:
        """Become a worker of ``spec`` (``code`` and ``layers``: folders of the code cache) and run
        its initialisation. Afterwards ``init_error`` tells an error of the function's own;
        ``Unavailable`` means the platform failed."""
        self.spec = spec
        places = self.places(code, layers)
        argv = environment.arguments(spec, places, lambda name: self._exists(name, code, layers))
        self._framed = argv is None
        self.stream = environment.log_stream(
            spec, datetime.datetime.now(datetime.UTC).strftime("%Y/%m/%d")
        )
        self._platform = log.PlatformLog(spec.version, spec.memory_mb, spec.log_format == "JSON")
        self._limit(spec)
        settings = {
            **environment.settings(spec, places, self.stream, argv),
            "code": code,
            "layers": layers,
            "tmp_mb": spec.ephemeral_mb,
            # Without control groups. V8 reserves far more than it uses: for it, only the watch.
            "data_mb": spec.memory_mb + 64 if self._framed and not self.enclosure.group else 0,
        }
        started = time.monotonic()
        self._frames.send(SPECIALISE, json.dumps(settings).encode())
        try:
            limit_s = max(self._setting.init_timeout_s, spec.timeout_s)
            async with asyncio.timeout(limit_s):
                await self._ready
        except TimeoutError:
            text = f"{log.iso_time()} Task timed out after {limit_s:.2f} seconds"
            self.init_error = json.dumps({"errorMessage": text}).encode()
            self.kill()
        self._init_ms = (time.monotonic() - started) * 1000

    def _exists(self, name: str, code: str, layers: str) -> bool:
        kind, _, file = name.partition("/")
        folder = code if kind == "task" else layers
        return bool(folder) and (self._setting.code / folder / file).exists()

    def _limit(self, spec: FunctionSpec) -> None:
        if self.enclosure.group is not None:
            size = (spec.memory_mb + spec.ephemeral_mb) * MEGABYTE
            self.enclosure.group.limit(size, PROCESSES_MAX, spec.memory_mb)

    def usable(self, spec: FunctionSpec, now_ms: int) -> bool:
        """False when its credentials could run out during a request and newer ones are there."""
        if self.spec is None or not self.spec.credentials.expires_ms:
            return True
        own = self.spec.credentials.expires_ms
        needed = now_ms + int(spec.timeout_s * 1000) + CREDENTIALS_MARGIN_MS
        return own > needed or spec.credentials.expires_ms <= own

    def deliver(self, job: Job) -> None:
        """Run ``job`` now; the worker is initialised and has no other."""
        assert self.job is None and self.spec is not None
        self.job = job
        self._serving = True
        job.cold = self.served == 0
        job.init_ms = self._init_ms if job.cold else 0.0
        self.served += 1
        now = log.now_ms()
        job.started = time.monotonic()
        job.deadline_ms = now + int(job.spec.timeout_s * 1000)
        job.log = self._output.take(now_too=False)
        job.log.append((now, self._platform.start(job.request_id)))
        self._timer = self._loop.call_later(job.spec.timeout_s, self._timed_out, job)
        job.begin(lambda: self._hand(job))

    def _hand(self, job: Job) -> None:
        if self.job is not job:
            return  # the worker ended meanwhile, and with it the job
        if self._framed:
            self._frames.send(INVOKE, *invoke_frame(job))
        else:
            self._api.deliver(job)

    def _on_frame(self, kind: int, body: memoryview) -> None:
        if kind == READY and not self._ready.done():
            self.ready()
        elif kind == INIT_ERROR:
            self.init_failed(bytes(body))
        elif self.job is None or kind not in (ANSWER, ERROR):
            self.kill()  # a frame nobody asked for: the function plays with our socket
            self._frames.abort()
        else:
            self._finish(bytes(body), "" if kind == ANSWER else "Unhandled", "")

    def ready(self) -> None:
        """Initialised, or (Runtime API) asking for the next event."""
        if not self._ready.done():
            self._ready.set_result(None)
        elif self.job is None and self._serving:
            self._free()

    def _free(self) -> None:
        self._serving = False
        if self._timer is not None:
            self._timer.cancel()
        self.idle_since = time.monotonic()
        if self.on_free is not None and self.alive:
            self.on_free(self)

    def init_failed(self, payload: bytes) -> None:
        if not self._ready.done():
            self.init_error = payload
            self._ready.set_result(None)

    def answered(self, request_id: str, payload: bytes, content_type: str) -> bool:
        if self.job is None or self.job.request_id != request_id:
            return False
        if self.job.outlet is not None and content_type:
            self.job.outlet.begin(content_type)
        self._finish(payload, "", "")
        return True

    def streams(self, request_id: str, content_type: str, source: Source) -> bool:
        """Will the answer be taken as it comes? Else it is collected, and ``answered``."""
        if self.job is None or self.job.request_id != request_id or self.job.outlet is None:
            return False
        self.job.outlet.begin(content_type, source)
        return True

    def streamed(self, request_id: str, data: bytes) -> bool:
        """A part of the answer; False: nobody wants more of it."""
        job = self.job
        if job is None or job.request_id != request_id or job.outlet is None:
            return False
        if job.streamed_bytes + len(data) > STREAMED_BYTES_MAX:
            self._finish(too_large_error(STREAMED_BYTES_MAX), "Unhandled", "")
            return False
        job.streamed_bytes += len(data)
        job.outlet.part(data)
        return True

    def stream_broken(self, request_id: str) -> None:
        """Its connection was closed amid the answer. If it exited, that is told instead."""
        if self.job is not None and self.job.request_id == request_id:
            self._loop.call_later(LAST_WORDS_S, self._truncated, self.job)

    def _truncated(self, job: Job) -> None:
        if self.job is job:
            self._finish(truncated_error(job.request_id), "Unhandled", "")

    def failed(self, request_id: str, payload: bytes) -> bool:
        if self.job is None or self.job.request_id != request_id:
            return False
        self._finish(payload, "Unhandled", "")
        return True

    def _timed_out(self, job: Job) -> None:
        if self.job is not job:  # it answered, but never asked for more
            self.kill()
            return
        text = f"{log.iso_time()} {job.request_id} Task timed out after {job.spec.timeout_s:.2f}"
        text += " seconds"
        self._output.drain()
        self.kill()
        job.log += [*self._output.take(), (log.now_ms(), text)]
        self._finish(json.dumps({"errorMessage": text}).encode(), "Unhandled", "timeout")

    def _on_lost(self, exc: Exception | None) -> None:
        self._lost = True  # also when another program was executed
        if self._status is not None:
            self._end(self._status)

    def _on_exit(self, status: int) -> None:
        """What it said last may still lie in the socket: the end is when both are known."""
        self.alive = False
        self._status = status
        if self._lost:
            self._end(status)
        else:
            self._loop.call_later(LAST_WORDS_S, self._end, status)

    def _end(self, status: int) -> None:
        if self._ended:
            return
        self._ended = True
        if not self._ready.done() and self.spec is not None:
            self.init_error = exit_error("", status)
            self._ready.set_result(None)
        elif self.job is not None:
            error = exit_error(self.job.request_id, status)
            line = json.loads(error)["errorMessage"]
            self.job.log += [*self._output.take(), (log.now_ms(), line)]
            self._finish(error, "Unhandled", "failure")
        self._close()
        if self.on_end is not None:
            self.on_end(self)

    def fail_init(self, job: Job) -> None:
        """Answer ``job`` with the error of the initialisation; the worker is of no use."""
        assert self.init_error is not None
        error = json.loads(self.init_error)
        if "requestId" in error:
            error["requestId"] = job.request_id
        text = str(error.get("errorMessage", ""))
        error["errorMessage"] = text.replace("RequestId:  ", f"RequestId: {job.request_id} ")
        job.started = time.monotonic()
        job.cold, job.init_ms = True, self._init_ms
        job.log = [(log.now_ms(), self._platform.start(job.request_id)), *self._output.take()]
        self.job = job
        self._finish(json.dumps(error).encode(), "Unhandled", "")

    def _finish(self, payload: bytes, function_error: str, status: str) -> None:
        job, self.job = self.job, None
        assert job is not None
        if len(payload) > ANSWER_BYTES_MAX:
            payload, function_error = too_large_error(), "Unhandled"
        duration = (time.monotonic() - job.started) * 1000
        if status == "timeout":
            duration = job.spec.timeout_s * 1000
        billed = log.billed_ms(duration, job.init_ms)
        used_mb = min(job.spec.memory_mb, self._used_mb()) if status != "timeout" else 0
        used_mb = used_mb or job.spec.memory_mb
        lines = job.log
        lines += self._output.take()
        now = log.now_ms()
        status = status or ("error" if function_error else "success")
        for text in self._platform.end(
            job.request_id, status, duration, billed, used_mb, job.init_ms
        ):
            lines.append((now, text))
        outcome = InvokeOutcome(
            payload, function_error, lines, self.stream, job.cold, duration, billed, used_mb,
            job.streamed_bytes,
        )  # fmt: skip
        job.done(outcome)
        if self._framed:
            self._free()

    def _used_mb(self) -> int:
        group = self.enclosure.group
        if group is not None:
            try:
                return math.ceil(group.peak_bytes() / MEGABYTE)
            except OSError:
                return 0  # its group is gone with it
        return math.ceil(resident_bytes(self.enclosure.pid, b"VmHWM:") / MEGABYTE)

    def over_memory(self) -> bool:
        """Do its processes hold more than the function's memory size?"""
        if self.spec is None or not self.alive:
            return False
        limit = self.spec.memory_mb * MEGABYTE
        return exceeds(self.enclosure.group, self.enclosure.pid, limit)

    def kill(self) -> None:
        self.alive = False
        self.enclosure.kill()

    def _close(self) -> None:
        for door in (self._relay, self._proxy, self._secure, self._api):
            door.close()
        self._output.close(self._loop)
        self._frames.abort()


def invoke_frame(job: Job) -> tuple[bytes, bytes, bytes]:
    head = orjson.dumps((
        job.request_id, job.deadline_ms, job.invoked_arn,
        job.invocation.trace_id, job.invocation.client_context, job.invocation.identity,
    ))  # fmt: skip
    if len(head) > 0xFFFF:
        raise Unavailable("the client context is too large")
    return struct.pack("<H", len(head)), head, job.invocation.payload
