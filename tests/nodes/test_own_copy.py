"""A copy of the log that stands still while the others grow is noticed, one that catches up is
left alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pileus import control
from pileus.config import Config
from pileus.engine.cluster import streams
from pileus.engine.cluster.streams import Peer, StreamInfo
from pileus.engine.embedded.clock import SystemClock
from pileus.nodes import discarding, own_logs
from pileus.nodes.own_copy import (
    DISCARD,
    GIVE_ANEW,
    PAUSE_S,
    REMEDIES,
    RESTART,
    STEP_DOWN,
    STILL_S,
    OwnCopy,
)
from pileus.nodes.own_logs import OwnLogs
from tests.beds import TurnedClock
from tests.nodes.test_copies import Members


def told(lag: int, current: bool = False, leader: str = "n2") -> StreamInfo:
    peers = (Peer("n1", current, False, lag), Peer("n3", True, False, 0))
    return StreamInfo("LOG_0", 0, 0, "", 3, 1, 1000, 10**6, leader, peers)


def after(copy: OwnCopy, clock: TurnedClock, seconds: float, info: StreamInfo) -> str:
    clock.ms += int(seconds * 1000)
    return copy.remedy(info)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def copy(clock: TurnedClock, tmp_path: Path) -> OwnCopy:
    return OwnCopy("n1", tmp_path, clock.monotonic)


def test_a_copy_that_falls_behind_for_seconds_remedy_once(
    copy: OwnCopy, clock: TurnedClock
) -> None:
    assert not copy.remedy(told(50))
    assert not after(copy, clock, STILL_S / 2, told(80))
    assert after(copy, clock, STILL_S / 2, told(120))
    assert not after(copy, clock, STILL_S, told(150)), "the server has just been restarted"
    assert after(copy, clock, PAUSE_S, told(900))


def test_a_copy_that_writes_or_is_current_or_leads_is_left_alone(
    copy: OwnCopy, clock: TurnedClock, tmp_path: Path
) -> None:
    messages = tmp_path / "nats/jetstream/P/streams/LOG_0/msgs"
    messages.mkdir(parents=True)
    for number in range(10):
        with (messages / f"{number // 4}.blk").open("ab") as block:
            block.write(b"m" * 100)
        assert not after(copy, clock, STILL_S - 1, told(5000 + number))
    assert not after(copy, clock, STILL_S, told(0, current=True))
    assert not after(copy, clock, STILL_S - 1, told(10)), "it was current a moment ago"
    assert not after(copy, clock, STILL_S, told(0, current=True))
    leads = StreamInfo("LOG_0", 0, 0, "", 3, 1, 9, 9, "n1", (Peer("n3", True, False, 0),))
    assert not after(copy, clock, 10 * STILL_S, leads)


def test_there_must_be_room_on_the_disk_and_a_leader(
    copy: OwnCopy, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.remedy(told(50))
    with monkeypatch.context() as patch:
        patch.setattr("pileus.nodes.own_copy.ROOM_BYTES_MIN", 1 << 62)
        assert not after(copy, clock, STILL_S, told(50))
    assert not after(copy, clock, STILL_S, told(50, leader=""))
    assert not after(copy, clock, 1, told(50)), "counted anew from the election on"
    assert after(copy, clock, STILL_S, told(50))


def test_each_log_is_looked_at_by_itself_and_one_restart_serves_all(
    copy: OwnCopy, clock: TurnedClock, tmp_path: Path
) -> None:
    """A log that goes on does not hide one that stands still."""
    messages = tmp_path / "nats/jetstream/P/streams/LOG_0/msgs"
    messages.mkdir(parents=True)
    stuck = replace(told(50), name="LOG_2")
    assert not copy.remedy(told(50)) and not copy.remedy(stuck)
    (messages / "1.blk").write_bytes(b"m")
    clock.ms += int(STILL_S * 1000)
    assert not copy.remedy(told(50))
    assert copy.remedy(stuck)
    assert not after(copy, clock, STILL_S, told(50)), "the server has just been restarted"


def test_what_does_not_help_is_followed_by_something_stronger(
    copy: OwnCopy, clock: TurnedClock
) -> None:
    """The strong ones only while the leader's and every other copy are whole."""
    copy.remedy(told(18))
    assert [after(copy, clock, PAUSE_S, told(18)) for _ in range(5)] == [*REMEDIES, RESTART]
    assert not after(copy, clock, PAUSE_S, told(0, current=True))
    copy.remedy(told(18))
    assert after(copy, clock, PAUSE_S, told(18)) == RESTART, "it was whole again"
    behind = (Peer("n1", False, False, 18), Peer("n3", False, False, 3))
    dead = (Peer("n1", False, False, 18), Peer("n3", True, True, 0))
    for peers, replicas in ((behind, 3), (dead, 3), ((Peer("n1", False, False, 1),), 2)):
        alike = replace(told(18), peers=peers, replicas=replicas, name=f"LOG_{replicas}_{peers}")
        copy.remedy(alike)
        found = [after(copy, clock, PAUSE_S, alike) for _ in range(4)]
        assert found == [RESTART, STEP_DOWN, RESTART, STEP_DOWN]


