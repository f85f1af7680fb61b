"""Opening a home's store: with one shard or with several, as the home says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from pileus.engine import Clock
from pileus.engine.damage import damaged
from pileus.state import tablets
from pileus.state.database import STATE_FILE, Rows, connect_reader
from pileus.state.following import Outgrown
from pileus.state.rebuild import Clustered
from pileus.state.rules import Rule
from pileus.state.shard import homes
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.versions import RuleBook

log = logging.getLogger("pileus.state.opening")


def shards_of(home: Path) -> int:
    """How many shards the home's state has; 1 where there is none yet."""
    if not (home / STATE_FILE).exists():
        return 1
    connection = connect_reader(home / STATE_FILE)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchall():
            return 1
        return tablets.shards(Rows(connection))
    except apsw.Error as error:
        if not damaged(error):
            raise
        return len(homes(home))  # whoever opens it sees to the damage
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
    """The writer's store. A home once opened with several shards has them for good, and a node
    those of its cluster; ``more``: what ``ShardedStore`` takes."""
    while True:
        known = shards_of(home)
        count = max(shards, known)
        try:
            if count == 1:
                return await Store.open(home, rules, clock, cluster)
            told = {"book": rules, "count": count, "known": known}
            return await ShardedStore.open(home, rules, clock, cluster, **told, **more)
        except Outgrown as error:
            log.info("%s: opening them", error)


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
