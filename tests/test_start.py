"""How ``pileus up`` chooses ports, and knows whether a cloud runs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest

from pileus import start
from pileus.config import Config
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.places import Cluster, Node
from pileus.supervisor import Running, claim_home, running


def test_a_free_port_is_none_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = start.free_port("127.0.0.1")
    offers = iter([asked, asked, *(start.free_port("127.0.0.1") for _ in range(5))])
    monkeypatch.setattr(start, "free_port", lambda bind: next(offers))
    wish = Config(home=Path("unused"), port=0, edge_port=asked, edge_tls_port=0)
    got = start.with_ports(wish)
    ports = [got.port, got.edge_port, got.edge_tls_port]
    assert got.edge_port == asked
    assert len(set(ports)) == 3 and 0 not in ports
    assert dataclasses.replace(got, port=0, edge_tls_port=0) == wish


def test_a_home_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with pytest.raises(Unavailable, match="too long"):
        claim_home(Config(home=deep))
    assert not deep.exists()


def test_a_dead_supervisor_that_is_not_reaped_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    told = Running(pid, "", "", "", "", False)
    (tmp_path / "run" / "cloud.json").write_text(json.dumps(dataclasses.asdict(told)))
    try:
        assert running(tmp_path) is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, still listed
        assert running(tmp_path) is None
    finally:
        os.kill(pid, signal.SIGKILL)  # a dead one may be killed again
        os.waitpid(pid, 0)


def test_a_node_listens_on_loopback_too_unless_another_does() -> None:
    wish = Config(home=Path("unused"), bind="10.1.2.3")
    assert wish.binds == ["10.1.2.3", "127.0.0.1"]
    assert dataclasses.replace(wish, loopback=False).binds == ["10.1.2.3"]
    for own in ("127.0.0.1", "127.0.0.7", "0.0.0.0", "::1"):
        assert Config(home=Path("unused"), bind=own).binds == [own]


def test_a_cloud_whose_process_ended_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a child of ``up`` that nobody has asked for; the home says why, where it can."""

    def waits(seconds: float) -> None:
        raise AssertionError("it waits for a process that has ended")

    monkeypatch.setattr(start.time, "sleep", waits)
    here = Node("n2", "127.0.0.1", 1, 2, 3, 4, 5, 6, "gone")
    places.save(tmp_path, Cluster("c", "n2", (here,), {}, False))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, still listed
    try:
        with pytest.raises(Unavailable, match="n2 has left its cluster for good"):
            start.wait_healthy(Config(home=tmp_path), pid)
    finally:
        os.waitpid(pid, 0)
