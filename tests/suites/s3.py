"""ceph/s3-tests against a cloud: its configuration, its parts, one outcome per test.

The first half (509 tests at commit 8f0ae7b4) is what every S3-like service is measured by; the
second (142) is lifecycle, encryption, logging, web sites, storage classes and more; the third (232)
is what the suite itself marks ``fails_on_aws``: its own server's ways, and what takes short days.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Cloud

ELSEWHERE = "us-west-2"  # where buckets may be asked to be
ALT, TENANT = "111111111111", "222222222222"
DAY_S = 3  # the suite waits for days of lifecycle rules to pass
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
OWN = "s3-tests, fails on AWS"
OWN_WAYS = "the suite itself says that it fails on AWS"
SLICES = 4  # run at the same time: most tests wait for something, the first half's do not
# Each half's markers, the seconds a test has, and its slices.
HALVES = {
    "s3-tests": (FIRST, 20, SLICES // 2),
    "s3-tests, the others": (SECOND, 90, SLICES),
    OWN: ("fails_on_aws", 90, SLICES),
}
# A slice's main user is an account of its own: a test counts the buckets it sees.
MAINS = tuple(f"{i}" * 12 for i in range(3, 3 + SLICES))
ACCOUNTS = ALT, TENANT, *MAINS
# What a test is about, by the suite's markers.
GROUPS = frozenset(LATER) | {
    "bucket_policy", "checksum", "conditional_write", "copy", "delete_marker", "list_objects_v2",
    "object_lock", "object_ownership", "tagging", "versioning", "auth_aws2", "auth_aws4",
}  # fmt: skip
PLUGINS = Path(__file__).with_name("plugins")
ERROR_MAX = 300
CUT_OFF = "from pytest-timeout"
LONGER = 6  # times as long has a test that was cut off
MAIN = f"""lc_debug_interval = {DAY_S}
rgw_restore_debug_interval = {DAY_S}
rgw_restore_processor_period = 1
"""
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


def configuration(made: Cloud, account: str, more: str = "") -> str:
    """The suite's configuration file for ``made``, whose main user is ``account``; ``more`` goes
    into that user's section."""
    owners = json.loads((made.home / "credentials.json").read_text())["accounts"]
    main, alt, tenant = owners[account], owners[ALT], owners[TENANT]
    kms = client(made, "kms", main)
    for name in ("kms_keyid", "kms_keyid2"):
        more += f"{name} = {kms.create_key()['KeyMetadata']['Arn']}\n"
    sections = (
        ("s3 main", "main", main, f"api_name = {ELSEWHERE}\n{MAIN}{more}"),
        ("s3 alt", "alt", alt, ""),
        ("s3 tenant", "tenant", tenant, "tenant = testx"),
        ("iam", "main", main, ""),
        ("iam root", "main", main, ""),
        ("iam alt root", "alt", alt, ""),
    )
    text = ""
    for name, email, keys, extra in sections:
        owner = client(made, "s3", keys).list_buckets()["Owner"]
        text += SECTION.format(
            name=name,
            shown=owner.get("DisplayName", ""),
            id=owner["ID"],
            email=email,
            keys=keys,
            more=extra,
        )
    return CONFIG.format(port=made.port, sections=text)


def client(made: Cloud, service: str, keys: dict[str, str]) -> Any:
    told = {"access_key": keys["access_key_id"], "secret_key": keys["secret_access_key"]}
    return made.client(service, **told)


def interpreter(directory: Path) -> str:
    """The suite's own environment (``.venv`` in it) where there is one."""
    own = directory / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def run(directory: Path, made: Cloud, half: str, words: list[str], out: Path) -> dict[str, Any]:
    """One half: counts by outcome; ``out`` gets the suite's report and what did not pass. A test
    that was cut off runs once more, by itself and longer; the ``note`` names it if it passes."""
    marker, limit_s, slices = HALVES[half]
    stem = half.replace(", ", "-").replace(" ", "-")
    reports, runs = [out / f"{stem}-{i}.xml" for i in range(slices)], []
    for i, report in enumerate(reports):
        config = made.home / f"s3tests-{i}.conf"
        config.write_text(configuration(made, MAINS[i]))
        part = f"{i}/{slices}"
        chosen = [*words, *FILES]
        runs.append(_start(directory, config, marker, limit_s, report, chosen, part))
    for process in runs:
        process.wait()
    found: dict[str, Outcome] = {}
    for report in reports:
        found |= outcomes(report)
    cut_off = [o.place for o in found.values() if CUT_OFF in o.error]
    if not cut_off:
        return counts(found)
    report = out / f"{stem}-alone.xml"
    _start(directory, config, marker, limit_s * LONGER, report, cut_off, "0/1").wait()
    again = outcomes(report)
    slow = sorted(name for name, outcome in again.items() if outcome.told == "passed")
    note = f"took over {limit_s} s on a loaded machine: {', '.join(slow)}"
    return counts(found | again) | ({"note": note} if slow else {})


def _start(
    directory: Path,
    config: Path,
    marker: str,
    limit_s: int,
    report: Path,
    chosen: list[str],
    part: str,
) -> subprocess.Popen[bytes]:
    report.unlink(missing_ok=True)
    with report.with_suffix(".txt").open("wb") as text:
        return subprocess.Popen(
            [interpreter(directory), "-m", "pytest", "-q", "-p", "no:cacheprovider",
             "-p", "tell_markers", f"--timeout={limit_s}", "-o", "timeout_func_only=true",
             "--tb=native",
             f"--junitxml={report.absolute()}", "-m", marker, *chosen],
            cwd=directory,
            env={
                **os.environ,
                "S3TEST_CONF": str(config),
                "PYTHONPATH": str(PLUGINS),
                "SUITE_SLICE": part,
            },
            stdout=text,
            stderr=subprocess.STDOUT,
        )  # fmt: skip


@dataclass
class Outcome:
    """One test: how it ended, the suite's markers, where it is, and the first line that says what
    was wrong."""

    told: str
    markers: frozenset[str]
    place: str
    error: str = ""


def outcomes(report: Path) -> dict[str, Outcome]:
    """One outcome per test: a test whose clean-up fails has failed."""
    found: dict[str, Outcome] = {}
    for case in xml.parse(report).getroot().iter("testcase"):
        name = str(case.get("name"))
        wrong = [child for child in case if child.tag in ("failure", "error")]
        told = "failed" if wrong else "passed" if case.find("skipped") is None else "skipped"
        if name in found and found[name].told == "failed":
            continue
        markers = case.find("./properties/property[@name='markers']")
        names = "" if markers is None else str(markers.get("value"))
        error = str(wrong[0].get("message")).partition("\n")[0] if wrong else ""
        place = f"{str(case.get('classname')).replace('.', '/')}.py::{name}"
        found[name] = Outcome(told, frozenset(names.split()), place, error[:ERROR_MAX])
    return found


def counts(found: dict[str, Outcome]) -> dict[str, Any]:
    """Counts of a half, of each of its groups, and each test that did not pass with the reason."""
    groups: dict[str, list[str]] = {}
    for outcome in found.values():
        for group in outcome.markers & GROUPS or {"other"}:
            groups.setdefault(group, []).append(outcome.told)
    return {
        **tally([o.told for o in found.values()]),
        "groups": {name: tally(told) for name, told in sorted(groups.items())},
        "not_passed": {n: o.error for n, o in sorted(found.items()) if o.told == "failed"},
    }


def tally(told: list[str]) -> dict[str, int]:
    return {"of": len(told), **{k: told.count(k) for k in ("passed", "failed", "skipped")}}
