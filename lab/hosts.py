"""Machines on one machine: network namespaces on a bridge of their own, or loopback addresses.

Needs root for namespaces (``ip``, and ``iptables`` for partitions); without it each host is an
address of 127.0.0.0/8, where processes can be killed and frozen but no link be cut. Whatever is
made here is taken away by ``close``, also after a failure.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

FREEZER_V1 = Path("/sys/fs/cgroup/freezer")
COMMAND_S_MAX = 120.0
FREEZE_S_MAX = 60.0  # a thread that waits for a slow disk freezes when it has been served
MARK = "RIG_HOST"
LOCK = Path(tempfile.gettempdir()) / "pileus-rigs.lock"


def command(*words: str | Path, check: bool = True) -> str:
    """Run a system command; its output. ``RuntimeError`` with what it said when it fails."""
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, timeout=COMMAND_S_MAX
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def namespaces_work() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    name = f"pl{os.getpid():x}t"
    try:
        command("ip", "netns", "add", name)
        command("ip", "netns", "del", name)
    except RuntimeError:
        return False
    return True


class Group:
    """The processes of one host: a freezer control group, or all that carry its mark."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._folder: Path | None = FREEZER_V1 / mark
        try:
            self._folder.mkdir()
        except OSError:
            self._folder = None

    def entering(self, words: Sequence[str]) -> list[str]:
        """``words``, to be run as a process of the group."""
        if self._folder is None:
            return list(words)
        enter = f'echo $$ > {self._folder}/cgroup.procs; exec "$@"'
        return ["sh", "-c", enter, "sh", *words]

    def pids(self) -> list[int]:
        if self._folder is not None:
            return [int(p) for p in (self._folder / "cgroup.procs").read_text().split()]
        return list(_marked(self.mark))

    def freeze(self) -> None:
        """Not one instruction more, until ``thaw``."""
        if self._folder is None:
            self._signal(signal.SIGSTOP)
            return
        state = self._folder / "freezer.state"
        state.write_text("FROZEN")
        deadline = time.monotonic() + FREEZE_S_MAX
        while state.read_text().strip() != "FROZEN":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.mark} does not freeze")
            time.sleep(0.005)

    def thaw(self) -> None:
        if self._folder is None:
            self._signal(signal.SIGCONT)
        else:
            (self._folder / "freezer.state").write_text("THAWED")

    def kill(self) -> None:
        """``kill -9`` of all at one moment: none sees another end first."""
        self.freeze()
        deadline = time.monotonic() + FREEZE_S_MAX
        while self.pids():
            self._signal(signal.SIGKILL)
            self.thaw()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.mark} does not die: {self.pids()}")
            time.sleep(0.01)

    def _signal(self, number: int) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        self.kill()
        if self._folder is not None:
            self._folder.rmdir()


def _marked(mark: str) -> Iterable[int]:
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and int(folder.name) != os.getpid():
                    yield int(folder.name)
        except OSError:
            continue  # it has ended meanwhile, or is another's


class Host:
    """One machine: ``address``, its processes, its link."""

    def __init__(self, address: str, mark: str, namespace: str = "") -> None:
        self.address = address
        self.namespace = namespace
        self.group = Group(mark)
        self._mark = mark
        self.outside = ""  # its link's other end

    def run(
        self, words: Sequence[str], env: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this host and wait for it; what it leaves behind belongs to the host."""
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        whole = self.group.entering([*inside, *words])
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            # Files, not pipes: what stays behind holds them open.
            done = subprocess.run(
                whole,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=timeout_s,
                env={**os.environ, **env, MARK: self._mark},
            )
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read())
        return subprocess.CompletedProcess(whole, done.returncode, *said)

    def link(self, up: bool) -> None:
        """Pull the cable, or put it in again."""
        self._needs_namespace()
        command("ip", "-n", self.namespace, "link", "set", "eth0", "up" if up else "down")

    def refuse(self, addresses: Iterable[str]) -> None:
        """Drop what comes from ``addresses``: one way; do it on both sides for both."""
        self._needs_namespace()
        for address in addresses:
            drop = ("iptables", "-I", "INPUT", "-s", address, "-j", "DROP")
            command("ip", "netns", "exec", self.namespace, *drop)

    def heal(self) -> None:
        """Let everything in again."""
        if self.namespace:
            self.link(up=True)
            if shutil.which("iptables"):
                command("ip", "netns", "exec", self.namespace, "iptables", "-F", "INPUT")

    def _needs_namespace(self) -> None:
        if not self.namespace:
            raise RuntimeError("links can be cut between network namespaces only: run as root")

    def close(self) -> None:
        self.group.close()
        if self.outside:
            command("ip", "link", "del", self.outside, check=False)
        if self.namespace:
            command("ip", "netns", "del", self.namespace, check=False)


class Hosts:
    """``count`` hosts that reach each other, and this process them."""

    def __init__(self, count: int, namespaces: bool | None = None) -> None:
        wanted = namespaces_work() if namespaces is None else namespaces
        self._tag = f"pl{os.getpid():x}{random.randrange(16):x}"
        self._bridge = f"{self._tag}b" if wanted else ""
        self.hosts: list[Host] = []
        try:
            net = self._make_bridge() if wanted else f"127.{random.randrange(10, 250)}.0"
            for number in range(1, count + 1):
                self._add(number, f"{net}.{10 + number}")
        except BaseException:
            self.close()
            raise

    def _make_bridge(self) -> str:
        with LOCK.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another's rig may look for a free network now
            taken = command("ip", "-o", "-4", "addr")
            free = [n for n in range(1, 250) if f" 10.77.{n}." not in taken]
            net = f"10.77.{random.choice(free)}"
            command("ip", "link", "add", self._bridge, "type", "bridge")
            command("ip", "addr", "add", f"{net}.1/24", "dev", self._bridge)
        command("ip", "link", "set", self._bridge, "up")
        return net

    def _add(self, number: int, address: str) -> None:
        mark = f"{self._tag}n{number}"
        if not self._bridge:
            self.hosts.append(Host(address, mark))
            return
        outside = f"{self._tag}v{number}"
        command("ip", "netns", "add", mark)
        self.hosts.append(Host(address, mark, mark))
        peer = ("type", "veth", "peer", "name", "eth0", "netns", mark)
        command("ip", "link", "add", outside, *peer)
        self.hosts[-1].outside = outside
        command("ip", "link", "set", outside, "master", self._bridge, "up")
        command("ip", "-n", mark, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            command("ip", "-n", mark, "link", "set", device, "up")

    def close(self) -> None:
        """End every process of every host, then take the hosts away."""
        for host in self.hosts:
            host.close()
        self.hosts = []
        if self._bridge:
            command("ip", "link", "del", self._bridge, check=False)
