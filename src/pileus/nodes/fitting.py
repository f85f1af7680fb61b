"""The parts of a front process that are others on a node of a cluster. Imported on nodes only: one
machine pays for nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from pileus import __version__
from pileus.config import Config
from pileus.engine.cluster import nats
from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.cluster.log import ClusterLog
from pileus.engine.embedded.blobs import FileBlobs
from pileus.errors import Unavailable
from pileus.nodes import discarding, places
from pileus.nodes.admitting import JoinDoor
from pileus.nodes.alone import Alone
from pileus.nodes.asking import PATH, Asking
from pileus.nodes.background import holder
from pileus.nodes.catchup import fetch_checkpoint
from pileus.nodes.entry import Entry
from pileus.nodes.handing import TAKE, Handing
from pileus.nodes.members import Members, log_server, log_settings
from pileus.nodes.places import Cluster, Files
from pileus.nodes.standing import Standing
from pileus.nodes.station import Station
from pileus.state.rebuild import Clustered
from pileus.state.shard import home_of
from pileus.state.store import Store
from pileus.state.versions import RuleBook
from pileus.telemetry.copies import Copies
from pileus.telemetry.meters import Meters

log = logging.getLogger("pileus.nodes")
FETCH_S_MAX, FETCH_PAUSE_S = 60.0, 0.3


class Fitting:
    """One process's. ``clustered``: whether the log is the cluster's, or still this machine's."""

    def __init__(self, config: Config, cluster: Cluster) -> None:
        self._config = config
        self.members = Members(config.home, cluster, config.rebuild_after_s)
        self.clustered = cluster.engine == places.CLUSTER
        told = config.path("run", "nodes.json")
        self.asking = Asking(self.members, Files(config.home).folder, told)
        self._fetched_bytes = 0  # of another node's state, to begin from

    @property
    def name(self) -> str:
        return self.members.name

    def standing(self) -> Standing:
        """The nodes, as services that are spread over them see them."""
        return Standing(self.members, self._config.path("run", "nodes.json"))

    def entry(self) -> Entry:
        """What sends who comes to a front end that lives."""
        return Entry(self.members, self.standing())

    def blobs(self, files: FileBlobs) -> FileBlobs | ClusterBlobs:
        return ClusterBlobs(files, self.members.peers()) if self.clustered else files

    def log(self) -> Clustered | None:
        """What ``Store.open`` needs for the cluster's log; None as long as there is none."""
        if not self.clustered:
            return None
        settings = log_settings(self._config.home, self.members.started)

        def make_log(shard: int, *told: Any) -> ClusterLog:
            return ClusterLog(replace(settings, shard=shard), *told)

        return Clustered(make_log, self._fetch, self.name)

    async def _fetch(self, shard: int, target: Path, at_least: int) -> None:
        """Another node's state of a shard. It may be starting itself just now: the second node of a
        cluster
        asks the first, which changes its engine."""
        peers, home = self.members.peers(), home_of(self._config.home, shard)
        deadline = asyncio.get_running_loop().time() + FETCH_S_MAX
        try:
            while True:
                try:
                    told = await fetch_checkpoint(peers, home, target, at_least, shard)
                    self._fetched_bytes += told.size
                    return
                except Unavailable:
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(FETCH_PAUSE_S)
        finally:
            peers.client.close()

    def station(
        self,
        store: Store,
        clock: Any,
        blobs: FileBlobs | ClusterBlobs,
        rules: RuleBook,
        meters: Meters,
        copies: Copies,
    ) -> Station | Alone:
        """What the first process of the node runs beside the services."""
        if isinstance(blobs, ClusterBlobs):
            fetched = self._fetched_bytes
            made = Station(self._config, self.members, store, clock, blobs, rules, meters, fetched)
            made.mount(PATH, self.asking.serve)
            self.asking.offer(TAKE, copies.take)
            made.handing = Handing(self.asking, copies)
            return made
        return Alone(self._config, self.members, store, clock)

    def leads(self, store: Store) -> bool:
        """Whether this node does the work for all."""
        return holder(store) == self.name

    def join_door(self, store: Store, clock: Any) -> JoinDoor:
        return JoinDoor(store, clock, self._config, __version__)


def run_log_server(config: Config) -> None:
    """Become the node's server of the log, with the routes to the nodes as they are now."""
    cluster = places.load(config.home)
    assert cluster is not None
    discarding.discard(config.home)
    nats.run(log_server(config.home, cluster))


def check_log_server(home: Path, cluster: Cluster) -> None:
    """``Unavailable`` when there is no server to run, or names what it would lack. A founder that
    is alone still has no route to another node."""
    nats.server_path()
    nats.check(log_server(home, cluster), alone=cluster.engine == places.EMBEDDED)
