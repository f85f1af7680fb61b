"""Every fault the lab knows, in one list: ``FAULTS``.

A fault is a context: entering it breaks something of a rig, leaving it makes it whole again, and
leaves nothing behind, also after a failure. It touches only what the rig made. ``Scene`` says on
whom, with which chance; what was done is told to its ``log``.
"""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab.clocks import Skew, clocks_work
from lab.disks import THROTTLE, Disk, flip_bit
from lab.rig import Rig, RigNode

LOG_SERVER = "nats-server"
SLOW_WRITES_A_SECOND = 30
SKEW_S = 300
FLIPS = 8  # of one file at a time
STATES = ("state.db", "shards/*/state.db")
# Where files of a kind are, and what the one to rot has most of: size, or youth (what is older may
# be of an object that was deleted).
FILES: dict[str, tuple[str, Callable[[os.stat_result], float]]] = {
    "log": ("nats/**/*.blk", lambda about: about.st_size),
    "blob": ("blobs/??/*", lambda about: about.st_mtime),
}


@dataclass
class Scene:
    """``nodes``: those of the cluster; ``victim``: the one a fault is made on;
    ``rng``: what else is chosen; ``known``: bytes that were acknowledged and are in its state."""

    rig: Rig
    nodes: list[RigNode]
    victim: RigNode
    rng: random.Random
    known: bytes = b""
    log: Callable[[str], None] = print
    notes: list[str] = field(default_factory=list)

    @property
    def others(self) -> list[RigNode]:
        return [node for node in self.nodes if node is not self.victim]

    @property
    def disk(self) -> Disk:
        assert self.victim.disk is not None, "this fault needs nodes with disks of their own"
        return self.victim.disk

    def note(self, said: str) -> None:
        self.notes.append(said)
        self.log(f"{self.victim.name}: {said}")


@dataclass(frozen=True)
class Fault:
    """``what`` it is, in words; ``make`` the context; ``hold_s`` how long it lasts in a round;
    ``needs``: ``links``, ``disks``, ``clocks``, ``throttle`` or nothing; ``led``: always on the
    node that leads the log; ``settle_s``: how long the cluster must then look whole to be so;
    ``kills``: whose processes it ends, ``victim``, ``all`` or nobody's."""

    name: str
    what: str
    make: Callable[[Scene], AbstractContextManager[None]]
    hold_s: float = 4.0
    needs: frozenset[str] = frozenset()
    led: bool = False
    settle_s: float = 2.5
    kills: str = ""


@contextmanager
def kill(scene: Scene) -> Iterator[None]:
    scene.victim.kill()
    try:
        yield
    finally:
        scene.victim.switch_on()


@contextmanager
def freeze(scene: Scene) -> Iterator[None]:
    scene.victim.freeze()
    try:
        yield
    finally:
        scene.victim.thaw()


@contextmanager
def cut(scene: Scene, both: bool) -> Iterator[None]:
    try:
        scene.rig.cut(scene.victim, scene.others, both)
        yield
    finally:
        scene.rig.heal()


@contextmanager
def unplug(scene: Scene) -> Iterator[None]:
    try:
        scene.victim.host.link(up=False)
        yield
    finally:
        scene.rig.heal()


@contextmanager
def fill(scene: Scene) -> Iterator[None]:
    try:
        scene.disk.fill()
        yield
    finally:
        scene.disk.empty()


@contextmanager
def slow(scene: Scene) -> Iterator[None]:
    try:
        scene.disk.slow(SLOW_WRITES_A_SECOND)
        yield
    finally:
        scene.disk.quick()


@contextmanager
def skew(scene: Scene, offset_s: int) -> Iterator[None]:
    with Skew(scene.victim.host.group, offset_s):
        yield


@contextmanager
def kill_log_server(scene: Scene) -> Iterator[None]:
    """The supervisor of its node starts it again."""
    for pid in scene.victim.host.group.pids():
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == LOG_SERVER:
                os.kill(pid, signal.SIGKILL)
                scene.note(f"killed the log's server, process {pid}")
    yield


@contextmanager
def kill_all(scene: Scene) -> Iterator[None]:
    for node in scene.nodes:
        node.freeze()
    for node in scene.nodes:
        node.kill()
    try:
        yield
    finally:
        scene.rig.start(scene.nodes)


@contextmanager
def cut_power(scene: Scene) -> Iterator[None]:
    scene.rig.power_cut(scene.nodes)
    try:
        yield
    finally:
        scene.rig.start(scene.nodes)


