"""Groups of the log wherever they lie: in the state file's journal or in archived segments.

A segment is one file ``FIRST-LAST.seg``: ``crc32 (4 bytes, big-endian) zlib(msgpack([[first, last,
log_ms, chain, entries], …]))``, synced and named before the journal forgets its groups.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from pileus.state.entry import Corrupt

SEGMENT_BYTES = 16 * 1024 * 1024
_NAME = re.compile(r"(\d{16})-(\d{16})\.seg\Z")
_decode = msgspec.msgpack.Decoder(list[tuple[int, int, int, bytes, list[bytes]]]).decode
_decode_entries = msgspec.msgpack.Decoder(list[bytes]).decode


class Group(NamedTuple):
    """Entries ``first`` to ``last``; ``log_ms`` and ``chain`` as they stand after the last."""

    first: int
    last: int
    log_ms: int
    chain: bytes
    entries: list[bytes]


class Segment(NamedTuple):
    first: int
    last: int
    path: Path


def journal(connection: apsw.Connection, after: int) -> Iterator[Group]:
    """Groups above ``after`` whose entries the state file still holds."""
    found: Any = connection.execute(
        "SELECT first, last, log_ms, chain, entries FROM log"
        " WHERE first > ? AND length(entries) > 0 ORDER BY first",
        (after,),
    )
    for first, last, log_ms, chain, entries in found:
        yield Group(first, last, log_ms, chain, _decode_entries(entries))


def segments(directory: Path) -> list[Segment]:
    """The segments of a directory, oldest first."""
    found = []
    for path in directory.glob("*.seg"):
        match = _NAME.match(path.name)
        if match:
            found.append(Segment(int(match[1]), int(match[2]), path))
    return sorted(found)


def forget(directory: Path, below: int) -> int:
    """Remove the segments that end below ``below``; answers how many."""
    old = [s for s in segments(directory) if s.last < below]
    for segment in old:
        segment.path.unlink()
    return len(old)


def read(segment: Segment) -> list[Group]:
    """A segment's groups; ``Corrupt`` when it is not what was written."""
    data = segment.path.read_bytes()
    if zlib.crc32(data[4:]).to_bytes(4, "big") != data[:4]:
        raise Corrupt(f"the checksum of {segment.path.name} does not hold")
    return [Group(*g) for g in _decode(zlib.decompress(data[4:]))]


def write(directory: Path, groups: Iterable[Group]) -> int:
    """Write groups as synced segments; answers the last sequence number written (0: none)."""
    directory.mkdir(parents=True, exist_ok=True)
    held: list[Group] = []
    size = last = 0
    for group in groups:
        held.append(group)
        size += sum(map(len, group.entries))
        if size >= SEGMENT_BYTES:
            last = _write_one(directory, held)
            held, size = [], 0
    return _write_one(directory, held) if held else last


def _write_one(directory: Path, groups: list[Group]) -> int:
    packed = zlib.compress(msgspec.msgpack.encode(groups), 1)
    first, last = groups[0].first, groups[-1].last
    path = directory / f"{first:016}-{last:016}.seg"
    write_synced(path, zlib.crc32(packed).to_bytes(4, "big") + packed)
    let_go(path)
    return last


def let_go(path: Path) -> None:
    """Ask the system to keep none of a synced file in memory: nobody reads an archive or a copy
    soon, and each page of them takes the place of one of the state's."""
    if hasattr(os, "posix_fadvise"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def write_synced(path: Path, data: bytes) -> None:
    """A file that is whole under its name or not there: written aside, synced, renamed."""
    aside = path.with_name(path.name + ".tmp")
    with open(aside, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    aside.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def history(archive: Path, connection: apsw.Connection, after: int) -> Iterator[Group]:
    """Every group above ``after``, from segments then journal, without gap; ``Corrupt`` when one
    is missing."""
    at = after
    for segment in segments(archive):
        if segment.last <= at:
            continue
        for group in read(segment):
            if group.last > at:
                _follows(group, at)
                yield group
                at = group.last
    for group in journal(connection, at):
        _follows(group, at)
        yield group
        at = group.last


def boundary(archive: Path, connection: apsw.Connection, sequence: int) -> int:
    """The last sequence number before the group that holds ``sequence``; -1: none holds it."""
    for segment in segments(archive):
        if segment.first <= sequence <= segment.last:
            return next(g.first - 1 for g in read(segment) if g.last >= sequence)
    found: Any = connection.execute(
        "SELECT first - 1 FROM log WHERE first <= ? AND last >= ? AND length(entries) > 0",
        (sequence, sequence),
    ).fetchall()
    return int(found[0][0]) if found else -1


def _follows(group: Group, at: int) -> None:
    if group.first != at + 1:
        raise Corrupt(f"entries {at + 1} to {group.first - 1} are missing from the log")
