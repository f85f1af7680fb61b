"""The parts of the jail that can be judged without one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pileus.runtime import cgroups, seccomp

ALLOWED, REFUSED, NOT_THERE, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def evaluate(code: bytes, number: int, arch: int, arguments: tuple[int, ...] = ()) -> int:
    """A small classic BPF machine."""
    values = (*arguments, *([0] * (6 - len(arguments))))
    data = struct.pack("<iIQ6Q", number, arch, 0, *values)
    at, register = 0, 0
    while True:
        op, yes, no, k = struct.unpack_from("<HBBI", code, at * 8)
        at += 1
        if op == 0x20:
            register = struct.unpack_from("<I", data, k)[0]
        elif op == 0x06:
            return k
        else:
            holds = {0x15: register == k, 0x35: register >= k, 0x45: bool(register & k)}[op]
            at += yes if holds else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter(machine: str) -> None:
    code, arch = seccomp.program(machine), ARCHITECTURES[machine]
    column = 0 if machine == "x86_64" else 1
    for name, numbers in seccomp.DENIED.items():
        if numbers[column] is not None:
            assert evaluate(code, numbers[column], arch) == REFUSED, name
    clone, clone3, prctl, ioctl, make_socket = seccomp.CHECKED[machine]
    assert evaluate(code, clone3, arch) == NOT_THERE
    assert evaluate(code, clone, arch, (0x10000011,)) == REFUSED
    assert evaluate(code, clone, arch, (0x3D0F00,)) == ALLOWED  # a thread
    assert evaluate(code, clone, arch, (17,)) == ALLOWED  # a fork
    assert evaluate(code, prctl, arch, (1, 0)) == REFUSED
    assert evaluate(code, prctl, arch, (15,)) == ALLOWED
    assert evaluate(code, ioctl, arch, (0, 0x5412)) == REFUSED
    assert evaluate(code, ioctl, arch, (0, 0x5401)) == ALLOWED
    for family in (1, 2, 10, 16):
        assert evaluate(code, make_socket, arch, (family,)) == ALLOWED
    for family in (17, 38, 40):
        assert evaluate(code, make_socket, arch, (family,)) == 0x00050061
    for number in (0, 1, 3) if machine == "x86_64" else (63, 64, 57):  # read, write, close
        assert evaluate(code, number, arch) == ALLOWED
    assert evaluate(code, 0, 0x40000003) == KILLED  # 32-bit calls
    if machine == "x86_64":
        assert evaluate(code, 0x40000000, arch) == REFUSED  # x32


def test_version_one_is_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    hierarchies = {"memory": tmp_path / "memory", "pids": tmp_path / "gone"}
    with pytest.raises(OSError):
        cgroups.Cgroups._set_up_v1(hierarchies, "pileus-1")
    assert list((tmp_path / "memory").iterdir()) == []


def test_version_two(tmp_path: Path) -> None:
    """Our own group holds processes, so the workers' groups go beside it."""
    parent, own = tmp_path / "user", tmp_path / "user/session"
    own.mkdir(parents=True)
    for folder, passed in ((parent, "cpu memory pids"), (own, "")):
        (folder / "cgroup.controllers").write_text("cpu memory pids")
        (folder / "cgroup.subtree_control").write_text(passed)
    (own / "cgroup.subtree_control").chmod(0o400)
    mounts, me = tmp_path / "mountinfo", tmp_path / "cgroup"
    mounts.write_text(f"3 0 0:3 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    me.write_text("0::/user/session\n")

    class FakeKernelFolder(type(parent)):  # type: ignore[misc]
        """Writing to subtree_control of a busy group fails; names lose their signs."""

        def write_text(self, text: str, *more: object) -> int:
            if self.parent == own:
                raise OSError(16, "Device or resource busy")
            return super().write_text(text.replace("+", ""), *more)

    hierarchies = {"unified": FakeKernelFolder(own)}
    bases = cgroups.Cgroups._set_up_v2(hierarchies, "pileus-1")
    assert bases == {"unified": parent / "pileus-1"}
    passed = (parent / "pileus-1/cgroup.subtree_control").read_text().split()
    assert sorted(passed) == ["cpu", "memory", "pids"]


def test_version_two_limits(tmp_path: Path) -> None:
    folder = tmp_path / "w1"
    folder.mkdir()
    for name, text in {
        "memory.peak": "1048576\n", "memory.stat": "anon 4096\nfile 8192\nshmem 1\n",
        "memory.max": "max", "pids.max": "max", "cpu.weight": "100",
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    group = cgroups.Group({"unified": folder})
    group.limit(128 << 20, 64, 1769)
    assert (folder / "memory.max").read_text() == str(128 << 20)
    assert (folder / "cpu.weight").read_text() == "100"
    assert (group.peak_bytes(), group.anonymous_bytes()) == (1048576, 4096)
