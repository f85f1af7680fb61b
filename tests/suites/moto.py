"""The tests of getmoto/moto that its authors ran against AWS itself (its marker ``aws_verified``),
of the services offered here: told to ask AWS, they ask the cloud of the environment.

What they expect is what AWS answered when they were last run there, to the word: also ways of
moments. All else in that repository tests the mock.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Cloud
from tests.suites.reports import counts
from tests.suites.s3 import PLUGINS, interpreter

NAME = "moto"
TESTS = "tests/test_dynamodb"
SERVICES = (
    "apigatewayv2", "awslambda", "cloudformation", "cloudfront", "cloudwatch", "dynamodb",
    "dynamodbstreams", "iam", "kms", "logs", "s3", "s3control", "ssm", "sts",
)  # fmt: skip
LIMIT_S = 120
SETTINGS = {"PILEUS_S3_LOG_DELIVERY_S": "1"}  # and S3 as it is today, not as it was


def run(directory: Path, made: Cloud, words: list[str], out: Path) -> dict[str, Any]:
    """Counts by service, and each test that did not pass with the reason; ``out`` gets the
    report."""
    report = (out / f"{NAME}.xml").absolute()
    report.unlink(missing_ok=True)
    found = [f"tests/test_{s}" for s in SERVICES if (directory / f"tests/test_{s}").exists()]
    with report.with_suffix(".txt").open("wb") as text:
        subprocess.run(
            [interpreter(directory), "-m", "pytest", "-q", "-W", "ignore",
             "-p", "no:cacheprovider", "-p", "account_names", "-c", os.devnull,
             "--rootdir", ".", "-m", "aws_verified",
             f"--timeout={LIMIT_S}", "--tb=short", f"--junitxml={report}", *words, *found],
            cwd=directory,
            env={
                **os.environ,
                **made.env,
                "AWS_DEFAULT_REGION": made.env["AWS_REGION"],
                "PYTHONPATH": str(PLUGINS),
                "MOTO_TEST_ALLOW_AWS_REQUEST": "true",
            },
            stdout=text,
            stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    return counts([report], _service)


def _service(module: str) -> str:
    """``tests.test_s3.test_s3_lock``: s3."""
    return module.split(".")[1].removeprefix("test_")