@contextmanager
def rot(scene: Scene, kind: str) -> Iterator[None]:
    """The node ends (``kill -9``), bits turn in one of its files of a kind, it starts again."""
    scene.victim.kill()
    try:
        pattern, most = FILES[kind]
        files = scene.victim.home.glob(pattern)
        file = max(files, key=lambda f: most(f.stat()))
        for _ in range(FLIPS):
            _turn(scene, file, scene.rng.randrange(file.stat().st_size))
    finally:
        scene.victim.switch_on()
    yield


@contextmanager
def rot_state(scene: Scene) -> Iterator[None]:
    """The same, wherever ``known`` stands in a state file, or once in a write-ahead log."""
    scene.victim.kill()
    try:
        states = _states(scene)
        places = [found for file in states for found in _found(scene, file)]
        if not places:
            ahead = [file.with_name(f"{file.name}-wal") for file in states]
            places = [found for file in ahead for found in _found(scene, file)][:1]
        for file, found in places:
            _turn(scene, file, scene.rng.randrange(found.start(), found.end()))
    finally:
        scene.victim.switch_on()
    yield


@contextmanager
def rot_running(scene: Scene) -> Iterator[None]:
    """Bits turn under the running node, wherever ``known`` stands in its state file (of several
    shards: in one of them). (It was started anew before: all it has is in these files, and little
    of it in memory.)"""
    scene.victim.down()
    scene.victim.switch_on()
    places = [found for file in _states(scene) for found in _found(scene, file)]
    assert places, "what was acknowledged is not in the state file"
    state = places[0][0]
    before = state.stat().st_ino
    for file, found in places:
        _turn(scene, file, scene.rng.randrange(found.start(), found.end()))
    yield
    changed = state.exists() and state.stat().st_ino != before
    scene.note("its state is another file now" if changed else "it has the same state file still")


def _states(scene: Scene) -> list[Path]:
    """The victim's state files, one a shard."""
    return sorted(file for name in STATES for file in scene.victim.home.glob(name))


def _found(scene: Scene, file: Path) -> list[tuple[Path, re.Match[bytes]]]:
    """Where ``known`` stands in a file."""
    content = file.read_bytes() if file.exists() else b""
    return [(file, found) for found in re.finditer(re.escape(scene.known), content)]


def _turn(scene: Scene, file: Path, at: int) -> None:
    bit = scene.rng.randrange(8)
    flip_bit(file, at, bit)
    scene.note(f"turned bit {bit} of byte {at} of {file.relative_to(scene.victim.home)}")


def _needs(*words: str) -> frozenset[str]:
    return frozenset(words)


FAULTS = (
    Fault("kill", "kill -9 of every process of a node", kill, kills="victim"),
    Fault("freeze", "every process of a node stands still, then goes on", freeze),
    Fault("cut-both", "a node reaches no other, nor they it", partial(cut, both=True), 4,
          _needs("links")),
    Fault("cut-one-way", "a node hears the others, they do not hear it",
          partial(cut, both=False), 4, _needs("links")),
    Fault("unplug", "a node's link is down, for its clients too", unplug, 4, _needs("links")),
    Fault("log-leader", "kill -9 of the server that leads the log", kill_log_server, 6, led=True),
    Fault("disk-full", "a node's disk is full", fill, 4, _needs("disks"),
          settle_s=8),
    Fault("disk-slow", f"{SLOW_WRITES_A_SECOND} writes a second reach a node's disk", slow, 3,
          _needs("disks", "throttle")),
    Fault("clock-ahead", f"a node's wall clock is {SKEW_S} s ahead",
          partial(skew, offset_s=SKEW_S), 3, _needs("clocks")),
    Fault("clock-behind", f"a node's wall clock is {SKEW_S} s behind",
          partial(skew, offset_s=-SKEW_S), 3, _needs("clocks")),
    Fault("kill-all", "kill -9 of all nodes at once", kill_all, 0, kills="all"),
    Fault("power-cut", "all nodes lose their power at once", cut_power, 0, _needs("disks"),
          kills="all"),
    Fault("rot-state", "bits turned in a stopped node's state file", rot_state, 2,
          kills="victim"),
    Fault("rot-running", "bits turned in a running node's state file", rot_running, 10,
          kills="victim"),
    Fault("rot-log", "bits turned in a stopped node's copy of the log",
          partial(rot, kind="log"), 2, kills="victim"),
    Fault("rot-blob", "bits turned in a blob of a stopped node", partial(rot, kind="blob"), 2,
          kills="victim"),
)  # fmt: skip


def possible(nodes: Sequence[RigNode]) -> list[Fault]:
    """The faults that can be made on these nodes."""
    here = {
        *(["links"] if all(node.host.namespace for node in nodes) else []),
        *(["disks"] if all(node.disk for node in nodes) else []),
        *(["clocks"] if clocks_work() else []),
        *(["throttle"] if THROTTLE.exists() else []),
    }
    return [fault for fault in FAULTS if fault.needs <= here]
