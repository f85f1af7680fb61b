"""The only place that chooses an engine and puts the parts together."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from pileus import __version__
from pileus.config import Config
from pileus.console.cloudlog import PATH as LOG
from pileus.console.cloudlog import LogDoor
from pileus.console.door import Console
from pileus.console.nodes import AcrossNodes, others_of
from pileus.console.parts import PartsDoor
from pileus.console.rows import ROWS, RowsDoor
from pileus.console.tablets import TABLETS, TabletsDoor
from pileus.edge import caddy
from pileus.edge.door import Edge
from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.clock import SystemClock
from pileus.nodes import beats, operating, places
from pileus.nodes.operating import Operating
from pileus.runtime.client import Runtime
from pileus.runtime.egress import Allowed
from pileus.services import (
    apigateway,
    cloudformation,
    cloudfront,
    cloudwatch,
    dynamodb,
    iam,
    kms,
    kv,
    lambda_,
    logs,
    longrunning,
    metrics,
    placing,
    s3,
    sns,
    ssm,
    sts,
    vault,
)
from pileus.services.call import HttpRequest, HttpResponse, Parts
from pileus.services.cloudwatch.platform import Platform
from pileus.services.dynamodb import streams as dynamodb_streams
from pileus.services.iam.bootstrap import bootstrap, seal
from pileus.services.iam.credentials import Minter
from pileus.services.iam.identities import Identities
from pileus.services.metrics.instruments import watch_state
from pileus.services.outbound import Outbound
from pileus.services.s3 import control as s3_control
from pileus.services.s3.usage import usage
from pileus.services.service import Service
from pileus.state.degraded import silent as unreached
from pileus.state.housekeeping import Housekeeping
from pileus.state.opening import connect_store, open_store
from pileus.state.store import Store
from pileus.state.versions import RuleBook
from pileus.telemetry import Meters, Telemetry
from pileus.telemetry.copies import Copies
from pileus.telemetry.others import NoOthers
from pileus.wire.api import Api
from pileus.wire.authorize import Authorizer
from pileus.wire.behind import Behind
from pileus.wire.counted import CountedDoors
from pileus.wire.dispatch import Dispatcher
from pileus.wire.doors import Doors
from pileus.wire.handing_over import HandingOver, Taking
from pileus.wire.http import Handler, Server, serve
from pileus.wire.known_objects import KnownObjects
from pileus.wire.limits import Limits
from pileus.wire.reach import Reach
from pileus.wire.strong import StrongDoor

if TYPE_CHECKING:
    from pileus.nodes.alone import Alone
    from pileus.nodes.fitting import Fitting
    from pileus.nodes.station import Station

log = logging.getLogger("pileus.assembly")
BODY_FRAMING_BYTES = 64 * 1024**2  # signatures between the chunks of a signed upload
RULES = RuleBook({**kv.RULES, **dynamodb.RULES, **s3.RULES}, dynamodb.OLDER)
BUILDERS = (
    *(iam, sts, dynamodb, dynamodb_streams, s3, s3_control, lambda_),
    *(apigateway, cloudfront, logs, cloudwatch, sns, kms, ssm, cloudformation, longrunning),
)


@dataclass
class Front:
    """One front process, put together: start it, stop it."""

    config: Config
    index: int
    parts: Parts
    api: Api
    handle: Handler  # the API's, after a barrier on a cluster
    services: dict[str, Service]
    http_apis: apigateway.Door
    long_running: longrunning.Door
    edge: Edge
    housekeeping: Housekeeping | None = None
    platform: Platform | None = None
    servers: list[Server] = field(default_factory=list)
    taking: Taking | None = None
    ready: bool = False
    begun: list[Service] = field(default_factory=list)
    station: Station | Alone | None = None  # the first process of a node

    @property
    def objects(self) -> KnownObjects | None:
        """On a cluster all requests for objects wait for a barrier: none is answered before."""
        return self.api.objects if self.parts.store.strong is None else None

    async def start(self) -> None:
        """Services first, then the doors, so that nothing is answered half-made."""
        for service in self.services.values():
            if service.start is not None:
                await service.start()
        if self.housekeeping is not None:
            await self.housekeeping.start()
            if self.station is None:
                await self.begin()
            else:
                await self.station.start(self.begin, self.cease)
        self.ready = True
        limits = Limits(body_bytes=self.config.body_bytes_max + BODY_FRAMING_BYTES)
        known = self.api.heads.read, self.edge.direct.answer
        meters, learn = self.parts.meters, self.api.swifts.learn
        for address in self.config.binds:
            where = (address, self.config.port)
            server = await serve(
                *(self.handle, where, limits, *known),
                meters=meters,
                objects=self.objects,
                learn=learn,
            )
            self.servers.append(server)
        if self.config.fronts == 2:
            self._gather_writers(self.servers[:])
        await self.edge.start()
        viewers = str(caddy.socket_path(self.config, self.index))
        known_viewers = self.edge.proxied.answer
        self.servers.append(
            await serve(
                self.edge.serve_proxied, viewers, instant=known_viewers, meters=meters, name="edge"
            )
        )
        if self.station is not None:
            await self.station.announce()
        if self.platform is not None:
            watch_state(meters, self.parts.store)
            await self.platform.start()
        meters.open(self.config.home)
        meters.run_on(asyncio.get_running_loop())

    def _gather_writers(self, servers: list[Server]) -> None:
        """Of two processes the one that writes serves who mostly writes."""
        path = self.config.path("run", "connections.sock")
        if self.index == 0:
            self.taking = taking = Taking(path, servers[0])
            gauge = "pileus_connections_taken_total"
            self.parts.meters.gauge(gauge, lambda: taking.taken, server="api")
            return
        handing_over = HandingOver(path)
        for server in servers:
            server.handing_over = handing_over

    async def begin(self) -> None:
        """Do what one process of the cloud does for all."""
        for service in self.services.values():
            self.begun.append(service)
            if service.begin is not None:
                await service.begin()

    async def cease(self) -> None:
        """Leave the work for all to another."""
        while self.begun:
            service = self.begun.pop()
            if service.cease is not None:
                await service.cease()

    async def stop(self) -> None:
        """Doors first: finish what was begun; then services, then the store."""
        if self.taking is not None:
            self.taking.close()
        for server in self.servers:
            if server.handing_over is not None:
                server.handing_over.close()
            await server.stop()
        if self.housekeeping is not None:
            await self.housekeeping.stop()
        if self.station is not None:
            await self.station.stop()
        await self.cease()
        if self.platform is not None:
            await self.platform.stop()
        await self.http_apis.close()
        await self.long_running.close()
        for service in reversed(self.services.values()):
            if service.stop is not None:
                await service.stop()
        await self.edge.close()
        await self.parts.outbound.close()
        await self.parts.runtime.close()
        self.parts.others.close()
        self.parts.copies.close()
        await self.parts.store.close()
        self.parts.telemetry.close()
        self.parts.meters.close()

    def health(self, request: HttpRequest) -> HttpResponse:
        """``GET /_pileus/health``: 200 with JSON when ready, or ``degraded``: without most nodes
        of the cluster only eventual reads are answered. ``shards``: which of several are without
        their log; the others are served as ever."""
        degraded, several = self.parts.store.degraded, len(self.parts.store.shards) > 1
        silent = {"shards": list(unreached(self.parts.store.home))} if several else {}
        told = {
            "status": ("degraded" if degraded else "ready") if self.ready else "starting",
            **({"why": degraded} | silent if degraded else {}),
            "version": __version__,
            "front": self.index,
            "region": self.config.region,
            "port": self.config.port,
            "account": self.config.account,
            "dev": self.config.dev,
            "services": sorted(self.services),
        }
        headers = [("content-type", "application/json"), ("cache-control", "no-store")]
        return HttpResponse(200 if self.ready else 503, headers, orjson.dumps(told))

    def to_console(self, request: HttpRequest) -> HttpResponse:
        """``/_pileus/admin`` at the API port: the console is at the edge."""
        name = request.headers.get("host", "localhost").rsplit(":", 1)[0]
        place = f"http://{name}:{self.config.edge_port}/admin/"
        return HttpResponse(302, [("location", place), ("cache-control", "no-store")])


async def assemble(config: Config, index: int) -> Front:
    """Front process ``index`` of this machine; 0 is the writer and does the background work."""
    clock = SystemClock()
    meters = Meters(f"front-{index}")
    files = FileBlobs(config.path("blobs"))
    fitting = _fitting(config)
    blobs = files if fitting is None else fitting.blobs(files)
    if index == 0:
        store = await _open(config, fitting, clock)
        await vault.prepare(store, clock, config)
        await bootstrap(store, clock, config)
    else:
        node = fitting.name if fitting and fitting.clustered else ""
        store = await connect_store(config.home, RULES, clock, node=node, placing=placing.PLACING)
    sealed, opened = seal(store), vault.unlocked(store, config)
    while sealed is None or opened is None:  # the writer records them at the very first start
        await clock.sleep(0.02)
        sealed, opened = seal(store), vault.unlocked(store, config)
    if fitting is not None:
        fitting.members.reading(store)
    identities = Identities(store, sealed)
    dispatch = Dispatcher()
    parts = Parts(
        store=store,
        blobs=blobs,
        clock=clock,
        config=config,
        dispatch=dispatch,
        telemetry=Telemetry.open(config.home),
        runtime=Runtime(config.path("run", "runtime.sock")),
        credentials=Minter(identities, sealed, clock),
        vault=opened,
        background=index == 0,
        nodes=fitting.standing() if fitting else None,
        others=fitting.asking if fitting else NoOthers(),
        copies=Copies(config.home),
        owner=fitting.name if fitting else f"{socket.gethostname()}:{config.home}",
        outbound=Outbound(Allowed.parse([config.egress_allow])),
        meters=meters,
    )
    services = {s.name: s for s in (module.build(parts) for module in BUILDERS)}
    api = Api(
        services,
        identities,
        Authorizer(identities),
        now_ms=clock.now_ms,
        account=config.account,
        region=config.region,
        dev=config.dev,
        meters=meters,
    )
    dispatch.connect(api, store.strong)
    handle = _strong(api, store)
    parts.outbound.connect(handle)
    http_apis = apigateway.Door(parts, api.admit)
    long_running = longrunning.Door(parts)
    edge = Edge(parts, http_apis, long_running)
    front = Front(config, index, parts, api, handle, services, http_apis, long_running, edge)
    if index == 0:
        _background(front, fitting)
    if fitting is not None:
        if index == 0:
            front.station = fitting.station(store, clock, blobs, RULES, meters, parts.copies)
        _mount_between_nodes(front, fitting)
    _mount(front)
    return front


def _background(front: Front, fitting: Fitting | None) -> None:
    """The work that one front process of a machine does, and in part one node for all."""
    parts = front.parts
    leads = functools.partial(fitting.leads, parts.store) if fitting else lambda: True
    front.platform = Platform(parts, usage, leads)
    patience_s = front.config.backup_patience_days * 86_400
    front.housekeeping = Housekeeping(
        parts.store, parts.blobs, parts.clock, patience_s=patience_s, leads=leads
    )


def _strong(api: Api, store: Store) -> Handler:
    if store.strong is None:
        return api.handle
    return StrongDoor(api, store.strong, store.strong_in, Reach(store).of).handle


async def _open(config: Config, fitting: Fitting | None, clock: SystemClock) -> Store:
    cluster = fitting.log() if fitting is not None else None
    return await open_store(
        config.home, RULES, clock, cluster, config.shards, placing=placing.PLACING
    )


def _fitting(config: Config) -> Fitting | None:
    """What is other on a node of a cluster; None on one machine, which need not load it."""
    cluster = places.load(config.home)
    if cluster is None:
        return None
    from pileus.nodes.fitting import Fitting

    return Fitting(config, cluster)


def _mount_between_nodes(front: Front, fitting: Fitting) -> None:
    """Where machines join, and where clients are sent to one that has time."""
    entry, router = fitting.entry(), front.api.router
    router.mount(places.JOIN_PATH, fitting.join_door(front.parts.store, front.parts.clock).serve)
    router.mount("/_pileus/entry", entry.to_api)
    front.edge.entry = entry.to_edge


def _mount(front: Front) -> None:
    """Doors beside the AWS API, by path and by host."""
    parts = front.parts
    router = CountedDoors(front.api.router, parts.meters)
    watching = metrics.Door(parts, front.api.admit)
    router.mount("/_pileus/metrics", watching.metrics)
    across = AcrossNodes(others_of(front.config.home, places.load))
    router.mount("/_pileus/series", across.door(watching.series))
    router.mount("/_pileus/health", front.health)
    view = functools.partial(beats.view, front.config.path("run", "nodes.json"))
    seen = Operating(parts.store, front.config, view)
    router.mount(operating.PATH, front.api.signed(seen, "pileus").serve)
    http_apis = front.http_apis
    router.mount_named(http_apis.owns, http_apis.serve)
    router.mount("/_api/", http_apis.serve)
    router.mount("/_pileus/kv/", front.api.signed(kv.build(parts), "pileus").serve)
    managed = front.api.signed(longrunning.ApiDoor(parts), "pileus")
    router.mount("/_pileus/services", managed.serve)
    router.mount("/_service/", front.long_running.serve)
    router.mount_host("service", front.long_running.serve)
    sites = s3.Website(parts)
    router.mount("/_site/", sites.serve)
    router.mount("/_cdn/", front.edge.serve)
    router.mount_host("cloudfront", front.edge.serve)
    front.edge.console = Console(Behind(front.handle).serve, front.health).serve
    router.mount("/_pileus/admin", front.to_console)
    processes = PartsDoor(parts, lambda: sum(j.health == "alive" for j in view().values()) - 1)
    router.mount("/_pileus/parts", across.door(front.api.signed(processes, "pileus").serve))
    router.mount(LOG, across.door(front.api.signed(LogDoor(parts), "pileus").serve))
    rows = front.api.signed(RowsDoor(parts), "pileus").serve
    router.mount(ROWS, rows)
    tablets = front.api.signed(TabletsDoor(parts), "pileus").serve
    router.mount(TABLETS, tablets)
    functions = lambda_.Door(parts, lambda request: front.api.signer(request, "lambda"))
    router.mount("/_lambda/", functions.serve)
    router.mount(cloudformation.PREFIX, cloudformation.door(parts).serve)
    router.mount(sns.PREFIX, sns.door(parts).serve)
    doors = Doors()  # the edge's: host forms alone, each an origin of its own
    for each in (router, CountedDoors(doors, parts.meters)):
        each.mount_host("execute-api", http_apis.serve)
        each.mount_host("s3-website", sites.serve)
        each.mount_host("lambda-url", functions.serve)
    front.edge.doors = doors.door
