"""Databases in memory that are honest, or lie in one way: histories by seed for the checkers.

Every operation has three moments: it begins, takes effect, is answered. A scheduler of the seed
mixes those of all clients; the clock counts its steps. Some answers are lost in every history.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from lab.history.records import Operation, Transaction

CLIENTS, STEPS, LOST = 5, 90, 0.05
Moments = Iterator[None]


class Registers:
    """Registers ``a`` and ``b`` and the counter ``n``. ``lie``: '' or what goes wrong."""

    lies = ("stale read", "lost write", "late write", "twice", "unchecked swap", "undone")

    def __init__(self, seed: int, lie: str = "") -> None:
        self.rng = random.Random(f"{seed}/{lie}")
        self.lie = lie
        self.now = 0
        self.values: dict[str, Any] = {}
        self.before: dict[str, Any] = {}
        self.late: list[tuple[int, str, Any]] = []
        self.history: list[Operation] = []
        self.minted = 0

    def lies_now(self, lie: str, chance: float = 0.15) -> bool:
        return self.lie == lie and self.rng.random() < chance

    def set(self, key: str, value: Any) -> None:
        self.before[key] = self.values.get(key)
        self.values[key] = value

    def one(self, process: str) -> Moments:
        """An operation: yields between begin, effect and answer."""
        key = self.rng.choice("abn")
        kind = self.rng.choice(("read", "add") if key == "n" else ("read", "write", "swap"))
        self.minted += 1
        value = f"v{self.minted}"
        given: tuple[Any, ...] = {
            "read": (),
            "add": (self.rng.randint(1, 9),),
            "write": (self.rng.choice((value, value, None)),),
            "swap": (self.values.get(key), value),
        }[kind]
        seen = self.values.get(key)
        began = self.now
        yield
        lost = self.rng.random() < LOST
        if lost and self.rng.random() < 0.5:
            self.history.append(Operation(process, key, kind, given, began, None, ()))
            return  # it never takes effect
        told = self.effect(key, kind, given, seen)
        yield
        ended = None if lost else self.now
        self.history.append(
            Operation(process, key, kind, given, began, ended, () if lost else told)
        )

    def effect(self, key: str, kind: str, given: tuple[Any, ...], seen: Any) -> tuple[Any, ...]:
        held = self.values.get(key)
        if kind == "read":
            return (self.before.get(key) if self.lies_now("stale read") else held,)
        if self.lies_now("undone"):
            self.values[key] = self.before.get(key)
        if kind == "write":
            if self.lies_now("late write", 0.4):
                self.late.append((self.now + 12, key, given[0]))
            elif not self.lies_now("lost write"):
                self.set(key, given[0])
            return (held,)
        if kind == "swap":
            if (seen if self.lie == "unchecked swap" else held) != given[0]:
                return ("refused", held)
            self.set(key, given[1])
            return ("done",)
        times = 2 if self.lies_now("twice") else 1
        self.set(key, (held or 0) + times * given[0])
        return (self.values[key],)

    def settle(self) -> None:
        for due in [w for w in self.late if w[0] <= self.now]:
            self.late.remove(due)
            self.set(*due[1:])

    def run(self) -> list[Operation]:
        play(self.rng, self.one, self.tick)
        return self.history

    def tick(self) -> None:
        self.now += 1
        self.settle()


def play(rng: random.Random, begin: Callable[[str], Moments], tick: Callable[[], None]) -> None:
    """Let the clients work, one at a time in any order, until each has done its share."""
    left = {f"p{i}": STEPS for i in range(CLIENTS)}
    going: dict[str, Moments] = {}
    while left or going:
        process = rng.choice(sorted({*left, *going}))
        tick()
        if process not in going:
            going[process] = begin(process)
        if next(going[process], "answered") == "answered":
            del going[process]
            left[process] = left.get(process, 1) - 1
            if left[process] <= 0:
                del left[process]


class Lists:
    """Lists under five keys, appended to and read by transactions, some of which state what they
    read and are refused when it has changed."""

    lies = (
        *("torn", "write skew", "dirty", "stale read", "twice", "reorder", "fractured read"),
        *("lost append", "half"),
    )

    def __init__(self, seed: int, lie: str = "") -> None:
        self.rng = random.Random(f"{seed}/{lie}")
        self.lie = lie
        self.now = 0
        self.values: dict[str, tuple[Any, ...]] = dict.fromkeys("vwxyz", ())
        self.before = dict(self.values)
        self.history: list[Transaction] = []
        self.minted = 0

    def lies_now(self, lie: str, chance: float = 0.2) -> bool:
        return self.lie == lie and self.rng.random() < chance

    def append(self, key: str, value: Any) -> None:
        if self.lies_now("lost append"):
            return
        self.before = dict(self.values)
        self.values[key] += (value, value) if self.lies_now("twice", 0.05) else (value,)

    def one(self, process: str) -> Moments:
        keys = self.rng.sample("vwxyz", self.rng.randint(1, 3))
        kind = self.rng.choice(("read", "append", "guarded"))
        began, lost = self.now, self.rng.random() < LOST
        seen = dict(self.values)
        yield
        steps: list[tuple[Any, ...]] = []
        outcome = "unknown" if lost else "committed"
        if kind == "read":
            yield from self.read(keys, steps)
        else:
            guards = keys[:-1] if kind == "guarded" else []
            steps += [("read", k, seen[k]) for k in guards]
            for key in keys[-1:] if guards else keys:
                self.minted += 1
                steps.append(("append", key, self.minted))
            skewed = self.lies_now("write skew", 0.7)
            refused = not skewed and any(self.values[k] != seen[k] for k in guards)
            if refused and not lost:
                outcome = "aborted"
            if not refused or self.lies_now("dirty"):
                yield from self.apply(steps)
        yield
        self.history.append(
            Transaction(process, tuple(steps), began, None if lost else self.now, outcome)
        )

    def read(self, keys: list[str], steps: list[tuple[Any, ...]]) -> Moments:
        source = self.before if self.lies_now("stale read") else self.values
        for key in keys:
            value = source[key]
            if self.lies_now("reorder", 0.1):
                value = value[:-2] + value[-2:][::-1]
            steps.append(("read", key, value))
            if self.lies_now("fractured read", 0.5):
                yield

    def apply(self, steps: list[tuple[Any, ...]]) -> Moments:
        for _, key, value in (s for s in steps if s[0] == "append"):
            self.append(key, value)
            if self.lies_now("torn", 0.5):
                yield
            if self.lies_now("half", 0.3):
                return

    def run(self) -> list[Transaction]:
        play(self.rng, self.one, self.tick)
        return self.history

    def tick(self) -> None:
        self.now += 1
