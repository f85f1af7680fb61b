"""``make soak``: many rounds of load, kill -9 and restart; resumable, seeds kept in
var/soak/rounds.jsonl."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path

from tests.conftest import new_cloud
from tests.soak.kill import lost_events, one_round, prepare


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
    fresh = not (wish.dir / "home").exists()
    cloud = new_cloud(wish.dir.absolute() / "home").up()
    try:
        if fresh:
            prepare(cloud, wish.items)
        for seed in range(len(done), wish.rounds):
            result = dataclasses.asdict(one_round(cloud, seed))
            done.append(result)
            with record.open("a") as f:
                f.write(json.dumps(result) + "\n")
            print(
                f"round {seed + 1}/{wish.rounds}: {result['acknowledged']} acknowledged, "
                f"healthy in {result['healthy_seconds']:.2f} s, wrong: {len(result['wrong'])}",
                flush=True,
            )
        lost = lost_events(cloud, [e for r in done for e in r["events"]])
        print("\n".join(lost) or "every acknowledged event was run")
    finally:
        cloud.down()
    times = [r["healthy_seconds"] for r in done]
    wrong = sum(len(r["wrong"]) for r in done) + len(lost)
    total = sum(r["acknowledged"] for r in done)
    print(
        f"{len(done)} rounds, {total} acknowledged writes, {wrong} lost or doubled; healthy in "
        f"{statistics.median(times):.2f} s (median), {max(times):.2f} s (worst)"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
