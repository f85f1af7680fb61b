"""Hosts of the rig: processes are killed and frozen as one, links cut, and nothing is left over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.hosts import Host, Hosts, command, namespaces_work
from lab.rig import until

COUNTING = """
import os, sys, time
for _ in range(2):
    if os.fork() == 0:
        file = os.open(sys.argv[1] + str(os.getpid()), os.O_CREAT | os.O_WRONLY)
        for n in range(12000):
            os.pwrite(file, b"%06d" % n, 0); time.sleep(0.01)
        os._exit(0)
"""
KINDS = [False, *([True] if namespaces_work() else [])]


def _counts(host: Host, where: object) -> list[int]:
    return [int(Path(f"{where}/{pid}").read_text()) for pid in sorted(host.group.pids())]


def _begun(host: Host, where: object) -> bool:
    files = [Path(f"{where}/{pid}") for pid in host.group.pids()]
    return len(files) == 2 and all(file.exists() and file.read_text() for file in files)


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
        for host in hosts.hosts:
            until(lambda host=host: _begun(host, tmp_path), 10, "both count")
        one.group.freeze()
        stood, went = _counts(one, tmp_path), _counts(two, tmp_path)
        until(lambda: _counts(two, tmp_path) > went, 10, "who is not frozen counts on")
        time.sleep(0.2)
        assert _counts(one, tmp_path) == stood
        one.group.thaw()
        until(lambda: _counts(one, tmp_path) > stood, 10, "it counts on")
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
        until(lambda: _reaches(one, two), 10, "the link is up")
        two.refuse([one.address])
        assert not _reaches(one, two)
        two.heal()
        until(lambda: _reaches(one, two), 10, "the link is healed")
        one.link(up=False)
        assert not _reaches(two, one)
        one.heal()
        until(lambda: _reaches(two, one), 10, "the link is up again")
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
