"""What committed transactions across shards have not written everywhere yet.

Between the decision and the last shard's finish, a reader must not see half of it: rows that are
still held are read as the decision says. The list is short or empty, and cached by the generation
of table ``txn``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pileus.state import keys
from pileus.state.locks import HELD, HELD_MAX, decided_key, decode_held
from pileus.state.shard import Shard
from pileus.state.tx import Row


class Overlay:
    """``generation``: of table ``txn``, in all shards together."""

    def __init__(self, shards: Sequence[Shard], generation: Callable[[], int]) -> None:
        self._shards = shards
        self._generation = generation
        self._seen = -1
        self.loads = 0  # how often it was read
        self._rows: dict[bytes, Row | None] = {}
        self._deciding: dict[int, set[int]] = {}
        self._undecided: dict[bytes, tuple[int, list[bytes]]] = {}  # home, and what it writes

    @property
    def seen(self) -> int:
        return self._seen

    def rows(self) -> dict[bytes, Row | None]:
        """Held rows as they will be, by key. Not to be changed."""
        now = self._generation()
        if now != self._seen:
            self._rows = self._load()
            self._seen = now
        return self._rows

    def deciding(self, shard: int) -> set[int]:
        """The shards that decide what is held in this one, and have not as far as is known here."""
        self.rows()
        return self._deciding.get(shard, set())

    def moved(self) -> bool:
        """Whether it may be another by now than ``rows`` gave."""
        return self._generation() != self._seen

    def doubted(self, touches: Callable[[bytes], bool]) -> bool:
        """Whether a transaction that ``rows`` took for undecided, and that writes a key which
        ``touches`` says was read, is decided by now. A decision is seen in its home's rows a moment
        before the generation tells of it: who read there after it, and here before, has seen half.
        Then ``rows`` looks again. To be asked when all is read."""
        for txn, (home, written) in self._undecided.items():
            if any(map(touches, written)):
                rows = self._shards[home].rows
                rows.refresh()
                if rows.value(decided_key(txn)) is not None:
                    self._seen = -1
                    return True
        return False

    def _load(self) -> dict[bytes, Row | None]:
        found: dict[bytes, Row | None] = {}
        self.loads += 1
        self._deciding, self._undecided = {}, {}
        for shard in self._shards:
            for row in shard.rows.range(HELD, keys.after_prefix(HELD), HELD_MAX):
                held = decode_held(row.value)
                if not held.writes or shard.number == held.home:
                    continue  # its home writes them as it decides
                txn = keys.split(row.key)[2]
                if self._shards[held.home].rows.value(decided_key(txn)) is not None:
                    for key, value in held.writes:
                        found[key] = None if value is None else Row(key, value, row.version)
                else:
                    self._deciding.setdefault(shard.number, set()).add(held.home)
                    written = self._undecided.setdefault(txn, (held.home, []))[1]
                    written += [key for key, _ in held.writes]
        return found
