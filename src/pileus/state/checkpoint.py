"""Checkpoints: whole copies of the state file at one sequence number, and the digest of its rows.

One snapshot is read while the cloud goes on. ``SEQ.json`` beside the copy says
``{"sequence", "log_ms", "sha256"}``; it is written last.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from pileus.state import pages
from pileus.state.groups import let_go, sync_directory, write_synced

KEPT = 1
# Nobody writes to a copy: long pages waste least.
PAGE_BYTES = 65536
READ_BYTES = 1024 * 1024


class Checkpoint(NamedTuple):
    sequence: int
    log_ms: int
    sha256: str
    path: Path


def take(state: Path, directory: Path) -> Checkpoint:
    """Copy ``state`` (a file in use) to ``directory``; durable when this returns. One at a time:
    housekeeping takes them, and other nodes may ask for one."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _take(state, directory)


def _take(state: Path, directory: Path) -> Checkpoint:
    aside = directory / "new.tmp"
    aside.unlink(missing_ok=True)
    pages.copy(state, aside, PAGE_BYTES, checksums=False)
    with open(aside, "rb+") as copy:
        os.fsync(copy.fileno())
    return _name(aside, directory)


def adopt(copy: Path, directory: Path) -> Checkpoint:
    """A whole, synced copy that came from elsewhere is a checkpoint of this directory now."""
    directory.mkdir(parents=True, exist_ok=True)
    return _name(copy, directory)


def _name(copy: Path, directory: Path) -> Checkpoint:
    sequence, log_ms = position(copy)
    path = directory / f"{sequence:016}.db"
    copy.rename(path)
    sync_directory(directory)
    made = Checkpoint(sequence, log_ms, file_sha256(path), path)
    let_go(path)
    told = {"sequence": sequence, "log_ms": log_ms, "sha256": made.sha256}
    write_synced(path.with_suffix(".json"), json.dumps(told).encode())
    return made


def position(state: Path) -> tuple[int, int]:
    """(last applied sequence number, log time) of a state file."""
    c = apsw.Connection(str(state), flags=apsw.SQLITE_OPEN_READONLY, vfs=pages.vfs_of(state))
    try:
        found: Any = c.execute(
            "SELECT last, log_ms FROM log ORDER BY first DESC LIMIT 1"
        ).fetchall()
    finally:
        c.close()
    return found[0] if found else (0, 0)


def every(directory: Path) -> list[Checkpoint]:
    """The recorded checkpoints of a directory, oldest first."""
    found = []
    for record in sorted(directory.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # forgotten meanwhile
            told = json.loads(record.read_text())
            path = record.with_suffix(".db")
            found.append(Checkpoint(told["sequence"], told["log_ms"], told["sha256"], path))
    return found


def forget_old(directory: Path, kept: int = KEPT) -> None:
    """Remove all but the newest checkpoints."""
    for old in every(directory)[:-kept]:
        old.path.with_suffix(".json").unlink(missing_ok=True)
        old.path.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    h = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(READ_BYTES):
            h.update(chunk)
    return h.hexdigest()


def rows_digest(connection: apsw.Connection) -> str:
    """SHA-256 of all rows in key order: equal on replicas that hold the same state, however their
    files are laid out."""
    h = hashlib.sha256()
    found: Any = connection.execute("SELECT k, v, ver FROM rows ORDER BY k")
    for k, v, version in found:
        h.update(b"%d %d %d " % (len(k), len(v), version) + k + v)
    return h.hexdigest()
