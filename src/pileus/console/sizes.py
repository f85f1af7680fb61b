"""How many rows and bytes ranges of the state hold, counted beside the work that goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import apsw

from pileus.state.database import connect_reader
from pileus.state.housekeeping import ROW_OVERHEAD_BYTES
from pileus.state.store import STATE_FILE

PATIENCE_S = 3.0  # a count holds a snapshot, which holds back the write-ahead log
STEPS = 10_000
COUNT = "SELECT count(*), total(length(k) + length(v) + ?) FROM rows WHERE k >= ? AND k < ?"


def measure(store: Any, ranges: Sequence[tuple[bytes, bytes]]) -> list[Any]:
    """(rows, bytes) of each range, by a connection of its own; None for what could not be counted
    in ``PATIENCE_S``. Blocking: for a thread."""
    connection = connect_reader(store.home / STATE_FILE, cache_kib=2048)
    deadline = time.monotonic() + PATIENCE_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    told: list[Any] = []
    try:
        for start, end in ranges:
            found: Any = connection.execute(COUNT, (ROW_OVERHEAD_BYTES, start, end)).fetchall()
            told.append((int(found[0][0]), int(found[0][1])))
    except apsw.InterruptError:
        told += [None] * (len(ranges) - len(told))
    finally:
        connection.close()
    return told
