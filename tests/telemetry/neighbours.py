"""Several nodes' telemetry in one process."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from pileus.errors import Unavailable
from pileus.telemetry.others import DOWN, Answerer, Heard, Unreached


class Neighbours:
    """``telemetry.others.Others`` of one node among ``all`` in one process."""

    def __init__(self, number: int, all_nodes: list[Neighbours]) -> None:
        self.name, self.number = f"n{number}", number
        self.answers: dict[str, Answerer] = {}
        self.down = False
        self.late = False
        self.since_ms = 0  # when it went down
        self._all = all_nodes
        all_nodes.append(self)

    def away(self) -> dict[str, int]:
        return {n.name: n.since_ms for n in self._all if n.down}

    def offer(self, what: str, answer: Answerer) -> None:
        self.answers[what] = answer

    async def ask(self, what: str, question: Any) -> Heard:
        heard = Heard()
        for other in self._all:
            if other is not self and other.down:
                heard.missing[other.name] = DOWN
            elif other is not self and other.late:
                heard.missing[other.name] = "it did not answer within 1 s"
            elif other is not self:
                heard.answers[other.name] = await other._answer(what, question)
        return heard

    def alive(self) -> list[str]:
        return [n.name for n in self._all if n is not self and not n.down]

    async def ask_parts(self, node: str, what: str, question: Any) -> AsyncGenerator[Any, None]:
        (other,) = (n for n in self._all if n.name == node)
        if other.down:
            raise Unreached(f"{node} cannot be reached")
        told = msgspec.msgpack.decode(msgspec.msgpack.encode(question))
        async with aclosing(other.answers[what](told)) as parts:
            async for part in parts:
                if other.down:
                    raise Unavailable(f"{node} closed the connection")
                yield msgspec.msgpack.decode(msgspec.msgpack.encode(part))

    async def ask_one(self, node: str, what: str, question: Any, patience_s: float = 1.0) -> Any:
        (other,) = (n for n in self._all if n.name == node)
        if other.down:
            raise Unreached(f"{node} cannot be reached")
        if other.late:
            raise Unavailable(f"{node} does not answer", "wait")
        return await other._answer(what, question)

    async def _answer(self, what: str, question: Any) -> Any:
        """As it goes over the wire."""
        told = msgspec.msgpack.decode(msgspec.msgpack.encode(question))
        if inspect.iscoroutinefunction(self.answers[what]):
            answer = await self.answers[what](told)
        else:
            answer = await asyncio.to_thread(self.answers[what], told)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer))

    def close(self) -> None:
        return None
