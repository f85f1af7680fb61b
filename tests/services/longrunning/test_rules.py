"""Where copies are placed, what an outcome does to a row, how long a service was away."""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.control import SUPERVISOR
from pileus.outages import SERVICES_FILE, read_services
from pileus.services.longrunning.downtime import Downtime
from pileus.services.longrunning.keeper import Keeper, settled
from pileus.services.longrunning.placing import place

NODES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=5, unique=True)


@given(st.integers(0, 12), NODES, st.lists(st.sampled_from("abcdexyz"), max_size=12))
def test_copies_are_spread_evenly_and_stay(copies: int, nodes: list[str], had: list[str]) -> None:
    placed = place("web", copies, nodes, had)
    count = Counter(placed)
    assert len(placed) == copies and set(placed) <= set(nodes)
    if copies:
        assert max(count.values()) <= -(-copies // len(nodes))
    assert place("web", copies, nodes, placed) == placed
    kept = sum((Counter(had) & count).values())
    share = -(-copies // len(nodes))
    may_stay = sum(min(n, share) for node, n in Counter(had).items() if node in nodes)
    assert kept == min(copies, may_stay)


def test_without_nodes_nothing_moves() -> None:
    assert place("web", 2, [], ["a", "b"]) == ["a", "b"]


def record() -> dict[str, Any]:
    old = {"settings": {"copies": 2}, "code": {"digest": "1"}, "revision": "r1"}
    new = {"settings": {"copies": 2}, "code": {"digest": "2"}, "revision": "r2"}
    deployment = {"state": "IN_PROGRESS", "reason": "", "at_ms": 1}
    return {"name": "web", "good": old, "nodes": ["a", "b"], "deployment": deployment, **new}


def test_an_update_is_good_when_it_is_on_all_nodes() -> None:
    told = record()
    settled(told, "COMPLETED", "", 5, "a")
    assert told["good"]["revision"] == "r1" and told["deployment"]["state"] == "IN_PROGRESS"
    settled(told, "COMPLETED", "", 6, "b")
    assert told["good"]["revision"] == "r2"
    assert told["deployment"] == {"state": "COMPLETED", "reason": "", "at_ms": 6}


def test_one_nodes_failure_puts_it_back_everywhere() -> None:
    told = record()
    settled(told, "COMPLETED", "", 5, "a")
    settled(told, "FAILED", "it ends", 6, "b")
    assert (told["revision"], told["code"]) == ("r1", {"digest": "1"})
    assert told["deployment"] == {"state": "ROLLED_BACK", "reason": "it ends", "at_ms": 6}
    first = record() | {"good": None}
    before = copy.deepcopy(first)
    settled(first, "FAILED", "it ends", 6, "b")
    assert first == before  # there is nothing to go back to


def test_incidents_are_counted_beside_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    diary = Downtime(tmp_path)
    diary.seen("web", False, 2.0, 1_000)  # it starts: not away yet
    diary.seen("web", True, 2.0, 9_000)
    assert read_services(tmp_path) == {}
    diary.lost(10_000)
    diary.seen("web", True, 2.0, 11_500)
    diary.seen("web", False, 2.0, 20_000)
    diary.seen("web", True, 2.0, 25_000)
    diary.save()
    told = read_services(tmp_path)["web"]
    assert told["longest_s"] == 5.0
    assert [(i["Seconds"], i["Over"]) for i in told["incidents"]] == [(5.0, True), (1.5, False)]
    diary.keep_only(set())
    diary.save()
    assert read_services(tmp_path) == {}


def test_a_loss_of_everything_counts_an_orderly_stop_does_not(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    diary = Downtime(tmp_path)
    diary.seen("web", True, 2.0, 1_000)
    diary.save()
    os.utime(tmp_path / "run" / SERVICES_FILE, (100.0, 100.0))  # the last look, then kill -9
    again = Downtime(tmp_path)
    again.seen("web", True, 2.0, 103_000)
    again.save(stopped=True)
    assert read_services(tmp_path)["web"]["incidents"][0]["Seconds"] == 3.0
    third = Downtime(tmp_path)
    third.seen("web", True, 2.0, 900_000)
    third.save()
    assert len(read_services(tmp_path)["web"]["incidents"]) == 1


def test_a_keeper_that_lost_its_supervisor_does_not_call_that_an_orderly_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for supervisor, incidents in ((os.getppid(), 0), (os.getpid(), 1)):
        home = tmp_path / str(supervisor)
        (home / "run").mkdir(parents=True)
        keeper: Any = Keeper(None, None, None)  # type: ignore[arg-type]
        keeper._downtime = Downtime(home)
        keeper._downtime.seen("web", True, 2.0, 1_000)
        keeper._downtime.save()
        monkeypatch.setenv(SUPERVISOR, str(supervisor))
        asyncio.run(keeper.stop())
        again = Downtime(home)
        again.seen("web", True, 2.0, time.time_ns() // 1_000_000)
        again.save()
        assert len(read_services(home)["web"]["incidents"]) == incidents
