"""``pileus verify``: is the state what the log says, and is every blob what its name says?

The log is replayed from the beginning, or from a checkpoint where the beginning is archived no
more, into a fresh file; after each group the running hash is compared, at the end every row. May
run while the cloud serves.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from pileus.engine.damage import damaged
from pileus.state import checkpoint, groups, keys, tablets, versions
from pileus.state.database import Rows, connect_reader
from pileus.state.entry import Corrupt
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.shard import homes
from pileus.state.versions import RuleBook

Say = Callable[[str], None]
NOTHING: Say = lambda text: None  # noqa: E731


@dataclass
class Held:
    """What other nodes say of blobs that are not here. ``at``: who has each, where anybody has;
    ``unasked``: why a node said nothing."""

    at: dict[str, str] = field(default_factory=dict)
    unasked: dict[str, str] = field(default_factory=dict)


Elsewhere = Callable[[Sequence[str]], Held]
NOWHERE: Elsewhere = lambda digests: Held()  # noqa: E731


@dataclass
class Report:
    """What was looked at, and what is wrong (nothing, when ``problems`` is empty)."""

    base: int = 0
    applied: int = 0
    entries: int = 0
    marks: int = 0  # hash marks in the log, found true
    rows_digest: str = ""
    blobs: int = 0
    late: dict[str, str] = field(default_factory=dict)  # blobs yet to be copied here: who has each
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(
    home: Path,
    rules: Mapping[str, Rule] | RuleBook,
    say: Say = NOTHING,
    keeps: Callable[[str], bool] = lambda digest: True,
    elsewhere: Elsewhere = NOWHERE,
) -> Report:
    """Check the state of ``home``. ``rules``: those of every service, as assembly has them.
    ``keeps``: whether a blob that rows name should be in this home; ``elsewhere``: asks the other
    nodes for those that are not. A blob is safe on two nodes when it is named, and comes to the
    third within minutes: who has it says whether it is late here or lost."""
    report = Report()
    named: set[str] = set()
    digests: list[str] = []
    for number, place in enumerate(homes(home)):
        one = report if not number else Report()
        named |= _verify_log(place, rules, one, say)
        digests.append(one.rows_digest)
        if number:
            report.entries += one.entries
            report.marks += one.marks
            report.problems += [f"shard {number}: {problem}" for problem in one.problems]
    if len(digests) > 1:
        report.rows_digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    report.problems += _missing_shards(home, len(digests))
    say("the blobs")
    lacking = _check_blobs(home / "blobs", named, report, keeps)
    _judge(home, lacking, report, elsewhere)
    return report


def _verify_log(
    home: Path, rules: Mapping[str, Rule] | RuleBook, report: Report, say: Say
) -> set[str]:
    """One shard; answers the blobs its rows name."""
    connection = connect_reader(home / "state.db")
    try:
        connection.execute("BEGIN")  # one snapshot for everything below
        say("the state file")
        found: Any = connection.execute("PRAGMA integrity_check(10)").fetchall()
        report.problems += [f"state file: {text}" for (text,) in found if text != "ok"]
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            book = rules if isinstance(rules, RuleBook) else RuleBook(rules)
            _replay(home, Path(scratch), book, connection, report, say)
        return named_blobs(connection)
    except apsw.Error as error:
        if not damaged(error):
            raise
        report.problems.append(f"state file: a page has other bytes than were written: {error}")
        return set()
    finally:
        connection.close()


def _missing_shards(home: Path, found: int) -> list[str]:
    connection = connect_reader(home / "state.db")
    try:
        wanted = tablets.shards(Rows(connection))
    except apsw.Error as error:
        if not damaged(error):
            raise
        return []  # told already
    finally:
        connection.close()
    return [f"shard {number} is missing" for number in range(found, wanted)]


def _replay(
    home: Path,
    scratch: Path,
    book: RuleBook,
    connection: apsw.Connection,
    report: Report,
    say: Say,
) -> None:
    copy = scratch / "replay.db"
    try:
        base = replay_base(home, connection, book, report)
        if base is not None:
            shutil.copyfile(base.path, copy)
            report.base = base.sequence
        replica = SqliteReplica(copy, book, synchronous="OFF")
    except Corrupt as e:
        report.problems.append(str(e))
        return
    say(f"replaying the log from entry {report.base + 1}")
    try:
        for group in groups.history(home / "archive", connection, report.base):
            replica.apply_group(group.first, group.entries)
            replica.tidy()
            report.entries += len(group.entries)
            if replica.chain != group.chain:
                raise Corrupt(
                    f"entries {group.first} to {group.last} do not give what they once gave"
                )
        report.applied = replica.applied
        report.marks = replica.marks.compared
    except Corrupt as e:
        report.problems.append(str(e))
        return
    finally:
        replica.close()
    say("comparing rows")
    replayed = connect_reader(copy)
    report.rows_digest = checkpoint.rows_digest(connection)
    if checkpoint.rows_digest(replayed) != report.rows_digest:
        report.problems.append("the rows are not what the log says")
    replayed.close()


def replay_base(
    home: Path, connection: apsw.Connection, book: RuleBook, report: Report
) -> checkpoint.Checkpoint | None:
    """What a replay begins with: nothing (None) where the log is whole, else the oldest checkpoint
    it goes on from. What was written under rules this release no longer has is behind it."""
    first = _oldest(home, connection)
    wanted = max(first - 1, versions.replays_after(Rows(connection), book))
    if wanted <= 0:
        return None
    for found in checkpoint.every(home / "checkpoints"):
        if found.sequence >= wanted:
            if checkpoint.file_sha256(found.path) != found.sha256:
                report.problems.append(f"the checkpoint {found.path.name} has changed")
                continue
            return found
    raise Corrupt(f"a replay must begin after entry {wanted} and no checkpoint reaches it")


def _oldest(home: Path, connection: apsw.Connection) -> int:
    archived = groups.segments(home / "archive")
    if archived:
        return archived[0].first
    found: Any = connection.execute(
        "SELECT first FROM log WHERE length(entries) > 0 ORDER BY first LIMIT 1"
    ).fetchall()
    if found:
        return int(found[0][0])
    last: Any = connection.execute("SELECT last FROM log ORDER BY first DESC LIMIT 1").get
    return (last or 0) + 1


def blob_path(directory: Path, digest: str) -> Path:
    return directory / digest[:2] / digest


def named_blobs(connection: apsw.Connection) -> set[str]:
    """Digests that some row names."""
    start = keys.table_prefix("blobrefs")
    found: Any = connection.execute(
        "SELECT k FROM rows WHERE k >= ? AND k < ?", (start, keys.after_prefix(start))
    )
    return {keys.split(k)[1].decode() for (k,) in found}


def _check_blobs(
    directory: Path, named: set[str], report: Report, keeps: Callable[[str], bool]
) -> list[str]:
    """Every file against its name; answers what should be here and is not."""
    for path in sorted(directory.glob("??/*")):
        report.blobs += 1
        try:
            # One that no row names may be torn: the power went before its sync. It is collected.
            if path.name in named and checkpoint.file_sha256(path) != path.name:
                report.problems.append(f"blob {path.name} has changed")
        except FileNotFoundError:
            continue  # collected meanwhile: nobody names it
    return [d for d in sorted(filter(keeps, named)) if not blob_path(directory, d).exists()]


def _judge(home: Path, lacking: list[str], report: Report, elsewhere: Elsewhere) -> None:
    """Is each blob of ``lacking`` late, lost, or named no more?"""
    if not lacking:
        return
    held = elsewhere(lacking)
    report.late = {digest: held.at[digest] for digest in lacking if digest in held.at}
    unasked = "".join(f"; {node} was not asked: {why}" for node, why in held.unasked.items())
    still = _named_now(home, set(lacking) - set(report.late))
    report.problems += [f"blob {digest} is missing{unasked}" for digest in sorted(still)]


def _named_now(home: Path, digests: set[str]) -> set[str]:
    """Those of ``digests`` that rows name at this moment: while a cloud serves, one may have been
    let go of and collected since the rows were read."""
    named: set[str] = set()
    for place in homes(home) if digests else ():
        connection = connect_reader(place / "state.db")
        try:
            named |= digests & named_blobs(connection)
        finally:
            connection.close()
    return named
