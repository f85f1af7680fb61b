"""What ``apply`` does with entries of this service.

Every verdict on a condition (If-Match, bucket not empty, upload gone) is reached here, in log
order. Arguments are msgpack lists; the operation modules build them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from pileus.errors import AwsError, Conflict
from pileus.services.s3 import faults, locks, rows, tally
from pileus.services.s3.placing import (
    drop,
    drop_parts,
    place,
    promote,
    replace,
    retire,
    shelve_marker,
)
from pileus.services.s3.rows import Meta
from pileus.state import keys
from pileus.state.rules import Rule, range_digest
from pileus.state.tx import Tx

PARTS_MAX = 10_000


def bucket_of(tx: Tx, name: str) -> dict[str, Any]:
    """The bucket's row, or ``NoSuchBucket``."""
    value = tx.get(rows.bucket(name))
    if value is None:
        raise faults.no_such_bucket(name)
    return _parsed(value)


@lru_cache(maxsize=64)  # most entries are for the same few buckets; nobody changes what is parsed
def _parsed(value: bytes) -> dict[str, Any]:
    return orjson.loads(value)  # type: ignore[no-any-return]


def _hold(conditions: dict[str, Any], old: Meta | None, key: str) -> None:
    """Write conditions against the current version."""
    if not conditions:
        return
    unwanted = conditions.get("none_match")
    if unwanted is not None and old is not None and unwanted in ("*", old.etag):
        raise faults.precondition_failed("If-None-Match")
    wanted = conditions.get("match")
    if wanted is not None:
        if old is None:
            raise faults.no_such_key(key)
        if wanted != "*" and wanted != old.etag:
            raise faults.precondition_failed("If-Match")
    if "size" in conditions and old is not None and old.size != conditions["size"]:
        raise faults.precondition_failed("x-amz-if-match-size")
    when = conditions.get("modified_ms")
    if when is not None and old is not None and old.modified_ms // 1000 != when // 1000:
        raise faults.precondition_failed("x-amz-if-match-last-modified-time")


def put(tx: Tx, args: list[Any]) -> str | None:
    """``[bucket, key, packed meta, body, conditions, token, sources]`` → the version id, None in a
    bucket that never had versions. ``sources``: [(row key, version)] a copy was made from."""
    name, key, told, body, conditions, token, sources = args
    bucket = bucket_of(tx, name)
    for source, version in sources:
        row = tx.row(source)
        if row is None or row.version != version:
            raise Conflict(source)
    at = rows.current(name, key)
    value = tx.get(at)
    old = rows.describe(value) if value is not None else None
    if conditions:
        _hold(conditions, old, key)
    meta = rows.unpack_meta(told)
    plain = not bucket.get("versioning") and "lock" not in bucket
    if plain and replace(tx, name, at, old, meta, body):
        return None
    return place(tx, bucket, name, key, meta, body, token)


def delete(tx: Tx, args: list[Any]) -> dict[str, Any]:
    """``[bucket, key, version id or nil, conditions, token, owner]`` → ``{marker, version}``."""
    name, key, version, conditions, token, owner = args
    bucket = bucket_of(tx, name)
    value = tx.get(rows.current(name, key))
    old = rows.describe(value) if value is not None else None
    if version is not None:
        return _delete_version(tx, name, key, version, old, conditions)
    if conditions.get("match") is not None or old is not None:
        _hold(conditions, old, key)
    state = bucket.get("versioning", "")
    if not state:
        if old is not None:
            drop(tx, name, old)
            tx.delete(rows.current(name, key))
        return {"marker": False, "version": None}
    retire(tx, name, key, state)
    marker = Meta("", 0, tx.now_ms, {}, owner, order=tx.sequence, marker=True)
    if state == "Enabled":
        marker.version = rows.version_id(tx.sequence, token)
    shelve_marker(tx, name, key, marker)
    return {"marker": True, "version": marker.version or "null"}


def _delete_version(
    tx: Tx, name: str, key: str, version: str, old: Meta | None, conditions: dict[str, Any]
) -> dict[str, Any]:
    wanted = "" if version == "null" else version
    if old is not None and old.version == wanted:
        _hold(conditions, old, key)
        locks.guard(old, tx.now_ms, conditions)
        drop(tx, name, old)
        tx.delete(rows.current(name, key))
        promote(tx, name, key)
        return {"marker": False, "version": version}
    found = locate(tx, name, key, version)
    if found is None:
        return {"marker": False, "version": version}
    place_key, meta = found
    _hold(conditions, meta, key)
    locks.guard(meta, tx.now_ms, conditions)
    drop(tx, name, meta)
    tx.delete(place_key)
    if not wanted:
        tx.delete(rows.null_version(name, key))
    if old is None:
        promote(tx, name, key)
    return {"marker": meta.marker, "version": version}


