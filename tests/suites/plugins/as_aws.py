"""A pytest plugin for ScyllaDB's Alternator suite: its tests are read as for DynamoDB itself (its
option ``--aws``) though the endpoint is another, but for how long they wait.

It stands in for what the suite's conftest imports of Scylla's own test driver, and for the driver
of Cassandra: neither is asked for anything by the tests that run here. The working directory is the
root of a checkout.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

# Who asks "is it AWS?" only to know how long to wait: a cloud on this machine is quick.
WAITERS = frozenset({"wait_for_active_stream", "wait_for_gsi"})
WAITING = "test.alternator.test_ttl"
CASSANDRA = ("", ".auth", ".cluster", ".connection", ".policies", ".query")


def is_aws(_: object) -> bool:
    caller = sys._getframe(1)
    return caller.f_code.co_name not in WAITERS and caller.f_globals["__name__"] != WAITING


def scylla_config_read(_: object, name: str) -> str | None:
    """Only the tests of time to live ask: how often expired items are looked for, in seconds."""
    return "1" if name == "alternator_ttl_period_in_seconds" else None


def module(name: str, **members: Any) -> None:
    made = ModuleType(name)
    vars(made).update(members)
    sys.modules[name] = made


def pytest_load_initial_conftests() -> None:
    sys.path.insert(0, str(Path.cwd()))
    for name in CASSANDRA:
        sys.modules["cassandra" + name] = MagicMock()
    module("test.conftest", dynamic_scope=lambda: "module")
    module("test.cqlpy.conftest", host=pytest.fixture(scope="session")(lambda: None))
    module("test.pylib.driver_utils", safe_driver_shutdown=None)
    told = importlib.import_module("test.alternator.util")
    # Tables are named by the millisecond: slices that run at once would make one of the same name.
    part = os.environ.get("SUITE_SLICE", "0/1").partition("/")[0]
    prefix = f"{told.test_table_prefix}{part}_"
    vars(told).update(
        is_aws=is_aws, scylla_config_read=scylla_config_read, test_table_prefix=prefix
    )


def pytest_configure(config: pytest.Config) -> None:
    for kind in ("skip_env(reason)", "skip_bug(link, reason)"):
        config.addinivalue_line("markers", f"{kind}: the suite's own kinds of skip")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for node in item.listchain():  # what Scylla cannot do yet DynamoDB can
            node.own_markers[:] = [m for m in node.own_markers if m.name != "xfail"]
        for mark in [*item.iter_markers("skip_env"), *item.iter_markers("skip_bug")]:
            item.add_marker(pytest.mark.skip(reason=str(mark.kwargs.get("reason", mark.args))))
