"""A real cloud for the tests: real processes, started by the command users type."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, settings

from tests.ports import free_ports
from tests.side_by_side import SideBySide, is_large, on_nodes

SOURCE = Path(__file__).resolve().parents[1] / "src"

# Properties are tried with the same examples each time, and no example is a matter of time. Others:
# --hypothesis-profile=default
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


def pytest_configure() -> None:
    """Told to end, a run takes its clouds down: they outlive it otherwise."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return SideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests on three nodes first, then the other large ones. Among the first those that share
    nodes come last, and last of all those that take nodes away: so the nodes run no longer than
    they are used."""
    items.sort(key=_order)


def _order(item: pytest.Item) -> tuple[bool, ...]:
    names = getattr(item, "fixturenames", ())
    shared = "three_shards", "grown", "parting_nodes"
    large = not on_nodes(item.path), not is_large(item.path)
    return *large, *(name in names for name in shared)


def pileus(*args: str, timeout: float = 180, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the ``pileus`` command of this checkout."""
    return subprocess.run(
        [sys.executable, "-m", "pileus.cli", *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(SOURCE), **env},
        stdin=subprocess.DEVNULL,
    )


@dataclass
class Cloud:
    """A cloud that is up: what a user knows of it."""

    home: Path
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    def up(self) -> Cloud:
        done = pileus("up", "--home", str(self.home), *self.options, "--apps", "none", "--detach")
        if done.returncode:
            raise RuntimeError(
                f"the cloud did not start: {done.stdout}{done.stderr}\n{self.log()[-6000:]}"
            )
        answer = pileus("env", "--home", str(self.home), "--format", "json")
        self.env = json.loads(answer.stdout)
        return self

    def log(self) -> str:
        """What the cloud's processes wrote."""
        file = self.home / "run" / "pileus.log"
        return file.read_text() if file.exists() else ""

    def down(self) -> None:
        pileus("down", "--home", str(self.home))

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "run" / "cloud.json").read_text()))

    @property
    def endpoint(self) -> str:
        return self.env["AWS_ENDPOINT_URL"]

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def edge(self) -> str:
        return str(self.told["edge"])

    @property
    def edge_port(self) -> int:
        return int(self.edge.rpartition(":")[2])

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client with only an endpoint and keys. ``access_key``, ``secret_key``, ``token``:
        another caller."""
        keys = {
            "aws_access_key_id": settings.pop("access_key", self.env["AWS_ACCESS_KEY_ID"]),
            "aws_secret_access_key": settings.pop("secret_key", self.env["AWS_SECRET_ACCESS_KEY"]),
            "aws_session_token": settings.pop("token", None),
        }
        config = settings.pop("config", Config(retries={"max_attempts": 2}))
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.env["AWS_REGION"],
            config=config,
            **keys,
            **settings,
        )


def new_cloud(home: Path, *options: str) -> Cloud:
    """A cloud that has not been started yet; it keeps its ports when it is started again."""
    port, edge = free_ports(2)
    ports = ("--port", str(port), "--edge-port", str(edge), "--edge-tls-port", "0")
    return Cloud(home, (*ports, *options))


@contextmanager
def new_cloud_up(settings: str = "", home: Path | None = None) -> Iterator[Cloud]:
    """A cloud that is up meanwhile, with these lines in its ``pileus.toml``. Where no ``home`` is
    named it is taken away afterwards."""
    place = home or Path(tempfile.mkdtemp(prefix="pileus-test-"))
    if settings:
        place.mkdir(exist_ok=True)
        (place / "pileus.toml").write_text(settings)
    made = new_cloud(place)
    try:
        yield made.up()
    finally:
        made.down()
        print(made.log()[-4000:])  # pytest shows it when the last test failed
        if home is None:
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """One cloud shared by all service tests: name what you make uniquely. With ``PILEUS_SHARDS=3``
    in the environment it has three shards (a short selection of that: acceptance/test_shards)."""
    with new_cloud_up() as made:
        yield made


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud of the test's own, to kill and restart."""
    with new_cloud_up(home=tmp_path / "home") as made:
        yield made
