"""On several machines: where a function has room.

A node runs what it is asked for itself, unless it is being drained, has no worker left or no
runtime, is busy while another is not, or has used up its share of the function's reserved
concurrency: each node has a share of that, so all together keep to it. Another node runs it then,
asked over the door between nodes, and tells all that it would have told here. What certainly did
not begin goes on to the next node; what may have begun is never run again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import msgspec

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import NO_ROOM, Invocation, InvokeOutcome, NotBegun, Throttled
from pileus.services.lambda_.names import FunctionName
from pileus.services.lambda_.targets import Targets, Version
from pileus.telemetry.others import Others, Unreached

QUESTION = "lambda.run"
KNOWN_S, LOOK_S = 0.5, 1.0
BUSY, LESS_BUSY = 0.9, 0.4  # shares of a machine's processors: from when, by how much
WAIT_S = 60.0  # beside the function's own time: its worker is started first

Run = Callable[[Version, Invocation], Awaitable[InvokeOutcome]]


class Nodes(Protocol):
    """The nodes as this one knows them."""

    @property
    def name(self) -> str: ...
    def alive(self) -> list[str]:
        """Those that take work: neither down nor being drained."""
        ...

    def busy(self) -> dict[str, float]:
        """Each node's share of its processors in use."""
        ...


class Elsewhere:
    """One process's. ``here``: an invocation on this machine; raises ``Throttled`` where this has
    no room for it, ``NotBegun`` where it cannot run it."""

    def __init__(self, nodes: Nodes, others: Others, targets: Targets, here: Run) -> None:
        self._nodes, self._others, self._targets, self._here = nodes, others, targets, here
        self._busy: dict[str, float] = {}
        self._until = 0.0
        others.offer(QUESTION, self._answer)

    def share(self, version: Version) -> int:
        """How many invocations of it this machine may run at once."""
        plain, alive = version.plain, sorted(self._nodes.alive())
        if not plain.reserved:
            return plain.concurrency_max
        if self._nodes.name not in alive:
            return 0 if alive else plain.concurrency_max
        place = (alive.index(self._nodes.name) + zlib.crc32(plain.arn.encode())) % len(alive)
        each, more = divmod(plain.concurrency_max, len(alive))
        return each + (place < more)

    async def run(self, version: Version, invocation: Invocation) -> InvokeOutcome:
        """One invocation, on the first node that has room for it; where none has, this one waits.
        ``Throttled``, ``NotBegun``; ``Unavailable`` where nobody knows whether it ran."""
        refused: Throttled | NotBegun | None = None
        for node in self._order():
            if node != self._nodes.name:
                outcome = await self._there(node, version, invocation)
                if outcome is not None:
                    return outcome
                continue
            try:
                return await self._here(version, invocation._replace(waits=False))
            except (Throttled, NotBegun) as error:
                refused = error
        if isinstance(refused, Throttled) and refused.reason != NO_ROOM:
            raise refused
        return await self._here(version, invocation)

    def _order(self) -> Iterator[str]:
        """The nodes, each once, as they are to be asked; looked for as far as it is needed."""
        here, alive = self._nodes.name, self._nodes.alive()
        others = [node for node in alive if node != here]
        random.shuffle(others)
        if here not in alive:
            yield from others
            yield here
            return
        shares = self._shares() if others else {}
        own = shares.get(here, 0.0)
        # Not the least busy one: all who are busy would choose that.
        if own >= BUSY and shares.get(others[0], 1.0) <= own - LESS_BUSY:
            yield others.pop(0)
        yield here
        yield from sorted(others, key=lambda node: shares.get(node, 1.0))

    async def _there(
        self, node: str, version: Version, invocation: Invocation
    ) -> InvokeOutcome | None:
        """What ``node`` made of it; None: it did not run there, and may run elsewhere."""
        name = version.function
        function = [name.account, name.region, name.name, version.number, version.mark]
        patience_s = version.plain.timeout_s + WAIT_S
        asked = asyncio.create_task(
            self._others.ask_one(node, QUESTION, [function, invocation], patience_s)
        )
        try:
            while not (await asyncio.wait([asked], timeout=LOOK_S))[0]:
                if node in self._others.away():
                    raise Unavailable(f"{node} went down while it ran the function")
            told = asked.result()
        except Unreached:
            return None
        finally:
            asked.cancel()
        return None if told is None else msgspec.convert(told, InvokeOutcome)

    async def _answer(self, question: Any) -> dict[str, Any] | None:
        """Another node asks for it. None: this one has no room for it either, cannot run it, or
        does not know it so."""
        (account, region, name, number, mark), told = question
        try:
            found = self._targets.find(FunctionName(account, region, name, number)).first
            if found.mark != mark:  # this state is behind, or the other one
                return None
            outcome = await self._here(found, Invocation(*told)._replace(waits=False))
        except (Throttled, NotBegun, AwsError):
            return None
        return dataclasses.asdict(outcome)

    def _shares(self) -> dict[str, float]:
        now_s = time.monotonic()
        if now_s >= self._until:
            self._busy, self._until = self._nodes.busy(), now_s + KNOWN_S
        return self._busy
