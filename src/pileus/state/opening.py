"""Opening a home's store: with one shard or with several, as the home says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pileus.engine import Clock
from pileus.errors import Unavailable
from pileus.state import tablets
from pileus.state.database import STATE_FILE, Rows, connect_reader
from pileus.state.rebuild import Clustered
from pileus.state.rules import Rule
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.versions import RuleBook


def shards_of(home: Path) -> int:
    """How many shards the home's state has; 1 where there is none yet."""
    if not (home / STATE_FILE).exists():
        return 1
    connection = connect_reader(home / STATE_FILE)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchall():
            return 1
        return tablets.shards(Rows(connection))
    finally:
        connection.close()


async def open_store(
    home: Path,
    rules: Mapping[str, Rule] | RuleBook,
    clock: Clock,
    cluster: Clustered | None = None,
    shards: int = 1,
    **more: Any,
) -> Store:
    """The writer's store. A home once opened with several shards has them for good; ``more``: what
    ``ShardedStore`` takes."""
    count = max(shards, shards_of(home))
    if count == 1:
        return await Store.open(home, rules, clock, cluster)
    if cluster is not None:
        raise Unavailable(
            f"{home} has {count} shards, a cluster's log knows one", "start it as one machine"
        )
    return await ShardedStore.open(home, rules, clock, book=rules, count=count, **more)


async def connect_store(
    home: Path,
    rules: Mapping[str, Rule] | RuleBook,
    clock: Clock,
    *,
    node: str = "",
    **more: Any,
) -> Store:
    """A front process's store; ``rules`` as the writer has them."""
    store = await Store.connect(home, clock, node=node)  # from here on the home says
    if shards_of(home) == 1:
        return store
    await store.close()
    return await ShardedStore.connect(home, clock, node=node, book=rules, **more)
