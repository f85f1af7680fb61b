"""``make bench``: Pileus beside its peers in one run: server CPU per operation, operations per
second.

One target at a time, started fresh; the same loader, raw keep-alive HTTP/1.1 with requests signed
beforehand; the
median of the rounds. CPU is user + system of all the server's processes. Quote ratios: machines are
noisy.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.disk import MEGABYTE, fsync_us, plain_us
from bench.functions import edge, functions
from bench.load import as_sent, measure, row, signed
from bench.peers import PEERS, Target
from lab.tables import keyed

ITEM = {"v": {"S": "x" * 220}, "n": {"N": "42"}, "t": {"S": "2026-11-21T00:00:00Z"}}
ITEMS = 1000
STREAMS = (1, 4, 16)  # that send objects of 1 MB
BARS_US = {
    "GetItem": 32, "PutItem": 70, "Query of 10": 55, "GET 1 KB": 40, "edge hit, 10 KB": 20,
    "UpdateItem": 75, "TransactWrite of 4": 250, "PUT 1 KB": 100, "GET 1 MB": 300,
}  # fmt: skip
Operations = dict[str, list[bytes]]


def dynamodb(target: Target) -> Operations:
    """Fill a table, then the requests: 300 B items, a partition of ten for Query."""
    c = target.client("dynamodb")
    c.create_table(
        TableName="bench",
        **keyed(p="S", s="S"),
    )
    c.get_waiter("table_exists").wait(TableName="bench", WaiterConfig={"Delay": 1})
    for start in range(0, ITEMS, 25):
        puts = [{"PutRequest": {"Item": _key(i) | ITEM}} for i in range(start, start + 25)]
        c.batch_write_item(RequestItems={"bench": puts})

    def requests(operation: str, body: Callable[[int], Any]) -> list[bytes]:
        return [_json(target, operation, {"TableName": "bench"} | body(i)) for i in range(ITEMS)]

    query = {"KeyConditionExpression": "p = :p"}
    update = {
        "UpdateExpression": "SET n = n + :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    reads = requests("GetItem", lambda i: {"Key": _key(i)})
    puts = requests("PutItem", lambda i: {"Item": _key(i) | ITEM})
    return {
        "GetItem": reads,
        # Some keep what was read until the next write: here one comes after 19 reads (YCSB's B).
        "GetItem, 5 % PutItem": [puts[i] if i % 20 == 19 else reads[i] for i in range(ITEMS)],
        "Query of 10": requests(
            "Query", lambda i: query | {"ExpressionAttributeValues": {":p": _key(i)["p"]}}
        ),
        "PutItem": puts,
        "UpdateItem": requests("UpdateItem", lambda i: {"Key": _key(i)} | update),
        "TransactWrite of 4": [
            _json(target, "TransactWriteItems", four_puts(i)) for i in range(0, ITEMS, 4)
        ],
    }


def four_puts(first: int) -> dict[str, Any]:
    """A transaction of four puts."""
    puts = [{"TableName": "bench", "Item": _key(first + n) | ITEM} for n in range(4)]
    return {"TransactItems": [{"Put": put} for put in puts]}


def _key(i: int) -> dict[str, Any]:
    return {"p": {"S": f"part-{i // 10:05d}"}, "s": {"S": f"sort-{i % 10:05d}"}}


def _json(target: Target, operation: str, body: Any) -> bytes:
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
    }
    host = f"127.0.0.1:{target.port}"
    text = json.dumps(body).encode()
    return signed(host, "dynamodb", target.key, target.secret, headers=headers, body=text)


def s3(target: Target) -> Operations:
    """1 KB objects."""
    c = target.client("s3")
    c.create_bucket(Bucket="bench")
    body = os.urandom(1024)
    for i in range(100):
        c.put_object(Bucket="bench", Key=f"o{i:04d}", Body=body)

    def one(method: str, i: int) -> bytes:
        host, data = f"127.0.0.1:{target.port}", body if method == "PUT" else b""
        path = f"/bench/o{i % 100:04d}"
        return signed(host, "s3", target.key, target.secret, method=method, path=path, body=data)

    def boto(operation: str, i: int, **more: Any) -> bytes:
        return as_sent(c, operation, Bucket="bench", Key=f"o{i % 100:04d}", **more)

    return {f"{m} 1 KB": [one(m, i) for i in range(500)] for m in ("GET", "PUT")} | {
        "GET 1 KB, as boto3": [boto("get_object", i) for i in range(500)],
        "HEAD, as boto3": [boto("head_object", i) for i in range(500)],
        "PUT 1 KB, as boto3": [boto("put_object", i, Body=body) for i in range(500)],
    }


def megabytes(target: Target) -> Operations:
    """Objects of 1 MB, after ``s3``."""
    host, body = f"127.0.0.1:{target.port}", os.urandom(MEGABYTE)

    def one(method: str, i: int) -> bytes:
        data = body if method == "PUT" else b""
        path = f"/bench/large{i:04d}"
        return signed(host, "s3", target.key, target.secret, method=method, path=path, body=data)

    puts = [one("PUT", i) for i in range(16)]
    streams = {f"PUT 1 MB, {n} stream{'s' * (n > 1)}": puts for n in STREAMS}
    return streams | {"GET 1 MB": [one("GET", i) for i in range(16)]}


def measured(target: Target, operations: Operations, rounds: int, seconds: float) -> Iterator[Any]:
    for name, requests in operations.items():
        streams = re.search(r"1 MB, (\d+)", name)
        many = int(streams[1]) if streams else 16 if "1 MB" in name else 32
        try:
            runs = [
                measure(target.port, requests, connections=many, seconds=seconds, pid=target.pid)
                for _ in range(rounds)
            ]
        except TimeoutError:
            print(f"  {name:<12} no answers in time", flush=True)
            continue
        answered, refused = sum(r.requests for r in runs), sum(r.errors for r in runs)
        if 2 * refused > answered:  # a refusal is quick: it is no figure for the operation
            print(f"  {name:<12} refused: {refused:,} of {answered:,} requests", flush=True)
            continue
        yield row(target.name, name, runs)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: one line per operation and target, with the bar and the ratio to Pileus."""
    ours = {r["operation"]: r["cpu_us"] for r in rows if r["target"] == "pileus"}
    lines = [
        "| operation | target | CPU µs/op | op/s | p50 ms | p99 ms | CPU against Pileus | bar µs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(
        rows, key=lambda r: list(ours).index(r["operation"]) if r["operation"] in ours else 99
    ):
        ratio = r["cpu_us"] / ours.get(r["operation"], math.nan)
        bar = BARS_US.get(r["operation"], "") if r["target"] == "pileus" else ""
        lines.append(
            f"| {r['operation']} | {r['target']} | {r['cpu_us']:.0f} | {r['per_second']:,.0f} | "
            f"{r['p50_ms']:.2f} | {r['p99_ms']:.2f} | {ratio:.1f} × | {bar} |"
        )
    return "\n".join(lines)


