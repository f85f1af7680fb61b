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
        self._rows: dict[bytes, Row | None] = {}

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

    def moved(self) -> bool:
        """Whether it may be another by now than ``rows`` gave."""
        return self._generation() != self._seen

    def _load(self) -> dict[bytes, Row | None]:
        found: dict[bytes, Row | None] = {}
        for shard in self._shards:
            for row in shard.rows.range(HELD, keys.after_prefix(HELD), HELD_MAX):
                held = decode_held(row.value)
                if not held.writes or shard.number == held.home:
                    continue  # its home writes them as it decides
                txn = keys.split(row.key)[2]
                if self._shards[held.home].rows.value(decided_key(txn)) is not None:
                    for key, value in held.writes:
                        found[key] = None if value is None else Row(key, value, row.version)
        return found
