"""What a hostile function tries, through the public API: it fails, and the cloud serves on (F6)."""

from __future__ import annotations

import json
import socket
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.functions import invoke, make_function, make_role
from tests.conftest import Cloud
from tests.hostile import THROUGH_PROXY, daemon

# ``tries(e)``: every expression of the event, and what came of it.
TRIES = THROUGH_PROXY + textwrap.dedent("""\
    import ctypes, glob, json, os, socket, subprocess, urllib.request
    import boto3
    libc = ctypes.CDLL(None, use_errno=True)
    def zero(result):
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "done"
    def attempt(code):
        try:
            return repr(eval(code))[:300]
        except BaseException as e:
            return f"refused: {type(e).__name__} {e}"[:300]
    def handler(e, c):
        return {code: attempt(code) for code in e}
    """)
LOOP = "def handler(e, c):\n    while True: pass"
FORKS = """
import os
def handler(e, c):
    while True:
        try: os.fork()
        except OSError: pass
"""
EATER = "def handler(e, c):\n    k = []\n    while True: k.append(bytearray(16 << 20))"
FILLER = """
def handler(e, c):
    with open('/tmp/f', 'wb') as f:
        for n in range(600): f.write(bytes(1 << 20))
"""
NAP_S = 424242
KEEPER = """
import os
def handler(e, c):
    open('/tmp/mine', 'w').write('k3pt-secret')
    return os.getpid()
"""


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    allowed = {"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"}
    return make_role(cloud, allowed)


@pytest.fixture(scope="module")
def hostile(cloud: Cloud, role: str) -> str:
    return make_function(cloud, role, TRIES, Timeout=60)


@pytest.fixture(autouse=True)
def serves_on(cloud: Cloud, hostile: str) -> Iterator[None]:
    yield
    assert invoke(cloud, hostile, ["1 + 1"]) == ({"1 + 1": "2"}, "")
    cloud.client("s3").list_buckets()


def tried(cloud: Cloud, hostile: str, codes: list[str]) -> dict[str, str]:
    answer, error = invoke(cloud, hostile, codes)
    assert not error, answer
    return dict(answer)


def all_refused(results: dict[str, str]) -> None:
    assert {k: v for k, v in results.items() if not v.startswith("refused")} == {}


def test_a_loop_ends_by_its_time(cloud: Cloud, role: str) -> None:
    name = make_function(cloud, role, LOOP, Timeout=1)
    answer, error = invoke(cloud, name)
    assert error == "Unhandled" and "Task timed out after 1.00 seconds" in answer["errorMessage"]


def test_a_fork_bomb_ends(cloud: Cloud, role: str) -> None:
    name = make_function(cloud, role, FORKS, Timeout=1)
    answer, error = invoke(cloud, name)
    assert error == "Unhandled"
    assert "Task timed out" in answer["errorMessage"] or "killed" in answer["errorMessage"]


def test_memory_ends_at_its_size(cloud: Cloud, role: str) -> None:
    name = make_function(cloud, role, EATER, MemorySize=128)
    answer, error = invoke(cloud, name)
    assert error == "Unhandled" and answer["errorType"] == "Runtime.ExitError"


def test_tmp_ends_at_its_size(cloud: Cloud, role: str) -> None:
    name = make_function(cloud, role, FILLER, MemorySize=1024, Timeout=60)
    answer, error = invoke(cloud, name)
    assert error == "Unhandled" and "No space left" in answer["errorMessage"]


def test_daemons_do_not_stay(cloud: Cloud, role: str) -> None:
    name = make_function(cloud, role, daemon(NAP_S), Timeout=1)
    answer, _ = invoke(cloud, name)
    assert "timed out" in answer["errorMessage"]
    deadline = time.monotonic() + 40
    while sleepers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers() == []


def sleepers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{NAP_S}\0".encode():
                found.append(path.parent.name)
        except OSError:
            continue  # it ended meanwhile
    return found


def test_files_of_the_cloud_and_the_host_are_out_of_reach(cloud: Cloud, hostile: str) -> None:
    home = cloud.home
    read = [
        *(home / n for n in ("state.db", "state.db-wal", "credentials.json", "run/cloud.json")),
        *(Path(p) for p in ("/etc/shadow", "/root/.bashrc", "/proc/kcore", "/dev/mem")),
    ]
    assert (home / "state.db").exists() and (home / "credentials.json").exists()
    codes = [f"open({str(path)!r}, 'rb').read(10)" for path in read]
    codes += [f"open('/proc/1/root' + {str(path)!r}, 'rb').read(10)" for path in read]
    codes += [
        f"open({p + '/x'!r}, 'w')" for p in ("/var/task", "/", "/usr", "/etc", "/dev", "/run")
    ]
    codes += [f"os.listdir({str(home)!r})", f"open({str(home / 'x')!r}, 'w')"]
    all_refused(tried(cloud, hostile, codes))
    assert tried(cloud, hostile, ["open('/tmp/x', 'w').write('yy')"]).popitem()[1] == "2"


