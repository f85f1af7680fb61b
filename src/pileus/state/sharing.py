"""What lies in no tablet: rows all shards share, and rows that lie beside their writers.

Shared tables (a bucket, a table's description) are few rows that rules read with every write and
that change seldom: every shard has them, so such a write stays one entry of one shard; a change of
them is a transaction of all shards. Rows beside their writers (``blobrefs``) stay behind when a
tablet moves; one deleted later elsewhere leaves a *stray*, by which the one left behind is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pileus.state import entry as codec
from pileus.state import keys, owned, sharding, tablets
from pileus.state.crossing import Crossing, Ended
from pileus.state.footprint import Footprint, Recorder
from pileus.state.shard import Shard
from pileus.state.sharded_reader import ShardedReader

PAGE = 200


async def share(
    shards: Sequence[Shard], rows: ShardedReader, crossing: Crossing, names: Sequence[str]
) -> None:
    """At the start of the only writer: make ``names`` tables that all shards share, also those
    shards that are new. A second time it does nothing."""
    first = shards[0].rows
    done = [sorted(names), len(shards)]
    if owned.copied(first) == done:
        return
    for shard in reversed(shards):
        await shard.ask("shard.share", {"tables": list(names)})
    for name in names:
        await _spread(shards, rows, crossing, keys.table_prefix(name))
    await shards[0].ask("shard.share", {"tables": list(names), "copied": len(shards)})


async def _spread(
    shards: Sequence[Shard], rows: ShardedReader, crossing: Crossing, prefix: bytes
) -> None:
    """Write all rows of a shared table again, in every shard."""
    start, end = prefix, keys.after_prefix(prefix)
    for attempt in range(1_000_000):
        seen = Recorder(rows)
        found = seen.range(start, end, PAGE)
        if not found:
            return
        change = Footprint(seen, {r.key: r.value for r in found}, [])
        where = tablets.load(shards[0].rows)
        told = await crossing.commit(change, where, "write", b"", codec.ok(None))
        if isinstance(told, Ended):
            await crossing.wait(change, min(attempt, 6))
        else:
            start = found[-1].key + b"\x00"


async def sweep_strays(shards: Sequence[Shard]) -> int:
    """Delete what moved tablets left behind and what is needed no more; answers how many rows."""
    gone = 0
    prefix = sharding.STRAYS
    for shard in shards:
        found = shard.rows.range(prefix, keys.after_prefix(prefix), PAGE)
        for stray in found:
            args = {"key": keys.split(stray.key)[2], "below": stray.version}
            others = [s for s in shards if s is not shard]
            gone += sum(await asyncio.gather(*(s.ask("move.stray", args) for s in others)))
        if found:
            await shard.ask("move.clean", [[s.key, s.version] for s in found])
    return gone
