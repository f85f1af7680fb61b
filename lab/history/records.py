"""A history: every operation with when it began, when it ended and what was answered.

Times are nanoseconds of one clock that all clients share (CLOCK_MONOTONIC of one kernel, or a
simulation's counter). An operation whose answer was lost has no end: it may have taken effect at
any time after it began, may still do so, or never. Histories are kept as JSON lines, so that a
failure can be looked at and checked again (``python -m lab.history.check FILE``).
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class AnswerLost(Exception):
    """No answer, or none that says whether there was an effect."""


class NoEffect(Exception):
    """The operation was refused for certain, for a reason outside the model (throttling)."""


@dataclass(frozen=True)
class Operation:
    """One operation on one register (or counter).

    ``kind`` and ``given``: ``read`` ``()``; ``write`` ``(value,)``, None deletes; ``swap``
    ``(expected, value)``; ``add`` ``(amount,)``. ``told``: ``(value,)`` for a read, ``(old,)`` or
    ``()`` for a write, ``("done",)``, ``("refused", found)`` or ``("refused",)`` for a swap,
    ``(sum,)`` for an addition; ``()`` where the answer was lost.
    """

    process: str
    key: str
    kind: str
    given: tuple[Any, ...]
    began: int
    ended: int | None
    told: tuple[Any, ...]

    def __str__(self) -> str:
        answer = "?" if self.ended is None else self.told
        return f"{self.process}: {self.kind} {self.key} {self.given} -> {answer}"


@dataclass(frozen=True)
class Transaction:
    """Several steps that are to happen at once, or not at all.

    ``steps``: ``("read", key, (value, …))``, what the list held before the transaction's own
    appends; ``("append", key, value)``. ``outcome``: ``committed``, ``aborted`` (certainly without
    effect) or ``unknown``; reads count only where it committed.
    """

    process: str
    steps: tuple[tuple[Any, ...], ...]
    began: int
    ended: int | None
    outcome: str

    def __str__(self) -> str:
        steps = ", ".join(f"{s[0]} {s[1]} {_shown(s[2])}" for s in self.steps)
        return f"{self.process}: {self.outcome} [{steps}]"


def _shown(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 4:
        return f"(… {len(value) - 3} more, {', '.join(map(str, value[-3:]))})"
    return str(value)


class Recorder:
    """Collects what clients do, from any thread. ``clock`` answers nanoseconds."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.clock = clock
        self.operations: list[Operation] = []
        self.transactions: list[Transaction] = []
        self._lock = threading.Lock()

    def operation(
        self,
        process: str,
        key: str,
        kind: str,
        given: tuple[Any, ...],
        call: Callable[[], tuple[Any, ...]],
    ) -> tuple[Any, ...] | None:
        """Run ``call``, which answers ``told``; note it; answer it, or None where it is not
        known."""
        began = self.clock()
        told: tuple[Any, ...] | None = None
        try:
            told = call()
        except AnswerLost:
            told = None
        except NoEffect:
            return None
        self.note_operation(process, key, kind, given, began, told)
        return told

    def note_operation(
        self,
        process: str,
        key: str,
        kind: str,
        given: tuple[Any, ...],
        began: int,
        told: tuple[Any, ...] | None,
    ) -> None:
        """An operation that ends now; ``told`` is None where its answer was lost."""
        ended = None if told is None else self.clock()
        self._add(Operation(process, key, kind, given, began, ended, told or ()))

    def note_transaction(
        self, process: str, steps: tuple[tuple[Any, ...], ...], began: int, outcome: str
    ) -> None:
        """A transaction that ends now."""
        ended = None if outcome == "unknown" else self.clock()
        self._add(Transaction(process, steps, began, ended, outcome))

    def _add(self, record: Operation | Transaction) -> None:
        with self._lock:
            if isinstance(record, Operation):
                self.operations.append(record)
            else:
                self.transactions.append(record)

    def transaction(
        self,
        process: str,
        planned: tuple[tuple[Any, ...], ...],
        call: Callable[[], tuple[tuple[Any, ...], ...] | None],
    ) -> bool:
        """Run ``call``, which answers the steps that happened, or None when it was refused; note
        it. True when there was a verdict."""
        began = self.clock()
        steps, outcome, verdict = planned, "aborted", True
        try:
            done = call()
            if done is not None:
                steps, outcome = done, "committed"
        except AnswerLost:
            outcome, verdict = "unknown", False
        except NoEffect:
            verdict = False
        self.note_transaction(process, steps, began, outcome)
        return verdict

    def save(self, path: Path) -> None:
        """Write all of it as JSON lines."""
        with path.open("w") as f:
            records: list[Operation | Transaction] = [*self.operations, *self.transactions]
            for record in records:
                f.write(json.dumps(dataclasses.asdict(record)) + "\n")


def load(path: Path) -> tuple[list[Operation], list[Transaction]]:
    """What ``Recorder.save`` wrote."""
    operations, transactions = [], []
    for line in path.read_text().splitlines():
        record = {name: _tuples(value) for name, value in json.loads(line).items()}
        if "steps" in record:
            transactions.append(Transaction(**record))
        else:
            operations.append(Operation(**record))
    return operations, transactions


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """A history is linearizable when each key's part is (Herlihy and Wing 1990, locality)."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        found.setdefault(operation.key, []).append(operation)
    return found
