"""A pytest plugin for suites of others: each test's markers go into the report."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = sorted({marker.name for marker in item.iter_markers()})
        item.user_properties.append(("markers", " ".join(names)))
