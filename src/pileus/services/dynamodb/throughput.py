"""Who may read and write now: provisioned throughput, enforced for all front processes together.

A request is let in while its bucket holds anything; what it really cost is taken afterwards, so a
bucket may go below zero and then refuses until it is paid back (a scan of 1 MB costs 128 units and
nobody knows it before). Writes of a table also need room in the global indexes they change. Tables
without an allowance never come here: ``Table.metered`` is false for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb.buckets import BURST_S, Buckets
from pileus.services.dynamodb.schema import Allowance, Index, Table
from pileus.services.dynamodb.values import Item
from pileus.telemetry import Meters

BULK_S = 0.2  # what an item of a batch, or a page of a scan, takes of a bucket at most (or a unit)
ON_DEMAND_BURST_S = 1.0  # an on-demand maximum is a ceiling: nothing is saved up
TABLE_TEXT = (
    "The level of configured provisioned throughput for the table was exceeded. Consider"
    " increasing your provisioning level with the UpdateTable API."
)
INDEX_TEXT = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the"
    " table was exceeded. Consider increasing your provisioning level for the under-provisioned"
    " global secondary indexes with the UpdateTable API"
)
ON_DEMAND_TEXT = (
    "Throughput exceeds the maximum OnDemandThroughput configured on the table or index"
)
Price = Any  # ``[units, {index name: units}]`` as the rules answer it


class Throughput:
    """Admits and charges. ``store`` tells where the shared buckets are and what an item was."""

    def __init__(self, store: Any, clock: Any, meters: Meters) -> None:
        self._meters = meters
        self._cells: dict[tuple[str, str, str], int] = {}
        home = getattr(store, "home", None)
        self._path = Path(home) / "run" / "capacity" if home is not None else None
        self._store = store
        self._clock = clock
        self._opened: Buckets | None = None

    @property
    def _buckets(self) -> Buckets:
        if self._opened is None:
            self._opened = Buckets(self._path)
        return self._opened

    # -- reads --------------------------------------------------------------------------------

    def admit_read(self, table: Table, index: Index | None = None) -> None:
        """``AwsError`` when the table (or the global index read) has no read units left."""
        source = _source(table, index)
        if source is not None and not self._has(source, "Read"):
            raise exceeded(source, "Read", is_index=source is not table.allowance)

    def plenty(self, table: Table, index: Index | None = None) -> bool:
        """Is more than half of the burst left, so that a price may be rounded up?"""
        source = _source(table, index)
        if source is None or not source.read:
            return True
        used_s = self._buckets.used_s(source.key + "Read", self._clock.monotonic())
        return used_s < _burst(source) / 2

    def charge_read(
        self, table: Table, units: float, index: Index | None = None, bulk: bool = False
    ) -> None:
        """Take the read units a request used."""
        source = _source(table, index)
        if source is not None and source.read:
            self._use(source, "Read", _bounded(units, source.read) if bulk else units)
        self._count(table, "Read", units, "" if index is None or index.local else index.name)

    # -- writes -------------------------------------------------------------------------------

    def admit_write(
        self, table: Table, key: bytes, new: Item | None, heads: Iterable[str] | None = None
    ) -> None:
        """``AwsError`` when the table, or a global index this write changes, has no write units
        left. ``new``: the item to be (None: it goes); ``heads``: of an update, the attributes it
        touches."""
        own = table.allowance
        if own is not None and not self._has(own, "Write"):
            raise exceeded(own, "Write", is_index=False)
        for index in table.indexes:
            allowance = index.allowance
            if allowance is None or self._has(allowance, "Write"):
                continue
            if self._changes(table, index, key, new, heads):
                raise exceeded(allowance, "Write", is_index=True)

    def charge_write(self, table: Table, price: Price, times: int = 1) -> None:
        """Take the units of a write from its table and its global indexes. Local indexes use their
        table's. ``times``: of a transaction 2 for the item, which is prepared and committed; its
        indexes are written once (observed)."""
        price = [times * price[0], price[1]]
        for allowance, units in _shares(table, price):
            self._use(allowance, "Write", units)
        self._count_write(table, price)

    def reserve(self, table: Table) -> None:
        """Take the least an item of a batch costs, before the next one asks."""
        if table.allowance is not None and table.allowance.write:
            self._use(table.allowance, "Write", 1.0)

    def charge_reserved(self, table: Table, price: Price) -> None:
        """Take what an item of a batch cost beyond what ``reserve`` took."""
        for allowance, units in _shares(table, price):
            taken = 1.0 if allowance is table.allowance else 0.0
            self._use(allowance, "Write", _bounded(units, allowance.write) - taken)
        self._count_write(table, price)

    def meter(
        self, table: Table, key: bytes, new: Item | None, heads: Iterable[str] | None = None
    ) -> Meter | None:
        """Admit a write (see ``admit_write``) and answer what charges it; None when nothing meters
        the table."""
        if not table.metered:
            return None
        self.admit_write(table, key, new, heads)
        return Meter(self, table)

    # -- counting -----------------------------------------------------------------------------

    def _count_write(self, table: Table, price: Price) -> None:
        own, indexes = price
        for name, used in indexes.items():
            index = table.by_name.get(name)
            if index is None or index.local:
                own += used
            else:
                self._count(table, "Write", used, name)
        self._count(table, "Write", own, "")

    def _count(self, table: Table, kind: str, units: float, index: str) -> None:
        """Add to what was consumed of a table, or of a global index of it."""
        cell = self._cells.get((table.arn, kind, index))
        if cell is None:
            _, _, _, region, account, _ = table.arn.split(":", 5)
            labels = {"table": table.name, "index": index, "account": account, "region": region}
            cell = self._meters.counter(f"pileus_table_{kind.lower()}_units_total", **labels)
            self._cells[table.arn, kind, index] = cell
        self._meters.cells[cell] += units

    # -- buckets ------------------------------------------------------------------------------

    def _has(self, allowance: Allowance, kind: str) -> bool:
        if not (allowance.read if kind == "Read" else allowance.write):
            return True
        used_s = self._buckets.used_s(allowance.key + kind, self._clock.monotonic())
        return used_s < _burst(allowance)

    def _use(self, allowance: Allowance, kind: str, units: float) -> None:
        rate = allowance.read if kind == "Read" else allowance.write
        self._buckets.use(allowance.key + kind, units / rate, self._clock.monotonic())

    def _changes(
        self,
        table: Table,
        index: Index,
        key: bytes,
        new: Item | None,
        heads: Iterable[str] | None,
    ) -> bool:
        """Would the write change a row of ``index``? Asked only of an index that is exhausted."""
        text = self._store.get(key)
        old: Item | None = None if text is None else orjson.loads(text)
        names = {n for n, _ in index.key_attributes}
        was = old is not None and names <= old.keys()
        if heads is not None:
            touched = set(heads)
            if not touched or (index.projected is not None and not touched & index.projected):
                return False
            return was or names <= touched | (old or new or {}).keys()
        becomes = new is not None and names <= new.keys()
        if not (was and becomes):
            return was or becomes
        return index.image(old or {}) != index.image(new or {})


@dataclass(frozen=True, slots=True)
class Meter:
    """Charges one write to its table."""

    throughput: Throughput
    table: Table

    def charge(self, price: Price) -> None:
        self.throughput.charge_write(self.table, price)

    def charge_failed(self, error: AwsError) -> None:
        """A write that was refused costs what the rule says (its private field), or a unit."""
        self.charge([error.fields.pop("units", 1.0), {}])


def _source(table: Table, index: Index | None) -> Allowance | None:
    """Whose read units a reading uses: a global index's own, a local one's table's."""
    return table.allowance if index is None or index.local else index.allowance


