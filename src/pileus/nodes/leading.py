"""Which node leads which shard's log: as even as can be, and never one that is about to go.

Who leads a log takes in all of its entries and hands them out. With several shards one node should
not lead them all, nor keep more copies than the others. So, while the cluster is whole and has been
for a while, one log at a time gets another leader, or a copy moves to a node that keeps fewer. With
one shard there is nothing to even out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats_client import Client
from pileus.engine.cluster.streams import StreamInfo

log = logging.getLogger("pileus.nodes.leading")
SETTLED_S = 20.0  # whole for so long before anything is evened out
STEP_S = 3.0
IN_VAIN_MAX = 3  # copies moved among the same nodes that made nothing more even; then
REST_S = 3600.0  # none is moved for so long, or until a node comes or goes
Logs = Mapping[int, StreamInfo]


class Step(NamedTuple):
    """What is to be done to ``stream``: node ``of`` gives its lead to node ``to``; where that is
    "" its copy moves to a node without one."""

    stream: str
    of: str
    to: str


def leads(logs: Logs) -> Counter[str]:
    """How many logs each node leads."""
    return Counter(found.leader for found in logs.values() if found.leader)


def holders(found: StreamInfo) -> set[str]:
    return {found.leader, *(peer.name for peer in found.peers)} - {""}


def copies(logs: Logs) -> Counter[str]:
    """How many logs' copies each node keeps."""
    return Counter(name for found in logs.values() for name in holders(found))


def whole(found: StreamInfo) -> bool:
    """Whether the log has a leader and every copy is current, or as good as that."""
    return bool(found.leader) and all(p.near for p in found.peers)


def heir(logs: Logs, found: StreamInfo, able: Collection[str]) -> str:
    """Who should lead ``found`` next: of the nodes ``able`` that have a current copy the one that
    leads fewest; "" when there is none."""
    led = leads(logs)
    fit = [p.name for p in found.peers if p.current and not p.offline and p.name in able]
    return min(fit, key=lambda name: (led[name], name), default="")


async def step_down(client: Client, logs: Logs, found: StreamInfo, able: Collection[str]) -> None:
    """Have another node lead ``found``. With several logs the one that leads fewest, if it will;
    with one the servers choose."""
    await _give(client, found, heir(logs, found, able) if len(logs) > 1 else "")


async def hand_over(client: Client, logs: Logs, name: str, able: Collection[str]) -> None:
    """Have others lead whatever ``name`` leads: each as even a part of it as can be."""
    after, given = dict(logs), []
    for number, found in logs.items():
        if found.leader == name and found.peers:
            to = heir(after, found, able) if len(logs) > 1 else ""
            after[number] = replace(found, leader=to)
            given.append(_give(client, found, to))
    for failed in await asyncio.gather(*given, return_exceptions=True):
        if failed is not None:
            raise failed


async def _give(client: Client, found: StreamInfo, to: str) -> None:
    if to:
        try:
            await streams.step_down(client, found.name, to)
            return
        except streams.ApiError as error:
            log.info("%s will not lead %s: %s", to, found.name, error)
    await streams.step_down(client, found.name)


def next_step(logs: Logs, able: Collection[str]) -> Step | None:
    """What would make it more even among the nodes ``able``: the leaders first, then the copies.
    None when no node has two more than another that could take one."""
    return _lead(logs, able) or _copy(logs, able)


def _lead(logs: Logs, able: Collection[str]) -> Step | None:
    led = leads(logs)
    best: tuple[int, Step] | None = None
    for number in sorted(logs):
        found = logs[number]
        to = heir(logs, found, able)
        apart = led[found.leader] - led[to] if to else 0
        if apart >= 2 and (best is None or apart > best[0]):
            best = apart, Step(found.name, found.leader, to)
    return best[1] if best else None


def _copy(logs: Logs, able: Collection[str]) -> Step | None:
    """The servers choose where a copy goes: of the nodes without one that which keeps fewest
    (nats-server, ``selectPeerGroup``), where they count as we do."""
    kept = copies(logs)
    for of in sorted(able, key=lambda name: -kept[name]):
        for number in sorted(logs):
            found = logs[number]
            others = set(able) - holders(found)
            if found.leader == of or of not in holders(found) or not others:
                continue
            if kept[of] - min(kept[other] for other in others) >= 2:
                return Step(found.name, of, "")
    return None


class Evening:
    """One step at a time. ``monotonic``: this node's clock."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client, self._monotonic = client, monotonic
        self._since_s = monotonic()
        # Among whom a copy was moved last, and how uneven it was then; 0: judged since.
        self._moved: tuple[frozenset[str], int] = frozenset(), 0
        self._in_vain = 0
        self._rests_until_s = 0.0

    def wait(self, able: Collection[str] | None = None) -> None:
        """The cluster is not whole: what was seen so far does not count. ``able``: its nodes that
        live, where they are known."""
        self._since_s = self._monotonic()
        if able is not None and frozenset(able) != self._moved[0]:
            self._moved = frozenset(), 0

    async def turn(self, logs: Logs, able: Collection[str]) -> bool:
        """Take a step when it is time; the cluster is whole, and the nodes ``able`` are all of it.
        Answers whether one was taken."""
        if self._monotonic() - self._since_s < SETTLED_S:
            return False
        step = next_step(logs, able)
        among, uneven = frozenset(able), sum(many**2 for many in copies(logs).values())
        if step is None or not (step.to or self._promises(among, uneven)):
            return False
        self._since_s = self._monotonic() - SETTLED_S + STEP_S
        if step.to:
            await streams.step_down(self._client, step.stream, step.to)
            log.info("%s leads %s now: %s led more logs", step.to, step.stream, step.of)
        else:
            await streams.remove_peer(self._client, step.stream, step.of)
            self._moved = among, uneven
            log.info("the copy of %s on %s moves to a node with fewer", step.stream, step.of)
        return True

    def _promises(self, among: frozenset[str], uneven: int) -> bool:
        """Whether to move a copy now: the servers may put them elsewhere than they should (they
        count closed logs, too)."""
        before, was = self._moved
        if before != among:
            self._in_vain, self._rests_until_s = 0, 0.0
        elif was:
            self._in_vain += uneven >= was
        self._moved = among, 0
        if self._in_vain >= IN_VAIN_MAX:
            self._in_vain, self._rests_until_s = 0, self._monotonic() + REST_S
        return self._monotonic() >= self._rests_until_s
