"""What the disk takes by itself: the floor of every durable answer."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time

MEGABYTE = 1024 * 1024


def fsync_us() -> float:
    """What one small synced write costs here, median: as durable answers wait for."""
    times = []
    with tempfile.NamedTemporaryFile() as f:
        f.write(bytes(4096))
        for _ in range(200):
            f.seek(0)
            f.write(os.urandom(4096))
            f.flush()
            start = time.perf_counter()
            os.fdatasync(f.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def plain_us(streams: int, count: int = 24) -> float:
    """Plain write, fsync and rename of a megabyte by ``streams`` threads: wall µs each."""
    body = os.urandom(MEGABYTE)

    def one(directory: str, name: int) -> None:
        for i in range(count):
            with open(f"{directory}/{name}.tmp", "wb", buffering=0) as file:
                file.write(body)
                os.fsync(file.fileno())
            os.rename(f"{directory}/{name}.tmp", f"{directory}/{name}-{i}")

    with tempfile.TemporaryDirectory() as directory:
        threads = [threading.Thread(target=one, args=(directory, n)) for n in range(streams)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - start) / (count * streams) * 1e6
