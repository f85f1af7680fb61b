"""The rows of buckets, objects, versions, uploads and parts: their keys and their bytes.

An object row is ``length (4 bytes, big-endian) msgpack(Meta) body``: a listing decodes the
description and never touches an inline body.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Any

import msgspec

from pileus.state import keys

TABLE = "s3"  # buckets, their settings, accounts' settings: small, cached by generation
OBJECTS = "s3o"  # the current version of each key, never a delete marker
VERSIONS = "s3v"  # older versions, and every delete marker; newest first within a key
NULLS = "s3n"  # where a key's null version lies when it is in VERSIONS
UPLOADS = "s3u"  # multipart uploads under way, by key
LIFECYCLE = "s3l"  # how far the chores of a bucket have come
TALLIES = "s3c"  # how many versions and bytes of each class a bucket holds
RESTORES = "s3r"  # restores whose beginning or end somebody is to be told of
DATA_KEYS = "s3k"  # the keys of S3's own encryption, wrapped
PARTS = "s3p"  # parts by upload; a completed object's parts stay here
WATCHED = "watched"
WATCHED_KINDS = ("logging", "request-payment")
INLINE_BYTES_MAX = 16 * 1024
AES256, KMS, CUSTOMER = "AES256", "aws:kms", "C"
ORDER_MAX = 2**64 - 1
FOREIGN = 2**48  # no log has so many entries: a version id that tells such a place is not ours


class Lock(msgspec.Struct, array_like=True):
    """What keeps a version from being deleted: ``mode`` GOVERNANCE or COMPLIANCE until
    ``until_ms``; ``hold`` ON, OFF or '' (never told)."""

    mode: str = ""
    until_ms: int = 0
    hold: str = ""


class Seal(msgspec.Struct, array_like=True):
    """How bytes are encrypted: ``kind`` AES256, KMS or CUSTOMER; ``salt`` of the body's own key.
    ``key``: the id of a data key (AES256), a wrapped one (KMS; '' in parts: the object's), or what
    knows the customer's key again. ``kms``: the KMS key's ARN."""

    kind: str
    salt: bytes
    key: bytes = b""
    kms: str = ""
    context: dict[str, str] = {}
    bucket_key: bool = False


class Meta(msgspec.Struct, array_like=True):
    """What is known of one version. ``etag`` without quotes; ``headers`` are answered as stored
    (lower-case names). ``version`` is '' for the null version; ``order`` the entry that made it.
    ``restore``: from when and until when (ms) a copy of an archived version can be read.
    ``seal``: how they are encrypted; None for bytes older than encryption.
    The bytes are inline (neither ``blob`` nor ``upload``), in one blob, or in an upload's parts."""

    etag: str
    size: int
    modified_ms: int
    headers: dict[str, str]
    owner: str = ""
    blob: str = ""
    upload: str = ""
    parts: int = 0
    order: int = 0
    version: str = ""
    marker: bool = False
    checks: dict[str, str] = {}
    check_type: str = ""
    tags: dict[str, str] = {}
    grants: list[list[str]] | None = None
    lock: Lock | None = None
    restore: list[int] | None = None
    seal: Seal | None = None


class Part(msgspec.Struct, array_like=True):
    """One uploaded part: a blob."""

    etag: str
    size: int
    modified_ms: int
    blob: str
    checks: dict[str, str] = {}
    seal: Seal | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(Meta).decode
_decode_part = msgspec.msgpack.Decoder(Part).decode


def pack_meta(meta: Meta) -> bytes:
    return _encode(meta)


def unpack_meta(data: bytes) -> Meta:
    return _decode_meta(data)


def pack(meta: Meta, body: bytes = b"") -> bytes:
    """An object row's value."""
    told = _encode(meta)
    return len(told).to_bytes(4, "big") + told + body


def unpack(value: bytes) -> tuple[Meta, bytes]:
    """The description and the inline body of an object row."""
    end = 4 + int.from_bytes(value[:4], "big")
    return _decode_meta(value[4:end]), value[end:]


def describe(value: bytes) -> Meta:
    """The description alone."""
    return _decode_meta(value[4 : 4 + int.from_bytes(value[:4], "big")])


def pack_part(part: Part) -> bytes:
    return _encode(part)


def unpack_part(value: bytes) -> Part:
    return _decode_part(value)


# -- keys --------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def bucket(name: str) -> bytes:
    return keys.key(TABLE, "buckets", name)


def settings_partition(name: str) -> str:
    return f"settings/{name}"


def setting(name: str, kind: str) -> bytes:
    """A bucket's setting: policy, cors, website, …"""
    return keys.key(TABLE, settings_partition(name), kind)


def watched(name: str, kind: str) -> bytes:
    """Marks a bucket whose every request matters (logging, request-payment)."""
    return keys.key(TABLE, WATCHED, f"{name}/{kind}")


def owned(account: str, name: str) -> bytes:
    """An account's bucket: what ListBuckets reads, in order of names."""
    return keys.key(TABLE, owned_partition(account), name)


def owned_mark() -> bytes:
    """There when every bucket has its row among its owner's."""
    return keys.key(TABLE, "marks", "owned")


def owned_partition(account: str) -> str:
    return f"owned/{account}"


def account_setting(account: str, kind: str) -> bytes:
    return keys.key(TABLE, f"account/{account}", kind)


@lru_cache(maxsize=256)  # a rule asks for the same key several times
def current(name: str, key: str) -> bytes:
    return keys.key(OBJECTS, name, key)


def version(name: str, key: str, order: int) -> bytes:
    return keys.key(VERSIONS, name, _newest_first(key, order))


def null_version(name: str, key: str) -> bytes:
    return keys.key(NULLS, name, key)


def upload(name: str, key: str, upload_id: str) -> bytes:
    return keys.key(UPLOADS, name, keys.escape(key.encode()) + upload_id.encode())


def lifecycle_run(name: str) -> bytes:
    """The run under way, or the last one, of a bucket's lifecycle rules."""
    return keys.key(LIFECYCLE, name, "run")


@lru_cache(maxsize=256)
def tally(name: str, kind: str) -> bytes:
    """How much of a kind a bucket holds."""
    return keys.key(TALLIES, name, kind)


def tally_mark() -> bytes:
    """There when every bucket's tally is right."""
    return keys.key(TABLE, "marks", "tallied")


def inventory_run(name: str, told: str) -> bytes:
    """When the last report of an inventory configuration was put, in ms."""
    return keys.key(LIFECYCLE, name, f"inventory/{told}")


def restore_due(at_ms: int, order: int, kind: str) -> bytes:
    """Somebody is to be told at a moment."""
    return keys.key(
        RESTORES, "due", at_ms.to_bytes(8, "big") + order.to_bytes(8, "big") + kind.encode()
    )


def part(upload_id: str, number: int) -> bytes:
    return keys.key(PARTS, upload_id, number.to_bytes(2, "big"))


def blob_ref(digest: str, order: int) -> bytes:
    """Who needs a blob: one version of one object."""
    return keys.key("blobrefs", digest, b"s3" + order.to_bytes(8, "big"))


def data_key(key_id: str) -> bytes:
    """A data key of S3's own encryption."""
    return keys.key(DATA_KEYS, key_id)


def part_ref(digest: str, upload_id: str, number: int) -> bytes:
    return keys.key("blobrefs", digest, b"s3p" + upload_id.encode() + number.to_bytes(2, "big"))


def _newest_first(key: str, order: int) -> bytes:
    return keys.escape(key.encode()) + (ORDER_MAX - order).to_bytes(8, "big")


def prefix_range(table: str, name: str, prefix: str) -> tuple[bytes, bytes]:
    """(start, end) of all rows of a bucket whose key starts with ``prefix``. Tables with a
    compound sort key (VERSIONS, UPLOADS) are escaped twice."""
    start = keys.partition_prefix(table, name) + _open(table, prefix.encode())
    return start, keys.after_prefix(start)


def _open(table: str, text: bytes) -> bytes:
    escaped = text.replace(b"\x00", b"\x00\xff")
    return escaped if table == OBJECTS else escaped.replace(b"\x00", b"\x00\xff")


def versions_of(name: str, key: str) -> tuple[bytes, bytes]:
    """(start, end) of one key's rows in VERSIONS."""
    inner = keys.escape(key.encode())
    start = keys.partition_prefix(VERSIONS, name) + inner.replace(b"\x00", b"\x00\xff")
    return start, keys.after_prefix(start)


def uploads_of(name: str, key: str) -> tuple[bytes, bytes]:
    """(start, end) of one key's rows in UPLOADS."""
    inner = keys.escape(key.encode())
    start = keys.partition_prefix(UPLOADS, name) + inner.replace(b"\x00", b"\x00\xff")
    return start, keys.after_prefix(start)


def key_of(row_key: bytes) -> str:
    """The object key of a row in OBJECTS."""
    return keys.split(row_key)[2].decode()


def compound_of(row_key: bytes) -> tuple[str, bytes]:
    """(object key, order or upload id) of a row in VERSIONS or UPLOADS."""
    key, at = keys.unescape(keys.split(row_key)[2])
    rest = keys.split(row_key)[2][at:]
    return key.decode(), rest


# -- version ids -------------------------------------------------------------------------------


def version_id(order: int, token: bytes) -> str:
    """32 characters: 16 random bytes of the caller's and the place in the log."""
    return base64.b64encode(token + order.to_bytes(8, "big"), b"._").decode()


def order_of(told: str) -> int | None:
    """The place a version id names, None when it is not one of ours: entries are counted from one,
    so a place is a small number."""
    if len(told) != 32:
        return None
    try:
        raw = base64.b64decode(told.replace("-", ".").encode("ascii"), b"._", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    order = int.from_bytes(raw[16:], "big")
    return order if order < FOREIGN else None


def upload_record(value: bytes) -> dict[str, Any]:
    """An upload row: ``meta`` (packed Meta), ``owner``, ``initiator``, ``created_ms``,
    ``algorithm``, ``check_type``."""
    return msgspec.msgpack.decode(value)  # type: ignore[no-any-return]