def locate(reader: Any, name: str, key: str, version: str) -> tuple[bytes, Meta] | None:
    """(row key, description) of a version that is not current. ``reader``: a Tx or the store."""
    if version == "null":
        pointer = reader.get(rows.null_version(name, key))
        order = None if pointer is None else int.from_bytes(pointer, "big")
    else:
        order = rows.order_of(version)
    if order is None or order < 0:
        return None
    at = rows.version(name, key, order)
    value = reader.get(at)
    if value is None:
        return None
    meta = rows.describe(value)
    return (at, meta) if meta.version == ("" if version == "null" else version) else None


def edit(tx: Tx, args: list[Any]) -> str:
    """``[bucket, key, version id or nil, {field: value}]``: change a version's tags or grants;
    answers its version id ('' in a bucket without versions)."""
    name, key, version, changes = args
    bucket_of(tx, name)
    at, meta, body = version_of(tx, name, key, version)
    for field, change in changes.items():
        setattr(meta, field, change)
    tx.put(at, rows.pack(meta, body))
    return meta.version


def version_of(tx: Tx, name: str, key: str, version: str | None) -> tuple[bytes, Meta, bytes]:
    """(row key, description, inline body) of a version, the current one for None; a delete marker
    is not one that could be changed."""
    at = rows.current(name, key)
    value = tx.get(at)
    wanted = None if version is None else ("" if version == "null" else version)
    if wanted is not None and (value is None or rows.describe(value).version != wanted):
        found = locate(tx, name, key, version or "")
        if found is None:
            raise faults.no_such_version(key, version or "")
        at, value = found[0], tx.get(found[0])
    if value is None:
        raise faults.no_such_key(key)
    meta, body = rows.unpack(value)
    if meta.marker:
        raise AwsError(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            405,
            headers=(("x-amz-delete-marker", "true"),),
        )
    return at, meta, body


def create_bucket(tx: Tx, args: list[Any]) -> bool:
    """``[name, record, settings]``; ``BucketAlreadyExists`` or ``BucketAlreadyOwnedByYou``.
    ``record["again"]``: creating one's own bucket again succeeds (us-east-1)."""
    name, record, settings = args
    value = tx.get(rows.bucket(name))
    again = record.pop("again")
    if value is not None:
        if orjson.loads(value)["owner"] != record["owner"]:
            raise AwsError(
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all"
                " users of the system. Please select a different name and try again.",
                409,
                fields={"BucketName": name},
            )
        if not again:
            raise AwsError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own"
                " it.",
                409,
                fields={"BucketName": name},
            )
        # In us-east-1 creating one's own bucket again succeeds and resets its list.
        if "acl" in settings:
            tx.put(rows.setting(name, "acl"), settings["acl"])
        else:
            tx.delete(rows.setting(name, "acl"))
        return False
    tx.put(rows.bucket(name), orjson.dumps(record))
    tx.put(rows.owned(record["owner"], name), b"")
    for kind, setting in settings.items():
        tx.put(rows.setting(name, kind), setting)
    return True


def delete_bucket(tx: Tx, args: list[Any]) -> None:
    """``[name]``: with its settings and unfinished uploads; ``BucketNotEmpty``."""
    (name,) = args
    bucket = bucket_of(tx, name)
    for table in (rows.OBJECTS, rows.VERSIONS):
        prefix = keys.partition_prefix(table, name)
        if tx.range(prefix, keys.after_prefix(prefix), 1):
            more = (
                ". You must delete all versions in the bucket." if bucket.get("versioning") else ""
            )
            raise AwsError(
                "BucketNotEmpty",
                f"The bucket you tried to delete is not empty{more}",
                409,
                fields={"BucketName": name},
            )
    for row in _all(tx, keys.partition_prefix(rows.UPLOADS, name)):
        drop_parts(tx, rows.compound_of(row.key)[1].decode())
        tx.delete(row.key)
    for row in _all(tx, keys.partition_prefix(rows.TABLE, rows.settings_partition(name))):
        tx.delete(row.key)
    for kind in rows.WATCHED_KINDS:
        tx.delete(rows.watched(name, kind))
    tx.delete(rows.owned(bucket["owner"], name))
    for row in _all(tx, keys.partition_prefix(rows.LIFECYCLE, name)):
        tx.delete(row.key)
    for kind in tally.read(tx, name):
        tx.delete(rows.tally(name, kind))
    tx.delete(rows.bucket(name))


def _all(tx: Tx, prefix: bytes) -> list[Any]:
    return tx.range(prefix, keys.after_prefix(prefix), 1_000_000)


def data_key(tx: Tx, args: list[Any]) -> str:
    """``[bucket, key id, wrapped key]`` → the id of the bucket's key: this one, or an earlier."""
    name, key_id, wrapped = args
    bucket = bucket_of(tx, name)
    if "data_key" not in bucket:
        tx.put(rows.data_key(key_id), wrapped)
        tx.put(rows.bucket(name), orjson.dumps({**bucket, "data_key": key_id}))
        return str(key_id)
    return str(bucket["data_key"])


