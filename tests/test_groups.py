"""How many processors may be used, as control groups say."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from pileus import groups

COUNTED = "from pileus.config import Config; from pileus.groups import cores; "


def test_hierarchies(tmp_path: Path) -> None:
    for folder in ("memory/docker/c1", "cpu", "unified"):
        (tmp_path / folder).mkdir(parents=True)
    mounts, own = tmp_path / "mountinfo", tmp_path / "cgroup"
    mounts.write_text(
        f"1 0 0:1 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"2 0 0:2 /box {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"3 0 0:3 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n"
    )
    own.write_text("4:memory:/docker/c1\n2:cpu,cpuacct:/box\n0::/gone\n")
    found = groups.read_hierarchies(mounts, own)
    assert found["memory"] == tmp_path / "memory/docker/c1"
    assert found["cpu"] == tmp_path / "cpu"
    assert found["unified"] == tmp_path / "unified"


@pytest.mark.parametrize(
    ("around", "own", "cores"),
    [
        ("max 100000", "max 100000", 8),
        ("max 100000", "50000 100000", 1),  # half of one
        ("max 100000", "250000 100000", 3),
        ("150000 100000", "max 100000", 2),  # one around it allows less
        ("100000 50000", "400000 100000", 2),
        ("1600000 100000", "1200000 100000", 8),  # more than there are
    ],
)
def test_a_groups_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, around: str, own: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    top = tmp_path / "fs"
    inner = top / "kube" / "pod"
    inner.mkdir(parents=True)
    for group in (top, top / "kube", inner):
        (group / "cgroup.procs").touch()
    (top / "kube" / "cpu.max").write_text(f"{around}\n")  # the root has none
    (inner / "cpu.max").write_text(f"{own}\n")
    mounts, lies = tmp_path / "mountinfo", tmp_path / "cgroup"
    mounts.write_text(f"3 0 0:3 / {top} rw - cgroup2 cgroup2 rw\n")
    lies.write_text("0::/kube/pod\n")
    assert groups.cores(mounts, lies) == cores


def test_a_groups_time_in_version_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    mounts, own = tmp_path / "mountinfo", tmp_path / "cgroup"
    mounts.write_text(f"2 0 0:2 /box {tmp_path} rw - cgroup cgroup rw,cpu,cpuacct\n")
    own.write_text("2:cpu,cpuacct:/box\n")
    for quota, cores in (("-1", 8), ("150000", 2)):
        (tmp_path / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        assert groups.cores(mounts, own) == cores


def test_where_there_are_no_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7})
    assert groups.cores(tmp_path / "mountinfo", tmp_path / "cgroup") == 3


def test_a_process_in_a_group_counts_what_it_is_allowed() -> None:
    """The kernel's own files; on a machine of one processor it can tell nothing."""
    hierarchies = groups.read_hierarchies()
    name, file, quota = ("cpu", "cpu.cfs_quota_us", "100000")
    if name not in hierarchies:
        name, file, quota = ("unified", "cpu.max", "100000 100000")
    group = hierarchies.get(name, Path("/none")) / f"test-{uuid.uuid4().hex}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made here: {error}")
    try:
        if not (group / file).exists():
            pytest.skip("no control of processors here")
        (group / file).write_text(quota)
        joins = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
        words = [sys.executable, "-c", f"{joins}{COUNTED}print(cores(), Config().fronts)"]
        assert subprocess.run(words, capture_output=True, text=True).stdout == "1 1\n"
    finally:
        group.rmdir()
