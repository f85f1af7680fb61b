"""A real runtime process to test, and a short way to run code in it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.errors import Unavailable
from pileus.runtime.client import Runtime
from pileus.runtime.function import Code, Credentials, FunctionSpec, Invocation, InvokeOutcome

SOURCE = Path(__file__).parents[2] / "src"


def make_zip(folder: Path, files: dict[str, str | bytes]) -> Code:
    """A zip with every file executable."""
    path = folder / f"{uuid.uuid4().hex}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
    return Code(hashlib.sha256(path.read_bytes()).hexdigest(), str(path))


@dataclass
class Functions:
    """A running runtime. ``spec`` makes a function from files, ``run`` invokes it once."""

    home: Path
    process: subprocess.Popen[bytes]
    scratch: Path
    specs: list[FunctionSpec] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.home / "run" / "runtime.sock"

    def spec(self, files: dict[str, str | bytes] | str, **settings: Any) -> FunctionSpec:
        files = {"app.py": files} if isinstance(files, str) else files
        code = make_zip(self.scratch, files)
        name = settings.pop("name", f"f{uuid.uuid4().hex[:8]}")
        values: dict[str, Any] = {
            "arn": f"arn:aws:lambda:us-east-1:000000000000:function:{name}",
            "version": "$LATEST",
            "runtime": "python3.12",
            "handler": "app.handler",
            "code_digest": code.digest,
            "code_path": code.path,
            "region": "us-east-1",
            "account": "000000000000",
            "timeout_s": 30,
            "credentials": Credentials("AKIATEST", "secret", "token"),
        }
        return FunctionSpec(**(values | settings))

    def call(self, act: Callable[[Runtime], Any], timeout_s: float = 180) -> Any:
        """Run ``act(client)`` with a client of its own."""

        async def main() -> Any:
            client = Runtime(self.socket)
            try:
                return await asyncio.wait_for(act(client), timeout_s)
            finally:
                await client.close()

        return asyncio.run(main())

    def run(self, spec: FunctionSpec, event: Any = None, **more: Any) -> InvokeOutcome:
        more.setdefault("request_id", str(uuid.uuid4()))
        payload = json.dumps(event).encode()
        return self.call(lambda client: client.invoke(spec, Invocation(payload, **more)))

    def answer(self, spec: FunctionSpec, event: Any = None, **more: Any) -> Any:
        """The parsed answer of a run that must succeed."""
        outcome = self.run(spec, event, **more)
        assert not outcome.function_error, (outcome.payload, outcome.log)
        return json.loads(outcome.payload)

    def error(self, spec: FunctionSpec, event: Any = None, **more: Any) -> dict[str, Any]:
        """The error object of a run that must fail in the function."""
        outcome = self.run(spec, event, **more)
        assert outcome.function_error == "Unhandled", outcome
        return json.loads(outcome.payload)

    def stats(self) -> dict[str, Any]:
        return self.call(lambda client: client.stats())


def start(home: Path, *flags: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """A runtime process, answering and decided whether it can isolate."""
    command = [*prefix, sys.executable, "-m", "pileus.runtime", "--home", str(home), *flags]
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(command, env=env)
    rt = Functions(home, process, home)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if rt.stats()["isolation"]["kind"] != "starting":
                return process
        except Unavailable:
            assert process.poll() is None, "the runtime ended at its start"
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the runtime did not start in time")


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
