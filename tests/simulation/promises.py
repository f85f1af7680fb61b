"""What a run must hold, and what it says where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.state.replica import SqliteReplica


class Violation(AssertionError):
    """A promise was broken; the seed reproduces it."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


async def check_replay(
    replica: SqliteReplica, rules: Any, log: Any, group_size: Callable[[], int]
) -> None:
    """The log, applied again in other groups, gives the same rows and the same hash."""
    again = SqliteReplica(":memory:", rules, journal=False)
    entries = await log.read(0, 1_000_000)
    while entries:
        size = group_size()
        again.apply_group(entries[0].sequence, [e.data for e in entries[:size]])
        entries = entries[size:]
    require(again.chain == replica.chain, "a replay reaches another running hash")
    whole = (b"", b"\xff" * 64, 1_000_000)
    require(again.range(*whole) == replica.range(*whole), "a replay reaches other rows")
    again.close()
