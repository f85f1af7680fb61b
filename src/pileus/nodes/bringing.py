"""Blobs that other nodes keep, brought to this home for a command: a backup holds all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.embedded.blobs import FileBlobs
from pileus.nodes import places
from pileus.nodes.client import Client, Place
from pileus.nodes.peers import NodePeers
from pileus.nodes.tls import client_context


def bring(home: Path, digests: Sequence[str]) -> None:
    """Fetch ``digests`` from the nodes of the cluster ``home`` is of, if it is of one; the scrub
    drops them again after an hour. ``Unavailable`` when no node can give one of them."""
    cluster = places.load(home)
    if cluster is not None and digests:
        asyncio.run(_bring(home, cluster, digests))


async def _bring(home: Path, cluster: places.Cluster, digests: Sequence[str]) -> None:
    client = Client(client_context(places.Files(home).folder))
    others = [Place(n.name, n.address, n.node_port) for n in cluster.peers]
    local = FileBlobs(home / "blobs")
    blobs = ClusterBlobs(local, NodePeers(cluster.name, client, lambda: others))
    try:
        for digest in digests:
            await blobs.fetch(digest)
    finally:
        await blobs.stop()
        client.close()
        local.close()
