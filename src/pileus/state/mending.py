"""A shard's state file with a damaged page on one machine: made anew from its own log.

The wish (``rebuild``) is a file in the home; whoever opens the store next does it before anything
else. Every row follows from the log: the newest whole checkpoint (or nothing) and the entries
since, archived or in the journal, which is in the same file. Each group's running hash is compared,
so what comes out is what was acknowledged, or nothing does. Where the damage is in the journal
itself the file stays as it is and says so: what lies in its whole pages goes on being answered.

Checksums alone may be wrong: an older release, or SQLite's own shell, writes pages without looking
at them. Such a file is whole by everything else that can be asked: SQLite's check of its structure,
the hash of every group, and every row as the log says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import apsw

from pileus.engine.damage import damaged
from pileus.errors import Unavailable
from pileus.state import checkpoint, pages
from pileus.state.database import PAGE_BYTES, STATE_FILE, connect, connect_reader
from pileus.state.entry import Corrupt
from pileus.state.groups import history, sync_directory, write_synced
from pileus.state.rebuild import GIVEN_UP, WISH, given_up, wish, wished
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.verify import Report, replay_base
from pileus.state.versions import RuleBook

log = logging.getLogger("pileus.state.mending")


def opened(home: Path, rules: Mapping[str, Rule] | RuleBook) -> SqliteReplica:
    """The state of one machine, for its writer: mended if that was wished, or must be; an older
    one with its checksums. ``Unavailable`` where it can be neither read nor made anew."""
    mend(home, rules)
    try:
        return _opened(home, rules)
    except apsw.Error as error:
        if not damaged(error):
            raise
        if not given_up(home):
            wish(home, f"the state file is damaged: {error}")
            if mend(home, rules):
                return _opened(home, rules)
        raise Unavailable(
            "the state file is damaged, and its log with it",
            "restore a backup into a new home: pileus restore",
        ) from error


def _opened(home: Path, rules: Mapping[str, Rule] | RuleBook) -> SqliteReplica:
    pages.bring_up(home / STATE_FILE, PAGE_BYTES)
    return SqliteReplica(home / STATE_FILE, rules)


def mend(home: Path, rules: Mapping[str, Rule] | RuleBook) -> bool:
    """Make the state anew, if that was wished; nobody may have it open. False: it cannot be
    done, and is not tried again."""
    why = wished(home)
    if not why:
        return True
    book = rules if isinstance(rules, RuleBook) else RuleBook(rules)
    error = _tried(home, book, True)
    if error is not None and _tried(home, book, False) is not None:
        log.error(
            "the damaged state file cannot be made anew from its log (%s): rows of damaged pages"
            " are refused; restore a backup",
            error,
        )
        write_synced(home / GIVEN_UP, f"{why}; {error}".encode())
        (home / WISH).unlink()
        return False
    (home / GIVEN_UP).unlink(missing_ok=True)
    (home / WISH).unlink()
    sync_directory(home)
    return True


def _tried(home: Path, book: RuleBook, looking: bool) -> Exception | None:
    """Why it cannot be made anew."""
    try:
        _mend(home, book, looking)
    except (Corrupt, apsw.Error) as error:
        if isinstance(error, apsw.Error) and not damaged(error):
            raise  # a full disk, say: tried again at the next start
        return error
    return None


def _mend(home: Path, book: RuleBook, looking: bool) -> None:
    """``looking``: at the checksums of what is read; else at all else there is."""
    state, whole = home / STATE_FILE, home / "mending.db"
    vfs = None if looking else pages.PLAIN
    _empty_ahead(state, vfs)
    for leftover in home.glob(f"{whole.name}*"):
        leftover.unlink()
    connection = connect_reader(state, vfs=vfs)
    try:
        if not looking:
            _need_structure(connection)
        base = replay_base(home, connection, book, Report())
        if base is not None:
            pages.copy(base.path, whole, PAGE_BYTES, checksums=True)
        after = base.sequence if base else 0
        _replay(home, whole, connection, book, after)
        if not looking:
            _need_same_rows(connection, whole)
    finally:
        connection.close()
    pages.sync(whole)
    for name in ("-wal", "-shm"):  # empty; other processes may still read the old file by them
        state.with_name(f"{state.name}{name}").unlink(missing_ok=True)
    whole.rename(state)
    sync_directory(home)


def _empty_ahead(state: Path, vfs: str | None) -> None:
    """Bring the write-ahead log into the file: it must not meet the new one."""
    c = connect(state, vfs=vfs)
    try:
        c.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        c.close()


def _need_structure(connection: apsw.Connection) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchall()
    if found != [("ok",)]:
        raise Corrupt(f"the state file: {found}")


def _need_same_rows(connection: apsw.Connection, whole: Path) -> None:
    replayed = connect_reader(whole)
    try:
        if checkpoint.rows_digest(replayed) != checkpoint.rows_digest(connection):
            raise Corrupt("the rows are not what the log says")
    finally:
        replayed.close()


def _replay(
    home: Path, whole: Path, connection: apsw.Connection, book: RuleBook, after: int
) -> None:
    last, chain = _end(connection)
    replica = SqliteReplica(whole, book, synchronous="OFF")
    try:
        for group in history(home / "archive", connection, after):
            replica.apply_group(group.first, group.entries)
            replica.tidy()
            if replica.chain != group.chain:
                raise Corrupt(f"entries {group.first} to {group.last} do not give what they gave")
        if (replica.applied, replica.chain) != (last, chain):
            raise Corrupt(f"the log ends at entry {replica.applied}, the state at {last}")
        log.warning("the state was made anew from its log, as of entry %d", replica.applied)
    finally:
        replica.settle()
        replica.close()


def _end(connection: apsw.Connection) -> tuple[int, bytes]:
    found = connection.execute("SELECT last, chain FROM log ORDER BY first DESC LIMIT 1")
    rows = found.fetchall()
    return (int(rows[0][0]), bytes(rows[0][1])) if rows else (0, bytes(16))  # type: ignore[arg-type]
