"""``pileus backup`` and ``pileus restore``: a checkpoint, the log since, and the blobs.

A backup is a directory: ``checkpoints/``, ``log/`` (segments), ``blobs/``, ``manifest.json``. Each
run adds what is new; the manifest is written last, so a run that dies has changed nothing. Restore
goes to any second between the oldest checkpoint and the last run. Where shards are several, the
others lie in ``shards/N``, and ``shards.json`` says up to which time all of them are there.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw

from pileus.errors import Unavailable
from pileus.state import backups, checkpoint, groups, pages
from pileus.state import entry as codec
from pileus.state.database import PAGE_BYTES, Rows, connect_reader
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.shard import home_of, homes
from pileus.state.verify import NOTHING, Say, blob_path, named_blobs
from pileus.state.versions import RuleBook, history

CHECKPOINT_ENTRIES = 1_000_000
Bring = Callable[[Path, list[str]], None]
KEPT_HERE: Bring = lambda home, digests: None  # noqa: E731
SHARDS = "shards.json"  # beside the manifest, where shards are several: how many, up to when
KEPT_FILES = ("credentials.json", "pileus.toml", "root.key")


@dataclass
class Manifest:
    """Where a backup ends. ``chain`` ties it to one history."""

    last: int = 0
    log_ms: int = 0
    chain: str = ""
    version: int = 1


@dataclass
class Backup:
    """What a run added."""

    last: int
    log_ms: int
    entries: int = 0
    blobs: int = 0
    checkpoint: bool = False


def backup(home: Path, target: Path, say: Say = NOTHING, bring: Bring = KEPT_HERE) -> Backup:
    """Bring the backup in ``target`` up to the state of ``home`` (which may be in use).
    ``Unavailable`` when ``target`` holds another history. ``bring(home, digests)`` fetches blobs
    that other nodes keep."""
    places = homes(home)
    targets = [target / place.relative_to(home) for place in places]
    made = [_copy_state(place, to, say) for place, to in zip(places, targets, strict=True)]
    # Entries up to here are what a restore of all shards may use: what follows from one of them
    # in another shard carries no earlier time.
    cut_ms = max(checkpoint.position(place / "state.db")[1] for place in places)
    added = [_extend(place, to, say) for place, to in zip(places, targets, strict=True)]
    result = added[0]
    result.entries = sum(one.entries for one in added)
    result.checkpoint = any(made)
    if len(places) > 1:
        told = {"shards": len(places), "cut_ms": cut_ms}
        groups.write_synced(target / SHARDS, json.dumps(told).encode())
    say("adding blobs")
    bring(home, _elsewhere(home, target))
    result.blobs = _copy_blobs(home / "blobs", target / "blobs")
    for name in KEPT_FILES:
        if (home / name).exists():
            groups.write_synced(target / name, (home / name).read_bytes())
            (target / name).chmod(0o600)
    for place, to, one in zip(places, targets, added, strict=True):
        backups.note(place, to, one.last, int(time.time()))
    return result


def _copy_state(home: Path, target: Path, say: Say) -> bool:
    """One shard's checkpoint, where one is due; answers whether it was."""
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = _manifest(target)
    kept = checkpoint.every(target / "checkpoints")
    connection = connect_reader(home / "state.db")
    try:
        # From here on the log is kept: it would be dropped below the next checkpoint otherwise.
        at = before.last or checkpoint.position(home / "state.db")[0]
        backups.note(home, target, at, int(time.time()))
        ahead = checkpoint.position(home / "state.db")[0] - kept[-1].sequence if kept else 0
        # A later release may not know the rules before a switch: let it begin behind it.
        switched = history(Rows(connection))
    finally:
        connection.close()
    before_switch = bool(kept and switched) and kept[-1].sequence < switched[-1][1]
    made = not kept or before_switch or ahead > CHECKPOINT_ENTRIES
    if made:
        say("copying the state")
        checkpoint.take(home / "state.db", target / "checkpoints")
    return made