# -- multipart ---------------------------------------------------------------------------------


def create_upload(tx: Tx, args: list[Any]) -> str:
    """``[bucket, key, upload id, record]`` → the upload id."""
    name, key, upload_id, record = args
    bucket_of(tx, name)
    tx.put(rows.upload(name, key, upload_id), record)
    return str(upload_id)


def put_part(tx: Tx, args: list[Any]) -> None:
    """``[bucket, key, upload id, number, packed part, sources]``; a repeated number replaces."""
    name, key, upload_id, number, told, sources = args
    if tx.get(rows.upload(name, key, upload_id)) is None:
        raise faults.no_such_upload(upload_id)
    for source, version in sources:
        row = tx.row(source)
        if row is None or row.version != version:
            raise Conflict(source)
    at = rows.part(upload_id, number)
    old = tx.get(at)
    part, objects = rows.unpack_part(told), 1
    size = part.size
    if old is not None:
        before = rows.unpack_part(old)
        objects, size = 0, size - before.size
        tx.delete(rows.part_ref(before.blob, upload_id, number))
    tally.add(tx, name, tally.UPLOADS, objects, size)
    tx.put(rows.part_ref(part.blob, upload_id, number), b"")
    tx.put(at, told)


def complete_upload(tx: Tx, args: list[Any]) -> str | None:
    """``[bucket, key, upload id, packed meta, conditions, token, digest, numbers]``: the parts that
    the operation saw become the object, the others go."""
    name, key, upload_id, told, conditions, token, digest, numbers = args
    bucket = bucket_of(tx, name)
    at = rows.upload(name, key, upload_id)
    if tx.get(at) is None:
        raise faults.no_such_upload(upload_id)
    prefix = keys.partition_prefix(rows.PARTS, upload_id)
    parts = tx.range(prefix, keys.after_prefix(prefix), PARTS_MAX)
    if range_digest(parts) != digest:
        raise Conflict(upload_id)
    value = tx.get(rows.current(name, key))
    _hold(conditions, rows.describe(value) if value is not None else None, key)
    kept = set(numbers)
    size = 0
    for row in parts:
        number = int.from_bytes(keys.split(row.key)[2], "big")
        part = rows.unpack_part(row.value)
        size += part.size
        if number not in kept:
            tx.delete(rows.part_ref(part.blob, upload_id, number))
            tx.delete(row.key)
    tally.add(tx, name, tally.UPLOADS, -len(parts), -size)
    tx.delete(at)
    return place(tx, bucket, name, key, rows.unpack_meta(told), b"", token)


def abort_upload(tx: Tx, args: list[Any]) -> None:
    """``[bucket, key, upload id]``."""
    name, key, upload_id = args
    at = rows.upload(name, key, upload_id)
    if tx.get(at) is None:
        raise faults.no_such_upload(upload_id)
    forget_parts(tx, name, upload_id)
    tx.delete(at)


def forget_parts(tx: Tx, name: str, upload_id: str) -> None:
    """Remove the parts of an unfinished upload; their blobs are collected later."""
    went = drop_parts(tx, upload_id)
    tally.add(tx, name, tally.UPLOADS, -went.objects, -went.size)


# -- object lock -------------------------------------------------------------------------------


def lock_bucket(tx: Tx, args: list[Any]) -> None:
    """``[bucket, default retention or {}]``: versions can be locked from now on."""
    name, default = args
    bucket = bucket_of(tx, name)
    if bucket.get("versioning") != "Enabled":
        raise locks.invalid_bucket_state(
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        )
    tx.put(rows.bucket(name), orjson.dumps({**bucket, "lock": default}))


def lock_version(tx: Tx, args: list[Any]) -> None:
    """``[bucket, key, version id or nil, {mode, until_ms} or {hold}, bypass]``."""
    name, key, version, told, bypass = args
    if "lock" not in bucket_of(tx, name):
        raise locks.no_configuration()
    at, meta, body = version_of(tx, name, key, version)
    meta.lock = locks.changed(meta.lock, told, tx.now_ms, bypass)
    tx.put(at, rows.pack(meta, body))


RULES: Mapping[str, Rule] = {
    "s3.put": put,
    "s3.delete": delete,
    "s3.edit": edit,
    "s3.create_bucket": create_bucket,
    "s3.delete_bucket": delete_bucket,
    "s3.data_key": data_key,
    "s3.create_upload": create_upload,
    "s3.put_part": put_part,
    "s3.complete_upload": complete_upload,
    "s3.abort_upload": abort_upload,
    "s3.lock_bucket": lock_bucket,
    "s3.lock_version": lock_version,
}
