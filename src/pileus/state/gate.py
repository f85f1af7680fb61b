"""What of one shard's log waits, on a node of a cluster, for what it takes for done in another's.

On one machine an entry that ends something begun in another shard is written after that other
entry was applied. So it is on the node of its author; the others read each log at a pace of its
own. Such an entry names what it takes for done: ``needs`` among its arguments, ``[[shard, entry],
…]``. The gate holds it back until this node has applied that, and with it the rest of its log: so
on every node what readers rely on becomes true in the order in which it did on the author's.

It cannot dead-lock. An author names an entry when he has its verdict, so it lies in its log before
the message that names it is sent. Of all messages that a node has still to apply, the one that was
logged first therefore names only entries that are applied here. (DESIGN.md, "Several shards")
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pileus.state import entry as codec

NEEDS = "needs"
_WORD = b"\xa5needs"  # as msgpack has it
GATED = frozenset(
    {"txn.decide", "txn.finish", "txn.forget", "move.switch", "move.open", "move.purge"}
)
Needs = dict[int, int]


class Waiting(NamedTuple):
    needs: Needs
    wake: Callable[[], None]


def told(needs: Needs) -> list[list[int]]:
    """As an entry's arguments have it."""
    return [[shard, needs[shard]] for shard in sorted(needs)]


def later(*many: Needs) -> Needs:
    """What all of them need."""
    found: Needs = {}
    for one in many:
        for shard, number in one.items():
            found[shard] = max(number, found.get(shard, 0))
    return found


def needed(entries: Iterable[bytes]) -> Needs:
    """What ``entries`` of one log take for done in others."""
    found: Needs = {}
    for data in entries:
        if _WORD in data:
            e = codec.unpack(data)
            if e.rule in GATED and isinstance(e.args, dict):
                for shard, number in e.args.get(NEEDS, ()):
                    found[shard] = max(number, found.get(shard, 0))
    return found


class Gates:
    """One node's. ``at``: how far each of its shards' replicas has come."""

    def __init__(self) -> None:
        self.at: dict[int, int] = {}
        self._lock = threading.Lock()
        self._waiting: dict[int, Waiting] = {}
        self._waived: dict[int, Needs] = {}

    def passed(self, shard: int, number: int) -> None:
        """Entry ``number`` of ``shard`` is committed here. On any thread."""
        with self._lock:
            if number > self.at.get(shard, 0):
                self.at[shard] = number
            ready = [s for s, w in self._waiting.items() if not self._missing(w.needs)]
            woken = [self._waiting.pop(s) for s in ready]
        for one in woken:
            one.wake()

    def _missing(self, needs: Needs) -> Needs:
        at = self.at
        return {s: number for s, number in needs.items() if at.get(s, 0) < number}

    def missing(self, needs: Needs) -> Needs:
        """What of ``needs`` is not applied here."""
        with self._lock:
            return self._missing(needs)

    def admits(self, shard: int, needs: Needs, wake: Callable[[], None] | None) -> bool:
        with self._lock:
            if not self._missing(needs) or self._waived.get(shard) == needs:
                return True
            if wake is not None:
                self._waiting[shard] = Waiting(needs, wake)
            return False

    def waive(self, shard: int, needs: Needs) -> None:
        """Let ``shard`` go on without ``needs``: no log has them any more."""
        with self._lock:
            self._waived[shard] = needs
            waiting = self._waiting.pop(shard, None)
        if waiting is not None:
            waiting.wake()

    def waiting(self) -> dict[int, Needs]:
        """By shard that waits: what it waits for."""
        with self._lock:
            return {s: w.needs for s, w in self._waiting.items()}

    def of(self, shard: int) -> Gate:
        return Gate(self, shard)


class Gate:
    """One shard's (``engine.cluster.log_apply.Gate``)."""

    def __init__(self, gates: Gates, shard: int) -> None:
        self._gates, self._shard = gates, shard

    def needs(self, entries: list[bytes]) -> Needs:
        found = needed(entries)
        found.pop(self._shard, None)  # its own come in order
        return found

    def admits(self, needs: Needs, wake: Callable[[], None] | None) -> bool:
        return self._gates.admits(self._shard, needs, wake)


def with_needs(args: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """An entry's arguments that name what they take for done."""
    return {**args, NEEDS: told(needs)} if needs else args
