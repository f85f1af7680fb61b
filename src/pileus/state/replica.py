"""The state machine: applies groups of entries to one state file, one transaction each.

Row values, the journal of the group (entries, verdicts, running hash) and so the applied position
are committed together. A group's writes are coalesced: the last one per key reaches SQLite.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import apsw
import msgspec

from pileus.engine import LogEntry
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import database, keys, marks, moves, owned, sharding, spanning, tablets, versions
from pileus.state import entry as codec
from pileus.state.database import WRITER_KIB, Rows, connect
from pileus.state.duplicates import Duplicates, request_key, window_start
from pileus.state.entry import Corrupt, StaleEpoch
from pileus.state.rules import STATE_RULES, Rule
from pileus.state.sharding import ShardTx
from pileus.state.tx import PlainTx, Row, Tx, as_row
from pileus.state.upsert import upsert
from pileus.state.versions import RuleBook
from pileus.state.wal import WriteAhead

log = logging.getLogger("pileus.state.replica")
GENESIS = bytes(16)
FORGET_GROUPS = 500
HELD_BYTES_MAX = 2047  # hashlib keeps the interpreter for fewer
RECENT_MAX = 1024
RECENT_BYTES_MAX = 16 * 1024
JOURNAL = "INSERT INTO log(first, last, log_ms, chain, results, entries) VALUES(?,?,?,?,?,?)"
VALUE_OF = itemgetter(Row._fields.index("value"))
OPERATING = (apsw.Error, OSError, MemoryError, Unavailable, Corrupt)
# The rules that every state has, whoever keeps it; a replica adds its own (`marks`).
BUILT_IN: dict[str, Rule] = {
    **STATE_RULES,
    **tablets.RULES,
    **versions.RULES,
    **owned.RULES,
    **tablets.SHARD_RULES,
    **spanning.RULES,
    **moves.RULES,
}

_encode = msgspec.msgpack.Encoder().encode
_decode_results = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, int, int]]).decode
_decode_entries = msgspec.msgpack.Decoder(list[bytes]).decode


def _hash(parts: list[bytes]) -> bytes:
    """One after the other where they are long together: for a long text the interpreter is let go
    and must be won back, which costs more than the hash."""
    if sum(map(len, parts)) < HELD_BYTES_MAX:
        return hashlib.blake2b(b"".join(parts), digest_size=16).digest()
    chain = hashlib.blake2b(digest_size=16)
    deque(map(chain.update, parts), maxlen=0)
    return chain.digest()


def _instead(rule: str, error: Exception) -> bytes:
    """The verdict of an entry whose rule raised; raises what is no verdict."""
    if isinstance(error, AwsError):
        return codec.refused(error)
    if isinstance(error, Conflict):
        return codec.conflict(error)
    if isinstance(error, StaleEpoch):
        return codec.STALE_VERDICT
    if isinstance(error, OPERATING):
        raise error
    # The same on every replica, so it is a verdict too; nothing is written.
    log.error("the rule %s failed", rule, exc_info=error)
    return codec.bug(rule, error)


class SqliteReplica:
    """See ``pileus.engine.Replica``. ``journal=False`` leaves entries out of the journal, for
    engines whose log is elsewhere."""

    def __init__(
        self,
        path: Path | str,
        rules: Mapping[str, Rule] | RuleBook,
        *,
        synchronous: str = "FULL",
        vfs: str | None = None,
        journal: bool = True,
    ) -> None:
        self.path = path
        self._journal = journal
        self._c = connect(path, synchronous=synchronous, vfs=vfs)
        self._rows = Rows(self._c)
        self.marks = marks.Marks(self._c)
        own: dict[str, Rule] = {marks.RULE: self.marks.compare}
        self.book = rules if isinstance(rules, RuleBook) else RuleBook(rules)
        self._own: dict[str, Rule] = BUILT_IN | own
        self._cursor = self._c.cursor()
        self._pending: dict[bytes, Row | None] = {}
        # Rows read lately, as they stand: nobody else writes this file. Rules ask for the same few
        # (a table's description) again and again, each time for the price of a small write.
        self._recent: dict[bytes, Row | None] = {}
        self.touched: set[bytes] = set()  # tables the last group wrote to
        self.written: set[bytes] = set()  # and in them: its rows' keys, and their heads
        self.written_bytes = 0  # of row values, since the start
        self.journaled_bytes = 0  # of entries in the journal, since the start
        self.wal = WriteAhead(self._c, path, vfs)
        self._load()

    def keep_pages(self, shards: int) -> None:
        """Divide what a process keeps of pages among so many shards."""
        self._rows.keep_pages(WRITER_KIB, shards)

    # -- where it stands -----------------------------------------------------------------

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def chain(self) -> bytes:
        """The running hash of every entry, its verdict and its writes."""
        return self._chain

    @property
    def position(self) -> bytes:
        """Where a log kept elsewhere stands, as it was told last (b"": never)."""
        return database.position(self._c)

    @property
    def log_ms(self) -> int:
        """The greatest time any applied entry carried."""
        return self._log_ms

    def _load(self) -> None:
        """Position, running hash, remembered requests and tablet map, from the file."""
        last: list[Any] = self._c.execute(
            "SELECT last, log_ms, chain FROM log ORDER BY first DESC LIMIT 1"
        ).fetchall()
        self._applied: int
        self._log_ms: int
        self._chain: bytes
        self._applied, self._log_ms, self._chain = last[0] if last else (0, 0, GENESIS)
        self._recent.clear()
        self._hollow = 0  # the last group whose entries are known to be gone
        self._duplicates = Duplicates()
        begin = window_start(self._applied)
        tail: Any = self._c.execute(
            "SELECT results FROM log WHERE last >= ?"
            " AND first >= coalesce((SELECT max(first) FROM log WHERE first <= ?), 0)"
            " ORDER BY first",
            (begin, begin),
        )
        try:
            for (results,) in tail:
                for key, verdict, sequence, log_ms in _decode_results(results):
                    self._duplicates.add(key, verdict, sequence, log_ms)
        except msgspec.DecodeError as e:
            raise Corrupt(f"the log's tail in the state file cannot be read: {e}") from e
        self._duplicates.forget(self._applied, self._log_ms)
        self._read_map()
        self._memory_stale = False

    def _read_map(self) -> None:
        self._map = tablets.load(self)
        self.sharding = sharding.load(self)  # None in a shard that is the only one
        version = self._map.rules
        self._rules: dict[str, Rule] = {**self._own, **self.book.at(version)}
        # Entries of this version need no further look.
        self._plain_version = version if self.book.applies(version) else -1

    # -- what rules read -------------------------------------------------------------------

    def row(self, key: bytes) -> Row | None:
        if key in self._pending:
            return self._pending[key]
        if key in self._recent:
            return self._recent[key]
        found = self._rows.row(key)
        if len(self._recent) >= RECENT_MAX:
            self._recent.clear()
        if found is None or len(found.value) <= RECENT_BYTES_MAX:
            self._recent[key] = found
        return found

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        if any(start <= key < end for key in self._pending):
            self._flush()
        return self._rows.range(start, end, limit, reverse)

    # -- apply -------------------------------------------------------------------------------

    def apply_group(
        self, first: int, entries: Sequence[bytes], position: bytes = b""
    ) -> list[bytes]:
        if first != self._applied + 1:
            raise Corrupt(f"the log goes on at {first}, the state stands at {self._applied}")
        before = (self._chain, self._log_ms)
        self.touched, self.written = set(), set()
        if self._memory_stale:
            self._load()
        results: list[tuple[bytes, bytes, int, int]] = []
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
            verdicts = [self._apply(first + i, data, results) for i, data in enumerate(entries)]
            self._flush()
            last = first + len(entries) - 1
            packed = _encode(entries) if self._journal else b""
            self._cursor.execute(
                JOURNAL, (first, last, self._log_ms, self._chain, _encode(results), packed)
            )
            if position:
                database.keep_position(self._c, position)
            self._cursor.execute("COMMIT")
        except BaseException:
            self._chain, self._log_ms = before
            self._pending.clear()
            self._recent.clear()
            self._memory_stale = True  # the remembered requests, the tablet map
            if self._c.in_transaction:
                self._c.execute("ROLLBACK")
            raise
        self._applied = last
        self.journaled_bytes += len(packed)
        return verdicts

    def _apply(
        self, sequence: int, data: bytes, results: list[tuple[bytes, bytes, int, int]]
    ) -> bytes:
        e = codec.unpack(data)
        version, epoch, rule, now_ms, request_id, args = e
        if now_ms > self._log_ms:
            self._log_ms = now_ms
        self._duplicates.forget(sequence, self._log_ms)
        key, verdict = b"", None
        if request_id:
            key = request_key(request_id, rule if rule != spanning.DECIDE else args["rule"])
            verdict = self._duplicates.get(key)
        writes: dict[bytes, bytes | None] = {}
        if verdict is None:
            if self.sharding is None and epoch >= self._map.epoch:
                tx: Tx = PlainTx(self, sequence, now_ms, request_id)
            else:
                tx = self._checked_tx(sequence, e)
            try:
                if version != self._plain_version:
                    self._check_version(tx.sequence, e)
                result = self._rules[rule](tx, args)
                verdict = codec.OK_NONE if result is None else codec.ok(result)
            except Exception as error:
                verdict = _instead(rule, error)
            if verdict[1] == codec.OK:
                writes = tx.writes
                if self.sharding is not None:
                    verdict = self._hold_shared(tx, verdict)
                elif self._hold(sequence, writes):
                    self._read_map()
            if key and codec.final(verdict):
                results.append((key, verdict, sequence, self._log_ms))
                self._duplicates.add(key, verdict, sequence, self._log_ms)
        parts = [self._chain, data, verdict]
        for k, v in writes.items():
            parts += (k, b"\x00" if v is None else v)
        self._chain = _hash(parts)
        if not sequence % marks.EVERY:
            self.marks.note(sequence, self._chain)
        return verdict

    def _checked_tx(self, sequence: int, e: codec.Entry) -> Tx:
        if self.sharding is not None:
            return ShardTx(self, sequence, e.now_ms, e.request_id, self.sharding)
        return tablets.CheckedTx(self, sequence, e.now_ms, e.request_id, self._map, e.epoch)

    def _check_version(self, sequence: int, e: codec.Entry) -> None:
        self.book.check(sequence, e)
        if self._map.rules not in (0, e.rules):
            raise StaleEpoch  # written while the rules were switched: its author writes it again

    def _hold(self, sequence: int, writes: dict[bytes, bytes | None]) -> bool:
        """Answers whether the map of tablets is among them."""
        pending, recent = self._pending, self._recent
        remap = False
        of_the_map = tablets.PREFIX
        for k, v in writes.items():
            pending[k] = row = None if v is None else as_row((k, v, sequence))
            if k in recent:  # read lately: likely read again; a group that fails clears them all
                if v is None or len(v) <= RECENT_BYTES_MAX:
                    recent[k] = row
                else:
                    del recent[k]
            if k.startswith(of_the_map):
                remap = True
        return remap

    def _hold_shared(self, tx: Tx, verdict: bytes) -> bytes:
        """What a write means in one of several shards; answers the entry's verdict."""
        assert isinstance(tx, ShardTx) and self.sharding is not None
        remap = self._hold(tx.sequence, tx.writes)
        for k, version in tx.versions.items():
            row = self._pending[k]
            if row is not None:
                self._pending[k] = row._replace(version=version)
            self._recent.pop(k, None)
        if any(b":changes\x00" in k for k in tx.writes):  # who waits for changes waits for these
            self.touched.add(b"changes")
        if remap:
            self._read_map()
        else:
            self.sharding.locks.note(tx.writes)
        return tx.verdict or verdict

    def _flush(self) -> None:
        """Bring held writes into the open transaction."""
        pending = self._pending
        if not pending:
            return
        order = sorted(pending)
        heads = set(map(keys.head, order))
        self.written.update(heads, order)
        self.touched |= {head.partition(b"\x00")[0] for head in heads}
        rows = list(map(pending.__getitem__, order))
        puts = cast(list[Row], list(filter(None, rows)) if None in rows else rows)
        self.written_bytes += sum(map(len, map(VALUE_OF, puts)))
        upsert(self._cursor, puts)
        if len(puts) < len(rows):
            gone = [(k,) for k in order if pending[k] is None]
            self._cursor.executemany("DELETE FROM rows WHERE k = ?", gone)
        pending.clear()

    # -- journal -----------------------------------------------------------------------------

    def entries(self, after: int, limit: int = 1000) -> list[LogEntry]:
        found: list[LogEntry] = []
        groups: list[Any] = self._c.execute(
            "SELECT first, entries FROM log WHERE last > ? AND length(entries) > 0"
            " ORDER BY first LIMIT ?",
            (after, limit),
        ).fetchall()
        for first, packed in groups:
            found += (LogEntry(first + i, e) for i, e in enumerate(_decode_entries(packed)))
        return [e for e in found if e.sequence > after][:limit]

    def forget(self, below: int) -> bool:
        """Let go of the journal below ``below``, a few groups at a time (True: more are left):
        the entries of every group, and the whole group where its verdicts are not needed, to
        rebuild the duplicate filter from."""
        below = min(below, self._applied)
        needless = min(below, window_start(self._applied))
        self._c.execute(
            "DELETE FROM log WHERE first IN"
            " (SELECT first FROM log WHERE first < ? AND last < ? ORDER BY first LIMIT ?)",
            (needless, needless, FORGET_GROUPS),
        )
        dropped = self._c.changes()
        full: list[Any] = self._c.execute(
            "SELECT first FROM log WHERE first > ? AND first < ? AND last < ?"
            " AND length(entries) > 0 ORDER BY first LIMIT ?",
            (self._hollow, below, below, FORGET_GROUPS),
        ).fetchall()
        if full:
            span = full[0][0], full[-1][0]
            self._c.execute("UPDATE log SET entries = x'' WHERE first BETWEEN ? AND ?", span)
            self._hollow = span[1]
        return FORGET_GROUPS in (dropped, len(full))

    def settle(self) -> None:
        """Bring everything into the state file itself and sync it."""
        self._c.execute("PRAGMA synchronous=FULL")
        self.wal.throw_away()

    def tidy(self) -> None:
        """Between two groups: keep the write-ahead log short."""
        self.wal.tidy()

    def shorten(self) -> None:
        """Between two groups, now and then: give back the room of a long write-ahead log."""
        self.wal.shorten()

    def recover(self) -> None:
        """Leave no trace of a failed commit. Its frames may lie beyond the end of the write-ahead
        log, readable but never synced: a truncating checkpoint (it syncs) throws them away."""
        if self._c.in_transaction:
            self._c.execute("ROLLBACK")
        self._pending.clear()
        self.wal.throw_away()
        before = self._applied, self._chain
        self._load()
        if (self._applied, self._chain) != before:
            raise Corrupt("the state file changed under its writer")

    def image(self) -> bytes:
        """The whole state file as bytes, as of the last commit."""
        return bytes(self._c.serialize("main"))

    def restore_image(self, image: bytes) -> None:
        """Stand where ``image`` was taken (replicas in memory only)."""
        self._c.deserialize("main", image)
        self._load()

    def close(self) -> None:
        self.wal.close()
        self._c.close()
