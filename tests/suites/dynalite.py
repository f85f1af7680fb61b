"""dynalite's own wire-level suite against a cloud: some 1,050 cases, exact texts, types, crc32.

Each of its files makes tables of its own; ``dynalite_door.js`` turns the server the suite starts
into a pipe to the cloud.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from pileus.prepare import node_program
from tests.conftest import Cloud

DOOR = Path(__file__).with_name("dynalite_door.js")
SKIP = ("helpers.js", "bench.js")


def run(directory: Path, made: Cloud) -> dict[str, Any]:
    """The counts, and the names of the cases that did not pass; each file's counts are printed."""
    passed = 0
    not_passed: dict[str, str] = {}
    groups: dict[str, dict[str, int]] = {}
    for file in sorted((directory / "test").glob("*.js")):
        if file.name in SKIP:
            continue
        told = _mocha(directory, made, file)
        passed += told["stats"]["passes"]
        failed: dict[str, str] = {}
        for case in told["failures"]:  # one that fails twice is one
            error = case["err"].get("message", "")[:300]
            failed.setdefault(case["fullTitle"], error.partition("\n")[0])
        groups[file.stem] = tally(told["stats"]["passes"], len(failed))
        print(f"  {file.name}: {groups[file.stem]}", flush=True)
        for name, error in failed.items():
            print(f"    {name}: {error}", flush=True)
        not_passed |= failed
    told = {n: not_passed[n] for n in sorted(not_passed)}
    return {**tally(passed, len(not_passed)), "groups": groups, "not_passed": told}


def tally(passed: int, failed: int) -> dict[str, int]:
    return {"of": passed + failed, "passed": passed, "failed": failed}


def _mocha(directory: Path, made: Cloud, file: Path) -> dict[str, Any]:
    env = {
        **os.environ,
        "PILEUS_PORT": str(made.port),
        "AWS_ACCESS_KEY_ID": made.env["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": made.env["AWS_SECRET_ACCESS_KEY"],
        "AWS_REGION": "us-east-1",
    }
    mocha = directory / "node_modules" / "mocha" / "bin" / "_mocha"
    done = subprocess.run(
        [str(node_program()), str(mocha), "--require", str(DOOR), "--require", "should",
         "-t", "10s", "--exit", "--reporter", "json", str(file)],
        cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    start = done.stdout.find('{\n  "stats"')
    if start < 0:
        raise RuntimeError(f"{file.name} did not run: {done.stdout[-500:]}{done.stderr[-1500:]}")
    found: dict[str, Any] = json.loads(done.stdout[start:])
    return found
