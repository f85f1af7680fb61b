"""What the first front process of a node runs beside the services: beats, the door between nodes,
the work for all when it is this node's turn, the look after the log's copies, the scrub of blobs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from http.client import HTTPException
from typing import Any

from pileus import __version__, control
from pileus.config import Config
from pileus.edge import caddy
from pileus.edge.neighbours import Neighbours
from pileus.engine.cluster import streams
from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.cluster.blobs_moving import Move
from pileus.engine.cluster.blobs_scrub import Scrub
from pileus.engine.cluster.log import ClusterLog
from pileus.engine.cluster.nats_client import Client
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.nodes import background, beats, compare, membership, places
from pileus.nodes.agreeing import Agreeing
from pileus.nodes.answering import Answering
from pileus.nodes.background import Background
from pileus.nodes.beats import Beats, Own
from pileus.nodes.busy import Busy, Workers
from pileus.nodes.copies import Copies
from pileus.nodes.distrust import Distrust
from pileus.nodes.door import Handler, NodeDoor
from pileus.nodes.electing import Electing
from pileus.nodes.handing import Handing
from pileus.nodes.members import Members, log_settings, neighbours
from pileus.nodes.own_copy import REMEDIES
from pileus.nodes.own_logs import OwnLogs
from pileus.nodes.places import Files
from pileus.nodes.tls import server_context
from pileus.state import keys
from pileus.state.store import Store
from pileus.state.versions import RuleBook
from pileus.telemetry.meters import Meters
from pileus.wire.http import Server, serve

log = logging.getLogger("pileus.nodes")
REFS = "blobrefs"
ARRIVE_PAUSE_S = 0.5
LOOK_S = 2.0
REMIND_S = 20.0
METRICS = {
    "pileus_blobs_checked_bytes_total": "checked_bytes",
    "pileus_blobs_mended_total": "mended",
    "pileus_blobs_fetched_total": "fetched",
    "pileus_blobs_dropped_total": "dropped",
    "pileus_blobs_missing": "missing",
    "pileus_blobs_moved_bytes_total": "moved_bytes",
}
Step = Callable[[], Awaitable[None]]


class Station:
    """Made when the state is current; ``begin`` and ``cease`` are the work for all.
    ``fetched_bytes``: of the state this node began from, if it was another's."""

    def __init__(
        self,
        config: Config,
        members: Members,
        store: Store,
        clock: Any,
        blobs: ClusterBlobs,
        rules: RuleBook,
        meters: Meters,
        fetched_bytes: int = 0,
    ) -> None:
        assert isinstance(store.log, ClusterLog)
        self._config, self._members = config, members
        self._store, self._clock, self._blobs = store, clock, blobs
        self._client: Client = store.log.client
        self._logs = OwnLogs(config, members, store.shards, self._client, clock)
        self._beats = Beats(members.name, clock, self._own)
        kept = (store.get_json(membership.moved_key(members.name)) or {}).get("keepers", [])
        self._fetched_bytes = fetched_bytes
        meters.gauge("pileus_move_blobs_left", lambda: float(self._left()))
        for metric, name in METRICS.items():
            meters.gauge(metric, partial(self._count, name))
        meters.gauge("pileus_log_behind", self._behind)
        meters.gauge("pileus_log_out_of_reach", self._logs.out_of_reach)
        meters.gauge("pileus_log_copy", self._logs.copy)
        for remedy in REMEDIES:
            meters.gauge("pileus_log_healed_total", partial(self._healed, remedy), remedy=remedy)
        for health in ("alive", "slow", "down"):
            meters.gauge("pileus_nodes", partial(self._seen, health), health=health)
        version = store.replica.book.version
        self._agreeing = Agreeing(store, members, self._beats, version)
        self._copies = Copies(store, self._client, self._operator, members, self._beats)
        self._door = NodeDoor(config.home, blobs.local, self._status)
        self._scrub = Scrub(
            blobs,
            self._named,
            self._is_named,
            moved=self._moved,
            kept=kept,
            refused=lambda: self._door.refused,
        )
        self._distrust = Distrust(config.home, members.name, store.distrust)
        digests = compare.Digests(store, rules, self._distrust.damaged)
        self._door.mount(compare.PATH, digests.serve)
        self._busy = Busy(clock)
        self._workers = Workers(clock, config.home, config.function_concurrency_max)
        self._electing = Electing(
            members.name,
            clock,
            self._beats,
            members.arrived,
            self._client,
            self._operator,
            self._logs.leaderless,
            self._logs.hurry,
        )
        self._logs.told = self._electing.seen
        self._tasks: list[asyncio.Task[None]] = []
        self.handing: Handing | None = None  # telemetry to the neighbour
        self._background: Background | None = None
        self._server: Server | None = None

    def mount(self, prefix: str, handler: Handler) -> None:
        """Another room answers the other nodes' requests for paths that begin with ``prefix``."""
        self._door.mount(prefix, handler)

    async def start(self, begin: Step, cease: Step) -> None:
        """Open the door between nodes; the rest waits for ``announce``."""

        async def begin_all() -> None:
            await begin()
            await self._copies.start()
            await self._agreeing.start()

        async def cease_all() -> None:
            await self._agreeing.stop()
            await self._copies.stop()
            await cease()

        self._background = Background(
            self._store, self._clock, self._members.name, self._beats, begin_all, cease_all
        )
        here = self._members.started.here
        if self._store.get(membership.ABOUT) is not None:  # else it is about to found the cluster
            try:
                membership.check_stays(self._store, here.name)
            except membership.Refused:
                await self._withdraw()
                raise
        self._server = await serve(
            self._door.serve,
            (self._config.bind, here.node_port),
            tls=server_context(Files(self._config.home).folder),
            client=self._members.known,
        )
        await self._client.subscribe(beats.SUBJECT, cb=self._heard)

    async def announce(self) -> None:
        """Requests are answered now: arrive, beat; the work for all begins when it is this node's
        turn. Who is told of a node earlier would ask in vain."""
        assert self._background is not None
        answering = Answering(self._store, self._clock.monotonic, self._beats)
        self._logs.judged_by(self._alone, answering.members)
        arrived = await self._arrive()
        told = self._config.path("run", "nodes.json")
        beating = beats.run(self._beats, self._clock, self._send, self._members.arrived, told)
        self._tasks = [
            asyncio.create_task(beating, name="beats"),
            asyncio.create_task(self._remember(), name="members"),
            asyncio.create_task(self._logs.run(), name="log's copies"),
            asyncio.create_task(self._distrust.run(), name="own rows"),
            asyncio.create_task(self._electing.run(), name="elections"),
        ]
        if not arrived:
            self._tasks.append(asyncio.create_task(self._arrive_later(), name="arrival"))
        if self.handing is not None:
            self._tasks.append(asyncio.create_task(self.handing.run(), name="handing"))
        self._background.start()
        await self._scrub.start()

    async def stop(self) -> None:
        """Let others take over what this node did; then close."""
        if self._background is not None:
            await self._background.stop()
        await self._scrub.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.stop()
        await self._logs.hand_over()
        await self._blobs.stop()

    async def _arrive(self) -> bool:
        """The first node records itself; every node tells where it is now. False: nothing can be
        written now."""
        cluster = self._members.started
        while True:
            try:
                if cluster.founder:
                    await self._store.transact(lambda draft: membership.found(draft, cluster))
                await self._store.transact(lambda draft: membership.arrive(draft, cluster.here))
                return True
            except membership.Refused:
                raise
            except Unavailable as error:
                log.warning("this node cannot tell where it is: %s", error)
                return False
            except (Conflict, AwsError) as error:
                log.info("arriving: %s", error)
            await self._clock.sleep(ARRIVE_PAUSE_S)

    async def _arrive_later(self) -> None:
        try:
            while not await self._arrive():
                await self._clock.sleep(LOOK_S)
        except membership.Refused as error:
            log.error("this node stops: %s", error)
            os.kill(os.getpid(), signal.SIGTERM)

    def _alone(self) -> bool:
        """Whether this node hears too few others for the log to go on."""
        return not self._beats.among_most(self._members.arrived())

    async def _remember(self) -> None:
        """Keep the home's note of the nodes as the rows are (the next start needs it), and have
        Caddy know their front ends."""
        told: Neighbours | None = neighbours(self._config.home, self._members.started)
        while True:
            seen = self._store.generation(membership.TABLE)
            now = self._members.cluster
            try:
                if now != places.load(self._config.home):
                    places.save(self._config.home, now)
            except OSError as error:  # a full disk, perhaps
                log.error("the note of the nodes cannot be written down: %s", error)
                await self._clock.sleep(LOOK_S)
                continue
            if now.here.state == "gone":
                await self._withdraw()
            wanted = neighbours(self._config.home, now)
            if wanted != told and await self._tell_caddy(wanted):
                told = wanted
            await self._store.changed(membership.TABLE, seen, REMIND_S)

    async def _withdraw(self) -> None:
        """Stop this node's processes, all of them: others removed it, while it was away perhaps.
        Commands find in the home why none runs."""
        cluster = self._members.cluster
        if cluster.here.state != "gone":
            return  # it leaves still: the others see to that
        log.error("%s has left its cluster for good: this node stops", cluster.name)
        if cluster != places.load(self._config.home):
            places.save(self._config.home, cluster)
        try:
            run = self._config.path("run")
            refused = await asyncio.to_thread(control.ask, run, "stop", control.ALL)
        except Unavailable as error:
            refused = str(error)
        if refused:
            log.error("the supervisor does not stop this node: %s", refused)

    async def _tell_caddy(self, others: Neighbours | None) -> bool:
        fronts = self._config.fronts
        try:
            return await asyncio.to_thread(caddy.reload, self._config, fronts, others)
        except (Unavailable, OSError, HTTPException) as error:
            log.warning("Caddy does not know the nodes as they are now: %s", error)
            return False

    # -- beats -------------------------------------------------------------------------------

    def _own(self) -> Own:
        works = self._background is not None and self._background.working
        roles = [*(["background"] if works else []), *self._logs.roles]
        told, move = None, self._scrub.move
        if move is not None and self._scrub.moving:
            came = move.fetched_bytes + move.given_bytes
            told = {"since_ms": move.since_ms, "left": move.left, "bytes": came}
        left, busy = self._scrub.counts.left, self._busy.share()
        rules = self._store.replica.book.version
        led = self._logs.led, self._logs.leading, self._workers.share()
        return Own(self._logs.applied, roles, left, told, busy, rules, *led)

    def _left(self) -> int:
        """Blobs a move under way has still before it."""
        move = self._scrub.move
        return max(0, move.left) if move is not None and self._scrub.moving else 0

    async def _moved(self, move: Move) -> None:
        """Write down what a move was, where everybody sees it."""
        told = asdict(move) | {"state_bytes": self._fetched_bytes}
        await self._store.transact(lambda draft: membership.moved(draft, self._members.name, told))
        self._fetched_bytes = 0
        log.info(
            "the move to %s is done here after %.1f s: %d blobs (%d bytes) fetched,"
            " %d (%d) given, %d (%d) let go of",
            ",".join(move.keepers),
            (move.ended_ms - move.since_ms) / 1000,
            *(move.fetched, move.fetched_bytes, move.given, move.given_bytes),
            *(move.dropped, move.dropped_bytes),
        )

    async def _send(self, data: bytes) -> None:
        if self._client.is_connected:
            await self._client.publish(beats.SUBJECT, data)

    async def _heard(self, message: Any) -> None:
        self._beats.received(message.data)

    def _status(self) -> dict[str, Any]:
        applied, roles, *_ = self._own()
        holder = background.holder(self._store)
        disk = os.statvfs(self._config.home)
        return {
            "node": self._members.name,
            "release": __version__,
            "applied": applied,
            "chain": self._store.replica.chain.hex(),
            "roles": roles,
            "background": holder,
            "disk_bytes": disk.f_blocks * disk.f_frsize,
            "disk_free_bytes": disk.f_bavail * disk.f_frsize,
            "scrub": asdict(self._scrub.counts),
            **({"applied_each": self._logs.applied_each} if self._logs.led else {}),
        }

    async def _operator(self) -> Client:
        s = log_settings(self._config.home, self._members.cluster)
        return await streams.connect(s.servers, s.user, s.password, s.tls.context(), system=True)

    def _count(self, name: str) -> float:
        return float(getattr(self._scrub.counts, name))

    # -- numbers, each asked for once a second ------------------------------------------------

    def _behind(self) -> float:
        judged = self._beats.judged(self._members.arrived())
        return float(max((j.applied for j in judged.values()), default=0) - self._own()[0])

    def _healed(self, remedy: str) -> float:
        return float(self._logs.healed[remedy])

    def _seen(self, health: str) -> float:
        judged = self._beats.judged(self._members.arrived())
        return float(sum(j.health == health for j in judged.values()))

    # -- blobs -------------------------------------------------------------------------------

    def _named(self, after: str, limit: int) -> list[str]:
        """Digests that rows name, from behind ``after`` on, in the order of their keys."""
        start = keys.table_prefix(REFS)
        end = keys.after_prefix(start)
        if after:
            start = keys.after_prefix(keys.partition_prefix(REFS, after))
        found: dict[str, None] = {}
        while len(found) < limit:
            page = self._store.pairs(start, end, limit)
            for key, _ in page:
                found.setdefault(keys.split(key)[1].decode())
            if len(page) < limit:
                break
            start = keys.after_prefix(keys.partition_prefix(REFS, next(reversed(found))))
        return list(found)[:limit]

    def _is_named(self, digest: str) -> bool:
        prefix = keys.partition_prefix(REFS, digest)
        return bool(self._store.pairs(prefix, keys.after_prefix(prefix), 1))
