"""Counters of one process as another one reads them."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from pileus.telemetry import Meters, meters
from pileus.telemetry.readings import Readings


def test_another_process_reads_what_was_counted(tmp_path: Path) -> None:
    told = Meters("front-0")
    some = told.counter("pileus_some_total", kind="a b")
    told.gauge("pileus_depth", lambda: 7.5)
    told.gauge("pileus_depth", lambda: 1.0)
    told.open(tmp_path)
    told.cells[some] += 3
    late = told.requests("pileus_request", service="s3", operation="GetObject")
    told.cells[late + 3] += 1
    told.publish()
    (reading,) = Readings(tmp_path).all()
    found = {m.name: (m, reading.block(m)) for m in reading.meters}
    assert list(found["pileus_some_total"][1]) == [3] and reading.pid == os.getpid()
    assert found["pileus_some_total"][0].labels == (("kind", "a b"),)
    assert list(found["pileus_depth"][1]) == [8.5]
    assert found["pileus_request"][1][3] == 1
    told.close()
    assert list(Readings(tmp_path).all()) == []


def test_a_counter_asked_for_twice_is_one(tmp_path: Path) -> None:
    told = Meters()
    assert told.counter("x_total", a="1") == told.counter("x_total", a="1")
    assert told.counter("x_total", a="1") != told.counter("x_total", a="2")


def test_names_made_by_callers_are_bounded() -> None:
    told = Meters()
    places = [told.requests("pileus_request", table=str(i)) for i in range(2000)]
    assert len(told.cells) <= meters.CELLS_MAX + 128
    assert places[-1] == places[-2] == told.requests("pileus_request", table=meters.OTHER)


def test_a_restarted_process_starts_anew(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    for round_ in (1, 2):
        told = Meters("front-0")
        told.open(tmp_path)
        told.counter(f"pileus_{round_}_total")
        told.publish()
        (reading,) = readings.all()
        names = {m.name for m in reading.meters}
        assert f"pileus_{round_}_total" in names and f"pileus_{3 - round_}_total" not in names
        os.close(told._fd)  # it dies without a word
        readings._names.clear()


def test_a_process_that_is_long_gone_is_told_of_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    told = Meters("front-9")
    monkeypatch.setattr(os, "getpid", lambda: child.pid)
    told.open(tmp_path)
    assert [r.process for r in Readings(tmp_path).all()] == ["front-9"]
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert list(Readings(tmp_path).all()) == []
    told.close()
