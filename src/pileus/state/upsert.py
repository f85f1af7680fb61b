"""Many rows into the state file by few statements.

Each statement lets other threads have the interpreter and must win it back: with the loop busy on
another core that costs more than the row itself. Rows go in by powers of two, so that a handful of
texts serves any number; one statement of 32 rows also costs a third less than 32 of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import apsw

from pileus.state.tx import Row

ROWS_MAX = 64
_STATEMENTS = {
    count: "INSERT INTO rows(k, v, ver) VALUES"
    + ",".join(["(?,?,?)"] * count)
    + " ON CONFLICT(k) DO UPDATE SET v = excluded.v, ver = excluded.ver"
    for count in (1 << bits for bits in range(ROWS_MAX.bit_length()))
}


def upsert(cursor: apsw.Cursor, rows: Sequence[Row]) -> None:
    """Write ``rows`` over whatever has their keys; no key may come twice."""
    at, left = 0, len(rows)
    while left:
        count = min(ROWS_MAX, 1 << (left.bit_length() - 1))
        cursor.execute(_STATEMENTS[count], tuple(chain.from_iterable(rows[at : at + count])))
        at, left = at + count, left - count
