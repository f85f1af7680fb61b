"""What ``bench.cluster`` makes of what it saw: whose CPU, less what idles; whose disk, by part."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.cluster import disk, row
from bench.load import Result

ALONE, ITS_SERVER = "n1", "n1 log server"
OTHERS = ("n2", "n3", "n4")


def test_the_nodes_that_were_not_asked_are_told_by_their_mean_less_what_idles() -> None:
    told = Result(requests=1000, errors=0, seconds=2.0, p50_ms=1.0, p99_ms=9.0, cpu_us=0.0)
    used = Counter({ALONE: 300_000, ITS_SERVER: 40_000})
    idle = {ALONE: 50_000.0, ITS_SERVER: 5_000.0}
    for at, node in enumerate(OTHERS):
        used |= {node: 160_000 + 10_000 * at, f"{node} log server": 30_000 * (at < 2)}
        idle |= {node: 50_000.0, f"{node} log server": 0.0}
    line = row("PutItem", 64, [(told, used)] * 3, idle)
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("PutItem", "64", "1.00", "9.0", "500", "910"),
        "200 + 30",  # 300 - 2 s of 50, 40 - 2 s of 5: milliseconds for a thousand requests
        "70 + 20",  # (60 + 70 + 80) / 3; one of three has no copy of the log
    ]


def test_rows_are_told_apart_from_the_log(tmp_path: Path) -> None:
    sizes = {"state.db-wal": 8, "shards/1/archive/1.seg": 16, "nats/js/1.blk": 32}
    for name, size in sizes.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size * 1024)
    assert disk(tmp_path) == {"rows": 24 * 1024, "nats": 32 * 1024}
