"""Hosts of the rig: processes are killed and frozen as one, links cut, and nothing is left over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.hosts import Host, Hosts, command, namespaces_work

COUNTING = """
import os, sys, time
for _ in range(2):
    if os.fork() == 0:
        file = os.open(sys.argv[1] + str(os.getpid()), os.O_CREAT | os.O_WRONLY)
        for n in range(2000):
            os.pwrite(file, b"%06d" % n, 0); time.sleep(0.01)
        os._exit(0)
"""
KINDS = [False, *([True] if namespaces_work() else [])]


def _counts(host: Host, where: object) -> list[int]:
    found = []
    for pid in host.group.pids():
        found.append(int(Path(f"{where}/{pid}").read_text()))
    return found


@pytest.mark.parametrize("namespaces", KINDS)
def test_all_processes_of_a_host_freeze_go_on_and_die_together(
    namespaces: bool, tmp_path: object
) -> None:
    hosts = Hosts(2, namespaces)
    try:
        one, two = hosts.hosts
        for host in hosts.hosts:
            words = [sys.executable, "-c", COUNTING, f"{tmp_path}/"]
            assert host.run(words, {}, 20).returncode == 0
        time.sleep(0.3)
        assert len(one.group.pids()) == len(two.group.pids()) == 2
        one.group.freeze()
        stood, went = _counts(one, tmp_path), _counts(two, tmp_path)
        time.sleep(0.2)
        assert _counts(one, tmp_path) == stood and _counts(two, tmp_path) > went
        one.group.thaw()
        time.sleep(0.2)
        assert _counts(one, tmp_path) > stood
        one.group.kill()
        assert one.group.pids() == [] and len(two.group.pids()) == 2
    finally:
        hosts.close()
    assert hosts.hosts == []


def _reaches(one: Host, other: Host) -> bool:
    words = [
        "python3",
        "-c",
        f"import socket; socket.create_connection(('{other.address}', 9), 0.3)",
    ]
    said = one.run(words, {}, 20).stderr
    return "refused" in said


@pytest.mark.skipif(True not in KINDS, reason="no network namespaces here")
def test_links_are_cut_and_healed() -> None:
    hosts = Hosts(2, namespaces=True)
    name = hosts.hosts[0].namespace
    try:
        one, two = hosts.hosts
        assert _reaches(one, two)
        two.refuse([one.address])
        assert not _reaches(one, two)
        two.heal()
        assert _reaches(one, two)
        one.link(up=False)
        assert not _reaches(two, one)
        one.heal()
        assert _reaches(two, one)
    finally:
        hosts.close()
    assert name not in command("ip", "netns", "list")
    assert name[:-2] not in subprocess.run(["ip", "link"], capture_output=True, text=True).stdout


def test_loopback_hosts_refuse_to_cut_links() -> None:
    hosts = Hosts(1, namespaces=False)
    try:
        with pytest.raises(RuntimeError, match="namespaces only"):
            hosts.hosts[0].link(up=False)
    finally:
        hosts.close()
