"""On several machines: where a function has room.

A node runs what it is asked for itself, unless it is being drained, has no worker left or no
runtime, is busy while another is not, or has used up its share of the function's reserved
concurrency: each node has a share of that, so all together keep to it. Another node runs it then,
asked over the door between nodes, and tells all that it would have told here. What certainly did
not begin goes on to the next node; what may have begun is never run again. Provisioned workers are
divided in the same way, and one that is idle anywhere comes before any that is to be started.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import msgspec

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import (
    IDLE,
    NEW,
    NO_ROOM,
    Invocation,
    InvokeOutcome,
    NotBegun,
    Throttled,
)
from pileus.runtime.streaming import Streamed
from pileus.services.lambda_ import relayed
from pileus.services.lambda_.names import FunctionName
from pileus.services.lambda_.targets import Targets, Version
from pileus.telemetry.others import Others, Unreached

QUESTION, STREAMED = "lambda.run", "lambda.stream"
KNOWN_S, LOOK_S = 0.5, 1.0
BUSY, LESS_BUSY = 0.9, 0.4  # shares of what a node has: from when, by how much
WAIT_S = 60.0  # beside the function's own time: its worker is started first

Load = tuple[float, float]  # shares in use: of the processors, of what may run at once
UNKNOWN: Load = (1.0, 1.0)

T = TypeVar("T")
Here = Callable[[Version, Invocation], Awaitable[T]]
There = Callable[[str, Version, Invocation], Awaitable[T | None]]


class Nodes(Protocol):
    """The nodes as this one knows them."""

    @property
    def name(self) -> str: ...
    def alive(self) -> list[str]:
        """Those that take work: neither down nor being drained."""
        ...

    def load(self) -> dict[str, Load]:
        """How busy each node is."""
        ...


class Elsewhere:
    """One process's. ``here``: an invocation on this machine, ``stream``: one whose answer is
    streamed; both raise ``Throttled`` where there is no room for it, ``NotBegun`` where it cannot
    be run."""

    def __init__(
        self,
        nodes: Nodes,
        others: Others,
        targets: Targets,
        here: Here[InvokeOutcome],
        stream: Here[Streamed],
    ) -> None:
        self._nodes, self._others, self._targets = nodes, others, targets
        self._here, self._stream = here, stream
        self._load: dict[str, Load] = {}
        self._until = 0.0
        others.offer(QUESTION, self._answer)
        others.offer(STREAMED, self._answer_parts)

    def share(self, version: Version, count: int) -> int:
        """How many of ``count`` are this machine's: the living ones divide them, beginning at
        another one for each function."""
        alive = sorted(self._nodes.alive())
        if self._nodes.name not in alive:
            return 0 if alive else count
        place = (alive.index(self._nodes.name) + zlib.crc32(version.plain.arn.encode())) % len(
            alive
        )
        each, more = divmod(count, len(alive))
        return each + (place < more)

    async def run(self, version: Version, invocation: Invocation) -> InvokeOutcome:
        """One invocation, on the first node that has room for it; where none has, this one waits.
        ``Throttled``, ``NotBegun``; ``Unavailable`` where nobody knows whether it ran."""
        return await self._placed(version, invocation, self._here, self._there)

    async def stream(self, version: Version, invocation: Invocation) -> Streamed:
        """The same for one whose answer is streamed: it has begun to answer, or ended."""
        return await self._placed(version, invocation, self._stream, self._stream_there)

    async def _placed(
        self, version: Version, invocation: Invocation, here: Here[T], there: There[T]
    ) -> T:
        refused: Throttled | NotBegun | None = None
        for worker in (IDLE, NEW) if version.provisioned else (NEW,):
            asks = invocation._replace(worker=worker)
            for node in self._order():
                if node != self._nodes.name:
                    answer = await there(node, version, asks)
                    if answer is not None:
                        return answer
                    continue
                try:
                    return await here(version, asks)
                except (Throttled, NotBegun) as error:
                    refused = error
        if isinstance(refused, Throttled) and refused.reason != NO_ROOM:
            raise refused
        return await here(version, invocation)

    def _order(self) -> Iterator[str]:
        """The nodes, each once, as they are to be asked; looked for as far as it is needed."""
        here, alive = self._nodes.name, self._nodes.alive()
        others = [node for node in alive if node != here]
        random.shuffle(others)
        if here not in alive:
            yield from others
            yield here
            return
        load = self._loads() if others else {}
        # Not the least busy one: all who are busy would choose that.
        if others and _better(load.get(others[0], UNKNOWN), load.get(here, (0.0, 0.0))):
            yield others.pop(0)
        yield here
        yield from sorted(others, key=lambda node: sum(load.get(node, UNKNOWN)))

    async def _there(
        self, node: str, version: Version, invocation: Invocation
    ) -> InvokeOutcome | None:
        """What ``node`` made of it; None: it did not run there, and may run elsewhere."""
        patience_s = version.plain.timeout_s + WAIT_S
        question = _question(version, invocation)
        try:
            asked = self._others.ask_one(node, QUESTION, question, patience_s)
            told = await self._watched(node, asked)
        except Unreached:
            return None
        return None if told is None else msgspec.convert(told, InvokeOutcome)

    async def _stream_there(
        self, node: str, version: Version, invocation: Invocation
    ) -> Streamed | None:
        values = self._others.ask_parts(node, STREAMED, _question(version, invocation))

        async def following() -> Any:
            try:
                return await self._watched(node, anext(values))
            except StopAsyncIteration:
                raise Unavailable(f"{node} ended the answer early") from None

        try:
            first = await following()
        except Unreached:
            return None
        except BaseException:
            await values.aclose()
            raise
        if isinstance(first, str):
            return relayed.Relayed(first, following, values.aclose)
        await values.aclose()
        if first is not None:
            raise Unavailable(*first)
        return None

    async def _watched(self, node: str, told: Awaitable[Any]) -> Any:
        """What ``told`` brings, as long as ``node`` is not held dead."""
        asked = asyncio.ensure_future(told)
        try:
            while not (await asyncio.wait([asked], timeout=LOOK_S))[0]:
                if node in self._others.away():
                    raise Unavailable(f"{node} went down while it ran the function")
            return asked.result()
        finally:
            if not asked.done():
                asked.cancel()
                await asyncio.wait([asked])

    async def _answer(self, question: Any) -> dict[str, Any] | None:
        """Another node asks for it. None: this one has no room for it either, cannot run it, or
        does not know it so."""
        try:
            outcome = await self._here(*self._asked(question))
        except (Throttled, NotBegun, AwsError):
            return None
        return dataclasses.asdict(outcome)

    async def _answer_parts(self, question: Any) -> AsyncGenerator[Any, None]:
        """The same for one whose answer is streamed."""

        async def begin() -> Streamed:
            return await self._stream(*self._asked(question))

        async with aclosing(relayed.told(begin)) as values:
            async for value in values:
                yield value

    def _asked(self, question: Any) -> tuple[Version, Invocation]:
        """``NotBegun`` where this state is behind, or the other node's is."""
        (account, region, name, number, mark), told = question
        found = self._targets.find(FunctionName(account, region, name, number)).first
        if found.mark != mark:
            raise NotBegun("this node knows the function otherwise")
        return found, Invocation(*told)

    def _loads(self) -> dict[str, Load]:
        now_s = time.monotonic()
        if now_s >= self._until:
            self._load, self._until = self._nodes.load(), now_s + KNOWN_S
        return self._load


def _better(other: Load, own: Load) -> bool:
    """Whether another node has much more of what this one lacks, and lacks nothing that this one
    has. Nodes that share a machine are equally busy with its processors: there the workers tell."""
    pairs = list(zip(other, own, strict=True))
    much = any(mine >= BUSY and its <= mine - LESS_BUSY for its, mine in pairs)
    return much and all(its < BUSY or its <= mine for its, mine in pairs)


def _question(version: Version, invocation: Invocation) -> list[Any]:
    name = version.function
    return [[name.account, name.region, name.name, version.number, version.mark], invocation]