OPERATIONS = (("dynamodb", dynamodb), ("s3", s3), ("s3", megabytes))


def run_target(name: str, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Everything that applies to one target."""
    with PEERS[name]() as target:
        print(f"{name}: durable? {target.durable}", flush=True)
        rows: list[dict[str, Any]] = []
        for service, prepare in OPERATIONS:
            if service in target.services:
                for r in measured(target, prepare(target), rounds, seconds):
                    rows.append(r)
                    print(
                        f"  {r['operation']:<12} {r['cpu_us']:7.1f} µs {r['per_second']:9,.0f}/s"
                        f"  p50 {r['p50_ms']:.2f} ms, errors {r['errors']}",
                        flush=True,
                    )
        if "lambda" in target.services:
            rows += functions(target, seconds)
        if "edge" in target.services:
            rows += edge(target, rounds, seconds)
        return rows


def main() -> int:
    """Run, print the table, write it to var/bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", default="pileus,dynalite,ministack,moto,seaweedfs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--fronts", help="front processes of Pileus; 0: one per core")
    wish = parser.parse_args()
    if wish.fronts is not None:
        os.environ["PILEUS_FRONT_PROCESSES"] = wish.fronts
    print(f"fdatasync of 4 KB here: {fsync_us():.0f} µs (median)", flush=True)
    for n in STREAMS:
        print(f"plain write, fsync and rename of 1 MB, streams {n}: {1e6 / plain_us(n):,.0f}/s")
    rows: list[dict[str, Any]] = []
    for name in wish.targets.split(","):
        try:
            rows += run_target(name, wish.rounds, wish.seconds)
        except (RuntimeError, subprocess.CalledProcessError) as e:
            print(f"{name}: skipped: {e}", file=sys.stderr, flush=True)
    print(table(rows))
    out = Path("var/bench")
    out.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    (out / f"{stamp}.json").write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
