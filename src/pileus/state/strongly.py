"""What a strong read waits for where shards are several: the logs of those it reads, and no more.

A barrier of a log passes when everything acknowledged before it began is applied here. Shard 0 is
always one: it has the map of tablets, and who may do what. Two more things can come to light when
they have passed: the map leads elsewhere now; or rows that are read are held by a transaction
that another shard decides, perhaps has decided, and readers elsewhere have seen it. Then that
shard's log is waited for too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

Barrier = Callable[[], Awaitable[int]]
Span = tuple[bytes, bytes]  # keys of start <= key < end
Spans = Callable[[], Sequence[Span] | None]  # asked again when more is known; None: any


class Strongly:
    """``barriers``: one for each shard. ``holders(spans)``: the shards that hold them.
    ``deciding(shards)``: those that decide what is held in ``shards`` and is not decided here."""

    def __init__(
        self,
        barriers: Sequence[Barrier],
        holders: Callable[[Sequence[Span]], set[int]],
        deciding: Callable[[Iterable[int]], set[int]],
    ) -> None:
        self._barriers = barriers
        self._holders = holders
        self._deciding = deciding

    async def wait(self, spans: Spans | None = None) -> int:
        """Before a read of ``spans`` (None: of anything) that must see all that was acknowledged
        before. Answers shard 0's place; raises what a barrier raises."""
        waited: set[int] = set()
        at = 0
        while missing := sorted(self._wanted(spans) - waited):
            if len(missing) == 1:
                told = [await self._barriers[missing[0]]()]
            else:
                told = await asyncio.gather(*(self._barriers[n]() for n in missing))
            if missing[0] == 0:
                at = told[0]
            waited.update(missing)
        return at

    def _wanted(self, spans: Spans | None) -> set[int]:
        named = spans() if spans is not None else None
        if named is None:
            return set(range(len(self._barriers)))
        wanted = {0} | self._holders(named)
        return wanted | self._deciding(wanted)
