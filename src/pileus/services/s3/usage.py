"""What the buckets of a home hold, read from its state file: for ``pileus buckets``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from pileus.services.s3 import rows, tally
from pileus.state import keys
from pileus.state.files import FileRows, file_rows

BUCKETS_MAX = 1_000_000
GIB = 2**30
# What AWS asks for a GiB and month. AWS's own page (https://aws.amazon.com/s3/pricing/) fills its
# tables in by script; these are its list prices as others quoted them from 2022 to 2025
# (STANDARD and its tiers, both IA classes, GLACIER, DEEP_ARCHIVE; GLACIER_IR since it began in
# 2021). Not checked against AWS's price list since. Unfinished uploads' parts cost as STANDARD.
PRICES = (
    "AWS list prices of US East (N. Virginia) as quoted from 2022 to 2025, first 50 TB, storage"
    " alone; today's: https://aws.amazon.com/s3/pricing/"
)
USD_GIB_MONTH = {
    "STANDARD": 0.023,
    "REDUCED_REDUNDANCY": 0.024,
    "STANDARD_IA": 0.0125,
    "ONEZONE_IA": 0.01,
    "INTELLIGENT_TIERING": 0.023,
    "GLACIER_IR": 0.004,
    "GLACIER": 0.0036,
    "DEEP_ARCHIVE": 0.00099,
    tally.UPLOADS: 0.023,
}


@dataclass(frozen=True)
class Usage:
    """One bucket: ``held`` is (objects, bytes) by storage class, delete markers and the parts of
    unfinished uploads apart."""

    bucket: str
    account: str
    region: str
    held: dict[str, tally.Held]

    @property
    def objects(self) -> int:
        return sum(h.objects for h in self.held.values())

    @property
    def size(self) -> int:
        return sum(h.size for h in self.held.values())

    @property
    def aws_usd_month(self) -> float:
        return sum(price(kind, held) for kind, held in self.held.items())


def price(kind: str, held: tally.Held) -> float:
    """What a month of it costs on AWS, in USD."""
    return held.size / GIB * USD_GIB_MONTH.get(kind, 0.0)


def usage(home: Path) -> list[Usage]:
    """Every bucket, by name, as of the last commit. The cloud may run meanwhile."""
    with file_rows(home) as reader:
        prefix = keys.partition_prefix(rows.TABLE, "buckets")
        found = reader.range(prefix, keys.after_prefix(prefix), BUCKETS_MAX)
        return [_usage(reader, row.key, row.value) for row in found]


def _usage(reader: FileRows, key: bytes, value: bytes) -> Usage:
    name, record = keys.split(key)[2].decode(), orjson.loads(value)
    return Usage(name, record["owner"], record["region"], tally.read(reader, name))