class Healing:
    """``OwnLogs`` of node n1, whose copy does not grow, over servers that are told of here."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, takes: str) -> None:
        self.done: list[str] = []
        self.takes, self.info = takes, replace(told(18), group="S-R3F-x")
        for name in ("set_replicas", "step_down"):
            monkeypatch.setattr(streams, name, getattr(self, name))
        monkeypatch.setattr(streams, "info", self.told)
        monkeypatch.setattr(control, "ask", self.ask)
        monkeypatch.setattr(own_logs, "TAKEN_S", 0.0)
        members = Members({"n1": "member", "n2": "member", "n3": "member"})
        members.name, members.present = "n1", lambda: members.cluster.nodes  # type: ignore[attr-defined]
        self.logs = OwnLogs(Config(home=home), members, [], None, SystemClock())  # type: ignore[arg-type]

    async def set_replicas(self, client: Any, name: str, replicas: int) -> None:
        self.done.append(f"{name} on {replicas}")
        kept = tuple(p for p in self.info.peers if p.name != self.takes or replicas == 3)
        self.info = replace(self.info, peers=kept)

    async def step_down(self, client: Any, name: str, prefer: str = "") -> None:
        self.done.append(f"{name} steps down")

    async def told(self, client: Any, name: str) -> StreamInfo:
        return self.info

    def ask(self, run: Path, verb: str, part: str) -> str:
        self.done.append(f"{verb} {part}")
        return ""

    def heal(self, remedy: str) -> list[str]:
        self.done = []
        found = replace(told(18), group="S-R3F-x")
        asyncio.run(self.logs._heal(remedy, {0: found}, found))
        return self.done


def test_each_remedy_does_what_it_says_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nats").mkdir()
    healing = Healing(tmp_path, monkeypatch, takes="n1")
    assert healing.heal(RESTART) == ["restart log"]
    assert healing.heal(STEP_DOWN) == ["LOG_0 steps down"]
    assert healing.heal(GIVE_ANEW) == ["LOG_0 on 2"]  # `copies` gives it again
    assert healing.heal(DISCARD) == ["restart log"]
    assert json.loads((tmp_path / "nats/discard.json").read_text())["stream"] == "LOG_0"
    assert dict(healing.logs.healed) == dict.fromkeys(REMEDIES, 1)
    wrong = Healing(tmp_path, monkeypatch, takes="n3")  # the one that was whole
    assert wrong.heal(GIVE_ANEW) == ["LOG_0 on 2", "LOG_0 on 3"]


def test_only_the_copy_that_was_named_a_moment_ago_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "nats"
    kept = [store / "jetstream/P/streams/LOG_0", store / "jetstream/$SYS/_js_/_meta_"]
    named = [store / "jetstream/P/streams/LOG_0_1", store / "jetstream/$SYS/_js_/S-R3F-x"]
    for folder in (*kept, *named):
        folder.mkdir(parents=True)
        (folder / "1.blk").write_bytes(b"m")
    assert not discarding.discard(tmp_path)
    for stream, group in (("../LOG_0", "S-R3F-x"), ("LOG_0", "../P"), ("LOG_0", "_meta_")):
        assert not discarding.wish(tmp_path, stream, group)
    assert discarding.wish(tmp_path, "LOG_0_1", "S-R3F-x")
    with monkeypatch.context() as later:
        later.setattr(discarding, "FRESH_S", -1.0)  # the machine was off since
        assert not discarding.discard(tmp_path)
    assert not discarding.discard(tmp_path), "an old wish is forgotten"
    assert discarding.wish(tmp_path, "LOG_0_1", "S-R3F-x")
    assert discarding.discard(tmp_path)
    assert all((folder / "1.blk").exists() for folder in kept)
    assert not any(folder.exists() for folder in named)
    assert not (store / "discarded").exists()
