"""ConsumedCapacity as the service reports it (Developer Guide, "Read and write operations")."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import item_size

READ_UNIT_BYTES = 4096


def read_units(size_bytes: int, consistent: bool, least: int = 1) -> float:
    """Read units of so many bytes: halves when eventually consistent."""
    units = max(least, -(-size_bytes // READ_UNIT_BYTES))
    return float(units) if consistent else units / 2


def text_units(text: bytes | None, consistent: bool) -> float:
    """Read units of a stored item. It is never larger than its text: short ones are not parsed."""
    size = len(text or b"")
    if text is not None and size > READ_UNIT_BYTES:
        size = item_size(orjson.loads(text))
    return read_units(size, consistent)


def wanted(params: dict[str, Any]) -> str:
    """TOTAL, INDEXES, or '' when the caller does not ask."""
    asked = params.get("ReturnConsumedCapacity")
    return asked if asked in ("TOTAL", "INDEXES") else ""


def report(
    table: Table,
    asked: str,
    base: float,
    indexes: dict[str, float] | None = None,
    transaction: str = "",
) -> dict[str, Any]:
    """One ConsumedCapacity. ``transaction`` names the split it adds (``Read`` or ``Write``)."""
    used = indexes or {}
    total = base + sum(used.values())

    def units(n: float) -> dict[str, float]:
        out = {"CapacityUnits": n}
        if transaction:
            out[f"{transaction}CapacityUnits"] = n
        return out

    out: dict[str, Any] = {"TableName": table.name, **units(total)}
    if asked == "INDEXES":
        out["Table"] = units(base)
        _add_indexes(out, table.indexes, used, units)
    return out


def _add_indexes(
    out: dict[str, Any], indexes: tuple[Index, ...], used: dict[str, float], units: Any
) -> None:
    for index in indexes:
        if index.name in used:
            kind = "LocalSecondaryIndexes" if index.local else "GlobalSecondaryIndexes"
            out.setdefault(kind, {})[index.name] = units(used[index.name])
