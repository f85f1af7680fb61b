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


def transact(tx: Tx, args: dict[str, Any]) -> bytes | None:
    """Check what the author read, then write: ``reads`` [(key, version or 0)], ``ranges``
    [(start, end, limit, reverse, digest)], ``puts`` [(key, value)], ``deletes`` [key], ``changes``
    [(topic, payload)]. Answers ``answer``, so that a repeat of the request gets it too;
    ``recall`` only asks whether there was a first one.
    """
    if "recall" in args:
        raise Conflict("no such request")
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
    answer: bytes | None = args.get("answer")
    return answer


def write(tx: Tx, args: list[list[Any]]) -> int:
    """Unconditional puts (value) and deletes (nil): ``[[key, value], …]``."""
    for k, value in args:
        if value is None:
            tx.delete(k)
        else:
            tx.put(k, value)
    return tx.sequence


def purge(tx: Tx, args: dict[str, Any]) -> int:
    """Delete up to ``limit`` rows with start <= key < end; answers how many."""
    rows = tx.range(args["start"], args["end"], args["limit"])
    for row in rows:
        tx.delete(row.key)
    return len(rows)


STATE_RULES: Mapping[str, Rule] = {"transact": transact, "write": write, "purge": purge}
