"""Kept objects are never older than a write that was acknowledged, in whatever process (B2, S1)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pileus.engine.embedded.clock import SystemClock
from pileus.services.s3.kept import BYTES_MAX, ENTRY_BYTES, KeptObjects
from pileus.state import keys
from pileus.state.store import Store
from tests.state.elsewhere import WriterElsewhere

K = keys.key("s3o", "bucket", "k")
WRITES = 120
ANY = bool  # every key that is not empty is plain


def test_no_object_is_older_than_a_write_another_process_acknowledged(tmp_path: Path) -> None:
    reads = 0

    async def run(writer: WriterElsewhere) -> None:
        writer.opened()
        front = await Store.connect(tmp_path, SystemClock())

        def row(key: bytes) -> bytes | None:
            nonlocal reads
            reads += 1
            return (front.get(K) or b"0") + b";"

        kept = KeptObjects(row, front.stamp("s3o"))
        read = kept.reading(b"whole", b"", lambda value: (value, value), ANY)

        def number() -> int:
            return int((read(b"k") or b"").rstrip(b";"))

        assert number() == number() == 0
        assert reads == 1
        for acknowledged in writer.begin():
            first, second = number(), number()
            assert acknowledged <= first <= second
        before = reads
        assert {number() for _ in range(100)} == {WRITES}
        assert reads == before
        await front.close()

    with WriterElsewhere(tmp_path, WRITES, K) as writer:
        asyncio.run(run(writer))


def test_an_answer_is_made_again_only_where_the_description_changed() -> None:
    rows, stamp, made = {b"k\x00\x01": b"d1;body"}, [1], []

    def answered(value: bytes) -> tuple[bytes, bytes] | None:
        made.append(value)
        described, mark, body = value.partition(b";")
        return None if not mark else (body, described + mark if described else b"")

    read = KeptObjects(rows.get, lambda: stamp[0]).reading(b"way", b"", answered, ANY)
    assert [read(b"k"), read(b"k"), len(made)] == [b"body", b"body", 1]
    rows[b"k\x00\x01"] = b"d2;other"
    assert read(b"k") == b"body"  # nothing was acknowledged since
    stamp[0] += 1
    assert [read(b"k"), read(b"k"), len(made)] == [b"other", b"other", 2]
    stamp[0] += 1
    assert [read(b"k"), len(made)] == [b"other", 2]  # another object was written
    stamp[0] += 1
    rows.clear()
    assert read(b"k") is None
    rows[b"k\x00\x01"] = b";in the clear"
    assert [read(b"k"), read(b"k"), len(made)] == [b"in the clear", b"in the clear", 4]
    rows[b"k\x00\x01"] = b"not plain"
    stamp[0] += 1
    assert read(b"k") is None and read(b"") is None


def test_what_is_kept_is_bounded() -> None:
    value, reads = bytes(8192), []

    def row(key: bytes) -> bytes:
        reads.append(key)
        return value

    kept = KeptObjects(row, lambda: 1)
    ways = [kept.reading(n, b"", lambda value: (value, b"d"), ANY) for n in (b"0/", b"1/")]
    assert kept.reading(b"0/", b"", lambda value: None, ANY)(b"0") is None and not reads.clear()
    many = BYTES_MAX // (len(value) + ENTRY_BYTES) // 2
    for n in range(many):
        ways[0](b"%d" % n), ways[1](b"%d" % n)
    reads.clear()
    ways[0](b"0"), ways[1](b"0")
    assert not reads
    for n in range(many, 2 * many):
        ways[1](b"%d" % n)
    ways[0](b"0")
    assert reads[-1] == b"0\x00\x01"  # let go for the other way's
