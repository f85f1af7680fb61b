"""The rules of ``apply``: a name for each kind of entry and the deterministic function that
carries it out.

A rule is ``f(tx, args) -> result``. ``args`` and ``result`` are msgpack values. A verdict against
the caller is an
``AwsError`` raised before the rule returns; it is recorded and answered, and nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pileus.errors import Conflict
from pileus.state.tx import Tx

Rule = Callable[[Tx, Any], Any]


def range_digest(rows: list[Any]) -> bytes:
    """What a range looked like: keys and versions, hashed."""
    h = hashlib.blake2b(digest_size=16)
    for row in rows:
        h.update(row.key + row.version.to_bytes(8, "big"))
    return h.digest()


def transact(tx: Tx, args: dict[str, Any]) -> int:
    """Check what the author read, then write: ``reads`` [(key, version or 0)], ``ranges``
    [(start, end, limit, reverse, digest)], ``puts`` [(key, value)], ``deletes`` [key], ``changes``
    [(topic, payload)].
    """
    for k, version in args["reads"]:
        row = tx.row(k)
        if (row.version if row else 0) != version:
            raise Conflict(k)
    for start, end, limit, reverse, digest in args["ranges"]:
        if range_digest(tx.range(start, end, limit, reverse)) != digest:
            raise Conflict(start)
    for k, value in args["puts"]:
        tx.put(k, value)
    for k in args["deletes"]:
        tx.delete(k)
    for topic, payload in args["changes"]:
        tx.change(topic, payload)
    return tx.sequence


def write(tx: Tx, args: list[list[Any]]) -> int:
    """Unconditional puts (value) and deletes (nil): ``[[key, value], …]``."""
    for k, value in args:
        if value is None:
            tx.delete(k)
        else:
            tx.put(k, value)
    return tx.sequence


STATE_RULES: Mapping[str, Rule] = {"transact": transact, "write": write}
