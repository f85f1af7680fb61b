"""How a cell changes: the condition is decided in log order.

``condition``: nil · ["version", n] (0: the cell must be missing) · ["value", size, inline, chunks]
(the cell holds exactly this) . A failed one is ``ConditionalCheckFailed`` with the version found.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.kv.cells import Cell, decode, encode
from pileus.state import keys
from pileus.state.tx import Row, Tx


def put(tx: Tx, args: dict[str, Any]) -> int:
    """Store ``cell`` [size, inline, chunks] under ``key`` if ``condition`` holds; answers the new
    version."""
    key, cell = args["key"], Cell(*args["cell"])
    before = tx.row(key)
    _check(before, args["condition"])
    _release(tx, key, before)
    for chunk in cell.chunks:
        tx.put(keys.key("blobrefs", chunk.hex(), key), b"")
    tx.put(key, encode(cell))
    return tx.sequence


def delete(tx: Tx, args: dict[str, Any]) -> bool:
    """Remove the cell under ``key`` if ``condition`` holds; answers whether there was one."""
    before = tx.row(args["key"])
    _check(before, args["condition"])
    if before is None:
        return False
    _release(tx, args["key"], before)
    tx.delete(args["key"])
    return True


def _release(tx: Tx, key: bytes, before: Row | None) -> None:
    if before is not None:
        for chunk in decode(before.value).chunks:
            tx.delete(keys.key("blobrefs", chunk.hex(), key))


def _check(before: Row | None, condition: list[Any] | None) -> None:
    if condition is None:
        return
    kind, *wanted = condition
    version = before.version if before else 0
    if kind == "version":
        holds = version == wanted[0]
    else:
        holds = before is not None and decode(before.value) == Cell(*wanted)
    if not holds:
        raise AwsError(
            "ConditionalCheckFailed",
            "The cell does not hold what the request expects",
            412,
            fields={"Version": version},
        )


RULES = {"kv.put": put, "kv.delete": delete}
