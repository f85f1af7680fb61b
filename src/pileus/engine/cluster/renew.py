"""Making the log anew after its servers lost it: from the best replica, under the next epoch.

When a stream is gone or has lost its end (a damaged disk on most nodes, two nodes lost for good),
what was acknowledged still lies in the replicas. Stop every node's processes but the log's servers,
take the replica that has applied most (``best``), and run ``renew`` there: the new stream begins at
its sequence number and running hash. Replicas that stand exactly there go on; the others find that
they do not and begin from another node's state.
"""

from __future__ import annotations

from collections.abc import Mapping

from pileus.engine import Replica
from pileus.engine.cluster import streams
from pileus.engine.cluster.log_messages import Position
from pileus.engine.cluster.nats_client import Client
from pileus.errors import Unavailable


def best(applied: Mapping[str, int]) -> str:
    """The node whose replica has applied most: the log goes on from it, and what only it had
    stays. ``applied``: every node that can be asked, with its last sequence number."""
    if not applied:
        raise Unavailable("no replica can be asked", "start one node's storage at least")
    return max(sorted(applied), key=lambda node: applied[node])


async def renew(client: Client, shard: int, replica: Replica, copies: int) -> streams.StreamInfo:
    """Make the shard's stream anew, to go on from ``replica``; nothing is deleted. The old stream,
    where something of it is left, is not followed any more: its epoch is lower."""
    epoch = await _epoch(client, shard, replica)
    return await streams.create(
        client,
        shard,
        copies,
        epoch=epoch + 1,
        base=replica.applied,
        chain=replica.chain.hex(),
    )


async def _epoch(client: Client, shard: int, replica: Replica) -> int:
    """The last epoch anybody knows of."""
    found = await streams.newest(client, shard)
    known = found.epoch if found is not None else 0
    if replica.position:
        known = max(known, streams.epoch_of(Position.unpack(replica.position).stream))
    return known
