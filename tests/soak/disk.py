"""What a home's disk is used for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pileus.state.database import connect_reader


def composition(home: Path) -> dict[str, int]:
    """Bytes by purpose: rows, the log's tail in the state file, its free pages, write-ahead log,
    archived log, checkpoints, blobs, the rest."""
    connection = connect_reader(home / "state.db")
    try:
        page = _one(connection, "PRAGMA page_size")
        pages = _one(connection, "PRAGMA page_count")
        free = _one(connection, "PRAGMA freelist_count") * page
        log = _one(connection, "SELECT sum(length(entries) + length(results)) FROM log")
    finally:
        connection.close()
    told = {
        "rows": pages * page - free - log,
        "log in the state file": log,
        "free pages": free,
        "write-ahead log": _size(home / "state.db-wal"),
        "archived log": _size(home / "archive"),
        "checkpoint": _size(home / "checkpoints"),
        "blobs": _size(home / "blobs"),
    }
    # The state file's own size can lag behind its page count: the rest is in the write-ahead log.
    in_file = _size(home / "state.db")
    told["rows"] = in_file - free - log if in_file < pages * page else told["rows"]
    told["the rest"] = (
        _size(home)
        - in_file
        - sum(told[n] for n in ("write-ahead log", "archived log", "checkpoint", "blobs"))
    )
    return told


def _one(connection: Any, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0] or 0)


def _size(path: Path) -> int:
    """Bytes on the disk (blocks, not lengths)."""
    if path.is_file():
        return path.stat().st_blocks * 512
    found = 0
    for each in path.rglob("*"):
        try:
            found += each.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return found
