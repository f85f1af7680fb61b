"""The faults are real, and what they break is whole again afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.clocks import Skew, clocks_work
from lab.disks import THROTTLE, Disk, disks_work, flip_bit
from lab.faults import FAULTS
from lab.hosts import Host, Hosts
from lab.rig import until

SYNCED_S_SLOW = 0.05
TELLING = """
import ctypes, os, sys, time
from pathlib import Path
c = ctypes.CDLL(None)
c.time.restype = ctypes.c_long
class Both(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("us", ctypes.c_long)]
both = Both()
if os.fork():
    sys.exit()
for _ in range(12000):
    c.gettimeofday(ctypes.byref(both), None)
    new = Path(sys.argv[1] + ".new")
    new.write_text(f"{time.time()} {both.s} {c.time(None)} {time.monotonic()}")
    new.rename(sys.argv[1])
    time.sleep(0.01)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not disks_work(tmp_path):
        pytest.skip("NOT TESTED: disks of their own need root and loop devices")
    made = Disk(tmp_path / "one.img", tmp_path / "one", size_mb=24)
    yield made
    made.close()
    assert not made.image.exists() and not os.path.ismount(made.place)
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout
    assert str(made.image) not in loops


def _write(file: Path, data: bytes, sync: bool = True) -> float:
    """Seconds it took."""
    began = time.monotonic()
    with open(file, "wb", buffering=0) as opened:
        opened.write(data)
        if sync:
            os.fsync(opened.fileno())
    return time.monotonic() - began


def test_a_power_cut_keeps_what_was_synced_and_nothing_else(disk: Disk) -> None:
    _write(disk.place / "synced", b"s" * 50_000)
    _write(disk.place / "not-synced", b"n" * 50_000, sync=False)
    disk.copy()
    _write(disk.place / "later", b"l")
    disk.cut()
    assert (disk.place / "synced").read_bytes() == b"s" * 50_000
    lost = disk.place / "not-synced"
    assert not lost.exists() or lost.read_bytes() != b"n" * 50_000
    assert not (disk.place / "later").exists()


def test_a_full_disk_refuses_and_has_room_again(disk: Disk) -> None:
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        _write(disk.place / "more", b"m" * 5000)
    disk.empty()
    _write(disk.place / "more", b"m" * 5000)


@pytest.mark.skipif(not THROTTLE.exists(), reason="no blkio throttle (cgroup v1)")
def test_a_slow_disk_is_slow_until_it_is_quick(disk: Disk) -> None:
    disk.slow(20)
    try:
        slow = sorted(_write(disk.place / "a", b"a" * 5000) for _ in range(8))
    finally:
        disk.quick()
    assert slow[4] > SYNCED_S_SLOW
    until(lambda: _write(disk.place / "a", b"a" * 5000) < SYNCED_S_SLOW, 10, "quick again", 0.0)


def test_one_bit_is_turned(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(9))
    flip_bit(file, 4, 3)
    assert file.read_bytes() == b"\0\0\0\0\x08\0\0\0\0"


@pytest.fixture
def host() -> Iterator[Host]:
    hosts = Hosts(1)
    yield hosts.hosts[0]
    hosts.close()


@pytest.mark.skipif(not clocks_work(), reason="clocks are moved on x86-64, by root")
@pytest.mark.parametrize("offset_s", [300, -300])
def test_a_hosts_processes_read_another_time_and_then_the_right_one(
    host: Host, offset_s: int, tmp_path: Path
) -> None:
    def begin(name: str) -> Path:
        words = [sys.executable, "-c", TELLING, str(tmp_path / name)]
        assert host.run(words, {}, 20).returncode == 0
        return tmp_path / name

    def is_off(file: Path, by_s: float) -> bool:
        """Three ways to ask for the time of day; and the monotonic clock, which stays right."""
        if not file.exists():  # it has just begun
            return False
        *walls, monotonic = map(float, file.read_text().split())
        right = abs(monotonic - time.monotonic()) < 1  # and not told long ago
        return right and all(abs(wall - time.time() - by_s) < 2 for wall in walls)

    def written_now(file: Path) -> bool:
        return abs(time.clock_gettime(time.CLOCK_REALTIME) - os.stat(file).st_mtime) < 1

    before = begin("before")
    until(lambda: is_off(before, 0), 10, "the right time")
    with Skew(host.group, offset_s):
        meanwhile = begin("meanwhile")
        for file in (before, meanwhile):
            until(lambda file=file: is_off(file, offset_s), 10, "another time")
        until(lambda: written_now(before), 10, "files have the machine's time")
    for file in (before, meanwhile):
        until(lambda file=file: is_off(file, 0), 10, "the right time again")


def test_every_fault_has_a_name_of_its_own_and_says_what_it_is() -> None:
    assert len({f.name for f in FAULTS}) == len(FAULTS)
    assert all(f.what and f.needs <= {"links", "disks", "clocks", "throttle"} for f in FAULTS)
