"""What the buckets of a home hold, read from its state file: for ``pileus buckets``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from pileus.services.s3 import rows, tally
from pileus.state import keys
from pileus.state.database import Rows, connect_reader
from pileus.state.store import STATE_FILE

BUCKETS_MAX = 1_000_000


@dataclass(frozen=True)
class Usage:
    """One bucket: ``held`` is (objects, bytes) by storage class, delete markers and the parts of
    unfinished uploads apart."""

    bucket: str
    account: str
    region: str
    held: dict[str, tally.Held]

    @property
    def objects(self) -> int:
        return sum(h.objects for h in self.held.values())

    @property
    def size(self) -> int:
        return sum(h.size for h in self.held.values())


def usage(home: Path) -> list[Usage]:
    """Every bucket, by name, as of the last commit. The cloud may run meanwhile."""
    connection = connect_reader(home / STATE_FILE)
    try:
        reader = Rows(connection)
        prefix = keys.partition_prefix(rows.TABLE, "buckets")
        found = reader.range(prefix, keys.after_prefix(prefix), BUCKETS_MAX)
        return [_usage(reader, row.key, row.value) for row in found]
    finally:
        connection.close()


def _usage(reader: Rows, key: bytes, value: bytes) -> Usage:
    name, record = keys.split(key)[2].decode(), orjson.loads(value)
    return Usage(name, record["owner"], record["region"], tally.read(reader, name))
