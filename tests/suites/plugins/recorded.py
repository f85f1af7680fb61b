"""A pytest plugin for localstack/localstack: of its tests those that its authors ran against AWS
itself, told to ask AWS, each answer held to the one recorded there.

Waits are short, for a cloud on this machine is quick; a test that asks for what is not offered, and
fails, is skipped, with that operation's name.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from types import ModuleType
from typing import Any, SupportsIndex

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from localstack_snapshot.snapshots import SnapshotSession

VALIDATED = frozenset({"aws_validated", "aws_manual_setup_required"})
THEIR_GAPS = frozenset({"skip", "xfail"})
WAIT_S_MAX = float(os.environ.get("SUITE_WAIT_S", "10"))
HEADERS = "Headers", "HTTPHeaders"
TRANSPORT = frozenset({"connection", "server", "transfer-encoding"})
_sleep, _call, _match = time.sleep, BaseClient._make_api_call, SnapshotSession.match
_not_offered: list[str] = []


def call(self: Any, operation: str, members: Any) -> Any:
    """As botocore does, and note what is not offered: an error that names Pileus."""
    try:
        return _call(self, operation, members)
    except ClientError as error:
        told = error.response
        if "Pileus" in (told["Error"].get("Message") or ""):
            _not_offered.append(f"{self.meta.service_model.service_name}:{operation}")
        raise


def wait(seconds: float | SupportsIndex) -> None:
    _sleep(min(float(seconds), WAIT_S_MAX))


def match(self: Any, key: str, seen: Any) -> Any:
    """As it does, after headers were named as the recorded ones: their case says nothing."""
    return _match(self, key, _named((self.recorded_state or {}).get(key), seen))


def _named(recorded: Any, seen: Any) -> Any:
    if not isinstance(recorded, dict) or not isinstance(seen, dict):
        return seen
    out = {name: _named(recorded.get(name), value) for name, value in seen.items()}
    for name in HEADERS:
        if recorded.get(name) and isinstance(seen.get(name), dict):
            out[name] = _headers(recorded[name], seen[name])
    return out


def _headers(recorded: dict[str, str], seen: dict[str, str]) -> dict[str, str]:
    """``seen`` under the names of ``recorded``; how they came is left out of both, and so is a
    length where none was told."""
    for name in [name for name in recorded if name.lower() in TRANSPORT]:
        del recorded[name]
    names = {name.lower(): name for name in recorded}
    left_out = TRANSPORT if "content-length" in names else TRANSPORT | {"content-length"}
    return {names.get(n.lower(), n): v for n, v in seen.items() if n.lower() not in left_out}


def pytest_load_initial_conftests() -> None:
    version = ModuleType("localstack.version")  # else made when the package is built
    vars(version).update(__version__="0", version="0")
    sys.modules["localstack.version"] = version
    time.sleep = wait
    BaseClient._make_api_call = call
    SnapshotSession.match = match


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [i for i in items if VALIDATED & {m.name for m in i.iter_markers()}]
    for item in items:
        for node in item.listchain():  # what their emulator lacks is no matter here
            node.own_markers[:] = [m for m in node.own_markers if m.name not in THEIR_GAPS]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _not_offered.clear()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    report = (yield).get_result()
    if report.failed and _not_offered:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {_not_offered[0]} is not offered")
