"""Every page of a state file carries a checksum, looked at whenever the page is read from the file:
a bit that turned on the disk is never answered.

SQLite's own extension does it (https://sqlite.org/cksumvfs.html, it comes with apsw): eight bytes
at the end of each page, written by whoever writes the page. A file that lacks them, of an older
release, is read and written as before; a new one, one that is fetched, restored or small enough to
be copied at a start has them. Checkpoints have none: they have a SHA-256 of their own.

Copies are made table by table: VACUUM INTO writes pages before it tells the extension that they
are to have checksums, and cannot leave out the room for them.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from urllib.parse import quote

import apsw
import apsw.sqlite_extra

from pileus.errors import Unavailable

log = logging.getLogger("pileus.state.pages")
EXTENSION, CHECKED, PLAIN = "cksumvfs", "cksmvfs", "unix"
RESERVED_BYTES = 8
COPIED_BYTES_MAX = 64 * 1024 * 1024  # an older file's copy at a start: less than a second
BUSY_MS = 10_000
TABLES = "SELECT name, sql FROM src.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


def checked() -> str:
    """The name by which SQLite opens files with checksums; ``PLAIN`` where this build of apsw has
    no such thing."""
    if CHECKED not in apsw.vfs_names():
        if apsw.sqlite_extra.has(EXTENSION) is None:
            return PLAIN
        scratch = apsw.Connection("")
        try:
            apsw.sqlite_extra.load(scratch, EXTENSION)
        finally:
            scratch.close()
            apsw.set_default_vfs(PLAIN)  # who wants checksums says so
    return CHECKED


def vfs_of(path: Path | str) -> str | None:
    """How to open a state file. ``Unavailable`` where it has checksums that this build of apsw
    cannot write: its pages would be taken for damaged ones later."""
    if str(path) == ":memory:":
        return None
    vfs = checked()
    if vfs == PLAIN and has_checksums(path):
        raise Unavailable(
            f"{path} has checksums in its pages and this installation of apsw lacks {EXTENSION}",
            "install apsw from its wheel on PyPI",
        )
    return vfs


def has_checksums(path: Path | str) -> bool:
    """Whether a file's pages have room for them.

    SQLite is asked: a file that is opened and closed beside it loses this process's locks (POSIX),
    and another process that ends would take the write-ahead log away from it."""
    if not Path(path).exists():
        return False
    c = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=checked())
    try:
        c.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # without the extension: no pages
        c.set_busy_timeout(BUSY_MS)
        c.execute("SELECT 1 FROM sqlite_master").fetchall()  # the header, wherever it is
        return c.reserve_bytes(None, -1) == RESERVED_BYTES
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) != apsw.SQLITE_IOERR_DATA:
            raise
        return True  # wrong ones
    finally:
        c.close()


def copy(source: Path, target: Path, page_bytes: int, checksums: bool) -> None:
    """A new file with the tables of ``source``, in one snapshot of it, and pages of its own."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # it holds secrets
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    vfs = checked() if checksums else PLAIN
    c = apsw.Connection(str(target), flags=flags, vfs=vfs)
    try:
        c.set_busy_timeout(BUSY_MS)
        if vfs == CHECKED:
            c.reserve_bytes(None, RESERVED_BYTES)
        for setting in (f"page_size={page_bytes}", "journal_mode=OFF", "synchronous=OFF"):
            c.execute(f"PRAGMA {setting}")
        uri = f"file:{quote(str(source))}?mode=rw&vfs={vfs_of(source)}"
        c.execute("ATTACH ? AS src", (uri,))
        c.execute("PRAGMA main.user_version=0")  # the header first: pages after it get checksums
        c.execute("BEGIN")
        found = c.execute(TABLES).fetchall()
        for _, sql in found:
            c.execute(str(sql))
        for name, _ in found:
            c.execute(f'INSERT INTO main."{name}" SELECT * FROM src."{name}"')
        c.execute("COMMIT")
    finally:
        c.close()


def bring_up(state: Path, page_bytes: int) -> bool:
    """Give a small state file of an older release its checksums, before it is opened. Answers
    whether it was done: not while somebody else has it open."""
    if (
        checked() == PLAIN
        or not state.exists()
        or has_checksums(state)
        or state.stat().st_size > COPIED_BYTES_MAX
    ):
        return False
    whole = state.with_name(f"{state.name}.checked")
    c = apsw.Connection(str(state), flags=apsw.SQLITE_OPEN_READWRITE, vfs=PLAIN)
    try:
        # Without a write-ahead log, which readers of the new file would share with late ones of
        # the old; nobody writes meanwhile.
        c.execute("PRAGMA journal_mode=DELETE")
        if state.with_name(f"{state.name}-wal").exists():
            return False
        c.execute("BEGIN IMMEDIATE")
        copy(state, whole, page_bytes, checksums=True)
        sync(whole)
        whole.rename(state)
        sync(state.parent)
        return True
    except (apsw.BusyError, apsw.FullError, OSError) as error:
        log.warning("%s gets its checksums another time: %s", state, error)
        whole.unlink(missing_ok=True)
        return False
    finally:
        c.close()


def sync(path: Path) -> None:
    """What a file holds, or which files a folder holds, is on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
