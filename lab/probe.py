"""What a client sees, 50 times a second: ``python -m lab.probe`` in a process of its own.

Every 20 ms one request of each kind, over a connection of its own, with a second for its answer; it
goes to one address until that fails, then to the next, as a client does that knows several. Beside
them every node is asked how it sees the others. ``times`` makes of it what the literature on
availability calls reaction, repair, recovery and outage (Vayghan and others, IEEE CLOUD 2018).

Standard input is one line of JSON, ``{"out", "targets": [{"name", "host", "port", "asks": {kind:
request in hex}}]}``, and its end ends the probe. Each line of ``out`` is ``[kind, began, ended,
target, told]``: seconds of the kernel's monotonic clock; ``told``: whether the answer was a 200, of
kind ``nodes`` how the others are seen, ``{name: [health, roles, logs]}`` (``logs``: of several,
``{"leads", "of"}`` and more, else null).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVERY_S, NODES_EVERY_S, ANSWER_S = 0.02, 0.2, 1.0
GOOD_IN_A_ROW = 5
ATTRIBUTED_S = 2.0  # what fails first later than that, failed for another reason
NODES = "nodes"


@dataclass(frozen=True)
class Seen:
    """One request of the probe."""

    kind: str
    began: float
    ended: float
    target: str
    told: Any


@dataclass(frozen=True)
class Times:
    """Seconds. ``reaction``: from the fault until a living node says the victim is not well;
    ``repair``: from then until living nodes lead the log, or all logs, and none that is ill;
    ``recovery``: from the reaction until the first of five good answers in a row; ``outage``: from
    the fault until then, 0 when nothing asked within two seconds of it failed. ``gap``: the longest
    time without a good answer since. ``failed`` of ``asked`` requests. None: it did not happen."""

    reaction: float | None
    repair: float | None
    recovery: float | None
    outage: float
    gap: float
    failed: int
    asked: int


class _Probe:
    def __init__(self, targets: list[dict[str, Any]], out: Any) -> None:
        self._targets = targets
        self._out = out
        self._at: dict[str, int] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until standard input ends."""
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        kinds = [k for k in self._targets[0]["asks"] if k != NODES]
        turn, due = 0, time.monotonic()
        while not ended.done():
            for kind in kinds:
                self._begin(self._sticky(kind))
            if turn % round(NODES_EVERY_S / EVERY_S) == 0:
                for number in range(len(self._targets)):
                    self._begin(self._nodes(number))
            turn, due = turn + 1, due + EVERY_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*self._asking)

    def _begin(self, asking: Any) -> None:
        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _sticky(self, kind: str) -> None:
        at = self._at.get(kind, 0)
        answer = await self._ask(kind, at)
        good = answer.startswith(b"HTTP/1.1 200")
        if not good and self._at.get(kind, 0) == at:
            self._at[kind] = (at + 1) % len(self._targets)

    async def _nodes(self, number: int) -> None:
        await self._ask(NODES, number)

    async def _ask(self, kind: str, number: int) -> bytes:
        target, began, answer = self._targets[number], time.monotonic(), b""
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(ANSWER_S):
                answer = await self._exchange(target, bytes.fromhex(target["asks"][kind]), kind)
        told = _view(answer) if kind == NODES else answer.startswith(b"HTTP/1.1 200")
        line = [kind, began, time.monotonic(), target["name"], told]
        self._out.write(json.dumps(line) + "\n")
        return answer

    async def _exchange(self, target: dict[str, Any], request: bytes, kind: str) -> bytes:
        reader, writer = await asyncio.open_connection(target["host"], target["port"])
        try:
            writer.write(request)
            if kind != NODES:
                return await reader.readline()
            return await reader.read()
        finally:
            writer.close()


def _view(answer: bytes) -> dict[str, Any] | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return None
    try:
        told = json.loads(body)["nodes"]
        return {n["name"]: [n["health"], n["roles"], n.get("logs")] for n in told}
    except ValueError:  # it was cut off
        return None


def read(file: Path) -> list[Seen]:
    """What a probe wrote."""
    return [Seen(*json.loads(line)) for line in file.read_text().splitlines()]


def times(seen: Iterable[Seen], kind: str, since: float, victim: str) -> Times:
    """How ``kind`` fared after the fault at ``since`` on the node ``victim``."""
    everything = list(seen)
    asked = sorted((s for s in everything if s.kind == kind), key=lambda s: s.began)
    after = [s for s in asked if s.ended >= since]
    failed = sum(not s.told for s in after)
    without = outage(after, since)
    views = sorted((s for s in everything if s.kind == NODES and s.told), key=lambda s: s.ended)
    views = [s for s in views if s.ended >= since and s.target != victim]
    ill = next((s.ended for s in views if s.told.get(victim, [""])[0] != "alive"), None)
    led = ill and next((s.ended for s in views if s.ended >= ill and _led(s.told, victim)), None)
    good = sorted(s.ended for s in asked if s.told)
    gaps = [b - a for a, b in itertools.pairwise(good) if b >= since]
    return Times(
        reaction=ill and ill - since,
        repair=led and ill and led - ill,
        recovery=ill and without and since + without - ill,
        outage=without,
        gap=max(gaps, default=0.0),
        failed=failed,
        asked=len(after),
    )


def outage(after: Sequence[Seen], since: float) -> float:
    """Until the first of several good answers in a row that follow the first failure."""
    first = next((n for n, s in enumerate(after) if not s.told), None)
    if first is None or after[first].began > since + ATTRIBUTED_S:
        return 0.0
    row = 0
    for number in range(first, len(after)):
        row = row + 1 if after[number].told else 0
        if row == GOOD_IN_A_ROW:
            return after[number - GOOD_IN_A_ROW + 1].ended - since
    return after[-1].ended - since


def _led(told: dict[str, Any], victim: str) -> bool:
    """Whether others lead the log; where there are several, all."""
    others = [(roles, *logs) for name, (_, roles, *logs) in told.items() if name != victim]
    several = [logs[0] for _, *logs in others if logs and logs[0]]
    if several:
        return sum(one["leads"] for one in several) >= max(one["of"] for one in several)
    return any("log-leader" in roles for roles, *_ in others)


def median(numbers: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    there = [n for n in numbers if n is not None]
    return statistics.median(there) if there else None


def main() -> None:
    told = json.loads(sys.stdin.readline())
    with open(told["out"], "w") as out:
        asyncio.run(_Probe(told["targets"], out).run())


if __name__ == "__main__":
    main()
