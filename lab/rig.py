"""A cluster on one machine, to break: nodes started by the command users type, faults from outside.

``python -m lab.rig --nodes 3 -- pileus`` starts three and prints where they are, until Ctrl-C.
Faults touch only hosts that the rig itself has made (``lab.hosts``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lab.disks import SIZE_MB, Disk
from lab.hosts import Host, Hosts

START_S_MAX = 300.0  # a bound, not a promise: a test machine may be busy
RETURN_S_MAX = 150.0
API_PORT = 4566
PATIENCE = 4.0


class NodeFailed(RuntimeError):
    """A command on a node ended with an error; its text is what it said."""


class RigNode:
    """One node: the product's command on a host of its own."""

    def __init__(
        self,
        name: str,
        host: Host,
        home: Path,
        words: Sequence[str],
        env: Mapping[str, str],
        disk: Disk | None = None,
    ) -> None:
        self.name = name
        self.host = host
        self.home = home
        self.disk = disk
        self._words = words
        self._env = env

    @property
    def address(self) -> str:
        return self.host.address

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{API_PORT}"

    def run(self, *words: str, timeout_s: float = START_S_MAX) -> str:
        """The product's command here, with this node's home; its output."""
        whole = [*self._words, *words, "--home", str(self.home)]
        done = self.host.run(whole, self._env, timeout_s)
        if done.returncode:
            said = f"{done.stdout}{done.stderr}\n{self.log()[-3000:]}"
            raise NodeFailed(f"{self.name}: {' '.join(words[:1])}: {said}")
        return done.stdout

    def boot(self) -> None:
        """From now on its processes are told of another start of the system, as they are when the
        power comes back: the kernel here is that of the machine, which had its power all along."""
        self._env = {**self._env, "PILEUS_BOOT_ID": str(uuid.uuid4())}

    def release(self, words: Sequence[str], path: str) -> None:
        """From now on this node runs another release: its command, and where Python finds it."""
        self._words = words
        self._env = {**self._env, "PYTHONPATH": path}

    def init(self) -> str:
        """Found a cluster; the join token."""
        return self.run("init", "--host", self.address).split()[-1]

    def up(self) -> RigNode:
        self.run("up", "--host", self.address, "--apps", "none", "--detach")
        return self

    def switch_on(self) -> None:
        """Switch it on again after a fault, however slowly a busy machine does it."""
        try:
            self.up()
        except (NodeFailed, subprocess.TimeoutExpired) as error:
            until(self.healthy, RETURN_S_MAX, f"{self.name} answers again: {error}", 0.5)

    def join(self, token: str, via: RigNode) -> RigNode:
        self.run("join", f"{token}@{via.address}:{API_PORT}", "--host", self.address)
        return self

    def down(self) -> None:
        self.run("down")

    def kill(self) -> None:
        """Everything that runs here ends at once."""
        self.host.group.kill()

    def freeze(self) -> None:
        self.host.group.freeze()

    def thaw(self) -> None:
        self.host.group.thaw()

    def keys(self) -> dict[str, str]:
        """The variables a user's tools need."""
        return dict(json.loads(self.run("env", "--format", "json")))

    def client(self, service: str, keys: Mapping[str, str], config: Config) -> Any:
        """A client as users have it; ``keys``: see there."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            region_name=keys["AWS_REGION"],
            config=config,
        )

    def nodes(self) -> dict[str, dict[str, Any]]:
        """How this node sees the others, by name."""
        told = json.loads(self.run("nodes", "--json"))
        return {node["name"]: node for node in told["nodes"]}

    def healthy(self, timeout_s: float = 1.0) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_pileus/health", timeout=timeout_s) as a:
                return bool(a.status == 200)
        except OSError:
            return False

    def log(self) -> str:
        file = self.home / "run" / "pileus.log"
        return file.read_text(errors="replace") if file.exists() else ""


class Rig:
    """``with Rig(3, ["pileus"]) as rig``: hosts are made, nothing is started yet. ``disks``: each
    node's home lies on a disk of its own."""

    def __init__(
        self,
        count: int,
        words: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        base: Path | None = None,
        namespaces: bool | None = None,
        disks: bool = False,
        disk_mb: int = SIZE_MB,
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="rig-", dir=base))
        self._hosts = Hosts(count, namespaces)
        self._disks: list[Disk] = []
        self.nodes: list[RigNode] = []
        try:
            for number, host in enumerate(self._hosts.hosts, 1):
                name = f"n{number}"
                home, disk = self.base / name, self._disk(name, disk_mb) if disks else None
                home = disk.place / "home" if disk else home
                self.nodes.append(RigNode(name, host, home, words, env or {}, disk))
        except BaseException:
            self.close()
            raise

    def _disk(self, name: str, size_mb: int) -> Disk:
        self._disks.append(Disk(self.base / f"{name}.img", self.base / name, size_mb))
        return self._disks[-1]

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything and remove it."""
        with contextlib.ExitStack() as ended:  # all of it, whatever one of them says
            ended.callback(shutil.rmtree, self.base, ignore_errors=True)
            for disk in self._disks:
                ended.callback(disk.close)
            ended.callback(self._hosts.close)
        self._disks = []

    def form(self) -> str:
        """Found on the first node, let the others join one after the other; the token."""
        first, *others = self.nodes
        token = first.init()
        first.up()
        for node in others:
            node.join(token, first)
        return token

    # -- faults of the network, between the given nodes -------------------------------------

    def cut(self, one: RigNode, others: Sequence[RigNode], both: bool = True) -> None:
        """What ``one`` sends does not reach ``others``; with ``both`` nor the other way."""
        for other in others:
            other.host.refuse([one.address])
        if both:
            one.host.refuse(other.address for other in others)

    def heal(self) -> None:
        """Every link is up and lets everything in."""
        for node in self.nodes:
            node.host.heal()

    def power_cut(self, nodes: Sequence[RigNode]) -> None:
        """All of ``nodes`` lose their power at one moment: their processes end, and their disks
        hold what was on them then. They are off afterwards."""
        for node in nodes:
            node.freeze()
        for node in nodes:
            assert node.disk is not None, "a power cut needs nodes with disks of their own"
            node.disk.copy()
        for node in nodes:
            node.kill()
        for node in nodes:
            assert node.disk is not None
            node.disk.cut()
            node.boot()

    def start(self, nodes: Sequence[RigNode]) -> None:
        """Switch ``nodes`` on at once; return when all answer. The first failure is raised."""
        with ThreadPoolExecutor(len(nodes)) as pool:
            for up in [pool.submit(node.switch_on) for node in nodes]:
                up.result()

    @property
    def links(self) -> bool:
        """Whether links can be cut here."""
        return all(node.host.namespace for node in self.nodes)


def until(what: Callable[[], Any], seconds_max: float, said: str, pause_s: float = 0.05) -> Any:
    """The first true answer of ``what``; ``TimeoutError`` (``said``) when there is none in
    ``seconds_max`` on a machine with nothing else to do: ``PATIENCE`` times that on a busy one."""
    deadline = time.monotonic() + seconds_max * PATIENCE
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds_max * PATIENCE} s: {said}")
        time.sleep(pause_s)


def main() -> None:
    """A cluster to look at, until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("words", nargs="+", help="the product's command, after --")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is made is taken away first
    with Rig(asked.nodes, asked.words) as rig:
        print("token", rig.form())
        for node in rig.nodes:
            print(node.name, node.endpoint, node.home)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("taking it down")


if __name__ == "__main__":
    main()
