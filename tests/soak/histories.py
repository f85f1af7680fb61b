"""Histories of concurrent clients with kill -9 in the middle, checked (S5, T5).

    python -m tests.soak.histories --rounds 50

Each round runs clients on keys of its own, kills every process, or one front process (the writer
or another), lets them go on, and looks for an order that explains all they were told. The
histories of rounds that went wrong are kept in ``var/soak/histories``.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from botocore.config import Config

from lab.history.cells import CellClient
from lab.history.load import Load, prepare
from lab.history.names import Names
from lab.history.records import Recorder
from tests.conftest import Cloud, new_cloud
from tests.soak.kill import fronts, kill_all, start_again

NAME = "histories"
ANSWERS_MIN, PATIENCE_S = 120, 30.0
KILLED = ("all", "front-0", "front-1")


def opened(cloud: Cloud) -> Any:
    """What makes clients of the cloud for a load."""

    def make(service: str, config: Config) -> Any:
        return cloud.client(service, config=config)

    return make


def begin(cloud: Cloud) -> None:
    prepare(opened(cloud), Names(NAME))


def one_round(
    cloud: Cloud, seed: int, killed: str, seconds: float, keep: Path
) -> tuple[Recorder, int, list[str]]:
    """Load, a kill in the middle, load: what was recorded, when the kill was, what is wrong. The
    history is kept where something is."""
    rng = random.Random(seed)
    keys = (cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"])
    told = (cloud.endpoint, *keys, cloud.env["AWS_REGION"], NAME)
    load = Load([opened(cloud)], Names(NAME), seed, cells=[partial(CellClient, *told)])
    load.start()
    try:
        time.sleep(seconds * rng.uniform(0.3, 0.7))
        _wait_for_answers(load.recorder, 0)
        when = load.recorder.clock()
        if killed == "all":
            kill_all(cloud)
            start_again(cloud)
        else:
            os.kill(fronts(cloud)[killed], signal.SIGKILL)
        time.sleep(seconds)
        _wait_for_answers(load.recorder, when)
    finally:
        load.stop()
    wrong = load.wrong()
    if wrong:
        keep.mkdir(parents=True, exist_ok=True)
        load.recorder.save(keep / f"{seed}-{killed}.jsonl")
    return load.recorder, when, wrong


def _wait_for_answers(recorder: Recorder, since: int) -> None:
    """On a busy machine a time says little: wait until enough was answered that began later."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        records = [*recorder.operations, *recorder.transactions]
        if sum(r.ended is not None and r.began > since for r in records) >= ANSWERS_MIN:
            return
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--dir", type=Path, default=Path("var/soak/histories"))
    wish = parser.parse_args()
    home = wish.dir.absolute() / "home"
    fresh = not home.exists()
    cloud = new_cloud(home).up()
    wrong: list[str] = []
    try:
        if fresh:
            begin(cloud)
        for number in range(wish.rounds):
            seed, killed = time.time_ns(), KILLED[number % len(KILLED)]
            recorder, _, found = one_round(cloud, seed, killed, wish.seconds, wish.dir)
            wrong += found
            done = len(recorder.operations), len(recorder.transactions)
            print(
                f"round {number + 1}/{wish.rounds}: {killed} killed, {done[0]} operations,"
                f" {done[1]} transactions, {len(wrong)} anomalies so far",
                flush=True,
            )
    finally:
        cloud.down()
    print("\n".join(wrong) or "one order explains every answer of every round")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
