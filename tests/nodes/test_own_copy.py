"""A copy of the log that stands still while the others grow is noticed, one that catches up is
left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pileus.engine.cluster.streams import Peer, StreamInfo
from pileus.nodes.own_copy import PAUSE_S, STILL_S, OwnCopy
from tests.beds import TurnedClock


def told(lag: int, current: bool = False, leader: str = "n2") -> StreamInfo:
    peers = (Peer("n1", current, False, lag), Peer("n3", True, False, 0))
    return StreamInfo("LOG_0", 0, 0, "", 3, 1, 1000, 10**6, leader, peers)


def after(copy: OwnCopy, clock: TurnedClock, seconds: float, info: StreamInfo) -> bool:
    clock.ms += int(seconds * 1000)
    return copy.stands_still(info)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def copy(clock: TurnedClock, tmp_path: Path) -> OwnCopy:
    return OwnCopy("n1", tmp_path, clock.monotonic)


def test_a_copy_that_falls_behind_for_seconds_stands_still_once(
    copy: OwnCopy, clock: TurnedClock
) -> None:
    assert not copy.stands_still(told(50))
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
    copy.stands_still(told(50))
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
    assert not copy.stands_still(told(50)) and not copy.stands_still(stuck)
    (messages / "1.blk").write_bytes(b"m")
    clock.ms += int(STILL_S * 1000)
    assert not copy.stands_still(told(50))
    assert copy.stands_still(stuck)
    assert not after(copy, clock, STILL_S, told(50)), "the server has just been restarted"
