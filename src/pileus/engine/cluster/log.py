"""The log of several machines: one JetStream stream a shard, applied by a replica on every node.

``append`` sends entries to the stream and answers when they came back and were applied here: the
stream gives nothing that is not synced on most of its servers. Which entry has which sequence
number is decided by the stream's order alone, so every replica numbers them alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.engine import Behind, LogEntry, LostEnd, Removed, Renewed, Replica
from pileus.engine.cluster import log_messages, streams
from pileus.engine.cluster.log_apply import Applied, Applier, Gate
from pileus.engine.cluster.log_asking import Asking, Reaching
from pileus.engine.cluster.log_delivery import Delivery
from pileus.engine.cluster.log_messages import Position
from pileus.engine.cluster.log_publish import Publisher
from pileus.engine.cluster.nats import TlsFiles
from pileus.engine.cluster.nats_client import Client
from pileus.engine.replies import Appending, Waiting
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.log")
CONNECT_S_MAX = 30.0
START_S_MAX = 60.0
ALONE_S = 6.0  # a node that has a state begins without the log then
ASK_S = 1.0
BARRIER_S_MAX = 10.0
BEHIND_S_MAX = 1.0
DRAIN_S_MAX = 5.0
LOOK_S = 1.0
RENEW = "make it anew from the best replica: pileus renew-log"


@dataclass(frozen=True)
class LogSettings:
    """How this node reaches the log. ``servers``: clients' ``host:port``, the node's own first.
    ``found``: with how many copies to make the stream when the cluster has none yet (0: never),
    ``near`` which server."""

    servers: tuple[str, ...]
    user: str
    password: str
    tls: TlsFiles
    shard: int = 0
    label: str = "pileus"
    found: int = 0
    near: str = ""


class ClusterLog(Appending):
    """See ``pileus.engine.Log``. ``committed(replica)`` runs on the applying thread after each
    commit, before anyone is answered; ``failed(error)`` on the loop when this replica can never
    go on (``Behind``, ``LostEnd``, damaged or parted from the others): it must stop serving.
    ``stands(why)`` when nothing can be appended ("": again it can): what is applied here may be
    read still. ``removed()``: see ``SharedLog``. ``alone()``: this node hears too few others.
    ``members()``: see ``Asking``; until it is set every barrier is a message."""

    stands: Callable[[str], None] = staticmethod(lambda why: None)
    removed: Callable[[], bool] = staticmethod(lambda: False)
    alone: Callable[[], bool] = staticmethod(lambda: False)
    members: Callable[[], list[str] | None] = staticmethod(lambda: None)
    gate: Gate | None = None  # where there are several shards
    trusted = True

    def __init__(
        self,
        settings: LogSettings,
        committed: Callable[[Any], None] = lambda replica: None,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._settings = settings
        self.found = settings.found
        self._committed = committed
        self._failed = failed
        self._failure: Exception | None = None
        self._started = self._stopped = False
        self._looking: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def start(self, replica: Replica) -> None:
        """Find the stream, go on where the replica stands, and catch up; ``Behind`` when the stream
        cannot bring it further. Without a leader a trusted replica that has a state begins so."""
        self._loop = asyncio.get_running_loop()
        self._replica = replica
        s = self._settings
        connecting = streams.connect(s.servers, s.user, s.password, s.tls.context(), label=s.label)
        try:
            self.client: Client = await asyncio.wait_for(connecting, CONNECT_S_MAX)
        except TimeoutError as e:
            raise Unavailable("no log server answers", f"they are {', '.join(s.servers)}") from e
        try:
            found = await self._find()
            if found is None:
                position = Position.unpack(replica.position)
                self.stream = streams.unheard(position.stream)
            else:
                self.stream, position = found, where(replica, found)
            await self._begin(position, found)
        except BaseException:
            await self.client.close()
            raise

    async def _find(self) -> streams.StreamInfo | None:
        """The newest stream; None when nobody tells and this replica can begin all the same."""
        begun = self._loop.time()
        while True:
            try:
                found = await streams.newest(self.client, self._settings.shard, ASK_S)
                if found is None and self.found and not self._replica.position:
                    found = await self._make()
                if found is not None:
                    return found
                why = Unavailable(
                    f"the cluster has no stream {streams.name(self._settings.shard)}", RENEW
                )
            except Unavailable as e:
                why = e
            if self._may_begin_alone and self._loop.time() > begun + ALONE_S:
                log.error("the log is not found: %s", why)
                return None
            if self._loop.time() > begun + START_S_MAX:
                raise why
            await asyncio.sleep(0.2)

    async def _make(self) -> streams.StreamInfo:
        replica, s = self._replica, self._settings
        base, chain = replica.applied, replica.chain.hex()
        near = s.near if self.found == 1 else ""
        return await streams.create(
            self.client, s.shard, self.found, base=base, chain=chain, near=near
        )

    async def _begin(self, position: Position, found: streams.StreamInfo | None) -> None:
        subject = streams.subject(self._settings.shard, self.stream.epoch)
        session = os.urandom(log_messages.SESSION_BYTES)
        self._applier = Applier(
            *(self._replica, position, self._committed, self._applied, self._give_up),
            self.gate,
        )
        self._publisher = Publisher(
            self.client, subject, session, lambda: self._applier.at, self._lost_end
        )
        self._delivery = Delivery(
            self.client,
            self.stream.name,
            position.at,
            self._applier.add,
            lambda: self._applier.full,
            self._gone,
            self._look_for_newer,
        )
        self._publisher.stands, self._publisher.alone = self.stands, lambda: self.alone()
        self._reaching = Reaching(lambda: self._applier.at)
        name, members = self._settings.label, lambda: self.members()
        self.asking = Asking(self.client, self.stream.name, name, members, self._given)
        await self.asking.start()
        await self._publisher.start()
        self._delivery.start()
        try:
            if self.removed():
                self._leave()
            elif found is not None and found.sealed:
                self._end(f"{found.name} was closed", seal=False)
            elif found is not None:
                await self._catch_up()
            else:
                self._begin_alone("the log's servers have no leader")
        except BaseException:
            await self._halt(Unavailable("the log did not start"))
            raise
        self._started = True

    async def _catch_up(self) -> None:
        """Wait until all acknowledged before now is applied here, as long as it goes on."""
        knows = self._may_begin_alone
        patience_s = ALONE_S if knows else START_S_MAX
        deadline, seen = self._loop.time() + patience_s, self._applier.at
        while True:
            try:
                await asyncio.wait_for(self._barrier_in_log(), patience_s)
                return
            except (Unavailable, TimeoutError) as e:
                if isinstance(self._failure, LostEnd | Removed):
                    return  # what is here can be read until another log follows
                if self._failure is not None:
                    raise self._failure
                if self._applier.at != seen:
                    deadline, seen = self._loop.time() + patience_s, self._applier.at
                elif self._loop.time() >= deadline:
                    if not knows:
                        raise
                    self._begin_alone(str(e) or "the log does not answer")
                    return

    @property
    def _may_begin_alone(self) -> bool:
        return self.trusted and bool(self._replica.position)

    def _begin_alone(self, why: str) -> None:
        log.warning("this node begins with the state it has: %s", why)
        self._publisher.give_up(why)

    # -- the log's face ----------------------------------------------------------------------

    def append_many(self, items: Sequence[Waiting]) -> None:
        """Queue entries; each ``reply`` is called on the loop with its outcome or error."""
        if self._stopped:
            raise Unavailable("the log is closed", "the process is stopping")
        self._publisher.add(items)

    def run(self, task: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run ``task`` on the applying thread between two groups."""
        return self._applier.run(task)

    async def barrier(self) -> int:
        """By the other replicas' word where all of them give it, else by a message of the log."""
        stuck = self._failure is not None or self._publisher.down
        if not stuck and (furthest := await self.asking.furthest()) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEHIND_S_MAX):
                    await self._reaching.wait(furthest)
                return self._replica.applied
        return await self._barrier_in_log()

    def _given(self) -> int:
        """See ``Asking``. What is given is not applied yet, perhaps, but never the other way."""
        return self._delivery.after if self._publisher.proven and self._failure is None else 0

    async def _barrier_in_log(self) -> int:
        future: asyncio.Future[int] = self._loop.create_future()

        def reply(told: int | Exception) -> None:
            if future.done():
                return
            if isinstance(told, int):
                future.set_result(told)
            else:
                future.set_exception(told)

        self._publisher.barrier(reply)
        try:
            return await asyncio.wait_for(future, BARRIER_S_MAX)
        except TimeoutError as e:
            raise self._publisher.unknown() from e

    async def read(self, after: int, limit: int = 1000) -> list[LogEntry]:
        """Entries this node's journal still holds."""
        return list(await self.run(lambda: self._replica.entries(after, limit)))

    async def trim(self, below: int) -> None:
        """Forget this node's journal; the stream is purged by ``purge``."""
        while await self.run(lambda: self._replica.forget(below)):
            pass  # between two steps, groups that wait are applied

    async def purge(self, below: int) -> int:
        """Forget the stream's messages below its number ``below``: only what every replica's
        state has durably; answers how many."""
        return await streams.purge_below(self.client, self.stream.name, below)

    async def filled(self) -> float:
        """How much of what the stream may hold it holds: 0 to 1."""
        told = await streams.info(self.client, self.stream.name)
        return told.size_bytes / streams.LOG_BYTES_MAX

    async def copies(self) -> int:
        """How many the stream has."""
        return (await streams.info(self.client, self.stream.name)).replicas

    @property
    def at(self) -> int:
        """The stream's number of the last message applied here."""
        return self._applier.at

    @property
    def down(self) -> str:
        """Why nothing can be appended now; "" when it can."""
        return self._publisher.down

    @property
    def leaderless(self) -> bool:
        """What this node sent to the log last had no taker."""
        return self._publisher.leaderless

    def hurry(self) -> None:
        """A leader is missed: send what has no answer again and again for a while."""
        self._publisher.hurry()

    async def stop(self) -> None:
        """Answer what is under way, end the thread, close the file."""
        if self._stopped:
            return
        self._stopped = True
        await self._publisher.drained(DRAIN_S_MAX)
        await self._halt(Unavailable("the log is closed", "the process is stopping"))
        await self.client.close()
        self._replica.close()

    async def _halt(self, why: Exception) -> None:
        for task in (self._looking, self._ending):
            if task is not None:
                task.cancel()
        self._publisher.close(why)
        await self.asking.stop()
        await self._delivery.stop()
        await self._applier.stop()

    # -- what happens ------------------------------------------------------------------------

    def _applied(self, done: list[Applied]) -> None:
        if self.removed():
            self._leave()
        for message in done:
            self._publisher.applied(message)
        self._reaching.moved()

    def _gone(self, first: int) -> None:
        self._give_up(
            Behind(f"the log begins at message {first}, this replica stands at {self._applier.at}")
        )

    def seen(self, found: streams.StreamInfo) -> None:
        """The servers tell what the shard's newest stream is."""
        if found.epoch > self.stream.epoch:
            self._give_up(Renewed(f"{self.stream.name} is followed by {found.name}"))
        elif found.sealed:
            self._end(f"{found.name} was closed", seal=False)

    def _look_for_newer(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._find_newer())

    async def _find_newer(self) -> None:
        """The stream followed here is not there: it was lost, or made anew."""
        try:
            found = await streams.newest(self.client, self._settings.shard)
        except Unavailable as e:
            log.info("the log's stream is not there, and no other can be looked for: %s", e)
            return
        if found is not None and found.epoch > self.stream.epoch:
            self._give_up(Renewed(f"{self.stream.name} is followed by {found.name}"))
        elif found is None and not self._publisher.down:
            why = f"{self.stream.name} is not there: {RENEW}"
            log.error("%s", why)
            self._publisher.give_up(why)  # asks on, should it come back

    def _lost_end(self, at: int) -> None:
        self._end(
            f"the log gave message {at} again; this replica stands at {self._applier.at}", seal=True
        )

    def _end(self, why: str, seal: bool) -> None:
        """This stream can never go on. What is applied here is read still, until another stream
        follows. ``seal``: nobody may go on with it, not one who has not noticed either."""
        if self._failure is None:
            self.stands(f"{why}: {RENEW}")
            self._give_up(LostEnd(why))
            self._ending = self._loop.create_task(self._await_newer(seal))

    async def _await_newer(self, seal: bool) -> None:
        while True:
            try:
                found = await streams.newest(self.client, self._settings.shard, LOOK_S)
                if found is not None and found.epoch > self.stream.epoch:
                    self._failed(Renewed(f"{self.stream.name} is followed by {found.name}"))
                    return
                if seal and found is not None and not found.sealed:
                    await streams.seal(self.client, found.name)
            except Unavailable as e:
                log.info("no other log can be looked for now: %s", e)
            await asyncio.sleep(LOOK_S)

    def _leave(self) -> None:
        """What was sent since may have its effect, but nobody must be told so by this node: others
        no longer ask it what it has answered. Eventual reads go on until it has stopped."""
        if self._failure is None:
            removed = Removed()
            self.stands(f"{removed}: {removed.hint}")
            self._give_up(removed)

    def _give_up(self, error: Exception) -> None:
        """This replica must not go on: fail what waits and say so, once."""
        if self._failure is None:
            self._failure = error
            log.error("this replica stops: %s", error)
            told = Unavailable(f"this node's replica stopped: {error}", RENEW)
            self._publisher.close(error if isinstance(error, Removed) else told)
            self._delivery.halt()
            if self._started:  # else ``start`` raises it
                self._failed(error)


def where(replica: Replica, stream: streams.StreamInfo) -> Position:
    """Where in ``stream`` the replica goes on; ``Behind`` when it cannot."""
    position = Position.unpack(replica.position) if replica.position else None
    if position is not None and position.stream == stream.name:
        if position.at + 1 < stream.first:
            raise Behind(
                f"{stream.name} begins at message {stream.first}, the replica stands at"
                f" {position.at}"
            )
        return position
    if replica.applied != stream.base or (stream.base and replica.chain.hex() != stream.chain):
        raise Behind(
            f"{stream.name} begins after entry {stream.base}, the replica stands at"
            f" {replica.applied} of {position.stream if position else 'no stream'}"
        )
    if stream.first > 1:
        raise Behind(f"{stream.name} begins at message {stream.first}")
    made = Position(stream.name)
    if position is not None:
        made.needs = position.needs  # of the stream it followed before
    return made
