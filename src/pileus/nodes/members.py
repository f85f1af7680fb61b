"""The cluster as every process of a node knows it now: from the rows, and where they are not read
yet, from the home."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from pileus.edge.neighbours import Neighbours
from pileus.engine.cluster.log import LogSettings
from pileus.engine.cluster.nats import NatsNode, TlsFiles
from pileus.nodes import membership, places
from pileus.nodes.client import Client, Place
from pileus.nodes.keeping import Keeping
from pileus.nodes.peers import NodePeers
from pileus.nodes.places import Cluster, Files, Node, bracketed
from pileus.nodes.tls import client_context, name_of
from pileus.state.store import Store


class Members:
    """``cluster`` is looked up anew when a row of the nodes has changed. ``reading`` says where the
    rows are, once they can be read. ``rebuild_after_s``: how long a node may be silent before its
    blobs and its copy of the log are made elsewhere."""

    def __init__(self, home: Path, cluster: Cluster, rebuild_after_s: float) -> None:
        self.home = home
        self._keeping = Keeping(home / "run" / "nodes.json", rebuild_after_s)
        self.started = cluster  # as the home told it: where this process is, whatever rows say
        self._told = cluster
        self._store: Store | None = None
        self._generation = -1

    def reading(self, store: Store) -> None:
        self._store = store

    @property
    def cluster(self) -> Cluster:
        if self._store is not None:
            now = self._store.generation(membership.TABLE)
            if now != self._generation:
                self._told = membership.known(self._store, self._told)
                self._generation = now
        return self._told

    @property
    def name(self) -> str:
        return self._told.name

    def present(self) -> list[Node]:
        return [n for n in self.cluster.nodes if n.present]

    def names(self) -> list[str]:
        """Of the nodes that take part, this one too."""
        return [n.name for n in self.present()]

    def arrived(self) -> list[str]:
        """Of those that have joined wholly."""
        return [n.name for n in self.present() if n.state != "joining"]

    def keepers(self) -> list[str]:
        """Of those that keep blobs."""
        return self._keeping.keepers(self.cluster.nodes)

    def lost(self, name: str) -> bool:
        """Whether the node has been silent for so long that its copies are made elsewhere."""
        return self._keeping.lost(name)

    def others(self) -> list[Place]:
        """Where the other nodes' doors are."""
        return [Place(n.name, n.address, n.node_port) for n in self.cluster.peers]

    def known(self, certificate: Any) -> str | None:
        """The node that showed ``certificate``; None for one that is no member (any more)."""
        name = name_of(certificate)
        return name if name in self.names() else None

    def peers(self) -> NodePeers:
        """The other nodes, for this process."""
        client = Client(client_context(Files(self.home).folder))
        return NodePeers(self.name, client, self.others, self.keepers, self._keeping.down)


def neighbours(home: Path, cluster: Cluster) -> Neighbours | None:
    """The other nodes that take new work, for this node's Caddy; None as long as there is none."""
    others = tuple(
        (node.name, f"{bracketed(node.address)}:{node.edge_tls_port}")
        for node in cluster.peers
        if node.state == "member"
    )
    return Neighbours(cluster.name, others, Files(home).folder, home / "run") if others else None


def log_settings(home: Path, cluster: Cluster) -> LogSettings:
    """How this node's replica reaches the log."""
    secrets = places.load_secrets(home)
    near_first = (cluster.here, *cluster.peers)
    return LogSettings(
        servers=tuple(f"{bracketed(n.address)}:{n.log_port}" for n in near_first),
        user=secrets.log_user,
        password=secrets.log_password,
        tls=tls_files(home),
        label=cluster.name,
        found=1 if cluster.founder else 0,
        near=cluster.name,
    )


def log_server(home: Path, cluster: Cluster) -> NatsNode:
    """This node's server of the log."""
    secrets, here = places.load_secrets(home), cluster.here
    return NatsNode(
        name=here.name,
        host=here.address,
        client_port=here.log_port,
        route_port=here.log_route_port,
        monitor_port=_free_port(),
        routes=tuple(f"{bracketed(n.address)}:{n.log_route_port}" for n in (here, *cluster.peers)),
        store_dir=Files(home).log_store,
        user=secrets.log_user,
        password=secrets.log_password,
        tls=tls_files(home),
        cluster=f"pileus-{cluster.id}",
    )


def tls_files(home: Path) -> TlsFiles:
    files = Files(home)
    return TlsFiles(files.certificate, files.key, files.authority)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
