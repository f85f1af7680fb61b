"""The tests of localstack/localstack that its authors ran against AWS itself (its markers
``aws.validated`` and ``aws.manual_setup_required``), of the services named here: told to ask AWS,
they ask the cloud of the environment at AWS's own host names.

What they expect is recorded: each answer AWS gave, member by member, with what is another at each
run (names, moments, identifiers) put in order. What is recorded but left out there where it asks
the emulator (its marks ``skip_snapshot_verify``) is held to here.

Two parts, each with a cloud of its own: S3, and the other services (of Lambda its API's tests; what
calls functions needs the emulator's runtimes).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Cloud
from tests.suites.reports import counts
from tests.suites.s3 import ALT, PLUGINS, interpreter

NAME = "localstack"
TESTS = "tests/aws/services/s3"
OTHERS = f"{NAME}, the others"
# What each part runs, below tests/aws/services, and the seconds a test waits at most at once.
PARTS = {
    NAME: (("s3", "s3control"), 10),
    OTHERS: (
        (
            *("cloudwatch", "dynamodb", "dynamodbstreams", "iam", "kms"),
            *("lambda_/test_lambda_api.py", "logs", "sns", "ssm", "sts"),
        ),
        1,
    ),
}
SLICES = 2
LIMIT_S = 120
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
SETTINGS = {"PILEUS_S3_LOG_DELIVERY_S": "1"}  # and S3 as it is today


def run(directory: Path, made: Cloud, part: str, words: list[str], out: Path) -> dict[str, Any]:
    """Counts by file (S3) or service, and each test that did not pass with the reason; ``out`` gets
    the reports."""
    services, wait_s = PARTS[part]
    reports = [out / f"{part.replace(', ', '-').replace(' ', '-')}-{i}.xml" for i in range(SLICES)]
    env = {**environment(made), "SUITE_WAIT_S": str(wait_s)}
    chosen = [*words, *(f"tests/aws/services/{service}" for service in services)]
    runs = [
        _start(directory, report, chosen, {**env, "SUITE_SLICE": f"{i}/{SLICES}"})
        for i, report in enumerate(reports)
    ]
    for process in runs:
        process.wait()
    return counts(reports, _file if part == NAME else _service)


def _file(module: str) -> str:
    """``tests.aws.services.s3.test_s3_api.TestS3BucketPolicy``: s3_api."""
    return module.split(".")[4].removeprefix("test_")


def _service(module: str) -> str:
    """``tests.aws.services.lambda_.test_lambda_api.TestLambdaUrl``: lambda."""
    return module.split(".")[3].removesuffix("_")


def environment(made: Cloud) -> dict[str, str]:
    """What its tests find their way by: the keys of two accounts, and no endpoint."""
    admin = _administrator(made)
    other = json.loads((made.home / "credentials.json").read_text())["accounts"][ALT]
    return {
        **{k: v for k, v in {**os.environ, **made.env}.items() if k != "AWS_ENDPOINT_URL"},
        "AWS_DEFAULT_REGION": made.env["AWS_REGION"],
        "AWS_CLOUD_PORT": str(made.port),
        "TEST_TARGET": "AWS_CLOUD",
        "AWS_ACCESS_KEY_ID": admin["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": admin["SecretAccessKey"],
        "TEST_AWS_ACCESS_KEY_ID": admin["AccessKeyId"],
        "TEST_AWS_SECRET_ACCESS_KEY": admin["SecretAccessKey"],
        "SECONDARY_TEST_AWS_ACCESS_KEY_ID": other["access_key_id"],
        "SECONDARY_TEST_AWS_SECRET_ACCESS_KEY": other["secret_access_key"],
        "PYTHONPATH": f"{PLUGINS}{os.pathsep}localstack-core",
    }


def _administrator(made: Cloud) -> dict[str, str]:
    """The keys of a user who may do all: roles are not assumed by an account's root."""
    iam, name = made.client("iam"), "administrator"
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    return dict(iam.create_access_key(UserName=name)["AccessKey"])


def _start(
    directory: Path, report: Path, chosen: list[str], env: dict[str, str]
) -> subprocess.Popen[bytes]:
    report.unlink(missing_ok=True)
    with report.with_suffix(".txt").open("wb") as text:
        return subprocess.Popen(
            [interpreter(directory), "-m", "pytest", "-q", "-W", "ignore",
             "-p", "no:cacheprovider", "-p", "recorded", "-p", "amazonaws", "-p", "tell_markers",
             "-p", "no:logging", "--ignore-glob=*_performance.py",
             f"--timeout={LIMIT_S}", "--tb=short", f"--junitxml={report.absolute()}", *chosen],
            cwd=directory,
            env=env,
            stdout=text,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
