"""Replicas of these tests wait for the log however busy the machine is."""

from __future__ import annotations

import pytest

from pileus.engine.cluster import log as cluster_log


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has a state does not begin without the log because a process stood still."""
    monkeypatch.setattr(cluster_log, "ALONE_S", 60.0)
