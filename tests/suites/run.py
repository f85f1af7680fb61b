"""``make suites SUITES=DIR``: suites that others wrote, run from outside the tree against a real
cloud.

``DIR/s3-tests`` is a checkout of ceph/s3-tests (its requirements and pytest-timeout in ``.venv``
there, or here), ``DIR/dynalite`` and ``DIR/dynamodb-conformance`` are checkouts of
architect/dynalite and nubo-db/dynamodb-conformance with their packages installed,
``DIR/alternator`` one of scylladb/scylladb, of which Python's files below ``test`` are enough
(boto3, requests, pytest and pytest-timeout in its ``.venv``, or here), ``DIR/moto`` one of
getmoto/moto with ``moto[all]``, pytest, pytest-timeout and freezegun in its ``.venv``,
``DIR/localstack`` one of localstack/localstack with what its ``localstack-core`` and its tests
import, and localstack-snapshot, in its ``.venv`` (Python 3.13). Nothing of them is kept here; the
counts go to docs/suites.json, which the compatibility page shows, with the reasons
``reasons.toml`` gives for what did not pass (``ONLY="s3-tests"``: one suite of them). S3's suite
expects ACLs as they were before 2023 (object writers own their objects, nothing is blocked),
owners' names as before 2026 and short days of lifecycle rules, so it runs with that configuration.
Its reports are in ``var/``.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from pileus.nodes.entering import SHARDS
from tests.conftest import Cloud, new_cloud
from tests.spread import SpreadCloud
from tests.suites import alternator, conformance, dynalite, localstack, moto, s3

RECORD = Path(__file__).resolve().parents[2] / "docs" / "suites.json"
REASONS = Path(__file__).with_name("reasons.toml")
NODE = {"dynalite": dynalite.run, conformance.NAME: conformance.run}
THREE = "three nodes"
COUNTS = ("of", "passed", "commit", "date", "note")
PYTEST = {alternator.NAME: alternator.run, moto.NAME: moto.run}
IN_PARTS = dict.fromkeys(s3.HALVES, s3.run) | dict.fromkeys(localstack.PARTS, localstack.run)
OWN_SETTINGS = {moto.NAME: moto.SETTINGS} | dict.fromkeys(localstack.PARTS, localstack.SETTINGS)
SUITES = (*s3.HALVES, *NODE, *PYTEST, *localstack.PARTS)
SETTINGS = {
    "PILEUS_S3_LEGACY_DEFAULTS": "true",
    "PILEUS_S3_DAY_S": str(s3.DAY_S),
    "PILEUS_S3_RESTORE_S": str(s3.DAY_S),
    "PILEUS_S3_TRANSITION_BYTES_MIN": "0",
    "PILEUS_S3_LOG_DELIVERY_S": "1",
}


@contextmanager
def cloud(nodes: int, suite: str) -> Iterator[Cloud]:
    """A cloud for ``suite`` to run against, of one machine or of three nodes, in turn connection by
    connection, with the shards a cluster begins with."""
    place = Path(tempfile.mkdtemp(prefix="pileus-suites-"))
    home = place / "home"
    os.environ["PILEUS_ACCOUNTS"] = ",".join(s3.ACCOUNTS)
    settings = OWN_SETTINGS.get(suite, SETTINGS)
    os.environ |= settings
    made = new_cloud(home) if nodes == 1 else SpreadCloud(home)
    try:
        yield made.up()
    finally:
        made.down()
        for name in settings:
            del os.environ[name]
        Path("var/suites-cloud.log").write_text(made.log())
        shutil.rmtree(place, ignore_errors=True)


def run(directory: Path, only: str, words: list[str], nodes: int) -> dict[str, dict[str, Any]]:
    """The counts of each suite found below ``directory``."""
    out = Path("var")
    out.mkdir(exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    for suite in SUITES:
        place = directory / suite.partition(",")[0]
        if only not in ("", suite) or not _is_set_up(suite, place):
            continue
        with cloud(nodes, suite) as made:  # of its own: suites count the tables they see
            if suite in IN_PARTS:
                found[suite] = IN_PARTS[suite](place, made, suite, words, out)
            elif suite in NODE:
                found[suite] = NODE[suite](place, made)
            else:
                found[suite] = PYTEST[suite](place, made, words, out)
        found[suite] |= {"commit": commit(place), "date": date.today().isoformat()}
        shown = {k: v for k, v in found[suite].items() if k != "not_passed"}
        print(f"{suite}: {shown}", flush=True)
    return found


def _is_set_up(suite: str, place: Path) -> bool:
    needed = {m.NAME: m.TESTS for m in (alternator, moto, localstack)}
    needed |= dict.fromkeys(NODE, "node_modules")
    return (place / needed.get(suite.partition(",")[0], ".")).exists()


def commit(place: Path) -> str:
    """The commit a checkout is at."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=place, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def explained(suite: str, not_passed: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """The reason of each test that did not pass: ours where we know it (``known``: by pattern of
    names), else what the suite saw."""
    told = {}
    for name, error in not_passed.items():
        ours = (reason for pattern, reason in known.items() if fnmatch.fnmatchcase(name, pattern))
        usual = s3.OWN_WAYS if suite == s3.OWN else f"not known yet: {error}"
        told[name] = next(ours, usual)
    return told


def record(found: dict[str, dict[str, Any]], nodes: int) -> None:
    """Keep the counts for the compatibility page. Of three nodes: beside those of one, and why what
    passes on one machine alone does not pass there."""
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    reasons = tomllib.loads(REASONS.read_text())
    for suite, told in found.items():
        before = kept.get(suite, {})
        if nodes == 1:
            known = reasons.get(suite.partition(",")[0], {})
            told["not_passed"] = explained(suite, told["not_passed"], known)
            beside = {name: before[name] for name in ("note", "three_nodes") if name in before}
            kept[suite] = beside | told
        else:
            known, on_one = reasons[THREE].get(suite, {}), before.get("not_passed", {})
            other = {name: e for name, e in told["not_passed"].items() if name not in on_one}
            counts = {name: told[name] for name in COUNTS if name in told}
            more = {"shards": SHARDS, "not_passed": explained("", other, known)}
            kept[suite] = before | {"three_nodes": counts | more}
    RECORD.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def main() -> int:
    """Run what is found below ``--dir``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--only", choices=SUITES, default="", help="one suite")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="machines")
    parser.add_argument("--record", action="store_true", help="keep the counts in docs/suites.json")
    parser.add_argument("words", nargs="*", help="passed on to pytest")
    wish = parser.parse_args()
    found = run(wish.dir, wish.only, wish.words, wish.nodes)
    if not found:
        print(f"no suite below {wish.dir}: see python -m tests.suites.run --help", file=sys.stderr)
        return 2
    if wish.record and not wish.words:
        record(found, wish.nodes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
