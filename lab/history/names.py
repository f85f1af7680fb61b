"""Where the rows of a load lie: in one table, bucket and wide table; or, so that each of a cloud's
shards has some, in several, by their keys. Transactions on several keys are then of several tables.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


def one_of(names: Sequence[str], key: str) -> str:
    """The same for the same key, always."""
    return names[zlib.crc32(key.encode()) % len(names)]


@dataclass(frozen=True)
class Names:
    """``count`` of each kind. A cloud of several shards gives a new table the shard with the
    fewest, a bucket one by its name's hash, a wide table one by its name's first letter."""

    name: str
    count: int = 1

    @property
    def tables(self) -> tuple[str, ...]:
        """Of the buckets, too."""
        return (self.name, *(f"{self.name}-{number}" for number in range(1, self.count)))

    @property
    def wide(self) -> tuple[str, ...]:
        if self.count == 1:
            return (self.name,)
        first = (LETTERS[len(LETTERS) * number // self.count] for number in range(self.count))
        return tuple(f"{letter}-{self.name}" for letter in first)
