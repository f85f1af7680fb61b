"""ceph/s3-tests against a cloud: its configuration, its two halves, one outcome per test.

The first half (509 tests at commit 8f0ae7b4) is what every S3-like service is measured by; the
second is lifecycle, encryption, logging, web sites and storage classes. What the suite itself marks
``fails_on_aws`` or belongs to one product only (cloud tiers, appending) counts in neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import Cloud

ALT, TENANT = "111111111111", "222222222222"
DAY_S = 5  # the suite waits for days of lifecycle rules to pass
CLASSES = "INTELLIGENT_TIERING,GLACIER_IR"  # AWS lets rules move to them after a day
FILES = ("s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py")
# What the count of peers leaves out: features a service of this kind need not have at first.
LATER = (
    "lifecycle", "lifecycle_expiration", "lifecycle_transition", "cloud_transition",
    "cloud_restore", "encryption", "sse_s3", "bucket_encryption", "bucket_logging", "s3website",
    "s3website_routing_rules", "s3website_redirect_location", "appendobject", "fails_on_aws",
    "storage_class", "iam_account", "iam_cross_account", "iam_tenant", "iam_role",
)  # fmt: skip
FIRST = " and ".join(f"not {name}" for name in LATER)
SECOND = f"not ({FIRST}) and not fails_on_aws"
HALVES = {"s3-tests": (FIRST, 20), "s3-tests, the others": (SECOND, 120)}
SECTION = """
[{name}]
display_name = {shown}
user_id = {id}
email = {email}@example.com
access_key = {keys[access_key_id]}
secret_key = {keys[secret_access_key]}
{more}
"""
CONFIG = """
[DEFAULT]
host = 127.0.0.1
port = {port}
is_secure = False
ssl_verify = False
[fixtures]
bucket prefix = t-{{random}}-
iam name prefix = s3-tests-
iam path prefix = /s3-tests/
{sections}
[s3 cloud]
host = 127.0.0.1
port = 1
is_secure = False
access_key = none
secret_key = none
[webidentity]
token = none
aud = none
thumbprint = none
KC_REALM = none
"""


def configuration(made: Cloud, more: str = "") -> str:
    """The suite's configuration file for ``made``; ``more`` goes into the main user's section."""
    owners = json.loads((made.home / "credentials.json").read_text())
    main, alt, tenant = owners, owners["accounts"][ALT], owners["accounts"][TENANT]
    lifecycle = f"lc_debug_interval = {DAY_S}\nstorage_classes = {CLASSES}\n"
    sections = (
        ("s3 main", "main", main, f"api_name = default\n{lifecycle}{more}"),
        ("s3 alt", "alt", alt, ""),
        ("s3 tenant", "tenant", tenant, "tenant = testx"),
        ("iam", "main", main, ""),
        ("iam root", "main", main, ""),
        ("iam alt root", "alt", alt, ""),
    )
    text = ""
    for name, email, keys, extra in sections:
        s3 = made.client(
            "s3", access_key=keys["access_key_id"], secret_key=keys["secret_access_key"]
        )
        owner = s3.list_buckets()["Owner"]
        text += SECTION.format(
            name=name,
            shown=owner.get("DisplayName", ""),
            id=owner["ID"],
            email=email,
            keys=keys,
            more=extra,
        )
    return CONFIG.format(port=made.port, sections=text)


def interpreter(directory: Path) -> str:
    """The suite's own environment (``.venv`` in it) where there is one."""
    own = directory / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def run(directory: Path, made: Cloud, half: str, words: list[str], out: Path) -> dict[str, Any]:
    """One half: counts by outcome; ``out`` gets the suite's report and what did not pass."""
    config = made.home / "s3tests.conf"
    config.write_text(configuration(made))
    marker, limit_s = HALVES[half]
    report = out / f"{half.replace(', ', '-').replace(' ', '-')}.xml"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [interpreter(directory), "-m", "pytest", "-q", "-p", "no:cacheprovider",
         f"--timeout={limit_s}", "--tb=short", f"--junitxml={report.absolute()}",
         "-m", marker, *words, *FILES],
        cwd=directory,
        env={**os.environ, "S3TEST_CONF": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    report.with_suffix(".txt").write_text(done.stdout + done.stderr)
    return counts(report)


def counts(report: Path) -> dict[str, Any]:
    """One outcome per test: a test whose clean-up fails has failed."""
    outcomes: dict[str, str] = {}
    for case in xml.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        name = f"{case.get('classname')}.{case.get('name')}"
        told = "skipped" if "skipped" in kinds else "passed"
        if kinds & {"failure", "error"}:
            told = "failed"
        if outcomes.get(name) != "failed":
            outcomes[name] = told
    tally = Counter(outcomes.values())
    failed = sorted(name.rpartition(".")[2] for name, told in outcomes.items() if told == "failed")
    return {"of": len(outcomes), **{k: tally[k] for k in ("passed", "failed", "skipped")},
            "not_passed": failed}  # fmt: skip
