"""A node whose state went back, for its machine lost its power, on a log server."""

from __future__ import annotations

import asyncio

import pytest

from pileus.engine.cluster import log as cluster_log
from pileus.errors import Unavailable
from pileus.state import boots
from tests.cluster.replicas import LogServers, Replicas, value


def test_a_node_whose_power_was_cut_shows_nothing_before_it_has_what_it_showed_then(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began with the state it had, without the log, as after a kill: commits are not synced, so
    a session there went back."""
    servers = LogServers(monkeypatch)

    async def body() -> None:
        home = replicas.home("a")
        monkeypatch.setenv(boots.INSTEAD, "monday")
        async with replicas.store("a") as a:
            await a.submit("test.append", 0)
        before = (home / "state.db").read_bytes()
        async with replicas.store("a") as a:
            await a.submit("test.append", 1)
        (home / "state.db").write_bytes(before)  # what was synced
        (home / "state.db-wal").unlink(missing_ok=True)
        monkeypatch.setenv(boots.INSTEAD, "tuesday")
        servers.silent = True
        monkeypatch.setattr(cluster_log, "ALONE_S", 0.1)
        monkeypatch.setattr(cluster_log, "START_S_MAX", 1.0)
        with pytest.raises(Unavailable, match="do not answer"):
            async with replicas.store("a"):
                pass
        servers.silent = False
        monkeypatch.setattr(cluster_log, "START_S_MAX", 60.0)
        async with replicas.store("a") as a:
            assert value(a) == bytes(range(2)) and boots.same(home)
        servers.silent = True
        async with replicas.store("a") as a:  # killed, on the same tuesday
            assert value(a) == bytes(range(2)) and a.degraded
        boots.forget(home)  # another node's state is here, perhaps an older one
        monkeypatch.setattr(cluster_log, "START_S_MAX", 1.0)
        with pytest.raises(Unavailable, match="do not answer"):
            async with replicas.store("a"):
                pass

    asyncio.run(body())
