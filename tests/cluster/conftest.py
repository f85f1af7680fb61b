"""One log server for each file of tests, and replicas on it; they wait for the log however busy
the machine is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.engine.cluster import log as cluster_log
from pileus.engine.cluster.nats import NatsNode
from tests.cluster.replicas import Replicas, fresh_shard
from tests.cluster.servers import running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsNode]:
    with running(tmp_path_factory.mktemp("servers"), 1) as servers:
        yield servers[0].node


@pytest.fixture
def replicas(server: NatsNode, tmp_path: Path) -> Replicas:
    return Replicas(tmp_path, [server], fresh_shard())


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that stores sent to their own process, for they cannot go on as they are."""
    signals: list[int] = []
    monkeypatch.setattr("pileus.state.store.os.kill", lambda pid, number: signals.append(number))
    return signals


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has a state does not begin without the log because a process stood still."""
    monkeypatch.setattr(cluster_log, "ALONE_S", 60.0)
