"""State rows of this service.

Table ``longrunning``, partition ``services``, sort NAME: one service as JSON. Names are unique in
the cloud, as bucket names are, because they are part of addresses.

``settings`` and ``code`` are what is wished, under ``revision``; ``good`` holds the same three of
the last configuration whose copies all became healthy (None before the first), ``nodes`` the node
of each copy. Table ``blobrefs`` keeps the code of both.

Table ``longrunningseen``, partition NAME, sort NODE: what a node of a cluster last saw of its
copies, for the others. One machine writes none.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TABLE = "longrunning"
SEEN = "longrunningseen"
PARTITION = "services"
Record = dict[str, Any]
# Settings whose change needs new copies.
OF_COPIES = ("command", "runtime", "environment", "role", "memory", "ephemeral", "port", "stop_s")


def key(name: str) -> bytes:
    return keys.key(TABLE, PARTITION, name)


def every(store: Store) -> list[Record]:
    """All services of the cloud, by name."""
    return [orjson.loads(row.value) for row in store.partition(TABLE, PARTITION)]


def drafted(draft: Draft) -> list[Record]:
    """The same, inside a transaction that depends on it."""
    prefix = keys.partition_prefix(TABLE, PARTITION)
    rows = draft.range(prefix, keys.after_prefix(prefix), 100_000)
    return [orjson.loads(row.value) for row in rows]


def seen(store: Store, name: str) -> dict[str, Record]:
    """What other nodes saw of their copies, by node."""
    found = store.partition(SEEN, name)
    return {keys.split(row.key)[2].decode(): orjson.loads(row.value) for row in found}


def revision(settings: Record, code: Record, restarts: int) -> str:
    """Equal where copies of one configuration can stand in for the other's."""
    told = [code["digest"], restarts, {name: settings[name] for name in OF_COPIES}]
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def keep(draft: Draft, before: Record | None, after: Record | None) -> None:
    """Write (or delete) a service's row, and who keeps its code."""
    record = after or before
    assert record is not None
    had, has = _digests(before), _digests(after)
    for digest in had - has:
        draft.delete(keys.key("blobrefs", digest, f"{TABLE}/{record['name']}"))
    for digest in has - had:
        draft.put(keys.key("blobrefs", digest, f"{TABLE}/{record['name']}"), b"")
    if after is None:
        prefix = keys.partition_prefix(SEEN, record["name"])
        for row in draft.range(prefix, keys.after_prefix(prefix), 1000):
            draft.delete(row.key)
        draft.delete(key(record["name"]))
    else:
        draft.put_json(key(record["name"]), after)


def _digests(record: Record | None) -> set[str]:
    if record is None:
        return set()
    found = {record["code"]["digest"]}
    return found | {record["good"]["code"]["digest"]} if record["good"] else found


def mine(record: Record | None, account: str, name: str) -> Record:
    """The record, if the account has it; ServiceNotFoundException otherwise."""
    if record is None or record["account"] != account:
        raise AwsError("ServiceNotFoundException", f"Service not found: {name}", 404)
    return record
