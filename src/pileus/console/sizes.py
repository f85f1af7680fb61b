"""How many rows and bytes ranges of the state hold, counted beside the work that goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from pileus.state.database import connect_reader
from pileus.state.housekeeping import ROW_OVERHEAD_BYTES
from pileus.state.shard import homes
from pileus.state.store import STATE_FILE

PATIENCE_S = 3.0  # a count holds a snapshot, which holds back the write-ahead log
STEPS = 10_000
COUNT = "SELECT count(*), total(length(k) + length(v) + ?) FROM rows WHERE k >= ? AND k < ?"


def measure(store: Any, ranges: Sequence[tuple[bytes, bytes]]) -> list[Any]:
    """(rows, bytes) of each range, by a connection of its own; None for what could not be counted
    in ``PATIENCE_S``. Blocking: for a thread."""
    deadline = time.monotonic() + PATIENCE_S
    of_shards = [_counted(home, ranges, deadline) for home in homes(store.home)]
    return [
        None if None in counts else (sum(c[0] for c in counts), sum(c[1] for c in counts))
        for counts in zip(*of_shards, strict=True)
    ]


def _counted(home: Path, ranges: Sequence[tuple[bytes, bytes]], deadline: float) -> list[Any]:
    connection = connect_reader(home / STATE_FILE, cache_kib=2048)
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
