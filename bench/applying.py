"""What it costs a node to apply what others wrote, and how much of it one process can do
(decisions/0011).

``python -m bench.applying`` lets one machine with as many shards as tables take in PutItems,
stops it, and applies its logs again into new state files: in groups of several sizes; then those
of all shards, in one process with a thread for each (as a node's applying process does) and in a
process for each. The groups come without pauses and nothing else is done beside them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.cluster import TABLE, client, requests
from bench.load import measure
from pileus.assembly import RULES
from pileus.state import groups
from pileus.state.database import STATE_FILE, connect_reader
from pileus.state.replica import SqliteReplica
from pileus.state.shard import homes
from tests.conftest import new_cloud

GROUPS = (1, 8, 32, 128)
POSITION = bytes(64)  # about what a node notes of its place with each group
Log = list[bytes]


def logs(shards: int, seconds: float, value: int) -> list[Log]:
    """The entries of each shard of a cloud that took in PutItems for so long."""
    os.environ["PILEUS_SHARDS"] = str(shards)
    home = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
    cloud = new_cloud(home).up()
    try:
        for number in range(shards):
            name = f"bench{number}"
            client(cloud.port, home).create_table(**TABLE | {"TableName": name})
            asked = requests(cloud.port, home, value, name)["PutItem"]
            measure(cloud.port, asked, connections=64, seconds=seconds / shards)
        cloud.down()
        found = []
        for place in homes(home):
            reader = connect_reader(place / STATE_FILE)
            entries = [group.entries for group in groups.history(place / "archive", reader, 0)]
            found.append([entry for some in entries for entry in some])
            reader.close()
        return found
    finally:
        cloud.down()
        shutil.rmtree(home, ignore_errors=True)


def apply(entries: Log, size: int) -> None:
    """Into a new state file, in groups of ``size``."""
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        replica = SqliteReplica(Path(folder) / STATE_FILE, RULES, synchronous="NORMAL")
        for at in range(0, len(entries), size):
            replica.tidy()
            replica.apply_group(at + 1, entries[at : at + size], POSITION)
        replica.close()


def one(entries: Log, size: int) -> float:
    """CPU µs an entry."""
    began = time.process_time()
    apply(entries, size)
    return (time.process_time() - began) / len(entries) * 1e6


def in_threads(every: Sequence[Log], size: int) -> None:
    threads = [threading.Thread(target=apply, args=(entries, size)) for entries in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_processes(every: Sequence[Log], size: int) -> None:
    pids = []
    for entries in every:
        pids.append(os.fork())
        if not pids[-1]:
            apply(entries, size)
            os._exit(0)
    for pid in pids:
        os.waitpid(pid, 0)


def rate(way: Callable[[Sequence[Log], int], None], every: Sequence[Log], size: int) -> str:
    """Entries a second, and CPU µs each."""
    total = sum(map(len, every))
    before, began = os.times(), time.perf_counter()
    way(every, size)
    took, after = time.perf_counter() - began, os.times()
    cpu_s = sum(after[:4]) - sum(before[:4])
    return f"{total / took:,.0f} ({cpu_s / total * 1e6:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0, help="of PutItems")
    parser.add_argument("--value", type=int, default=220, help="bytes of an item's value")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    every = logs(options.shards, options.seconds, options.value)
    print(f"load {os.getloadavg()[0]:.1f}, entries: {[len(entries) for entries in every]}")
    for size in GROUPS:
        told = min(one(every[-1], size) for _ in range(options.rounds))
        print(f"groups of {size}: {told:.0f} µs of CPU an entry", flush=True)
    for size in GROUPS[1:3]:
        for _ in range(options.rounds):
            alone = rate(in_threads, every[-1:], size)
            threads, processes = rate(in_threads, every, size), rate(in_processes, every, size)
            print(
                f"groups of {size}, entries a second (CPU µs each): one shard {alone};"
                f" {options.shards} in one process {threads}, in {options.shards} {processes}",
                flush=True,
            )


if __name__ == "__main__":
    main()
