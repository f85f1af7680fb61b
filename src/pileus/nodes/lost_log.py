"""A log its servers have lost, made anew from this node's state (`pileus renew-log`).

Each shard's log is lost and made anew by itself; the others go on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from pileus.engine.cluster import nats_client, renew, streams
from pileus.engine.cluster.log import RENEW
from pileus.engine.cluster.log_messages import Position
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.client import Client, Place
from pileus.nodes.members import log_settings
from pileus.nodes.tls import client_context
from pileus.state import database, degraded
from pileus.state.opening import shards_of
from pileus.state.shard import home_of

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
    """How far the state in a shard's home has come; the cloud may run meanwhile."""
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
    """A shard's log made anew, and the nodes that could not say how far their states have come."""

    shard: int
    made: streams.StreamInfo
    unasked: list[str]


class Renewed(NamedTuple):
    """What was made anew, and why other logs were not."""

    done: list[Renewal]
    left: dict[int, Unavailable]


async def renew_log(home: Path, shard: int | None = None) -> Renewed:
    """End the old log of ``shard``, then make it anew, to go on from this home's state; None: of
    the only one, or of those that are damaged. More than half of the log's servers must be up;
    ``Unavailable`` when this is no node, or they do not answer. A log is left as it is where
    another node's state has come further."""
    cluster, count = places.load(home), shards_of(home)
    if cluster is None:
        raise Unavailable(f"{home} is not a node of a cluster", "pileus init")
    if shard is not None and shard >= count:
        raise Unavailable(f"there is no shard {shard}", f"the shards are 0 to {count - 1}")
    s = log_settings(home, cluster)
    client = await streams.connect(s.servers, s.user, s.password, s.tls.context(), label="renewal")
    result = Renewed([], {})
    try:
        for number in range(count) if shard is None else [shard]:
            try:
                if shard is not None or count == 1 or await damage(client, home, number):
                    result.done.append(await _renew(client, home, cluster, number))
            except Unavailable as error:
                result.left[number] = error
        return result
    finally:
        await client.close()


async def damage(client: nats_client.Client, home: Path, shard: int) -> str:
    """What is wrong with a shard's log; "" when it goes on. ``Unavailable``: nobody can say."""
    note = degraded.silent(home).get(shard, "")
    if RENEW in note:
        return note
    packed = standing(home_of(home, shard)).position
    position = Position.unpack(packed) if packed else Position(streams.name(shard))
    try:
        found = await streams.info(client, position.stream)
    except streams.ApiError as error:
        if error.code != streams.NOT_FOUND:
            raise
        newer = await streams.newest(client, shard)
        return "" if newer is not None else f"{position.stream} is gone"
    if found.sealed:
        newer = await streams.newest(client, shard)
        later = newer is not None and newer.epoch > found.epoch
        return "" if later else f"{found.name} was closed"
    return f"{found.name} ends before what it gave" if found.last < position.at else ""


async def _renew(
    client: nats_client.Client, home: Path, cluster: places.Cluster, shard: int
) -> Renewal:
    own = home_of(home, shard)
    await renew.close_old(client, shard, lambda: standing(own))
    told = {name: come[shard] for name, come in (await _others(home, cluster)).items()}
    stands = standing(own)
    best = max(told, key=lambda name: told[name], default="")
    if best and told[best] > stands.applied:
        which = f" --shard {shard}" if shard else ""
        raise Unavailable(
            f"{best} has come to entry {told[best]}, this node to {stands.applied}",
            f"on {best}: pileus renew-log{which} --yes",
        )
    copies = min(streams.REPLICAS, 1 + len(cluster.peers))
    made = await renew.renew(client, shard, stands, copies)
    return Renewal(shard, made, [n.name for n in cluster.peers if n.name not in told])


async def _others(home: Path, cluster: places.Cluster) -> dict[str, list[int]]:
    """How far the states of the other nodes have come, each shard's, of those that answer."""
    client = Client(client_context(places.Files(home).folder), step_s=ASK_S)
    told: dict[str, list[int]] = {}
    count = shards_of(home)
    try:
        for node in cluster.peers:
            place = Place(node.name, node.address, node.node_port)
            try:
                async with asyncio.timeout(ASK_S):
                    answer = await client.send(place, "GET", "/status")
                    status = json.loads(await answer.read())
                come = [int(each) for each in status.get("applied_each", [status["applied"]])]
                told[node.name] = come + [0] * (count - len(come))
            except (Unavailable, TimeoutError, ValueError, KeyError) as error:
                log.warning("%s does not say how far its state has come: %s", node.name, error)
    finally:
        client.close()
    return told
