"""What belongs together lies in one shard (S3)."""

from __future__ import annotations

import os
from collections import Counter

from pileus.services import placing
from pileus.services.s3 import rows
from pileus.state import keys
from pileus.state.tablets import LAST, Tablet, TabletMap


def spread(shards: int) -> TabletMap:
    layout = placing.layout(shards)
    ends = [start for start, _ in layout[1:]] + [LAST]
    tablets = [
        Tablet(s, i, end, n, 1) for i, ((s, n), end) in enumerate(zip(layout, ends, strict=True))
    ]
    return TabletMap(tablets, 1, count=shards)


def test_tables_take_turns_and_each_lies_in_one_shard() -> None:
    for shards in (2, 3, 8, 16):
        where = spread(shards)
        made: list[str] = []
        for _ in range(shards * 3):
            made.append(placing.table_id(where, made.copy, os.urandom))
        of = [{where.locate(k).shard for k in parts(one)} for one in made]
        assert all(len(one) == 1 for one in of)
        assert Counter(next(iter(one)) for one in of) == Counter(list(range(shards)) * 3)


def parts(table: str) -> list[bytes]:
    """Keys of all kinds of rows of a DynamoDB table."""
    names = [f"d:{table}", *(f"d:{table}:{kind}" for kind in ("sizes", "a1b2c3", "ffffff.past"))]
    return [keys.key(name, p) for name in names for p in ("", "a", "zebra")]


def test_all_of_a_bucket_lies_in_one_shard() -> None:
    where = spread(8)
    shards = set()
    for n in range(40):
        bucket = f"bucket-{n}"
        upload = "0123" + os.urandom(40).hex()
        upload += placing.upload_tail(where, bucket, upload)
        found = {
            where.locate(k).shard
            for k in (
                rows.current(bucket, "a"),
                rows.version(bucket, "b", 7),
                rows.null_version(bucket, "b"),
                rows.upload(bucket, "c", upload),
                rows.part(upload, 1),
                rows.tally(bucket, "STANDARD"),
                rows.lifecycle_run(bucket),
            )
        }
        assert len(found) == 1
        shards |= found
    assert shards == set(range(8))


def test_one_shard_is_as_it_was() -> None:
    where = spread(1)
    assert placing.layout(1) == [(b"", 0)]
    assert placing.upload_tail(where, "bucket", "id") == ""
    assert len(placing.table_id(where, list, os.urandom)) == 12


def test_ranges_of_the_same_buckets_go_together() -> None:
    low, high = b"s3o\x00\x40\x00", b"s3o\x00\x80\x00"
    assert (b"s3v\x00\x40\x00", b"s3v\x00\x80\x00") in placing.together(low, high)
    assert (b"s3p\x00\x40\x00", b"s3p\x01") in placing.together(low, b"s3o\x01")
    inside = rows.current("bucket", "m")
    assert placing.together(inside, b"s3o\x01") == [(inside, b"s3o\x01")]
    assert placing.together(low, inside) == [(low, inside)]
    assert placing.together(b"d:", b"d;") == [(b"d:", b"d;")]
