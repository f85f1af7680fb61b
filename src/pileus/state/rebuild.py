"""Beginning anew from another node's state: what a replica does that fell behind the log's
beginning, or parted from the others.

The wish is a file in the home, ``rebuild``, so that it outlives the process: whoever opens the
store next fetches a copy before anything else. Nothing of the old state is removed before the copy
is whole and synced on this disk.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.engine import SharedLog
from pileus.state import checkpoint, pages
from pileus.state.database import PAGE_BYTES, STATE_FILE
from pileus.state.groups import sync_directory, write_synced

log = logging.getLogger("pileus.state.rebuild")
WISH = "rebuild"
GIVEN_UP = "damaged-state"  # beside a state that could not be made anew from its log: why
Fetch = Callable[[int, Path, int], Awaitable[None]]


@dataclass(frozen=True)
class Clustered:
    """What a store needs on a node of a cluster. ``make_log(shard, committed, failed)`` makes a
    shard's log; ``fetch(shard, target, at_least)`` writes another node's whole state file of it,
    verified, that has applied entry ``at_least``, to the path ``target`` (``Unavailable`` when no
    node can give one); ``node`` is this node's name."""

    make_log: Callable[[int, Callable[[Any], None], Callable[[Exception], None]], SharedLog]
    fetch: Fetch
    node: str


def wish(home: Path, why: str) -> None:
    """From now on this home's state is not to be used: the next start fetches another."""
    write_synced(home / WISH, why.encode())


def wished(home: Path) -> str:
    """Why the state must not be used; "" when it may."""
    file = home / WISH
    return file.read_text() if file.exists() else ""


def given_up(home: Path) -> bool:
    """Whether this state is known to be damaged and not to be mended from its log."""
    return (home / GIVEN_UP).exists()


async def rebuild(home: Path, shard: int, fetch: Fetch, at_least: int) -> None:
    """Replace the state of ``shard``, whose home this is, by another node's; nobody may have it
    open. Archive and checkpoints of the old one go with it: they do not join the new one's log."""
    aside = home / "fetched.tmp"
    aside.unlink(missing_ok=True)
    await fetch(shard, aside, at_least)
    whole = home / "state.tmp"
    whole.unlink(missing_ok=True)
    pages.copy(aside, whole, PAGE_BYTES, checksums=True)
    pages.sync(whole)
    if not wished(home):
        wish(home, "a rebuild was cut off")  # until the last step, half of it must not be used
    for name in (f"{STATE_FILE}-wal", f"{STATE_FILE}-shm"):
        (home / name).unlink(missing_ok=True)
    whole.rename(home / STATE_FILE)
    sync_directory(home)
    for name in ("archive", "checkpoints"):
        shutil.rmtree(home / name, ignore_errors=True)
    checkpoint.adopt(aside, home / "checkpoints")  # what the log here goes on from
    (home / GIVEN_UP).unlink(missing_ok=True)
    (home / WISH).unlink()
    sync_directory(home)
    sequence, _ = checkpoint.position(home / STATE_FILE)
    log.warning("the state was replaced by another node's, as of entry %d", sequence)
