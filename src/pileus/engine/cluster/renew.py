"""Making the log anew after its servers lost it: from the best replica, under the next epoch.

When a stream is gone or has lost its end (a damaged disk on most nodes, two nodes lost for good),
what was acknowledged still lies in the replicas. The log goes on from the one that has applied
most: the new stream begins at its sequence number and running hash. Replicas that stand exactly
there go on; the others find that they do not and begin from another node's state.

The old stream, where something of it is left, is sealed first: from then on nobody's write can be
acknowledged there, and what it holds can be waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from pileus.engine.cluster import streams
from pileus.engine.cluster.log_messages import Position
from pileus.engine.cluster.nats_client import Client


class Stands(Protocol):
    """A state, and how far it has come: see ``pileus.engine.Replica``."""

    @property
    def applied(self) -> int: ...
    @property
    def chain(self) -> bytes: ...
    @property
    def position(self) -> bytes: ...


SETTLE_S = 10.0


async def close_old(client: Client, shard: int, stands: Callable[[], Stands]) -> None:
    """Seal the stream there is, and give the replica (``stands()``: how far it has come now) time
    to apply the rest of it."""
    found = await streams.newest(client, shard)
    if found is None:
        return
    found = await streams.seal(client, found.name)
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while asyncio.get_running_loop().time() < deadline:
        packed = stands().position
        position = Position.unpack(packed) if packed else None
        if position is None or position.stream != found.name or position.at >= found.last:
            return
        await asyncio.sleep(0.1)


async def renew(client: Client, shard: int, replica: Stands, copies: int) -> streams.StreamInfo:
    """Make the shard's stream anew, to go on from ``replica``; nothing is deleted. ``close_old``
    comes first."""
    epoch = await _epoch(client, shard, replica)
    return await streams.create(
        client,
        shard,
        copies,
        epoch=epoch + 1,
        base=replica.applied,
        chain=replica.chain.hex(),
    )


async def _epoch(client: Client, shard: int, replica: Stands) -> int:
    """The last epoch anybody knows of."""
    found = await streams.newest(client, shard)
    known = found.epoch if found is not None else 0
    if replica.position:
        known = max(known, streams.epoch_of(Position.unpack(replica.position).stream))
    return known
