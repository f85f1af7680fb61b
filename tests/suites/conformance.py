"""The dynamodb-conformance suite: some 600 cases recorded from DynamoDB itself, by vitest and
AWS's SDK for JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from pileus.prepare import node_program
from tests.conftest import Cloud
from tests.suites.dynalite import tally

NAME = "dynamodb-conformance"


def run(directory: Path, made: Cloud) -> dict[str, Any]:
    """The counts, by the suite's tiers, and the names of the cases that did not pass."""
    groups: dict[str, list[int]] = {}
    not_passed: dict[str, str] = {}
    for file in _vitest(directory, made)["testResults"]:
        tier = Path(file["name"]).relative_to(directory / "tests").parts[0]
        counts = groups.setdefault(tier, [0, 0])
        for case in file["assertionResults"]:
            counts[case["status"] != "passed"] += 1
            if case["status"] != "passed":
                told = (case["failureMessages"] or [case["status"]])[0]
                not_passed[case["fullName"]] = told.partition("\n")[0][:300]
                print(f"    {case['fullName']}: {not_passed[case['fullName']]}", flush=True)
    whole = [sum(c[n] for c in groups.values()) for n in (0, 1)]
    return {
        **tally(*whole),
        "groups": {tier: tally(*counts) for tier, counts in sorted(groups.items())},
        "not_passed": {n: not_passed[n] for n in sorted(not_passed)},
    }


def _vitest(directory: Path, made: Cloud) -> dict[str, Any]:
    env = {**os.environ, **made.env, "DYNAMODB_ENDPOINT": made.endpoint}
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "told.json"
        done = subprocess.run(
            [str(node_program()), str(directory / "node_modules" / "vitest" / "vitest.mjs"),
             "run", "--reporter=json", f"--outputFile={out}"],
            cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        if not out.exists():
            raise RuntimeError(f"vitest did not run: {done.stdout[-500:]}{done.stderr[-1500:]}")
        found: dict[str, Any] = json.loads(out.read_text())
        return found
