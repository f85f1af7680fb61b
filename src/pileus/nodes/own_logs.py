"""A node's part in the shards' logs: which it leads and keeps, whether its copies grow, and that it
leads none when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from pileus import control
from pileus.config import Config
from pileus.engine.cluster import streams
from pileus.engine.cluster.log import ClusterLog
from pileus.engine.cluster.nats_client import Client
from pileus.errors import Unavailable
from pileus.nodes import discarding, leading
from pileus.nodes.leading import Logs
from pileus.nodes.members import Members
from pileus.nodes.own_copy import GIVE_ANEW, RESTART, STEP_DOWN, OwnCopy
from pileus.state.shard import Shard

log = logging.getLogger("pileus.nodes.logs")
STEP_DOWN_S = 2.0
LOOK_S, BEFORE_S = 2.0, 0.5
TAKEN_S = 2.0


class OwnLogs:
    """``shards``: of this node's store; ``client`` of the logs' servers. ``roles``, ``led``
    and ``leading`` are what its beats tell (``beats.Beat``), by the servers' word: to show."""

    def __init__(
        self, config: Config, members: Members, shards: list[Shard], client: Client, clock: Any
    ) -> None:
        self._config, self._members, self._clock = config, members, clock
        self._shards, self._client = shards, client
        self._own_copy = OwnCopy(members.name, config.home, clock.monotonic)
        self.healed: Counter[str] = Counter()  # what was done for copies that stood still
        self.roles: list[str] = []
        self.led: tuple[int, int, int] | None = None
        self.leading: tuple[int, ...] = ()
        self._whole: set[int] = set()  # shards of whose logs it has a whole copy, and leads not
        self._reached: dict[int, int] = {}  # of each copy: the message it had come to
        self.told: Callable[[streams.StreamInfo], None] = lambda found: None  # each, each time

    @property
    def all(self) -> list[ClusterLog]:
        """Each shard's, as it is now."""
        return [cast(ClusterLog, shard.log) for shard in self._shards]

    @property
    def applied(self) -> int:
        """Entries, of all shards."""
        return sum(self.applied_each)

    @property
    def applied_each(self) -> list[int]:
        return [shard.replica.applied for shard in self._shards if shard.replica is not None]

    def judged_by(self, alone: Callable[[], bool], members: Callable[[], list[str] | None]) -> None:
        """``alone()``: whether this node hears too few others for a log to go on. ``members()``:
        who has to be asked before a strong read; None when the log has to be."""
        for one in self.all:
            one.alone, one.members = alone, members

    def leaderless(self) -> bool:
        """Whether what was sent to one of them had no taker."""
        return any(one.leaderless for one in self.all)

    def hurry(self) -> None:
        """A leader is missed: what has no answer is sent again and again for a while."""
        for one in self.all:
            one.hurry()

    # -- numbers -----------------------------------------------------------------------------

    def out_of_reach(self) -> float:
        """How many logs take nothing in now."""
        return float(sum(bool(one.down) for one in self.all))

    def copy(self) -> float:
        """2: this node leads one, 1: it has a whole copy of one."""
        return 2.0 if "log-leader" in self.roles else float(bool(self.roles))

    # -- what is done ------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for ever."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.look(await streams.newest_of(self._client, len(self._shards), LOOK_S))
            await self._clock.sleep(LOOK_S if self.roles else BEFORE_S)

    async def look(self, logs: Logs) -> None:
        """Take in how the logs stand."""
        name = self._members.name
        for number, found in logs.items():
            self.all[number].seen(found)
            self.told(found)
        leading = tuple(number for number, found in logs.items() if found.leader == name)
        for number, found in logs.items():
            self._note_copy(number, found)
        kept = len(self._whole & logs.keys())
        if logs:
            self.roles = ["log-leader"] if leading else ["log"] if kept else []
        if len(self._shards) > 1:
            self.led = len(leading), len(leading) + kept, len(self._shards)
            self.leading = leading
        for found in logs.values():
            remedy = self._own_copy.remedy(found)
            if remedy:
                await self._heal(remedy, logs, found)

    def _note_copy(self, number: int, found: streams.StreamInfo) -> None:
        """A copy is whole once it was current, and stays so as long as it is near and grows."""
        own = next((p for p in found.peers if p.name == self._members.name), None)
        reached = found.last - own.lag if own else 0
        grows = reached > self._reached.get(number, reached)
        self._reached[number] = reached
        if own is not None and own.current:
            self._whole.add(number)
        elif own is None or not (own.near and grows):
            self._whole.discard(number)

    async def _heal(self, remedy: str, logs: Logs, found: streams.StreamInfo) -> None:
        """Do something for a copy that stands still; the next look tells whether it helped."""
        log.error("the copy of %s here stands still: %s (%s)", found.name, remedy, found.peers)
        self.healed[remedy] += 1
        if remedy == STEP_DOWN:
            members = [n.name for n in self._members.present() if n.state == "member"]
            await leading.step_down(self._client, logs, found, members)
        elif remedy == GIVE_ANEW:
            await self._give_anew(found)
        elif remedy == RESTART or discarding.wish(self._config.home, found.name, found.group):
            await self._restart(logs)

    async def _give_anew(self, found: streams.StreamInfo) -> None:
        """Take this node's copy away; the node that looks after the copies (``copies``) gives it
        again. The servers take the one that is behind."""
        await streams.set_replicas(self._client, found.name, found.replicas - 1)
        await self._clock.sleep(TAKEN_S)
        told = await streams.info(self._client, found.name)
        if any(p.name == self._members.name for p in told.peers):
            log.error("another's copy of %s was taken than this one: it is given back", found.name)
            await streams.set_replicas(self._client, found.name, found.replicas)

    async def _restart(self, logs: Logs) -> None:
        """Start the log's server here again."""
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(STEP_DOWN_S):
                await self._lead_none(logs)  # what the server leads besides
        refused = await asyncio.to_thread(control.ask, self._config.path("run"), "restart", "log")
        if refused:
            log.error("the supervisor does not restart the log's server: %s", refused)

    async def hand_over(self) -> None:
        """Others lead the logs before this node stops: a pause of milliseconds, no election."""
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(STEP_DOWN_S):
                await self._lead_none(await streams.newest_of(self._client, len(self._shards)))

    async def _lead_none(self, logs: Logs) -> None:
        name = self._members.name
        able = [n.name for n in self._members.present() if n.state == "member" and n.name != name]
        await leading.hand_over(self._client, logs, name, able)
