"""What a bucket's chores do, in ``apply``: every action is checked against the rows as they are.

A version that changed since it was looked at is left alone; the next run looks again. A lock
outlasts every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pileus.errors import AwsError
from pileus.services.s3 import archive, events, locks, rows, storage_classes, tally
from pileus.services.s3.placing import drop
from pileus.services.s3.rows import Meta
from pileus.services.s3.rules import bucket_of, delete, forget_parts, version_of
from pileus.state.rules import Rule
from pileus.state.tx import Tx

Done = tuple[str, str] | None  # what happened ('' : nobody is told) and to which version
EXPIRED = "s3:LifecycleExpiration:Delete"
MARKED = "s3:LifecycleExpiration:DeleteMarkerCreated"
MOVED = "s3:LifecycleTransition"
RESTORED = "s3:ObjectRestore:Completed"
LAPSED = "s3:ObjectRestore:Delete"


def lifecycle(tx: Tx, args: list[Any]) -> int:
    """``[bucket, version of the rules' row, position or nil, [[action, …], …], {action's number:
    events}]`` → how many were done; -1 when the rules (or the bucket) are no longer those the run
    was made for."""
    name, version, position, actions, told = args
    row = tx.row(rows.setting(name, "lifecycle"))
    if row is None or row.version != version:
        return -1
    count = 0
    for number, (kind, *what) in enumerate(actions):
        done = _ACTIONS[kind](tx, name, *what)
        if done is None:
            continue
        count += 1
        if number in told:
            more = {"lifecycleEventData": _moved(what[-1])} if done[0] == MOVED else {}
            events.tell(tx, told[number], *done, more)
    if position is not None:
        tx.put(rows.lifecycle_run(name), position)
    return count


def _moved(target: str) -> dict[str, Any]:
    return {"transitionEventData": {"destinationStorageClass": target}}


def _expire(tx: Tx, name: str, key: str, version: int, token: bytes, owner: str) -> Done:
    """A current version: away, or under a delete marker."""
    row = tx.row(rows.current(name, key))
    if row is None or row.version != version:
        return None
    done = delete(tx, [name, key, None, {}, token, owner])
    return (MARKED if done["marker"] else EXPIRED), done["version"] or ""


def _remove(tx: Tx, name: str, key: str, order: int, version: int) -> Done:
    """A noncurrent version, or a noncurrent delete marker: for good."""
    at = rows.version(name, key, order)
    row = tx.row(at)
    if row is None or row.version != version:
        return None
    meta = rows.describe(row.value)
    if locks.holds(meta.lock, tx.now_ms):
        return None
    drop(tx, name, meta)
    tx.delete(at)
    if not meta.version:
        tx.delete(rows.null_version(name, key))
    return EXPIRED, meta.version


def _unmark(tx: Tx, name: str, key: str, order: int) -> Done:
    """A delete marker under which nothing is left."""
    start, end = rows.versions_of(name, key)
    found = tx.range(start, end, 2)
    alone = len(found) == 1 and tx.get(rows.current(name, key)) is None
    if not alone or found[0].key != rows.version(name, key, order):
        return None
    meta = rows.describe(found[0].value)
    if not meta.marker:
        return None
    drop(tx, name, meta)
    tx.delete(found[0].key)
    if not meta.version:
        tx.delete(rows.null_version(name, key))
    return "", ""


def _move(tx: Tx, name: str, key: str, order: int, version: int, target: str) -> Done:
    """A version to another class; ``order`` -1: the current one."""
    at = rows.current(name, key) if order < 0 else rows.version(name, key, order)
    row = tx.row(at)
    if row is None or row.version != version:
        return None
    meta, body = rows.unpack(row.value)
    tally.went(tx, name, meta)
    storage_classes.put_into(meta.headers, target)
    tally.came(tx, name, meta)
    meta.restore = None
    tx.put(at, rows.pack(meta, body))
    return MOVED, meta.version


def _abort(tx: Tx, name: str, key: str, upload_id: str) -> Done:
    """An unfinished upload."""
    at = rows.upload(name, key, upload_id)
    if tx.get(at) is None:
        return None
    forget_parts(tx, name, upload_id)
    tx.delete(at)
    return "", ""


def restore(tx: Tx, args: list[Any]) -> bool:
    """``[bucket, key, version id or nil, delay in ms, days, length of a day in ms, events]`` →
    whether the copy was there already. The events happen when the copy is ready and when it goes:
    each waits in a row for its moment."""
    name, key, version, delay_ms, days, day_ms, told = args
    bucket_of(tx, name)
    at, meta, body = version_of(tx, name, key, version)
    there = archive.restored(meta, delay_ms, days, day_ms, tx.now_ms)
    tx.put(at, rows.pack(meta, body))
    if told and meta.restore is not None:
        ready_ms, until_ms = meta.restore
        for at_ms, kind in ((ready_ms, RESTORED), (until_ms, LAPSED))[there:]:
            waiting = [name, key, meta.version or "null", at_ms, kind, told]
            tx.put(rows.restore_due(at_ms, tx.sequence, kind), msgspec.msgpack.encode(waiting))
    return there


def restore_told(tx: Tx, args: list[Any]) -> None:
    """``[keys of rows whose moment has come]``: tell of each, unless the restore has changed."""
    for at in args[0]:
        value = tx.get(at)
        if value is None:
            continue
        tx.delete(at)
        name, key, version, at_ms, kind, told = msgspec.msgpack.decode(value)
        meta = _version(tx, name, key, version)
        if meta is not None and at_ms in (meta.restore or ()):
            events.tell(tx, told, kind, meta.version, {"glacierEventData": _restored(meta)})


def _version(tx: Tx, name: str, key: str, version: str) -> Meta | None:
    try:
        return version_of(tx, name, key, version)[1]
    except AwsError:  # it is gone, and its restore with it
        return None


def _restored(meta: Meta) -> dict[str, Any]:
    until = datetime.fromtimestamp((meta.restore or [0, 0])[1] / 1000, UTC)
    return {
        "restoreEventData": {
            "lifecycleRestorationExpiryTime": until.isoformat(timespec="milliseconds")[:-6] + "Z",
            "lifecycleRestoreStorageClass": storage_classes.of(meta),
        }
    }


def inventory_put(tx: Tx, args: list[Any]) -> None:
    """``[bucket, id, moment in ms]``: a report was put, or refused."""
    name, told, at_ms = args
    if tx.get(rows.setting(name, "inventory")) is not None:
        tx.put(rows.inventory_run(name, told), str(at_ms).encode())


_ACTIONS: Mapping[str, Callable[..., Done]] = {
    "expire": _expire,
    "remove": _remove,
    "unmark": _unmark,
    "move": _move,
    "abort": _abort,
}
RULES: Mapping[str, Rule] = {
    "s3.lifecycle": lifecycle,
    "s3.restore": restore,
    "s3.restore_told": restore_told,
    "s3.inventory_put": inventory_put,
}
