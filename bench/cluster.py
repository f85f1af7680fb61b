"""Three nodes or more on this machine: latency, rate and whose CPU, as docs/capacity.md tells them.

``python -m bench.cluster`` starts three nodes on loopback in a temporary folder, measures each
operation with few and with many connections through one of them, in rounds, and stops them. The
load runs beside them: trust CPU per operation and ratios; the latency only on a quiet machine.

``--nodes 5 --items 100000 --value 980``: what a node more costs the others, with so many items put
first: each node's memory and disk. ``--alone 0`` leaves out the comparison with one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import orjson

from bench.load import Result, measure, process_tree, signed
from bench.peers import pileus
from lab.tables import keyed
from tests.ports import free_ports

TABLE = {
    "TableName": "bench",
    **keyed(k="S"),
}
PORTS = ("port", "edge-port", "node-port", "log-port", "log-route-port")
KEYS, BATCH, CALLERS = 500, 25, 4
START_S, STOP_S, IDLE_S = 180, 90, 10
SERVER = " log server"


def cli(*words: str) -> str:
    """What the command line tool answers."""
    command = [sys.executable, "-m", "pileus.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
    if done.returncode:
        raise SystemExit(f"pileus {words[0]}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def some_nodes(count: int, shards: int = 0) -> Iterator[list[tuple[int, Path]]]:
    """Each node's API port and home. ``shards``: 0 for as many as there are by default."""
    base = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
    homes = [base / f"n{number}" for number in range(1, count + 1)]
    ports = free_ports(len(PORTS) * count)
    try:
        token = ""
        for i, home in enumerate(homes):
            own = ports[len(PORTS) * i :]
            where = ["--home", str(home), "--host", "127.0.0.1", "--edge-tls-port", "0"]
            where += [word for name in PORTS for word in (f"--{name}", str(own.pop(0)))]
            if i == 0:
                several = ["--shards", str(shards)] if shards else []
                token = cli("init", *where, *several).split()[-1]
                cli("up", "--home", str(home), "--apps", "none", "--detach")
            else:
                cli("join", f"{token}@127.0.0.1:{ports[0]}", *where)
        yield [(ports[len(PORTS) * i], home) for i, home in enumerate(homes)]
    finally:
        for home in reversed(homes):
            if (home / "run" / "cloud.json").exists():
                down = [sys.executable, "-m", "pileus.cli", "down", "--home", str(home)]
                subprocess.run(down, capture_output=True, timeout=STOP_S)
        shutil.rmtree(base, ignore_errors=True)


def supervisor(home: Path) -> int:
    return int(json.loads((home / "run" / "cloud.json").read_text())["pid"])


def cpu_us(homes: list[Path]) -> Counter[str]:
    """CPU time so far of each node's log server and of all its other processes, by
    ``n1 log server`` and the like."""
    used: Counter[str] = Counter()
    for home in homes:
        for pid in process_tree(supervisor(home)):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                tasks = list(Path(f"/proc/{pid}/task").iterdir())
                spent = sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1000
            except OSError:  # it has just ended
                continue
            used[home.name + (SERVER if b"nats-server" in command else "")] += round(spent)
    return used


def disk(home: Path) -> Counter[str]:
    """Bytes of a node's files, by part: the rows (with journal, archive and checkpoints of all
    shards but the first), and the folders of its home."""
    told: Counter[str] = Counter()
    for path in home.rglob("*"):
        if path.is_file():
            part = path.relative_to(home).parts[0]
            rows = path.name.startswith("state.db") or part == "shards"
            told["rows" if rows else part] += path.stat().st_size
    return told


def kept(home: Path) -> str:
    """A node's memory (its share of what processes share; of it what is its own) and disk, MB."""
    memory: Counter[str] = Counter()
    for pid in process_tree(supervisor(home)):
        with suppress(OSError):  # it has just ended
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                memory[line.split(":")[0]] += int(line.split()[1]) * 1024
    files = disk(home)
    parts = ", ".join(f"{part} {size / 1e6:.0f}" for part, size in files.most_common(2))
    told = memory["Pss"] / 1e6, memory["Pss_Anon"] / 1e6, files.total() / 1e6
    return "{}: memory {:.0f} ({:.0f}), disk {:.0f} ({})".format(home.name, *told, parts)


def owner(home: Path) -> tuple[str, str]:
    keys = json.loads((home / "credentials.json").read_text())
    return keys["access_key_id"], keys["secret_access_key"]


def client(port: int, home: Path) -> Any:
    key, secret = owner(home)
    where = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    return boto3.client("dynamodb", aws_access_key_id=key, aws_secret_access_key=secret, **where)


def item(number: int, value: int) -> dict[str, Any]:
    return {"k": {"S": str(number)}, "v": {"S": f"{number:0{value}}"}}


def fill(dynamodb: Any, items: int, value: int) -> None:
    """Put so many items of ``value`` bytes each."""

    def put(first: int) -> None:
        some = range(first, min(first + BATCH, items))
        asked = [{"PutRequest": {"Item": item(n, value)}} for n in some]
        while asked:
            told = dynamodb.batch_write_item(RequestItems={"bench": asked})
            asked = told["UnprocessedItems"].get("bench", [])

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(put, range(0, items, BATCH)))