def test_other_functions_are_out_of_reach(cloud: Cloud, role: str, hostile: str) -> None:
    secret = {"Variables": {"PASSWORD": "hunter2-elsewhere"}}
    victim = make_function(cloud, role, KEEPER, Environment=secret)
    invoke(cloud, victim)  # a worker of it stays, warm
    codes = [
        "[p for p in glob.glob('/proc/[0-9]*/environ')"
        " if b'hunter2-' + b'elsewhere' in open(p, 'rb').read()]",
        "glob.glob('/tmp/mine') + glob.glob('/proc/[0-9]*/root/tmp/mine')",
    ]
    assert set(tried(cloud, hostile, codes).values()) == {"[]"}
    assert "hunter2-elsewhere" not in json.dumps(tried(cloud, hostile, ["dict(os.environ)"]))
    host = [int(p.name) for p in Path("/proc").glob("[0-9]*") if int(p.name) > 100][-40:]
    all_refused(tried(cloud, hostile, [f"os.kill({pid}, 0)" for pid in host]))


def test_the_kernels_doors_are_shut(cloud: Cloud, hostile: str) -> None:
    codes = [
        "zero(libc.ptrace(0, 0, 0, 0))",
        "zero(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
        "zero(libc.umount2(b'/proc', 2))",
        *(f"zero(libc.unshare({flag}))" for flag in (0x10000000, 0x20000, 0x40000000)),
        *("os.setuid(0)", "os.chroot('/tmp')", "os.nice(-5)"),
        "os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0))",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    ]
    all_refused(tried(cloud, hostile, codes))


def test_internal_ports_are_out_of_reach(cloud: Cloud, hostile: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        inside = listener.getsockname()[1]
        ports = (inside, cloud.edge_port, 22)
        targets = [
            f"{h}:{p}" for p in ports for h in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]")
        ]
        targets += [f"127.0.0.2:{cloud.port}", f"127.1:{inside}", f"2130706433:{inside}"]
        targets += [f"{own_address()}:{cloud.port}", f"[::ffff:127.0.0.1]:{inside}"]
        targets += ["169.254.169.254:80", "[fd00:ec2::254]:80", "10.0.0.1:80", "192.168.0.1:80"]
        codes = [f"through_proxy({t!r})" for t in targets]
        codes += [
            f"socket.create_connection(('127.0.0.1', {inside}), 1)",
            f"socket.create_connection(('127.0.0.1', {cloud.edge_port}), 1)",
            "socket.create_connection(('169.254.169.254', 80), 1)",
            "urllib.request.urlopen('http://169.254.169.254/latest/meta-data/', timeout=3).read()",
            f"urllib.request.urlopen('http://127.0.0.1:{cloud.edge_port}/', timeout=3).read()",
        ]
        sockets = [p for p in (cloud.home / "run").iterdir() if p.is_socket()]
        assert sockets
        codes += [f"socket.socket(socket.AF_UNIX).connect({str(p)!r})" for p in sockets]
        all_refused(tried(cloud, hostile, codes))
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    finally:
        listener.close()


def own_address() -> str:
    """An address of this machine that is not loopback (nothing is sent to find it)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.3"
        return str(s.getsockname()[0])


def test_the_endpoint_is_reached_as_the_role_and_no_more(cloud: Cloud, hostile: str) -> None:
    codes = [
        "'TableNames' in boto3.client('dynamodb').list_tables()",
        "boto3.client('sts').get_caller_identity()['Arn']",
        "boto3.client('s3').list_buckets()",
        "boto3.client('iam').list_users()",
        "boto3.client('lambda').list_functions()",
        "urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'] + '/', timeout=30).read()",
    ]
    tables, identity, *denied = tried(cloud, hostile, codes).values()
    assert tables == "True" and ":assumed-role/role-" in identity
    assert all(d.startswith("refused: ") and "AccessDenied" in d for d in denied[:3]), denied
    assert "403" in denied[3]
    owner: Any = cloud.env["AWS_SECRET_ACCESS_KEY"]
    assert owner not in json.dumps(tried(cloud, hostile, ["dict(os.environ)"]))
