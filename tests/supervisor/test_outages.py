"""How absences are measured, and what counts as hung (C8)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pileus.outages import HUNG_S, Outage, allowed_s, question


class Part:
    """A part's socket: ``reply`` answers what was asked, if anything."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.listener.settimeout(5)

    def reply(self, data: bytes) -> bytes:
        connection, _ = self.listener.accept()
        with connection:
            asked = connection.recv(1000)
            connection.sendall(data)
        return asked


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def test_a_part_is_away_until_its_successor_answers(tmp_path: Path) -> None:
    outage = Outage("front-0", question(tmp_path, "front-0"))
    outage.ended(1000.0)
    assert not outage.turn(10.0, 1000.1)  # nothing listens yet
    part = Part(tmp_path / "edge-0.sock")
    assert not outage.turn(10.1, 1000.2)  # asks
    assert b"/_pileus/health" in part.reply(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert not outage.turn(10.2, 1000.3) and outage.away_since  # not yet
    outage.turn(10.3, 1000.4)
    part.reply(OK)
    outage.turn(10.4, 1000.5)
    assert outage.incidents == [(1000.0, 0.5, False)] and not outage.away_since
    outage.ended(2000.0)
    outage.turn(20.0, 2006.0)
    part.reply(OK)
    outage.turn(20.1, 2006.0)
    assert outage.incidents[0] == (2000.0, 6.0, True)  # longer than a writer may be away
    assert allowed_s("front-0") == 5.0


@pytest.mark.parametrize("step", [0.5, 30.0])
def test_a_silent_part_hangs_only_by_turns_that_we_ran(tmp_path: Path, step: float) -> None:
    outage = Outage("front-1", question(tmp_path, "front-1"))
    part = Part(tmp_path / "edge-1.sock")  # accepts, never answers
    clock, turns = 100.0, 0
    while not outage.turn(clock, clock):
        clock, turns = clock + step, turns + 1
        assert turns < 100
    assert turns >= HUNG_S / min(step, 1.0)  # a frozen machine thaws without a massacre
    part.listener.close()
    outage.ended(clock)
    assert 100.0 <= outage.away_since <= 100.0 + 2 * step  # away since it fell silent


def test_an_operators_stop_is_no_incident(tmp_path: Path) -> None:
    outage = Outage("caddy", question(tmp_path, "caddy"))
    outage.stopped()
    outage.turn(1.0, 1.0)
    assert not outage.away_since and not outage.incidents


def test_a_part_without_a_question_is_back_when_it_runs(tmp_path: Path) -> None:
    outage = Outage("meters", question(tmp_path, "meters"))
    outage.ended(5.0)
    outage.turn(1.0, 5.25)
    assert outage.incidents == [(5.0, 0.25, False)]
