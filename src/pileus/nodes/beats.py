"""How the nodes know of each other that they live: each says so twice a second, each judges.

Beats are messages that nobody keeps, not entries. One carries what its sender sees of the others,
so that a node is held dead only when more than half of the nodes say so. A node whose own loop
stood still (frozen, paused) forgets what it then seems to have missed.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pileus.errors import Unavailable

log = logging.getLogger("pileus.nodes.beats")
BEAT_S = 0.5
SLOW_S, DOWN_S = 1.2, 2.5
MISSED_S = 30.0  # what is silent for longer is no news
SUBJECT = "nodes.beat"


class Beat(msgspec.Struct, omit_defaults=True):
    """``applied``: how many entries, of all shards. ``sees``: node → seconds since its last beat
    came. ``roles``: what it does for all.
    ``left``: of a node that leaves, blobs that it has not handed over yet (-1: it has not
    looked). ``move``: of its part in a move under way, ``{"since_ms", "left", "bytes"}``. ``busy``:
    the share of its processors in use, 0 to 1. ``rules``: the version of its release's rules (0: it
    is of one that does not tell). ``logs``, where shards are several: how many of their logs it
    leads, of how many it has a whole copy, and how many there are; ``leading``: the shards whose
    logs it leads. ``workers``: the share of the functions it may run at once that it runs."""

    name: str
    applied: int
    roles: list[str]
    sees: dict[str, float]
    left: int = -1
    move: dict[str, int] | None = None
    busy: float = 0.0
    rules: int = 0
    logs: tuple[int, int, int] | None = None
    leading: tuple[int, ...] = ()
    workers: float = 0.0


class Own(NamedTuple):
    """What a node tells of itself: see ``Beat``."""

    applied: int
    roles: list[str]
    left: int = -1
    move: dict[str, int] | None = None
    busy: float = 0.0
    rules: int = 0
    logs: tuple[int, int, int] | None = None
    leading: tuple[int, ...] = ()
    workers: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """``health``: alive, slow or down, since ``since_ms`` (the judge's clock). ``move``, ``busy``,
    ``logs``, ``leading``, ``workers``: see ``Beat``."""

    health: str
    since_ms: int
    applied: int
    roles: tuple[str, ...] = ()
    move: dict[str, int] | None = None
    busy: float = 0.0
    logs: tuple[int, int, int] | None = None
    leading: tuple[int, ...] = ()
    workers: float = 0.0


@dataclass
class _Peer:
    beat: Beat
    heard_s: float
    health: str
    since_ms: int


class Beats:
    """One node's view. ``own`` tells its own applied position and roles."""

    def __init__(self, name: str, clock: Any, own: Callable[[], Own]) -> None:
        self._name = name
        self._clock = clock
        self._own = own
        self._peers: dict[str, _Peer] = {}
        self._ticked_s = clock.monotonic()
        self._began_ms = clock.now_ms()
        self._awaited: dict[str, float] = {}  # nodes never heard: since when they are asked for

    def beat(self) -> bytes:
        """What to send now."""
        own = self._own()
        now_s = self._clock.monotonic()
        sees = {name: round(now_s - p.heard_s, 2) for name, p in self._peers.items()}
        more = own.left, own.move, own.busy, own.rules, own.logs, own.leading, own.workers
        return msgspec.json.encode(Beat(self._name, own.applied, own.roles, sees, *more))

    def received(self, data: bytes) -> None:
        """A beat came; what cannot be read is logged and forgotten."""
        try:
            beat = msgspec.json.decode(data, type=Beat)
        except msgspec.MsgspecError as error:
            log.warning("a beat cannot be read: %s", error)
            return
        if beat.name == self._name:
            return
        now_s, known = self._clock.monotonic(), self._peers.get(beat.name)
        if known is None:
            self._peers[beat.name] = _Peer(beat, now_s, "alive", self._clock.now_ms())
        else:
            known.beat, known.heard_s = beat, now_s

    def tick(self) -> None:
        """To be called each ``BEAT_S``: notes whose health changed."""
        now_s = self._clock.monotonic()
        stood_s = now_s - self._ticked_s - BEAT_S
        if stood_s > SLOW_S - BEAT_S:
            for peer in self._peers.values():
                peer.heard_s = min(now_s, peer.heard_s + stood_s)
        self._ticked_s = now_s
        for name, peer in self._peers.items():
            health = _health(now_s - peer.heard_s)
            if health != peer.health:
                silent_ms = int((now_s - peer.heard_s) * 1000)
                peer.health, peer.since_ms = health, self._clock.now_ms() - silent_ms
                log.info("%s is %s", name, health)

    def judged(self, names: Iterable[str]) -> dict[str, Judgement]:
        """Each of ``names``: one that was never heard counts as down since this node began."""
        told: dict[str, Judgement] = {}
        own = self._own()
        for name in names:
            peer = self._peers.get(name)
            if name == self._name:
                roles = tuple(own.roles)
                known = ("alive", self._began_ms, own.applied)
                led = own.logs, own.leading, own.workers
                told[name] = Judgement(*known, roles, own.move, own.busy, *led)
            elif peer is None:
                told[name] = Judgement("down" if self._silent(name) else "slow", self._began_ms, 0)
            else:
                beat = peer.beat
                known = (peer.health, peer.since_ms, beat.applied)
                if peer.health == "down":
                    told[name] = Judgement(*known)
                else:
                    led = beat.logs, beat.leading, beat.workers
                    roles = tuple(beat.roles)
                    told[name] = Judgement(*known, roles, beat.move, beat.busy, *led)
        return told

    def held_dead(self, name: str, members: Iterable[str]) -> bool:
        """Whether more than half of ``members`` do not hear ``name``: this one, and those that it
        hears and who say so."""
        members = list(members)
        if name == self._name or not self._silent(name):
            return False
        says = 1 + sum(
            1
            for other in members
            if other not in (name, self._name)
            and other in self._peers
            and not self._silent(other)
            and self._peers[other].beat.sees.get(name, math.inf) >= SLOW_S
        )
        return says > len(members) / 2

    def missed(self, members: Iterable[str]) -> set[str]:
        """Nodes that have lately gone out of touch: more than half of ``members`` do not hear them
        for more than a moment, or they themselves say that they do not hear half."""
        members = list(members)
        now_s = self._clock.monotonic()
        silent_s = {n: now_s - p.heard_s for n, p in self._peers.items() if n in members}
        heard = [self._peers[n].beat for n, s in silent_s.items() if s < SLOW_S]
        found = {b.name for b in heard if _deaf(b, members)}
        for name, quiet_s in silent_s.items():
            if SLOW_S <= quiet_s < MISSED_S:
                says = 1 + sum(b.sees.get(name, math.inf) >= SLOW_S for b in heard)
                if says > len(members) / 2:
                    found.add(name)
        return found

    def rules_of_all(self, names: Iterable[str]) -> int:
        """The newest version of the rules that each of ``names`` applies; 0 when one does not tell
        or is not heard now."""
        known = [self._own().rules]
        for name in names:
            peer = self._peers.get(name)
            if name != self._name:
                heard = peer is not None and not self._silent(name)
                known.append(peer.beat.rules if heard and peer is not None else 0)
        return min(known)

    def handed_over(self, name: str) -> bool:
        """Whether a leaving node has given all its blobs to others, or cannot any more."""
        if name == self._name:
            return self._own().left == 0
        peer = self._peers.get(name)
        return peer is None or peer.health == "down" or peer.beat.left == 0

    def among_most(self, members: Iterable[str]) -> bool:
        """Whether this node hears enough others to be one of more than half."""
        members = list(members)
        heard = sum(1 for n in members if n == self._name or not self._silent(n))
        return heard > len(members) / 2

    def hears_all(self, names: Iterable[str]) -> bool:
        """Whether each of ``names`` was heard a moment ago."""
        since_s, peers = self._clock.monotonic() - SLOW_S, self._peers
        return all(n == self._name or (n in peers and peers[n].heard_s > since_s) for n in names)

    def _silent(self, name: str) -> bool:
        peer = self._peers.get(name)
        now_s = self._clock.monotonic()
        if peer is None:
            return now_s - self._awaited.setdefault(name, now_s) >= DOWN_S
        return now_s - peer.heard_s >= DOWN_S


def _deaf(beat: Beat, members: list[str]) -> bool:
    """Whether the sender of ``beat`` hears less than half of the others and itself."""
    hears = 1 + sum(beat.sees.get(n, math.inf) < SLOW_S for n in members if n != beat.name)
    return hears <= len(members) / 2


def _health(silent_s: float) -> str:
    return "alive" if silent_s < SLOW_S else "slow" if silent_s < DOWN_S else "down"


async def run(
    beats: Beats,
    clock: Any,
    send: Callable[[bytes], Awaitable[None]],
    names: Callable[[], list[str]],
    told: Path,
) -> None:
    """Beat and judge for ever; ``told`` is where this node's other processes read the view."""
    shown = ""
    while True:
        beats.tick()
        try:
            await send(beats.beat())
        except (Unavailable, OSError) as error:
            log.debug("no beat now: %s", error)
        text = json.dumps({name: asdict(j) for name, j in beats.judged(names()).items()})
        if text != shown and _written(told, text):
            shown = text
        await clock.sleep(BEAT_S)


def _written(told: Path, text: str) -> bool:
    """A full disk must not end the beats: the others would hold this node dead for good."""
    new = told.with_suffix(".new")
    try:
        new.write_text(text)
        new.rename(told)
        return True
    except OSError as error:
        log.warning("the view of the other nodes cannot be written down: %s", error)
        return False


def view(told: Path) -> dict[str, Judgement]:
    """What ``run`` wrote last; nothing when it does not run."""
    try:
        return {n: Judgement(**j) for n, j in json.loads(told.read_text()).items()}
    except (OSError, ValueError, TypeError):
        return {}
