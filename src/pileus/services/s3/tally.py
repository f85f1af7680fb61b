"""What a bucket holds, per storage class: counted in the entry that changes it.

Part of ``apply``: deterministic. Besides the classes there are two labels: delete markers, and the
parts of uploads that are under way. Answers what CloudWatch's BucketSizeBytes and NumberOfObjects
tell of a bucket, without reading its objects.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from pileus.services.s3 import rows, storage_classes
from pileus.services.s3.rows import Meta
from pileus.state import keys
from pileus.state.tx import Tx

MARKERS = "delete markers"
UPLOADS = "unfinished uploads"
STEP = 10_000
_FORM = struct.Struct(">qq")


class Held(NamedTuple):
    """How many versions (or markers, or parts) and how many bytes."""

    objects: int = 0
    size: int = 0


def label(meta: Meta) -> str:
    """What a version is counted under."""
    return MARKERS if meta.marker else storage_classes.of(meta)


def add(tx: Tx, name: str, kind: str, objects: int, size: int) -> None:
    """Count ``objects`` more (or fewer) of a kind."""
    at = rows.tally(name, kind)
    value = tx.get(at)
    if value is not None:
        before = _FORM.unpack(value)
        objects, size = objects + before[0], size + before[1]
    if objects or size:
        tx.put(at, _FORM.pack(objects, size))
    else:
        tx.delete(at)


def came(tx: Tx, name: str, meta: Meta) -> None:
    add(tx, name, label(meta), 1, meta.size)


def went(tx: Tx, name: str, meta: Meta) -> None:
    add(tx, name, label(meta), -1, -meta.size)


def read(reader: Any, name: str) -> dict[str, Held]:
    """A bucket's figures by kind. ``reader``: a Tx, the store, or rows of a file."""
    prefix = keys.partition_prefix(rows.TALLIES, name)
    found = reader.range(prefix, keys.after_prefix(prefix), 100)
    return {keys.split(r.key)[2].decode(): Held(*_FORM.unpack(r.value)) for r in found}


def recount(tx: Tx, args: list[Any]) -> None:
    """``[bucket]``: from the rows themselves, for buckets older than their figures."""
    (name,) = args
    if tx.get(rows.bucket(name)) is None:
        return
    for kind in read(tx, name):
        tx.delete(rows.tally(name, kind))
    for table in (rows.OBJECTS, rows.VERSIONS):
        for row in _every(tx, table, name):
            came(tx, name, rows.describe(row.value))
    for row in _every(tx, rows.UPLOADS, name):
        for part in _every(tx, rows.PARTS, rows.compound_of(row.key)[1].decode()):
            add(tx, name, UPLOADS, 1, rows.unpack_part(part.value).size)


def recounted(tx: Tx, args: list[Any]) -> None:
    """``[]``: every bucket has its figures."""
    tx.put(rows.tally_mark(), b"")


def _every(tx: Tx, table: str, partition: str) -> Any:
    start = keys.partition_prefix(table, partition)
    end = keys.after_prefix(start)
    while found := tx.range(start, end, STEP):
        yield from found
        start = found[-1].key + b"\x00"


RULES = {"s3.recount": recount, "s3.recounted": recounted}
