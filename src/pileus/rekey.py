"""``pileus rekey``: another root key. Every key in the state is wrapped again, no data is touched.

decisions/0004. The cloud is down meanwhile. The order makes every moment safe: the new key lies
durable in ``root.key.next`` before anything is wrapped with it; the state changes over in one entry
(in several where the keys are very many: then the command has to be run again after a crash); the
files change names after it, or at the next start (``vault.check``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pileus.assembly import RULES
from pileus.config import Config
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.services import kms, s3, sns, vault
from pileus.services.vault import Rewrap
from pileus.state.store import Store
from pileus.supervisor import claim_home

ENTRY_BYTES_MAX = 4 * 1024 * 1024
Writes = list[list[Any]]


@dataclass(frozen=True)
class Rekeyed:
    """How many keys were wrapped again, in how many entries; where the old root key is kept."""

    keys: int
    entries: int
    old: Path


def rekey(config: Config, say: Callable[[str], None]) -> Rekeyed:
    """Change the root key of the cloud in ``config.home``, which must be down. Run again after a
    crash, it goes on. ``Unavailable`` with a hint where it cannot."""
    if places.load(config.home) is not None:
        raise Unavailable(
            "the root key of a cluster cannot be changed yet", "its nodes would need it all at once"
        )
    held = claim_home(config)
    try:
        return asyncio.run(_rekey(config, say))
    finally:
        os.close(held)


async def _rekey(config: Config, say: Callable[[str], None]) -> Rekeyed:
    clock = SystemClock()
    store = await Store.open(config.home, RULES, clock)
    try:
        mark = store.get_json(vault.MARK)
        if mark is None:
            raise Unavailable("this cloud has no root key yet", "start it once: pileus up")
        old, new = vault.next_keys(mark, config, clock)
        rewrap = Rewrap(old, new, clock)
        entries = list(_entries(store, rewrap))
        say(f"{rewrap.count} keys to wrap again")
        for writes in entries[:-1]:
            unfinished = {"fingerprint": old.fingerprint, "next": new.fingerprint}
            await store.submit("write", [*writes, [vault.MARK, orjson.dumps(unfinished)]])
        done = [vault.MARK, orjson.dumps({"fingerprint": new.fingerprint})]
        await store.submit("write", [*entries[-1], done])
    finally:
        await store.close()
    kept = vault.changed(config)
    return Rekeyed(rewrap.count, len(entries), kept)


def _entries(store: Store, rewrap: Rewrap) -> Iterator[Writes]:
    """The rows with their keys wrapped under the new root key, in pieces that fit an entry."""
    writes: Writes = []
    size = 0
    for walk in (kms.rewrapped, s3.rewrapped, sns.rewrapped):
        for key, value in walk(store, rewrap):
            if writes and size + len(key) + len(value) > ENTRY_BYTES_MAX:
                yield writes
                writes, size = [], 0
            writes.append([key, value])
            size += len(key) + len(value) + 16
    yield writes
