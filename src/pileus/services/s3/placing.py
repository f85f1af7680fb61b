"""Where versions lie: the current one in OBJECTS, older ones and delete markers in VERSIONS.

Part of ``apply``: deterministic, no I/O but the transaction's rows.
"""

from __future__ import annotations

from typing import Any

from pileus.services.s3 import locks, rows, tally
from pileus.services.s3.rows import Meta
from pileus.state import keys
from pileus.state.tx import Row, Tx

PARTS_MAX = 10_000


def place(
    tx: Tx, bucket: dict[str, Any], name: str, key: str, meta: Meta, body: bytes, token: bytes
) -> str | None:
    """Make ``meta`` the current version; answers its id (None for the null version)."""
    state = bucket.get("versioning", "")
    meta.order = tx.sequence
    meta.version = rows.version_id(tx.sequence, token) if state == "Enabled" else ""
    if "lock" in bucket:
        locks.default(meta, bucket["lock"], tx.now_ms)
    elif meta.lock is not None:
        raise locks.no_configuration()
    retire(tx, name, key, state)
    if meta.blob:
        tx.put(rows.blob_ref(meta.blob, meta.order), b"")
    tx.put(rows.current(name, key), rows.pack(meta, body))
    tally.came(tx, name, meta)
    return meta.version or None


def replace(tx: Tx, name: str, at: bytes, old: Meta | None, meta: Meta, body: bytes) -> bool:
    """``place`` for the commonest case: bytes that lie in the row itself, in a bucket that knows
    neither versions nor locks, over nothing or over their like. False: it is another case."""
    if meta.blob or meta.upload or meta.lock is not None or meta.marker:
        return False
    kind = tally.label(meta)
    meta.order, meta.version = tx.sequence, ""
    if old is None:
        tx.put(at, rows.pack(meta, body))
        tally.add(tx, name, kind, 1, meta.size)
        return True
    if old.blob or old.upload or old.version:
        return False
    if (old.marker or old.headers != meta.headers) and tally.label(old) != kind:
        return False
    tally.add(tx, name, kind, 0, meta.size - old.size)
    tx.put(at, rows.pack(meta, body))
    return True


def retire(tx: Tx, name: str, key: str, state: str) -> None:
    """Take the current version out of the way of a newer one: to the shelf, or, where the newer
    one will be the null version too, away."""
    at = rows.current(name, key)
    value = tx.get(at)
    if value is not None:
        meta = rows.describe(value)
        if state == "Enabled" or meta.version:
            tx.put(rows.version(name, key, meta.order), value)
            if not meta.version:
                _point_null(tx, name, key, meta.order)
        else:
            drop(tx, name, meta)
        tx.delete(at)
    if state == "Suspended":
        _drop_null(tx, name, key)


def shelve_marker(tx: Tx, name: str, key: str, marker: Meta) -> None:
    """Write a delete marker."""
    tx.put(rows.version(name, key, marker.order), rows.pack(marker))
    tally.came(tx, name, marker)
    if not marker.version:
        _point_null(tx, name, key, marker.order)


def newest(reader: Any, name: str, key: str) -> Row | None:
    """The newest row of a key on the shelf."""
    start, end = rows.versions_of(name, key)
    found = reader.range(start, end, 1)
    return found[0] if found else None


def promote(tx: Tx, name: str, key: str) -> None:
    """The current version went: the newest left takes its place, unless it is a marker."""
    row = newest(tx, name, key)
    if row is None:
        return
    meta = rows.describe(row.value)
    if meta.marker:
        return
    tx.put(rows.current(name, key), row.value)
    tx.delete(row.key)
    if not meta.version:
        tx.delete(rows.null_version(name, key))


def drop(tx: Tx, name: str, meta: Meta) -> None:
    """A version is no more: nobody needs its blobs."""
    tally.went(tx, name, meta)
    if meta.blob:
        tx.delete(rows.blob_ref(meta.blob, meta.order))
    if meta.upload:
        drop_parts(tx, meta.upload)


def drop_parts(tx: Tx, upload_id: str) -> tally.Held:
    """Remove the parts of an upload, unfinished or not; answers what they were."""
    prefix = keys.partition_prefix(rows.PARTS, upload_id)
    found = tx.range(prefix, keys.after_prefix(prefix), PARTS_MAX)
    size = 0
    for row in found:
        number = int.from_bytes(keys.split(row.key)[2], "big")
        part = rows.unpack_part(row.value)
        size += part.size
        tx.delete(rows.part_ref(part.blob, upload_id, number))
        tx.delete(row.key)
    return tally.Held(len(found), size)


def _point_null(tx: Tx, name: str, key: str, order: int) -> None:
    tx.put(rows.null_version(name, key), order.to_bytes(8, "big"))


def _drop_null(tx: Tx, name: str, key: str) -> None:
    pointer = tx.get(rows.null_version(name, key))
    if pointer is None:
        return
    at = rows.version(name, key, int.from_bytes(pointer, "big"))
    value = tx.get(at)
    if value is not None:
        drop(tx, name, rows.describe(value))
        tx.delete(at)
    tx.delete(rows.null_version(name, key))