def _shares(table: Table, price: Price) -> list[tuple[Allowance, float]]:
    """What of a write's price falls to which limited bucket."""
    units, indexes = price
    out = []
    for name, used in indexes.items():
        index = table.by_name.get(name)
        if index is None:
            continue
        if index.local:
            units += used
        elif index.allowance is not None and index.allowance.write:
            out.append((index.allowance, used))
    if table.allowance is not None and table.allowance.write:
        out.append((table.allowance, units))
    return out


def _bounded(units: float, rate: float) -> float:
    return min(units, max(1.0, BULK_S * rate))


def _burst(allowance: Allowance) -> float:
    return ON_DEMAND_BURST_S if allowance.on_demand else BURST_S


def exceeded(allowance: Allowance, kind: str, is_index: bool) -> AwsError:
    """The throttling error, with its reason (API reference, ``ThrottlingReason``)."""
    what = "Index" if is_index else "Table"
    if allowance.on_demand:
        reason = {"reason": f"{what}{kind}MaxOnDemandThroughputExceeded", "resource": allowance.arn}
        return AwsError(
            "ThrottlingException", ON_DEMAND_TEXT, fields={"throttlingReasons": [reason]}
        )
    reason = {"reason": f"{what}{kind}ProvisionedThroughputExceeded", "resource": allowance.arn}
    return AwsError(
        "ProvisionedThroughputExceededException",
        INDEX_TEXT if is_index and kind == "Write" else TABLE_TEXT,
        fields={"ThrottlingReasons": [reason]},
    )


def is_throttled(error: AwsError) -> bool:
    """Is it one of ``exceeded``'s?"""
    return error.code in ("ProvisionedThroughputExceededException", "ThrottlingException")


def reason(error: AwsError) -> dict[str, str]:
    """The cancellation reason of a transaction for a throttled operation of it (API reference,
    TransactionCanceledException)."""
    provisioned = error.code == "ProvisionedThroughputExceededException"
    code = "ProvisionedThroughputExceeded" if provisioned else "ThrottlingError"
    return {"Code": code, "Message": error.message}