def _extend(home: Path, target: Path, say: Say) -> Backup:
    """One shard's log since the last run."""
    before = _manifest(target)
    start = before.last or checkpoint.every(target / "checkpoints")[-1].sequence
    say(f"adding the log from entry {start + 1}")
    connection = connect_reader(home / "state.db")
    try:
        return _add_log(home, target, connection, before, start)
    finally:
        connection.close()


def _add_log(
    home: Path, target: Path, connection: apsw.Connection, before: Manifest, start: int
) -> Backup:
    found = list(_since(home, connection, before, start))
    groups.write(target / "log", found)
    if found:
        end = found[-1]
        now = Manifest(end.last, end.log_ms, end.chain.hex())
    else:
        now = before
        if not before.last:
            newest = checkpoint.every(target / "checkpoints")[-1]
            now = Manifest(newest.sequence, newest.log_ms, _chain(newest.path).hex())
    groups.write_synced(target / "manifest.json", json.dumps(asdict(now)).encode())
    return Backup(now.last, now.log_ms, sum(len(g.entries) for g in found))


def _since(
    home: Path, connection: apsw.Connection, before: Manifest, start: int
) -> list[groups.Group]:
    """Groups above ``start``, after a look that the backup's last one is in this history."""
    if not before.last:
        return list(groups.history(home / "archive", connection, start))
    after = groups.boundary(home / "archive", connection, start)
    if after < 0 and start <= checkpoint.position(home / "state.db")[0]:
        raise Unavailable(
            f"the log no longer goes back to entry {start}, where this backup ended",
            "back up to an empty directory, and then more often than backup_patience_days",
        )
    found = list(groups.history(home / "archive", connection, after)) if after >= 0 else []
    if not found or found[0].last != start or found[0].chain.hex() != before.chain:
        raise Unavailable(
            "the target holds the backup of another history", "back up to an empty directory"
        )
    return found[1:]


def _chain(state: Path) -> bytes:
    c = apsw.Connection(str(state), flags=apsw.SQLITE_OPEN_READONLY, vfs=pages.vfs_of(state))
    try:
        rows = c.execute("SELECT chain FROM log ORDER BY first DESC LIMIT 1").fetchall()
    finally:
        c.close()
    return bytes(rows[0][0]) if rows else bytes(16)  # type: ignore[arg-type]


def _manifest(target: Path) -> Manifest:
    file = target / "manifest.json"
    return Manifest(**json.loads(file.read_text())) if file.exists() else Manifest()


def _elsewhere(home: Path, target: Path) -> list[str]:
    """Blobs that rows name and neither this home nor the backup has."""
    named = set().union(*(_named(place / "state.db") for place in homes(home)))
    places = (home / "blobs", target / "blobs")
    return sorted(d for d in named if not any(blob_path(p, d).exists() for p in places))


def _copy_blobs(source: Path, target: Path) -> int:
    """Copy the blobs ``target`` lacks, each synced; answers how many."""
    count = 0
    for path in sorted(source.glob("??/*")):
        copy = blob_path(target, path.name)
        if copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            _copy_synced(path, copy)
        except FileNotFoundError:
            continue  # collected meanwhile: nobody names it
        count += 1
    return count


def _copy_synced(source: Path, target: Path) -> None:
    aside = target.with_name(target.name + ".tmp")
    shutil.copyfile(source, aside)
    with open(aside, "rb+") as copy:
        os.fsync(copy.fileno())
    aside.rename(target)
    groups.sync_directory(target.parent)


# -- restore --------------------------------------------------------------------------------


def restore(
    source: Path,
    home: Path,
    rules: Mapping[str, Rule] | RuleBook,
    until_ms: int | None = None,
    say: Say = NOTHING,
) -> Backup:
    """Make ``home`` (without a state) what it was at ``until_ms`` (None: at the last backup).
    ``Unavailable`` when the backup does not reach that time or a blob is missing or damaged."""
    if (home / "state.db").exists():
        raise Unavailable(f"{home} holds a cloud already", "restore into an empty --home")
    file = source / SHARDS
    several = json.loads(file.read_text()) if file.exists() else {"shards": 1}
    limit = _manifest(source).log_ms if until_ms is None else until_ms
    if "cut_ms" in several:
        limit = several["cut_ms"] if until_ms is None else min(until_ms, several["cut_ms"])
    made = [
        _restore_log(home_of(source, n), home_of(home, n), rules, limit, say)
        for n in range(several["shards"])
    ]
    result = made[0]
    result.entries = sum(one.entries for one in made)
    say("copying blobs")
    states = [home_of(home, n) / "restoring.db" for n in range(several["shards"])]
    digests = set().union(*map(_named, states))
    result.blobs = _bring_blobs(source / "blobs", home / "blobs", digests)
    for name in KEPT_FILES:
        if (source / name).exists():
            groups.write_synced(home / name, (source / name).read_bytes())
            (home / name).chmod(0o600)
    for state in reversed(states):  # shard 0's last: until then this home holds no cloud
        _name_state(state)
    return result


