"""A door with made-up services behind it, on a real port in a thread, for tests of the wire."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import boto3
import urllib3
import uvloop
from botocore.config import Config

from pileus.services.call import Access, Call, Credential, HttpResponse, Principal
from pileus.services.service import Service
from pileus.wire.api import Api
from pileus.wire.http import serve
from pileus.wire.limits import Limits
from pileus.wire.models import Models

ACCOUNT = "000000000000"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ROOT = Principal.owner(ACCOUNT)
ROLE = Principal("role", ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", "r")
MODELS = Models()


class Keys:
    """A directory of three keys: long-lived, temporary, and expired."""

    def lookup(self, access_key_id: str, session_token: str | None) -> Credential | None:
        if access_key_id == KEY:
            return Credential(SECRET, ROOT)
        if access_key_id == "ASIATEMPORARY" and session_token == "token":
            return Credential(SECRET, ROLE, int(time.time() * 1000) + 60_000)
        if access_key_id == "ASIAEXPIRED":
            return Credential(SECRET, ROLE, 1)
        return None


class AllowAll:
    def check(self, call: Call, accesses: Any) -> None:
        pass


class Echo:
    """A service that remembers what it was asked and answers what the test says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[Call] = []
        self.bodies: list[bytes] = []
        self.answer: Any = None

    def __call__(self, call: Call) -> Any:
        self.calls.append(call)
        body = call.params.get("Body")
        if body is not None and not isinstance(body, bytes | str):
            return self._read(call, body)
        answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer(call) if callable(answer) else answer

    async def _read(self, call: Call, body: Any) -> Any:
        self.bodies.append(b"".join([chunk async for chunk in body]))
        return self.answer


def services(echo: dict[str, Echo]) -> dict[str, Service]:
    made = {}
    for name, target in echo.items():
        operations = dict.fromkeys(MODELS.service(name).operation_names, target)
        if name == "s3":
            operations |= {"PostObject": target, "PreflightRequest": target}
        made[name] = Service(name, operations, lambda call: [Access(f"{call.service}:x")])
    return made


class Door:
    """``client(service)`` gives a boto3 client; ``echo[service]`` what arrived."""

    def __init__(self, names: tuple[str, ...], dev: bool, limits: Limits | None) -> None:
        self.echo = {name: Echo(name) for name in names}
        self._dev, self._limits = dev, limits
        self.port = 0
        self._ready = threading.Event()
        self._loop: Any = None
        self._stop: Any = None
        self.api: Any = None

    def api_for(self, now_ms: Callable[[], int] = lambda: int(time.time() * 1000)) -> Api:
        return Api(
            services(self.echo),
            Keys(),
            AllowAll(),
            now_ms=now_ms,
            account=ACCOUNT,
            region="us-east-1",
            dev=self._dev,
            models=MODELS,
        )

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.api = self.api_for()
        server = await serve(self.api.handle, ("127.0.0.1", 0), self._limits, self.api.heads.read)
        self.port = server.port
        self._ready.set()
        await self._stop.wait()
        await server.stop(1)

    def start(self) -> None:
        self._thread = threading.Thread(target=lambda: uvloop.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def client(self, name: str, key: str = KEY, secret: str = SECRET, **more: Any) -> Any:
        config = Config(
            retries={"max_attempts": 0}, read_timeout=60, parameter_validation=False
        ).merge(more.pop("config", Config()))
        more.setdefault("endpoint_url", f"http://127.0.0.1:{self.port}")
        return boto3.client(
            name,
            region_name="eu-west-3",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=config,
            **more,
        )


@contextmanager
def door(*names: str, dev: bool = False, limits: Limits | None = None) -> Iterator[Door]:
    made = Door(names, dev, limits)
    made.start()
    try:
        yield made
    finally:
        made.stop()


class Answer:
    def __init__(self, response: Any) -> None:
        self.status_code, self.content = response.status, response.data
        self.text = response.data.decode("utf-8", "replace")
        self.headers = response.headers


def get(url: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(urllib3.request("GET", url, headers=headers, timeout=60, retries=False))


def post(
    url: str,
    data: bytes | dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    file: bytes | None = None,
) -> Answer:
    """Bytes as they are; a dict as a form; with ``file`` as multipart with the file last."""
    more: dict[str, Any] = {"body": data}
    if file is not None:
        assert isinstance(data, dict)
        more = {"fields": [*data.items(), ("file", ("name", file))]}
    elif isinstance(data, dict):
        more = {"body": urlencode(data)}
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    made = urllib3.request("POST", url, headers=headers, timeout=60, retries=False, **more)
    return Answer(made)


def ok(body: bytes = b"") -> HttpResponse:
    return HttpResponse(200, [], body)