def requests(port: int, home: Path, value: int, table: str = "bench") -> dict[str, list[bytes]]:
    """The three operations' requests."""
    key, secret = owner(home)

    def ask(operation: str, body: dict[str, Any]) -> bytes:
        headers = {
            "x-amz-target": f"DynamoDB_20120810.{operation}",
            "content-type": "application/x-amz-json-1.0",
        }
        data = orjson.dumps({"TableName": table} | body)
        return signed(f"127.0.0.1:{port}", "dynamodb", key, secret, headers=headers, body=data)

    items = [item(number, value) for number in range(KEYS)]
    names = [{"k": one["k"]} for one in items]
    return {
        "PutItem": [ask("PutItem", {"Item": one}) for one in items],
        "GetItem, strong": [ask("GetItem", {"Key": n, "ConsistentRead": True}) for n in names],
        "GetItem, eventual": [ask("GetItem", {"Key": n}) for n in names],
    }


Run = tuple[Result, Counter[str]]


def row(name: str, connections: int, runs: list[Run], idle: dict[str, float]) -> str:
    """``idle``: microseconds a second that each part uses when nobody asks; the last columns are
    without them."""

    def middle(told: list[float]) -> float:
        return statistics.median(told)

    def busy(*parts: str) -> float:
        """The mean of these parts."""
        each = [[(u[p] - idle.get(p, 0) * r.seconds) / r.requests for r, u in runs] for p in parts]
        return statistics.mean(map(middle, each))

    p50, p99 = (middle([getattr(r, f"p{q}_ms") for r, _ in runs]) for q in (50, 99))
    rate = middle([r.requests / r.seconds for r, _ in runs])
    total = middle([sum(u.values()) / r.requests for r, u in runs])
    others = sorted({part.split()[0] for part in idle} - {"n1"})
    errors = sum(r.errors for r, _ in runs)
    return (
        f"| {name} | {connections} | {p50:.2f} | {p99:.1f} | {rate:,.0f} | {total:,.0f}"
        f" | {busy('n1'):.0f} + {busy('n1' + SERVER):.0f}"
        f" | {busy(*others):.0f} + {busy(*(o + SERVER for o in others)):.0f} |"
        + (f" {errors} errors" if errors else "")
    )


def one_machine(rounds: int, seconds: float, value: int) -> float:
    """CPU of an eventual GetItem where there is one machine."""
    with pileus() as one:
        client(one.port, one.home).create_table(**TABLE)
        asked = requests(one.port, one.home, value)
        measure(one.port, asked["PutItem"], connections=64, seconds=seconds)
        alone = asked["GetItem, eventual"]
        told = [
            measure(one.port, alone, connections=64, seconds=seconds, pid=one.pid).cpu_us
            for _ in range(rounds)
        ]
    return statistics.median(told)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--shards", type=int, default=0)
    parser.add_argument("--items", type=int, default=0, help="put before anything is measured")
    parser.add_argument("--value", type=int, default=220, help="bytes of an item's value")
    parser.add_argument("--alone", type=int, default=1, help="0: no comparison with one machine")
    options = parser.parse_args()
    runs: dict[tuple[str, int], list[Run]] = {}
    with some_nodes(options.nodes, options.shards) as nodes:
        homes, (port, first) = [home for _, home in nodes], nodes[0]
        client(port, first).create_table(**TABLE)
        fill(client(port, first), options.items, options.value)
        asked = requests(port, first, options.value)
        time.sleep(IDLE_S)
        before = cpu_us(homes)
        time.sleep(IDLE_S)
        idle = {part: us / IDLE_S for part, us in (cpu_us(homes) - before).items()}
        sizes = [kept(home) for home in homes]
        for _ in range(options.rounds):
            for name, sent in asked.items():
                for connections in (4, 64):
                    before = cpu_us(homes)
                    told = measure(
                        port,
                        sent,
                        connections=connections,
                        seconds=options.seconds,
                        pid=supervisor(first),
                    )
                    runs.setdefault((name, connections), []).append((told, cpu_us(homes) - before))
    print(f"{options.nodes} nodes, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    print(
        "| operation | connections | p50 ms | p99 ms | a second | CPU µs each, all nodes"
        " | busy: the node asked + its log server | each other node + its log server |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for (name, connections), seen in runs.items():
        print(row(name, connections, seen, idle))
    print("\nidle, % of a core:", ", ".join(f"{p} {v / 1e4:.1f}" for p, v in sorted(idle.items())))
    print("MB, memory (its own) and disk:", *sizes, sep="\n  ")
    if options.alone:
        here = statistics.median(r.cpu_us for r, _ in runs["GetItem, eventual", 64])
        ratio = here / one_machine(options.rounds, options.seconds, options.value)
        print(f"eventual GetItem, CPU of the node asked beside one machine's: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