def _named(state: Path) -> set[str]:
    connection = connect_reader(state)
    try:
        return named_blobs(connection)
    finally:
        connection.close()


def _name_state(state: Path) -> None:
    for leftover in ("restoring.db-wal", "restoring.db-shm"):
        (state.parent / leftover).unlink(missing_ok=True)
    with open(state, "rb+") as file:
        os.fsync(file.fileno())
    state.rename(state.parent / "state.db")
    groups.sync_directory(state.parent)


def _restore_log(
    source: Path, home: Path, rules: Mapping[str, Rule] | RuleBook, limit: int, say: Say
) -> Backup:
    """One shard, as ``restoring.db``."""
    end = _manifest(source)
    bases = [c for c in checkpoint.every(source / "checkpoints") if c.log_ms <= limit]
    if not end.last or not bases:
        raise Unavailable(
            f"{source} holds no state of that time", "choose a later time, or another backup"
        )
    base = bases[-1]
    if checkpoint.file_sha256(base.path) != base.sha256:
        raise Unavailable(f"the checkpoint {base.path.name} has changed", "use another backup")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = home / "restoring.db"
    state.unlink(missing_ok=True)
    pages.copy(base.path, state, PAGE_BYTES, checksums=True)
    kept = home / "checkpoints"  # so that the restored state can be verified, too
    kept.mkdir(exist_ok=True)
    _copy_synced(base.path, kept / base.path.name)
    record = base.path.with_suffix(".json")
    _copy_synced(record, kept / record.name)
    say(f"replaying the log from entry {base.sequence + 1}")
    return _replay(source, state, rules, base.sequence, end.last, limit)


def _replay(
    source: Path,
    state: Path,
    rules: Mapping[str, Rule] | RuleBook,
    after: int,
    last: int,
    limit_ms: int,
) -> Backup:
    replica = SqliteReplica(state, rules, synchronous="OFF")
    count = 0
    try:
        for segment in groups.segments(source / "log"):
            if segment.last <= after or segment.first > last:
                continue
            for group in groups.read(segment):
                if group.first <= replica.applied:
                    continue
                entries = _until(group, limit_ms)
                if entries:
                    replica.apply_group(group.first, entries)
                    replica.tidy()
                    count += len(entries)
                if len(entries) < len(group.entries):
                    return Backup(replica.applied, replica.log_ms, count)
                if replica.chain != group.chain:
                    raise Unavailable(
                        f"entries {group.first} to {group.last} of the backup are damaged",
                        "use another backup",
                    )
        return Backup(replica.applied, replica.log_ms, count)
    finally:
        replica.settle()
        replica.close()


def _until(group: groups.Group, limit_ms: int) -> list[bytes]:
    """The group's entries up to the first that carries a later time."""
    if group.log_ms <= limit_ms:
        return group.entries
    kept = []
    for data in group.entries:
        if codec.unpack(data).now_ms > limit_ms:
            break
        kept.append(data)
    return kept


def _bring_blobs(source: Path, target: Path, digests: set[str]) -> int:
    for digest in sorted(digests):
        path = blob_path(source, digest)
        if not path.exists() or checkpoint.file_sha256(path) != digest:
            raise Unavailable(f"blob {digest} is missing or damaged in the backup", "use another")
        copy = blob_path(target, digest)
        copy.parent.mkdir(parents=True, exist_ok=True)
        _copy_synced(path, copy)
    return len(digests)
