"""Long-running services in a runtime process: as root, without root, without a jail (C7, F6)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.runtime.client import Runtime
from pileus.runtime.function import Credentials
from pileus.runtime.longrunning import HealthCheck, ServiceSpec, Wish
from pileus.runtime.longrunning_link import Link
from tests.runtime.harness import Functions, make_zip
from tests.runtime.test_lifecycle import UNPRIVILEGED, another

APP = """
import http.server, json, os, signal, sys, time, urllib.request
def stop(*_):
    print("asked to stop", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(0.2)  # an orphan by then: somebody must bury it
    os._exit(0)
os.wait()
time.sleep(0.4)
def credentials(token):
    address = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    request = urllib.request.Request(address, headers={"Authorization": token})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {"pid": os.getpid(), "uid": os.getuid(), "env": sorted(os.environ)}
        if self.path == "/credentials":
            told = credentials(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
        if self.path == "/zombies":
            told = [open(f"/proc/{p}/stat").read().split()[2] for p in os.listdir("/proc")
                    if p.isdigit()]
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.serve_forever()
"""
KEYS = Credentials("ASIATEST", "secret", "token", 1_900_000_000_000)


def spec(folder: Path, **settings: Any) -> ServiceSpec:
    code = make_zip(folder, {"app.py": APP})
    values: dict[str, Any] = {
        "name": "web", "arn": "arn", "account": "0" * 12, "region": "us-east-1", "revision": "1",
        "code_digest": code.digest, "code_path": code.path, "command": ("python3", "app.py"),
        "health": HealthCheck(path="/", interval_s=0.2, timeout_s=10.0, grace_s=90.0),
        "credentials": KEYS, "stop_s": 30.0,
    }  # fmt: skip
    return ServiceSpec(**(values | settings))


class Asking:
    """A front process of sorts: wishes, reports, requests to a copy."""

    def __init__(self, rt: Functions, client: Runtime) -> None:
        self._client = client
        self._link = Link(rt.home / "run" / "longrunning.sock")
        self.lines: list[str] = []
        self._log = 0

    async def wish(self, *specs: ServiceSpec) -> None:
        await self._client.wish([Wish(s, s) for s in specs])

    async def until(self, good: Callable[[list[Any]], bool]) -> list[Any]:
        """The copies of ``web``, once they are ``good``."""
        boot, serial = "", 0
        async with asyncio.timeout(80):
            while True:
                report = await self._client.report(boot, serial, self._log, 1.0)
                boot, serial = report.boot, report.serial
                for self._log, _, _, lines in report.logs:
                    self.lines += [line for _, line in lines]
                copies = [c for s in report.services for c in s["copies"]]
                if good(copies):
                    return copies

    async def get(self, copy: str, path: str) -> Any:
        port, socks = await self._link.sockets(copy, 2)
        socks[1].close()
        socks[0].setblocking(False)
        await asyncio.get_running_loop().sock_connect(socks[0], ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=socks[0])
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert head.split()[1] == b"200"
        return json.loads(body)

    def close(self) -> None:
        self._link.close()


def asking(rt: Functions, act: Callable[[Asking], Awaitable[None]]) -> None:
    async def whole(client: Runtime) -> None:
        asked = Asking(rt, client)
        try:
            await act(asked)
        finally:
            await asked.wish()
            await asked.until(lambda copies: not copies)
            asked.close()

    rt.call(whole, 300)


def healthy(count: int) -> Callable[[list[Any]], bool]:
    return lambda copies: [c["state"] for c in copies] == ["HEALTHY"] * count


def test_a_copy_as_root(rt: Functions) -> None:
    async def act(front: Asking) -> None:
        wished = spec(rt.scratch)
        await front.wish(wished)
        (copy,) = await front.until(healthy(1))
        told = await front.get(copy["id"], "/")
        assert told["pid"] > 1 and told["uid"] != os.getuid()
        assert "AWS_ACCESS_KEY_ID" not in told["env"]
        keys = await front.get(copy["id"], "/credentials")
        assert (keys["AccessKeyId"], keys["Token"]) == ("ASIATEST", "token")
        assert keys["Expiration"].startswith("2030-")
        fresh = dataclasses.replace(KEYS, access_key_id="ASIANEW")
        await front.wish(dataclasses.replace(wished, credentials=fresh))
        assert (await front.get(copy["id"], "/credentials"))["AccessKeyId"] == "ASIANEW"
        async with asyncio.timeout(60):
            while "Z" in await front.get(copy["id"], "/zombies"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await front.wish()
        await front.until(lambda copies: not copies and "asked to stop" in front.lines)
        with pytest.raises(Unavailable):
            await front.get(copy["id"], "/")

    asking(rt, act)


def test_a_scaled_service_keeps_its_copies(rt: Functions) -> None:
    async def act(front: Asking) -> None:
        wished = spec(rt.scratch)
        await front.wish(wished)
        (first,) = await front.until(healthy(1))
        await front.wish(dataclasses.replace(wished, copies=3))
        assert first["id"] in {c["id"] for c in await front.until(healthy(3))}
        await front.wish(dataclasses.replace(wished, copies=1))
        assert [first["id"]] == [c["id"] for c in await front.until(healthy(1))]

    asking(rt, act)


def test_a_copy_without_root() -> None:
    if subprocess.run([*UNPRIVILEGED, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    with another(prefix=UNPRIVILEGED) as own:
        assert own.stats()["isolation"]["kind"] == "jail"

        async def act(front: Asking) -> None:
            await front.wish(spec(own.scratch))
            (copy,) = await front.until(healthy(1))
            assert (await front.get(copy["id"], "/"))["uid"] == 1000
            assert (await front.get(copy["id"], "/credentials"))["AccessKeyId"] == "ASIATEST"

        asking(own, act)


def test_refused_without_a_jail_unless_weak() -> None:
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" "$@"'
    without = ("unshare", "--user", "--map-root-user", "sh", "-c", script)
    drop = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs")
    if subprocess.run([*without, *drop, "true"], capture_output=True).returncode:
        pytest.skip("setpriv is missing")
    with another(prefix=(*without, *drop)) as own:
        with pytest.raises(Unavailable) as refused:
            own.call(lambda client: client.wish([Wish(spec(own.scratch))]))
        assert "--weak-isolation" in refused.value.hint
    with another("--weak-isolation", prefix=(*without, *drop)) as own:

        async def act(front: Asking) -> None:
            await front.wish(spec(own.scratch, copies=2))
            for copy in await front.until(healthy(2)):
                assert (await front.get(copy["id"], "/"))["pid"] > 1
                keys = await front.get(copy["id"], "/credentials")
                assert keys["AccessKeyId"] == "ASIATEST"

        asking(own, act)
