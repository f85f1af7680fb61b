"""Is there one order of the operations on a key that explains every answer?

Just-in-time search after Wing and Gong (1993) and Lowe ("Testing for linearizability", 2017): walk
through begins and ends in time; keep every configuration (the value, and which of the operations
under way have taken effect) that agrees with all answers so far. When an operation ends, those
under way take effect in every order that leads to its own; a configuration seen once is not
searched again. If none is left, no order explains the answer. Operations whose answer was lost stay
under way for ever: each may take effect later, or never; of those that do the same only the first
that is left is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lab.history.records import Operation, by_key

CONFIGURATIONS_MAX = 200_000
UNSEEN = "a value that nobody found"
Configuration = tuple[Any, int]  # the value; a bit for each slot under way that took effect


class Undecided(Exception):
    """Too many operations at once without an answer: the search was given up."""


@dataclass(frozen=True)
class Violation:
    """``operation`` cannot have been answered so. ``values``: what the key may have held;
    ``under_way``: what else was going on."""

    operation: Operation
    values: tuple[Any, ...]
    under_way: tuple[Operation, ...]

    def __str__(self) -> str:
        lines = [f"not linearizable: {self.operation}", f"  the key held one of {self.values}"]
        return "\n".join([*lines, *(f"  under way: {o}" for o in self.under_way)])


def after(value: Any, operation: Operation) -> tuple[bool, Any]:
    """Whether ``operation`` would be answered so on ``value``, and what it leaves."""
    told, known = operation.told, operation.ended is not None
    match operation.kind:
        case "read":
            return not known or told == (value,), value
        case "write":
            return not told or told == (value,), operation.given[0]
        case "swap":
            expected, new = operation.given
            done = value == expected
            if known and (told[0] == "done") != done:
                return False, value
            seen = told[1:] == () or told[1] == value
            return seen, new if done else value
        case "add":
            total = (value or 0) + operation.given[0]
            return not known or told == (total,), total
    raise ValueError(f"{operation.kind!r} is no kind of operation")


def check(operations: Iterable[Operation], start: Any = None) -> list[Violation]:
    """The first violation of each key; every key held ``start`` in the beginning."""
    found = (check_key(history, start) for history in by_key(operations).values())
    return [violation for violation in found if violation]


def check_key(operations: list[Operation], start: Any = None) -> Violation | None:
    """The first answer on one key that no order explains. Raises ``Undecided``."""
    history = _without_idle(operations)
    events = [(o.began, 0, n) for n, o in enumerate(history)]
    events += [(o.ended, 1, n) for n, o in enumerate(history) if o.ended is not None]
    search = _Search(start)
    slots: dict[int, int] = {}
    for _, ends, number in sorted(events):
        if not ends:
            slots[number] = search.begin(history[number])
            continue
        values = search.values()
        if not search.end(slots[number]):
            others = tuple(o for s, o in search.under_way.items() if s != slots[number])
            return Violation(history[number], values, others)
    return None


def _without_idle(operations: list[Operation]) -> list[Operation]:
    """Leave out what cannot explain anything: lost reads, and lost writes of a value that nobody
    found or expected. A lost write between two operations would have been found by the second
    (every answer tells what it found) unless it was overwritten blindly, and then any order with
    it is as good without it. Where refusals do not say what they found, all is kept; one value
    that nobody found is then as good as another."""
    mute = any(o.kind == "swap" and o.told == ("refused",) for o in operations)
    found = {v for o in operations for v in (*o.told, *(o.given[:1] if o.kind == "swap" else ()))}
    kept = []
    for o in operations:
        if o.ended is None:
            new = o.given[-1] if o.given else None
            idle = o.kind in ("write", "swap") and new is not None and new not in found
            if o.kind == "read" or (idle and not mute):
                continue
            if idle:
                o = replace(o, given=(*o.given[:-1], UNSEEN))
        kept.append(o)
    return kept


class _Search:
    def __init__(self, start: Any) -> None:
        self.configurations: set[Configuration] = {(start, 0)}
        self.under_way: dict[int, Operation] = {}
        self._lost: dict[Any, int] = {}  # what a lost operation does: the last one's slot
        self._before: dict[int, int] = {}  # the slot of the lost one before, that does the same

    def values(self) -> tuple[Any, ...]:
        return tuple(sorted({value for value, _ in self.configurations}, key=str))

    def begin(self, operation: Operation) -> int:
        """Take the lowest free slot."""
        slot = next(s for s in range(len(self.under_way) + 1) if s not in self.under_way)
        self.under_way[slot] = operation
        if operation.ended is None:
            does = (operation.kind, operation.given)
            if does in self._lost:
                self._before[slot] = self._lost[does]
            self._lost[does] = slot
        return slot

    def end(self, slot: int) -> bool:
        """Keep what agrees with the answer; False (and nothing changed) when nothing does."""
        bit = 1 << slot
        most = self._most(self.under_way[slot])
        kept: set[Configuration] = set()
        seen, waiting = set(self.configurations), list(self.configurations)
        while waiting:
            value, taken = waiting.pop()
            if taken & bit:
                kept.add((value, taken & ~bit))
                continue
            for other, operation in self.under_way.items():
                before = self._before.get(other)
                if taken >> other & 1 or (before is not None and not taken >> before & 1):
                    continue
                allowed, left = after(value, operation)
                further = (left, taken | 1 << other)
                if most is not None and left is not None and left > most:
                    continue
                if allowed and further not in seen:
                    seen.add(further)
                    waiting.append(further)
            if len(seen) > CONFIGURATIONS_MAX:
                raise Undecided(f"{len(self.under_way)} operations of a key at once")
        if kept:
            self.configurations = kept
            del self.under_way[slot]
        return bool(kept)

    def _most(self, operation: Operation) -> int | None:
        """What a counter cannot have passed when it gave this answer: else every sum of additions
        whose answers were lost would be looked at. None: it is no counter that only grows."""
        only_grows = all(
            o.kind == "read" or (o.kind == "add" and o.given[0] > 0)
            for o in self.under_way.values()
        )
        told = operation.told[-1] if operation.told else None
        return told if only_grows and isinstance(told, int) else None
