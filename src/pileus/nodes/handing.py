"""Hands what is new in this node's telemetry to its neighbour, once a second
(``telemetry.copies``).

The neighbour is the next node by number that is alive. What the neighbour already has it says
itself; one that becomes it anew is given the last day.
"""

from __future__ import annotations

import asyncio
import logging

from pileus.errors import Unavailable
from pileus.nodes.asking import Asking
from pileus.telemetry.copies import Copies, Source

log = logging.getLogger("pileus.nodes.handing")
TURN_S, PAUSE_S = 1.0, 5.0
TAKE = "copies.take"


class Handing:
    """``run`` for ever; ``turn`` hands over once."""

    def __init__(self, asking: Asking, copies: Copies) -> None:
        self._asking = asking
        self._copies = copies
        self._marks: dict[tuple[str, str], int] = {}  # (neighbour, source): what it has

    async def run(self) -> None:
        while True:
            pause_s = TURN_S
            try:
                await self.turn()
            except Unavailable as error:
                log.info("telemetry is copied later: %s", error)
                pause_s = PAUSE_S
            except Exception:
                log.exception("copying telemetry failed")
                pause_s = PAUSE_S
            await asyncio.sleep(pause_s)

    async def turn(self) -> None:
        """All that is new, to the neighbour there is now."""
        neighbour = self._neighbour()
        if neighbour:
            for source in self._copies.sources.values():
                while await self._hand(neighbour, source):
                    pass

    def _neighbour(self) -> str:
        """The next by number that is alive, '' when there is none."""
        alive = self._asking.alive()
        return next((n for n in alive if _number(n) > self._asking.number), next(iter(alive), ""))

    async def _hand(self, neighbour: str, source: Source) -> bool:
        """A piece; whether there may be more."""
        mark = self._marks.get((neighbour, source.name), 0)
        rows, new = await asyncio.to_thread(source.fresh, mark)
        question = [self._asking.name, source.name, mark, rows, new]
        have = int(await self._asking.ask_one(neighbour, TAKE, question))
        self._marks[neighbour, source.name] = have
        return have != mark


def _number(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()) or 0)
