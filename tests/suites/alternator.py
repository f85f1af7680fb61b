"""ScyllaDB's Alternator suite (test/alternator): some 900 cases in Python, written to pass against
DynamoDB itself too, and read here as for it (``plugins/as_aws.py``).

What asks for Scylla's own doors (CQL, its REST API, its metrics, logs, roles and tablets) is left
out, and so are vectors: DynamoDB has none of them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Cloud
from tests.suites.reports import counts
from tests.suites.s3 import PLUGINS, SLICES, interpreter

NAME = "alternator"
TESTS = "test/alternator"
LIMIT_S = 300
SCYLLAS = (
    "test_audit", "test_cql", "test_logs", "test_metrics", "test_scylla", "test_service_levels",
    "test_streams_tablets", "test_system_tables", "test_tablets", "test_tracing", "test_vector",
)  # fmt: skip


def run(directory: Path, made: Cloud, words: list[str], out: Path) -> dict[str, Any]:
    """Counts by file, and each test that did not pass with the reason; ``out`` gets the reports."""
    reports = [out / f"{NAME}-{i}.xml" for i in range(SLICES)]
    runs = [
        _start(directory, made, report, words, f"{i}/{SLICES}") for i, report in enumerate(reports)
    ]
    for process in runs:
        process.wait()
    return counts(reports, lambda module: module.rpartition(".")[2].removeprefix("test_"))


def _start(
    directory: Path, made: Cloud, report: Path, words: list[str], part: str
) -> subprocess.Popen[bytes]:
    report.unlink(missing_ok=True)
    files = sorted(p for p in (directory / TESTS).glob("test_*.py") if not _is_scyllas(p))
    with report.with_suffix(".txt").open("wb") as text:
        return subprocess.Popen(
            [interpreter(directory), "-m", "pytest", "-q", "-W", "ignore",
             "-p", "no:cacheprovider", "-p", "as_aws", "-p", "tell_markers", "--aws",
             "-c", os.devnull, "--rootdir", TESTS, "--confcutdir", TESTS,
             f"--timeout={LIMIT_S}", "--tb=short", f"--junitxml={report.absolute()}", *words,
             *(str(p.relative_to(directory)) for p in files)],
            cwd=directory,
            env={
                **os.environ,
                **made.env,
                "AWS_DEFAULT_REGION": made.env["AWS_REGION"],
                "PYTHONPATH": str(PLUGINS),
                "SUITE_SLICE": part,
            },
            stdout=text,
            stderr=subprocess.STDOUT,
        )  # fmt: skip


def _is_scyllas(file: Path) -> bool:
    return file.stem.startswith(SCYLLAS)
