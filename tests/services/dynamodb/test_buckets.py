"""Token buckets under a clock that is moved by hand, shared and alone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pileus.services.dynamodb.buckets import BURST_S, PROBES, SLOTS, Buckets


@pytest.fixture
def buckets(tmp_path: Path) -> Buckets:
    return Buckets(tmp_path / "run" / "capacity")


def drain(buckets: Buckets, name: str, rate: float, now_s: float) -> int:
    """Single units that pass at one moment."""
    passed = 0
    while buckets.used_s(name, now_s) < BURST_S:
        buckets.use(name, 1 / rate, now_s)
        passed += 1
    return passed


@pytest.mark.parametrize("rate", [1, 5, 100])
def test_a_new_bucket_holds_its_burst_and_fills_at_its_rate(buckets, rate):
    now = 1000.0
    assert drain(buckets, "t", rate, now) == pytest.approx(BURST_S * rate, abs=1)
    assert drain(buckets, "t", rate, now) == 0
    assert drain(buckets, "t", rate, now + 2) == pytest.approx(2 * rate, abs=1)
    assert drain(buckets, "t", rate, now + 10_000) == pytest.approx(BURST_S * rate, abs=1)


def test_a_large_use_is_paid_back_before_the_next(buckets):
    drain(buckets, "t", 1, 0.0)
    buckets.use("t", 128, 1.0)  # one page of a scan, let in by the second's unit
    assert buckets.used_s("t", 100.0) >= BURST_S
    assert buckets.used_s("t", 1 + 128.0) < BURST_S


def test_units_given_back(buckets):
    buckets.use("t", 10, 5.0)
    buckets.use("t", -4, 5.0)
    assert buckets.used_s("t", 5.0) == pytest.approx(6)


def test_buckets_are_apart_and_a_file_is_shared(tmp_path):
    one, other = (Buckets(tmp_path / "capacity") for _ in range(2))
    one.use("a", 7, 0.0)
    assert other.used_s("a", 0.0) == 7 and other.used_s("b", 0.0) == 0
    other.use("a", 5, 0.0)
    assert one.used_s("a", 0.0) == 12


def test_processes_use_one_budget(tmp_path):
    """Four processes hammer one bucket until it is empty: together they get what one alone would,
    however long that takes them."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pileus.services.dynamodb.buckets import BURST_S, Buckets\n"
        "b = Buckets(Path(sys.argv[1])); n = refused = 0\n"
        "while refused < 1000:\n"
        "    now = time.monotonic()\n"
        "    if b.used_s('t', now) < BURST_S: b.use('t', 1 / 10, now); n += 1\n"
        "    else: refused += 1\n"
        "print(n)"
    )
    began = time.monotonic()
    command = [sys.executable, "-c", code, str(tmp_path / "capacity")]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": "src"})
        for _ in range(4)
    ]
    counts = [int(p.communicate()[0]) for p in running]
    filled = (time.monotonic() - began) * 10
    assert BURST_S * 10 <= sum(counts) <= BURST_S * 10 + filled + 8


def test_a_crowded_file_forgets_the_fullest(tmp_path, monkeypatch):
    monkeypatch.setattr("pileus.services.dynamodb.buckets.SLOTS", 16)
    buckets = Buckets(tmp_path / "small")
    buckets.use("busy", 100, 0.0)
    for n in range(200):
        buckets.use(f"t{n}", 1, 0.0)
        buckets.use("busy", 1, 0.0)
    assert buckets.used_s("busy", 0.0) == 300
    assert SLOTS > PROBES


def test_a_file_of_an_earlier_boot_starts_anew(tmp_path, monkeypatch):
    path = tmp_path / "capacity"
    Buckets(path).use("t", 50, 0.0)
    boot = tmp_path / "boot_id"
    boot.write_text("another")
    monkeypatch.setattr("pileus.services.dynamodb.buckets.BOOT", boot)
    assert Buckets(path).used_s("t", 0.0) == 0
