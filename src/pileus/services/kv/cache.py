"""Cells remembered for a short time, with their versions (S10)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from pileus.errors import AwsError
from pileus.services.kv.table import Table, version_is

TTL_S = 2.0
CELLS_MAX = 10_000


class CachedTable:
    """Reads may be ``ttl_s`` old. A write names the version its author saw, so one made from a
    stale cell fails (ConditionalCheckFailed), the cell is forgotten, and the next read is fresh."""

    def __init__(self, table: Table, clock: Any, ttl_s: float = TTL_S) -> None:
        self._table = table
        self._clock = clock
        self._ttl_s = ttl_s
        self._cells: OrderedDict[tuple[str, str], tuple[float, int, bytes | None]] = OrderedDict()

    async def get(self, row: str, column: str) -> bytes | None:
        """The value as it was at most ``ttl_s`` ago."""
        return (await self._seen(row, column))[2]

    async def _seen(self, row: str, column: str) -> tuple[float, int, bytes | None]:
        place = (row, column)
        now = self._clock.monotonic()
        cell = self._cells.get(place)
        if cell is None or cell[0] < now:
            found = self._table.find(row, column)
            value = None
            if found is not None:
                value = b"".join([p async for p in self._table.stream(found.cell)])
            cell = (now + self._ttl_s, found.version if found else 0, value)
            self._keep(place, cell)
        return cell

    def _keep(self, place: tuple[str, str], cell: tuple[float, int, bytes | None]) -> None:
        self._cells[place] = cell
        self._cells.move_to_end(place)
        if len(self._cells) > CELLS_MAX:
            self._cells.popitem(last=False)

    async def put(self, row: str, column: str, value: bytes, request_id: bytes = b"") -> int:
        """Replace what was seen last; answers the new version."""
        _, version, _ = await self._seen(row, column)
        try:
            new = await self._table.put(row, column, value, version_is(version), request_id)
        except AwsError:
            self._cells.pop((row, column), None)
            raise
        self._keep((row, column), (self._clock.monotonic() + self._ttl_s, new, value))
        return new
