"""Blobs that other nodes keep, for a command: who has them (``verify``), and bringing them to this
home (a backup holds all of them)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.embedded.blobs import FileBlobs
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.client import Client, Place
from pileus.nodes.peers import NodePeers
from pileus.nodes.tls import client_context
from pileus.state.verify import Held


def bring(home: Path, digests: Sequence[str]) -> None:
    """Fetch ``digests`` from the nodes of the cluster ``home`` is of, if it is of one; the scrub
    drops them again after an hour. ``Unavailable`` when no node can give one of them."""
    cluster = places.load(home)
    if cluster is not None and digests:
        asyncio.run(_bring(home, cluster, digests))


async def _bring(home: Path, cluster: places.Cluster, digests: Sequence[str]) -> None:
    local = FileBlobs(home / "blobs")
    with _others(home, cluster) as peers:
        blobs = ClusterBlobs(local, peers)
        try:
            for digest in digests:
                await blobs.fetch(digest)
        finally:
            await blobs.stop()
            local.close()


def held(home: Path, digests: Sequence[str]) -> Held:
    """Who of the cluster ``home`` is of, if it is of one, has ``digests``; the first that says so
    of each."""
    cluster = places.load(home)
    if cluster is None or not digests:
        return Held()
    return asyncio.run(_held(home, cluster, digests))


async def _held(home: Path, cluster: places.Cluster, digests: Sequence[str]) -> Held:
    found = Held()
    with _others(home, cluster) as peers:
        for node in peers.others():
            try:
                for digest in digests:
                    if digest not in found.at and await peers.has(node, digest):
                        found.at[digest] = node
            except Unavailable as error:
                found.unasked[node] = str(error)
    return found


@contextlib.contextmanager
def _others(home: Path, cluster: places.Cluster) -> Iterator[NodePeers]:
    client = Client(client_context(places.Files(home).folder))
    others = [Place(n.name, n.address, n.node_port) for n in cluster.peers]
    try:
        yield NodePeers(cluster.name, client, lambda: others)
    finally:
        client.close()
