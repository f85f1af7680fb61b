"""Many rows into the state file by few statements.

Each statement lets other threads have the interpreter and must win it back: with the loop busy on
another core that costs more than the row itself. One statement of 32 rows also costs a third less
than 32 of one. So there is a text for each number of rows up to 64; SQLite keeps those it has met.
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
    for count in range(1, ROWS_MAX + 1)
}


def upsert(cursor: apsw.Cursor, rows: Sequence[Row]) -> None:
    """Write ``rows`` over whatever has their keys; no key may come twice."""
    for at in range(0, len(rows), ROWS_MAX):
        some = rows[at : at + ROWS_MAX]
        cursor.execute(_STATEMENTS[len(some)], tuple(chain.from_iterable(some)))
