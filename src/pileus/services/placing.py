"""Which rows lie together where shards are several: for all services, in one place.

What is not named here lies in shard 0, until its tablet is moved. Three ways (state/DESIGN.md,
"What lies together"): *shared* tables are few rows that rules read with every write; every shard
has them. A DynamoDB table is all keys that begin with ``d:ID``, and its id is chosen so that they
lie in the shard chosen for it. A bucket's rows stand in several tables under the hash of its
name: these are cut at the same hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pileus.state import keys
from pileus.state.placing import Layout, Placing
from pileus.state.tablets import TabletMap

SHARED = ("dynamodb", "s3")
DYNAMODB = b"d:"  # and a table's id, twelve hex digits
BUCKETS = ("s3c", "s3l", "s3n", "s3o", "s3p", "s3u", "s3v")  # the partition is the bucket
CELLS = b"kv:"  # and a wide table's name
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
COUNTED_MAX = 1000
HASHES = 0x10000


def layout(shards: int) -> Layout:
    """Where tablets begin in a new home, and in which shard each lies, in key order."""
    if shards == 1:
        return [(b"", 0)]
    spread = [DYNAMODB + b"%02x" % (256 * n // shards) if n else DYNAMODB for n in range(shards)]
    found = _between(spread, keys.after_prefix(DYNAMODB))
    letters = [LETTERS[len(LETTERS) * n // shards].encode() for n in range(shards)]
    spread = [CELLS + letters[n] if n else CELLS for n in range(shards)]
    found |= _between(spread, keys.after_prefix(CELLS))
    for table in BUCKETS:
        prefix = keys.table_prefix(table)
        cuts = ((HASHES * n // shards).to_bytes(2, "big") for n in range(shards))
        spread = [prefix + cut if n else prefix for n, cut in enumerate(cuts)]
        found |= _between(spread, keys.after_prefix(prefix))
    return sorted({b"": 0, **found}.items())


def _between(starts: list[bytes], end: bytes) -> dict[bytes, int]:
    return {end: 0, **{start: shard for shard, start in enumerate(starts)}}


def together(start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    """The ranges of keys that should lie in one shard with this one, itself among them: those of
    the same buckets. Within one bucket's rows every range is for itself."""
    for table in BUCKETS:
        prefix = keys.table_prefix(table)
        top = keys.after_prefix(prefix)
        width = len(prefix) + 2
        if start.startswith(prefix) and len(start) <= width and prefix < end <= top:
            if end != top and len(end) > width:
                break
            every = map(keys.table_prefix, BUCKETS)
            return [(p + start[len(prefix) :], _moved(end, prefix, p)) for p in every]
    return [(start, end)]


def _moved(end: bytes, prefix: bytes, other: bytes) -> bytes:
    if end == keys.after_prefix(prefix):
        return keys.after_prefix(other)
    return other + end[len(prefix) :]


def table_id(
    where: TabletMap, every: Callable[[], list[str]], random: Callable[[int], bytes]
) -> str:
    """The id of a new DynamoDB table: by it the table lies in the shard that has the fewest.
    ``every()``: the ids of those there are."""
    made = random(6).hex()
    if where.count == 1:
        return made
    held = Counter({t.shard: 0 for t in where.within(DYNAMODB, keys.after_prefix(DYNAMODB))})
    known = every()
    held.update(_shard(where, one) for one in known[:COUNTED_MAX])
    wanted = min(held, key=lambda shard: (held[shard], shard))
    while _shard(where, made) != wanted:
        made = random(6).hex()
    return made


def _shard(where: TabletMap, made: str) -> int:
    return where.locate(DYNAMODB + made.encode() + b"\x00").shard


def upload_tail(where: TabletMap, bucket: str, upload: str) -> str:
    """What to append to an upload's id so that its parts lie where its bucket does; nothing where
    there is one shard."""
    if where.count == 1:
        return ""
    wanted = keys.hash2(bucket.encode())
    begun = upload.encode()
    tails = _tails()
    for salt in range(HASHES):
        head = b"%x" % salt
        # A checksum is linear: what the tail must give follows from what stands before it.
        rest = _low(begun + head + ZEROS) ^ _low(ZEROS)
        found = tails[int.from_bytes(wanted, "big") ^ rest]
        if found >= 0:
            return (head + b"%04x" % found).decode()
    raise AssertionError("four digits reach most hashes")


ZEROS = b"0000"


def _low(data: bytes) -> int:
    return int.from_bytes(keys.hash2(data), "big")


@lru_cache(maxsize=1)
def _tails() -> list[int]:
    """By the hash of four hex digits, the digits (-1: of none)."""
    found = [-1] * HASHES
    for number in range(HASHES):
        found[_low(b"%04x" % number)] = number
    return found


def _object_put(args: list[Any]) -> bytes | None:
    return None if args[6] else keys.key("s3o", args[0], args[1])  # a copy reads its source first


def _object_deleted(args: list[Any]) -> bytes:
    return keys.key("s3o", args[0], args[1])


HOMES = {"s3.put": _object_put, "s3.delete": _object_deleted}
PLACING = Placing(layout, together, SHARED, HOMES)
