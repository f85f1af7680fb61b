"""A log its servers have lost, made anew from this node's state (`pileus renew-log`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pileus.engine.cluster import renew, streams
from pileus.engine.cluster.log_messages import Position
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.members import log_settings
from pileus.state import database


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


async def renew_log(home: Path) -> streams.StreamInfo:
    """Make the log anew, to go on from this home's state. More than half of the log's servers
    must be up; ``Unavailable`` when this is no node, or they do not answer."""
    cluster = places.load(home)
    if cluster is None:
        raise Unavailable(f"{home} is not a node of a cluster", "pileus init")
    s = log_settings(home, cluster)
    client = await streams.connect(s.servers, s.user, s.password, s.tls.context(), label="renewal")
    try:
        copies = min(streams.REPLICAS, 1 + len(cluster.peers))
        return await renew.renew(client, s.shard, standing(home), copies)
    finally:
        await client.close()
