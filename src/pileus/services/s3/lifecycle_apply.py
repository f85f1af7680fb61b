"""What a bucket's chores do, in ``apply``: every action is checked against the rows as they are.

A version that changed since it was looked at is left alone; the next run looks again. A lock
outlasts every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pileus.services.s3 import archive, locks, rows, storage_classes, tally
from pileus.services.s3.placing import drop
from pileus.services.s3.rules import bucket_of, delete, forget_parts, version_of
from pileus.state.rules import Rule
from pileus.state.tx import Tx


def lifecycle(tx: Tx, args: list[Any]) -> int:
    """``[bucket, version of the rules' row, position or nil, [[action, …], …]]`` → how many were
    done; -1 when the rules (or the bucket) are no longer those the run was made for."""
    name, version, position, actions = args
    row = tx.row(rows.setting(name, "lifecycle"))
    if row is None or row.version != version:
        return -1
    done = sum(_ACTIONS[kind](tx, name, *told) for kind, *told in actions)
    if position is not None:
        tx.put(rows.lifecycle_run(name), position)
    return done


def _expire(tx: Tx, name: str, key: str, version: int, token: bytes, owner: str) -> bool:
    """A current version: away, or under a delete marker."""
    row = tx.row(rows.current(name, key))
    if row is None or row.version != version:
        return False
    delete(tx, [name, key, None, {}, token, owner])
    return True


def _remove(tx: Tx, name: str, key: str, order: int, version: int) -> bool:
    """A noncurrent version, or a noncurrent delete marker: for good."""
    at = rows.version(name, key, order)
    row = tx.row(at)
    if row is None or row.version != version:
        return False
    meta = rows.describe(row.value)
    if locks.holds(meta.lock, tx.now_ms):
        return False
    drop(tx, name, meta)
    tx.delete(at)
    if not meta.version:
        tx.delete(rows.null_version(name, key))
    return True


def _unmark(tx: Tx, name: str, key: str, order: int) -> bool:
    """A delete marker under which nothing is left."""
    start, end = rows.versions_of(name, key)
    found = tx.range(start, end, 2)
    alone = len(found) == 1 and tx.get(rows.current(name, key)) is None
    if not alone or found[0].key != rows.version(name, key, order):
        return False
    meta = rows.describe(found[0].value)
    if not meta.marker:
        return False
    drop(tx, name, meta)
    tx.delete(found[0].key)
    if not meta.version:
        tx.delete(rows.null_version(name, key))
    return True


def _move(tx: Tx, name: str, key: str, order: int, version: int, target: str) -> bool:
    """A version to another class; ``order`` -1: the current one."""
    at = rows.current(name, key) if order < 0 else rows.version(name, key, order)
    row = tx.row(at)
    if row is None or row.version != version:
        return False
    meta, body = rows.unpack(row.value)
    tally.went(tx, name, meta)
    storage_classes.put_into(meta.headers, target)
    tally.came(tx, name, meta)
    meta.restore = None
    tx.put(at, rows.pack(meta, body))
    return True


def _abort(tx: Tx, name: str, key: str, upload_id: str) -> bool:
    """An unfinished upload."""
    at = rows.upload(name, key, upload_id)
    if tx.get(at) is None:
        return False
    forget_parts(tx, name, upload_id)
    tx.delete(at)
    return True


def restore(tx: Tx, args: list[Any]) -> bool:
    """``[bucket, key, version id or nil, delay in ms, days, length of a day in ms]`` → whether the
    copy was there already."""
    name, key, version, delay_ms, days, day_ms = args
    bucket_of(tx, name)
    at, meta, body = version_of(tx, name, key, version)
    there = archive.restored(meta, delay_ms, days, day_ms, tx.now_ms)
    tx.put(at, rows.pack(meta, body))
    return there


def inventory_put(tx: Tx, args: list[Any]) -> None:
    """``[bucket, id, moment in ms]``: a report was put, or refused."""
    name, told, at_ms = args
    if tx.get(rows.setting(name, "inventory")) is not None:
        tx.put(rows.inventory_run(name, told), str(at_ms).encode())


_ACTIONS: Mapping[str, Callable[..., bool]] = {
    "expire": _expire,
    "remove": _remove,
    "unmark": _unmark,
    "move": _move,
    "abort": _abort,
}
RULES: Mapping[str, Rule] = {
    "s3.lifecycle": lifecycle,
    "s3.restore": restore,
    "s3.inventory_put": inventory_put,
}
