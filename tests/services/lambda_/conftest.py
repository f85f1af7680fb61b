"""Lambda over a real store, with Logs beside it; the runtime, roles and buckets are doubles."""

from __future__ import annotations

import asyncio
import inspect
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.config import Config
from pileus.engine.embedded.blobs import FileBlobs
from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import FunctionSpec, Invocation, InvokeOutcome, Kept
from pileus.runtime.streaming import StreamedAnswer
from pileus.services import lambda_, logs
from pileus.services.call import Access, Call, HttpRequest, HttpResponse, Parts, Principal
from pileus.state.store import Store
from pileus.telemetry import Telemetry
from pileus.telemetry.others import NoOthers, Others
from tests.beds import TurnedClock

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
SILENT_ROLE = f"arn:aws:iam::{ACCOUNT}:role/silent"
ROOT = Principal.owner(ACCOUNT)
PUBLIC = Principal("user", "210987654321", "arn:aws:iam::210987654321:user/other", "other")


def zipped(**files: str) -> bytes:
    """A zip of ``name=text`` (``__`` stands for a dot), the same at any time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", ".")), text)
    return out.getvalue()


@dataclass
class RuntimeDouble:
    """Answers what ``respond`` says: (payload, function_error) or an exception."""

    respond: Callable[[FunctionSpec, bytes], Any] = lambda spec, payload: (payload, "")
    invoked: list[tuple[FunctionSpec, bytes, str]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    provisioned: dict[str, int] = field(default_factory=dict)
    keeps: dict[str, Kept] = field(default_factory=dict)
    away: bool = False
    streams: list[StreamedAnswer] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    clock: Any = None

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvokeOutcome:
        payload, request_id = invocation[:2]
        self.invoked.append((spec, payload, request_id))
        answer, error = self.respond(spec, payload)
        lines = [f"START RequestId: {request_id}", "hello", f"REPORT RequestId: {request_id}"]
        log = [(self.clock.now_ms(), line) for line in lines]
        return InvokeOutcome(answer, error, log, f"2023/11/14/[{spec.version}]abc", False)

    async def stream(self, spec: FunctionSpec, invocation: Invocation) -> StreamedAnswer:
        """``respond`` may answer bytes, as ``invoke``, or (content type, parts)."""
        payload, request_id = invocation[:2]
        self.invoked.append((spec, payload, request_id))
        told, error = self.respond(spec, payload)
        answer = StreamedAnswer(asyncio.get_running_loop().create_future(), self.taken.append)
        if isinstance(told, tuple):
            content_type, parts = told
            answer.begin(content_type)
            for part in parts:
                answer.part(part)
            told = b""
        if error is not None:  # None: it goes on
            log = [(self.clock.now_ms(), f"START RequestId: {request_id}")]
            stream = f"2023/11/14/[{spec.version}]abc"
            answer.outcome.set_result(InvokeOutcome(told, error, log, stream, False))
        self.streams.append(answer)
        return answer

    async def forget(self, arn: str) -> None:
        self.forgotten.append(arn)

    async def set_provisioned(self, spec: FunctionSpec, count: int, asked: int = 0) -> None:
        self.provisioned[f"{spec.arn}:{spec.version}"] = count

    async def kept(self, arn: str, version: str, asked: int) -> Kept:
        if self.away:
            raise Unavailable("the runtime is away")
        return self.keeps.get(f"{arn}:{version}", Kept())


class MinterDouble:
    """Roles named worker and silent exist and trust Lambda."""

    def __init__(self, clock: TurnedClock) -> None:
        self._clock = clock
        self.minted = 0

    async def check(self, role: str, service: str) -> None:
        if role not in (ROLE, SILENT_ROLE):
            raise AwsError("AccessDenied", "no", 403)

    async def mint(self, role: str, session: str, *, service: str) -> Any:
        await self.check(role, service)
        self.minted += 1
        name = role.rpartition("/")[2]
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}"
        return SimpleNamespace(
            access_key_id=f"ASIA{self.minted}",
            secret_access_key="s",
            session_token="t",
            expires_ms=self._clock.now_ms() + 3_600_000,
            principal=Principal("role", ACCOUNT, arn, name),
        )


class Cloud:
    """``await cloud("CreateFunction", …)`` calls Lambda, ``await cloud.logs(…)`` CloudWatch."""

    def __init__(self, home: Path) -> None:
        self.clock = TurnedClock(step_s=1, pause_s=0)
        self.home = home
        self.runtime = RuntimeDouble(clock=self.clock)
        self.objects: dict[tuple[str, str], bytes] = {}
        self.handed: Callable[[bytes], Any] = bytes
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.nodes: Any = None  # of several machines, this one's view
        self.others: Others = NoOthers()

    async def open(self, background: bool = True) -> None:
        self.store = self.clock.store = await Store.open(self.home, {}, self.clock)
        self.telemetry = Telemetry.open(self.home)
        self.blobs = FileBlobs(self.home / "blobs")
        self.minter = MinterDouble(self.clock)
        parts = Parts(
            self.store, self.blobs, self.clock, Config(home=self.home), self.dispatch,
            self.telemetry, self.runtime, self.minter, background=background,
            nodes=self.nodes, others=self.others,
        )  # fmt: skip
        self.signed_by = PUBLIC
        self.door = lambda_.Door(parts, lambda request: self.signed_by)
        self.services = {"lambda": lambda_.build(parts), "logs": logs.build(parts)}
        for service in self.services.values():
            assert service.start
            await service.start()
            if background and service.begin is not None:
                await service.begin()

    async def close(self) -> None:
        for service in self.services.values():
            assert service.stop
            if service.cease is not None:
                await service.cease()
            await service.stop()
        self.telemetry.close()
        await self.store.close()

    async def dispatch(
        self, service: str, operation: str, params: dict[str, Any], *, principal: Principal,
        region: str = "", **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        if service == "s3":
            body = self.objects.get((params["Bucket"], params["Key"]))
            if body is None:
                raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
            return {"Body": self.handed(body)}
        if service not in self.services:
            if service == "sns":
                raise AwsError("InvalidAction", f"{operation} is not built", 501)
            self.sent.append((service, operation, params))
            return {}
        if principal.name == "silent":
            raise AwsError("AccessDeniedException", "not authorized", 403)
        return await self.call(service, operation, params, principal)

    async def call(
        self, service: str, operation: str, params: dict[str, Any], principal: Principal = ROOT
    ) -> Any:
        call = Call(service, operation, principal, "us-east-1", params)
        answer = self.services[service].operations[operation](call)
        return await answer if inspect.isawaitable(answer) else answer

    async def __call__(self, operation: str, **params: Any) -> Any:
        return await self.call("lambda", operation, params)

    async def logs(self, operation: str, **params: Any) -> Any:
        return await self.call("logs", operation, params)

    async def http_invoke(self, name: str, body: bytes = b"", **headers: str) -> HttpResponse:
        """Invoke as the door does it: access first, then the direct operation."""
        path = f"/2015-03-31/functions/{name}/invocations"
        path, _, query = path.partition("?")
        named = {f"x-amz-{k.replace('_', '-')}": v for k, v in headers.items()}
        request = HttpRequest("POST", path, query, named, body)
        labels = {"FunctionName": name.partition("?")[0]}  # the door parses the path
        call = Call("lambda", "Invoke", ROOT, "us-east-1", labels, "req-1", request=request)
        self.services["lambda"].access(call)
        answer = self.services["lambda"].direct["Invoke"](call)
        assert inspect.isawaitable(answer)
        return await answer

    def access(self, operation: str, principal: Principal = ROOT, **params: Any) -> list[Access]:
        call = Call("lambda", operation, principal, "us-east-1", params)
        return list(self.services["lambda"].access(call))

    async def made(self, name: str = "f", **more: Any) -> Any:
        """A function."""
        params = {
            "FunctionName": name,
            "Runtime": "python3.11",
            "Role": ROLE,
            "Handler": "app.handler",
            "Code": {"ZipFile": zipped(app__py="def handler(e, c): return e")},
        }
        return await self("CreateFunction", **{**params, **more})


@asynccontextmanager
async def opened(home: Path, background: bool = True) -> AsyncIterator[Cloud]:
    cloud = Cloud(home)
    await cloud.open(background)
    try:
        yield cloud
    finally:
        await cloud.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Cloud], Coroutine[Any, Any, None]]], None]:
    """Run a coroutine function over a fresh service."""

    def go(body: Callable[[Cloud], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with opened(tmp_path) as cloud:
                await body(cloud)

        asyncio.run(asyncio.wait_for(whole(), 90))

    return go


@pytest.fixture
def three(tmp_path: Path) -> Callable[..., None]:
    """Run a coroutine function over three machines: see ``three.go``."""
    from tests.services.lambda_.three import go

    return partial(go, tmp_path)
