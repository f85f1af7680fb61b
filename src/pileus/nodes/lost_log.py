"""A log its servers have lost, made anew from this node's state (`pileus renew-log`)."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from pileus.engine.cluster import renew, streams
from pileus.engine.cluster.log_messages import Position
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.client import Client, Place
from pileus.nodes.members import log_settings
from pileus.nodes.tls import client_context
from pileus.state import database

log = logging.getLogger("pileus.nodes.lost_log")
ASK_S = 3.0


class Standing(NamedTuple):
    """How far a state has come: its last entry, the running hash there, its place in the log."""

    applied: int
    chain: bytes
    position: bytes

    @property
    def stream(self) -> str:
        return Position.unpack(self.position).stream if self.position else "no log yet"


def standing(home: Path) -> Standing:
    """How far this home's state has come; the cloud may run meanwhile."""
    file = home / database.STATE_FILE
    if not file.exists():
        raise Unavailable(f"{home} holds no state", "name the home of a node: --home DIR")
    connection = database.connect_reader(file)
    try:
        found: Any = connection.execute(
            "SELECT last, chain FROM log ORDER BY first DESC LIMIT 1"
        ).fetchall()
        applied, chain = found[0] if found else (0, bytes(16))
        return Standing(applied, bytes(chain), database.position(connection))
    finally:
        connection.close()


class Renewal(NamedTuple):
    """The log made anew, and the nodes that could not say how far their states have come."""

    made: streams.StreamInfo
    unasked: list[str]


async def renew_log(home: Path) -> Renewal:
    """End the old log, then make it anew, to go on from this home's state. More than half of the
    log's servers must be up; ``Unavailable`` when this is no node, they do not answer, or another
    node's state has come further."""
    cluster = places.load(home)
    if cluster is None:
        raise Unavailable(f"{home} is not a node of a cluster", "pileus init")
    s = log_settings(home, cluster)
    client = await streams.connect(s.servers, s.user, s.password, s.tls.context(), label="renewal")
    try:
        await renew.close_old(client, s.shard, lambda: standing(home))
        told = await _others(home, cluster)
        stands = standing(home)
        best = max(told, key=lambda name: told[name], default="")
        if best and told[best] > stands.applied:
            raise Unavailable(
                f"{best} has come to entry {told[best]}, this node to {stands.applied}",
                f"on {best}: pileus renew-log --yes",
            )
        copies = min(streams.REPLICAS, 1 + len(cluster.peers))
        made = await renew.renew(client, s.shard, stands, copies)
        return Renewal(made, [n.name for n in cluster.peers if n.name not in told])
    finally:
        await client.close()


async def _others(home: Path, cluster: places.Cluster) -> dict[str, int]:
    """How far the states of the other nodes have come, of those that answer."""
    client = Client(client_context(places.Files(home).folder), step_s=ASK_S)
    told: dict[str, int] = {}
    try:
        for node in cluster.peers:
            place = Place(node.name, node.address, node.node_port)
            try:
                async with asyncio.timeout(ASK_S):
                    answer = await client.send(place, "GET", "/status")
                    told[node.name] = int(json.loads(await answer.read())["applied"])
            except (Unavailable, TimeoutError, ValueError, KeyError) as error:
                log.warning("%s does not say how far its state has come: %s", node.name, error)
    finally:
        client.close()
    return told
