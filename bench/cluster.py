"""Three nodes on this machine: latency, rate and whose CPU, as docs/capacity.md tells them.

``python -m bench.cluster`` starts three nodes on loopback in a temporary folder, measures each
operation with few and with many connections through one of them, in rounds, and stops them. The
load runs beside them: trust CPU per operation and ratios; the latency only on a quiet machine.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import orjson

from bench.load import Result, measure, process_tree, signed
from bench.peers import pileus
from tests.ports import free_ports

NODES = ("n1", "n2", "n3")
TABLE = {
    "TableName": "bench",
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
PORTS = ("port", "edge-port", "node-port", "log-port", "log-route-port")
KEYS = 500
START_S, STOP_S, IDLE_S = 180, 90, 10
Key = tuple[str, str]


def cli(*words: str) -> str:
    """What the command line tool answers."""
    command = [sys.executable, "-m", "pileus.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
    if done.returncode:
        raise SystemExit(f"pileus {words[0]}: {done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def three_nodes(shards: int = 0) -> Iterator[list[tuple[int, Path]]]:
    """Each node's API port and home. ``shards``: 0 for as many as there are by default."""
    base = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
    homes, ports = [base / name for name in NODES], free_ports(len(PORTS) * len(NODES))
    try:
        token = ""
        for i, home in enumerate(homes):
            own = ports[len(PORTS) * i :]
            where = ["--home", str(home), "--host", "127.0.0.1", "--edge-tls-port", "0"]
            where += [word for name in PORTS for word in (f"--{name}", str(own.pop(0)))]
            if i == 0:
                count = ["--shards", str(shards)] if shards else []
                token = cli("init", *where, *count).split()[-1]
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
            part = "log server" if b"nats-server" in command else "rest"
            used[f"{home.name} {part}"] += round(spent)
    return used


def requests(port: int, home: Path) -> dict[str, list[bytes]]:
    """The three operations' requests; makes their table."""
    keys = json.loads((home / "credentials.json").read_text())
    key, secret = keys["access_key_id"], keys["secret_access_key"]
    where = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    client: Any = boto3.client(
        "dynamodb", aws_access_key_id=key, aws_secret_access_key=secret, **where
    )
    client.create_table(**TABLE)

    def ask(operation: str, body: dict[str, Any]) -> bytes:
        headers = {
            "x-amz-target": f"DynamoDB_20120810.{operation}",
            "content-type": "application/x-amz-json-1.0",
        }
        data = orjson.dumps({"TableName": "bench"} | body)
        return signed(f"127.0.0.1:{port}", "dynamodb", key, secret, headers=headers, body=data)

    names = [{"k": {"S": str(i)}} for i in range(KEYS)]
    return {
        "PutItem": [ask("PutItem", {"Item": n | {"v": {"S": "x" * 220}}}) for n in names],
        "GetItem, strong": [ask("GetItem", {"Key": n, "ConsistentRead": True}) for n in names],
        "GetItem, eventual": [ask("GetItem", {"Key": n}) for n in names],
    }


def row(name: str, connections: int, runs: list[tuple[Result, Counter[str]]]) -> str:
    def middle(told: list[float]) -> float:
        return statistics.median(told)

    p50, p99 = (middle([getattr(r, f"p{q}_ms") for r, _ in runs]) for q in (50, 99))
    rate = middle([r.requests / r.seconds for r, _ in runs])
    total = middle([sum(u.values()) / r.requests for r, u in runs])
    parts = sorted({part for _, u in runs for part in u})
    shares = ", ".join(f"{p} {middle([u[p] / r.requests for r, u in runs]):.0f}" for p in parts)
    errors = sum(r.errors for r, _ in runs)
    return (
        f"| {name} | {connections} | {p50:.2f} | {p99:.1f} | {rate:,.0f} | {total:,.0f}"
        f" | {shares} |" + (f" {errors} errors" if errors else "")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--shards", type=int, default=0)
    options = parser.parse_args()
    runs: dict[tuple[str, int], list[tuple[Result, Counter[str]]]] = {}
    with three_nodes(options.shards) as nodes:
        homes, (port, first) = [home for _, home in nodes], nodes[0]
        asked = requests(port, first)
        time.sleep(IDLE_S)
        before = cpu_us(homes)
        time.sleep(IDLE_S)
        idle = {p: us / IDLE_S / 1e4 for p, us in (cpu_us(homes) - before).items()}
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
    with pileus() as one:
        asked = requests(one.port, one.home)
        measure(one.port, asked["PutItem"], connections=64, seconds=options.seconds)
        alone = asked["GetItem, eventual"]
        single = [
            measure(one.port, alone, connections=64, seconds=options.seconds, pid=one.pid).cpu_us
            for _ in range(options.rounds)
        ]
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    print(
        "| operation | connections | p50 ms | p99 ms | a second | CPU µs each, all nodes | of it |"
    )
    print("|---|---|---|---|---|---|---|")
    for (name, connections), told in runs.items():
        print(row(name, connections, told))
    print("\nidle, % of a core:", ", ".join(f"{p} {v:.1f}" for p, v in sorted(idle.items())))
    here = statistics.median(r.cpu_us for r, _ in runs["GetItem, eventual", 64])
    ratio = here / statistics.median(single)
    print(f"eventual GetItem, CPU of the node asked beside one machine's: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
