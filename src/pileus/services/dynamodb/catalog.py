"""Tables by name, parsed and cached until any table's metadata changes."""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb import schema
from pileus.services.dynamodb.faults import not_found, table_not_found
from pileus.services.dynamodb.schema import Table
from pileus.state import keys

META = "dynamodb"


def meta_key(scope: str, name: str) -> bytes:
    """The metadata row of table ``name``; ``scope`` is ``account/region``."""
    return keys.key(META, scope, name)


class Catalog:
    """Finds tables for the item operations."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.now = store.counter(META)  # moves when any table's description changes
        self._generation = -1
        self._tables: dict[tuple[str, str, str], Table] = {}

    def find(self, account: str, region: str, name: str) -> Table | None:
        """The table, or None. ``name`` may be its ARN."""
        generation = self.now()
        if generation != self._generation:
            self._tables.clear()
            self._generation = generation
        table = self._tables.get((account, region, name))
        if table is None:
            table = self._load(account, region, name)
            if table is not None:
                self._tables[account, region, name] = table
        return table

    def _load(self, account: str, region: str, name: str) -> Table | None:
        if name.startswith("arn:"):
            pieces = name.split(":", 5)
            if len(pieces) != 6 or not pieces[5].startswith("table/"):
                return None
            region, account, name = pieces[3], pieces[4], pieces[5].split("/")[1]
        key = meta_key(f"{account}/{region}", name)
        text = self._store.get(key)
        return None if text is None else schema.parse(key, text)

    def get(self, account: str, region: str, name: str) -> Table:
        """The table, for an item operation; ``AwsError`` ResourceNotFoundException."""
        table = self.find(account, region, name)
        if table is None or not table.active:
            raise not_found()
        return table

    def describe(self, account: str, region: str, name: str) -> Table:
        """The table, for a table operation (whose error names it)."""
        table = self.find(account, region, name)
        if table is None:
            raise table_not_found(name)
        return table

    def names(self, account: str, region: str, after: str, limit: int) -> list[str]:
        """Up to ``limit`` table names above ``after``, in order."""
        scope = f"{account}/{region}"
        prefix = keys.partition_prefix(META, scope)
        start = meta_key(scope, after) + b"\x00" if after else prefix
        rows = self._store.range(start, keys.after_prefix(prefix), limit)
        return [keys.split(r.key)[2].decode() for r in rows]

    def all(self, scope: str = "") -> list[Table]:
        """Every table of a scope; of every account and region when it is empty."""
        prefix = keys.partition_prefix(META, scope) if scope else keys.table_prefix(META)
        out: list[Table] = []
        start = prefix
        while True:
            rows = self._store.range(start, keys.after_prefix(prefix), 500)
            out += [schema.parse(r.key, r.value) for r in rows]
            if len(rows) < 500:
                return out
            start = rows[-1].key + b"\x00"
