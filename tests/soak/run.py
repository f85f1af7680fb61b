"""``make soak``: many rounds of load, kill -9 and restart; resumable, seeds kept in
var/soak/rounds.jsonl."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conftest import Cloud, new_cloud, pileus
from tests.soak.kill import BASE_VALUE, TABLE, lost_events, one_round, prepare

SAMPLE = 100


def base_lost(cloud: Cloud, items: int, rng: random.Random) -> list[str]:
    """What is wrong with a sample of the items that were there from the beginning."""
    client = cloud.client("dynamodb")
    wrong = []
    for number in rng.sample(range(items), min(items, SAMPLE)):
        name = f"base-{number}"
        item = client.get_item(TableName=TABLE, Key={"PK": {"S": name}}).get("Item")
        if item != {"PK": {"S": name}, "v": {"S": BASE_VALUE}}:
            wrong.append(f"{name}: {item}")
    return wrong


def base_count(cloud: Cloud) -> int:
    """How many items of the beginning a full scan finds."""
    pages = (
        cloud.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=TABLE,
            Select="COUNT",
            FilterExpression="begins_with(PK, :base)",
            ExpressionAttributeValues={":base": {"S": "base-"}},
        )
    )
    return sum(page["Count"] for page in pages)


def spread(name: str, seconds: Sequence[float]) -> str:
    """One line of the table: median, the slowest of twenty, the worst."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
    return f"  {name:<36} {statistics.median(ordered):6.2f} {late:6.2f} {ordered[-1]:6.2f}"


def report(done: list[dict[str, Any]], lost: list[str]) -> int:
    """Print what all rounds amount to; 1 when anything was lost or doubled."""
    wrong = [w for r in done for w in r["wrong"]] + lost
    total = sum(r["acknowledged"] for r in done)
    print("\n".join(wrong) or "nothing acknowledged was lost or doubled; every event was run")
    print(f"{len(done)} rounds, {total} acknowledged writes, {len(wrong)} lost or doubled")
    starts = [r["start"] for r in done]
    print(f"  {'until health answers 200, s':<36} median    95%  worst")
    print(spread("from the first process", [s["process_seconds"] for s in starts]))
    print(spread("from the typed command", [s["command_seconds"] for s in starts]))
    print(spread("CPU used by then, command included", [s["cpu_seconds"] for s in starts]))
    print(spread("cores busy meanwhile, whole machine", [s["load"] for s in starts]))
    return 1 if wrong else 0


def main() -> int:
    """Run rounds until ``--rounds`` are recorded; 1 when any round lost or doubled something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, default=Path("var/soak"))
    wish = parser.parse_args()
    wish.dir.mkdir(parents=True, exist_ok=True)
    record = wish.dir / "rounds.jsonl"
    done = []
    if record.exists():
        done = [json.loads(line) for line in record.read_text().splitlines()]
    ready = wish.dir / "prepared"
    home = wish.dir.absolute() / "home"
    cloud = new_cloud(home).up()
    try:
        if not ready.exists():
            prepare(cloud, wish.items)
            ready.touch()
        for seed in range(len(done), wish.rounds):
            round_ = one_round(cloud, seed)
            round_.wrong.extend(base_lost(cloud, wish.items, random.Random(seed)))
            done.append(dataclasses.asdict(round_))
            with record.open("a") as f:
                f.write(json.dumps(done[-1]) + "\n")
            print(
                f"round {seed + 1}/{wish.rounds}: {round_.acknowledged} acknowledged, healthy in "
                f"{round_.start.command_seconds:.2f} s, wrong: {len(round_.wrong)}",
                flush=True,
            )
        lost = lost_events(cloud, [e for r in done for e in r["events"]])
        found = base_count(cloud)
        lost += [] if found == wish.items else [f"{found} of {wish.items} base items are there"]
    finally:
        cloud.down()
    verified = pileus("verify", "--home", str(home), timeout=600)
    lost += [] if verified.returncode == 0 else [verified.stdout + verified.stderr]
    return report(done, lost)


if __name__ == "__main__":
    sys.exit(main())
