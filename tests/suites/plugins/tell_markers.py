"""A pytest plugin for suites of others: each test's markers go into the report; ``SUITE_SLICE`` (as
``1/4``) runs every fourth test."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(trylast=True)  # after the markers have chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    part, _, of = os.environ.get("SUITE_SLICE", "0/1").partition("/")
    items[:] = items[int(part) :: int(of)]
    for item in items:
        names = sorted({marker.name for marker in item.iter_markers()})
        item.user_properties.append(("markers", " ".join(names)))
