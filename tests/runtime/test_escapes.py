"""What a hostile function tries, and that it fails and leaves the runtime healthy (F6)."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import daemon
from tests.runtime.harness import Functions
from tests.runtime.test_lifecycle import wait_until

ABSTRACT = f"pileus-test-{os.getpid()}"  # names of this run, where another runs beside it
NAP_S = int(f"4242{os.getpid()}")
ATTEMPT = textwrap.dedent("""\
    import ctypes, errno, os, socket, subprocess, sys, urllib.request
    libc = ctypes.CDLL(None, use_errno=True)
    def attempt(act):
        try:
            return repr(act())[:300]
        except BaseException as e:
            return f"refused: {type(e).__name__} {e}"
    def call(number, *args):
        ctypes.set_errno(0)
        if libc.syscall(ctypes.c_long(number), *args) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "done"
    """)


@pytest.fixture(autouse=True)
def _healthy_afterwards(rt: Functions) -> Iterator[None]:
    yield
    assert rt.answer(rt.spec("def handler(e, c): return 'well'")) == "well"
    assert rt.process.poll() is None


def tried(rt: Functions, attempts: dict[str, str], **settings: object) -> dict[str, str]:
    lines = [f"        {name!r}: attempt(lambda: {code})," for name, code in attempts.items()]
    body = "\n".join(["def handler(e, c):", "    return {", *lines, "    }", ""])
    return rt.answer(rt.spec(ATTEMPT + body, **settings))


def all_refused(results: dict[str, str]) -> None:
    passed = {k: v for k, v in results.items() if not v.startswith("refused")}
    assert not passed


def test_writes_outside_tmp(rt: Functions) -> None:
    places = ("/var/task", "/opt", "/", "/usr/lib", "/etc", "/dev", "/proc", "/run", "/var/tmp")
    all_refused(tried(rt, {p: f"open({p + '/x'!r}, 'w')" for p in places}))
    code = "open('/tmp/x', 'w').write('y' * 1000)"
    assert tried(rt, {"tmp": code}) == {"tmp": "1000"}


def test_host_files_are_not_there(rt: Functions) -> None:
    secret = rt.home / "secret"
    secret.write_text("s3cret")
    paths = (secret, rt.socket, rt.home, "/etc/shadow", "/root/.bashrc", "/home", "/sys", "/boot")
    results = tried(rt, {str(p): f"open({str(p)!r}).read()" for p in paths})
    all_refused(results)
    listing = tried(rt, {"code": "os.listdir('/mnt/code')", "home": "os.listdir('/home')"})
    assert listing["home"] == "[]"
    assert listing["code"] == "[]" or listing["code"].startswith("refused")


def test_other_functions_are_invisible(rt: Functions) -> None:
    victim = rt.spec(
        "import os\ndef handler(e, c):\n    open('/tmp/mine', 'w').write('x'); return os.getpid()",
        environment={"PASSWORD": "hunter2"},
    )
    rt.answer(victim)
    host_pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
    spy = textwrap.dedent("""
        def handler(e, c):
            import glob
            seen = []
            for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/tmp/*'):
                try:
                    seen.append([path, 'hunter2' in open(path).read()])
                except OSError as x:
                    seen.append([path, str(x)])
            kills = [attempt(lambda p=p: os.kill(p, 0)) for p in e]
            return seen, [k for k in kills if not k.startswith('refused')]
        """)
    seen, killable = rt.answer(rt.spec(ATTEMPT + spy), [p for p in host_pids if p > 50])
    # An interpreter installed below /tmp shows its own (read-only) folder there, and nothing else.
    own = [s for s in seen if not sys.prefix.startswith(s[0] + "/")]
    assert own == [["/proc/1/environ", False]]
    assert killable == []


def test_kernel_doors(rt: Functions) -> None:
    all_refused(
        tried(
            rt,
            {
                "ptrace": "call(101, 0, 0, 0, 0) if os.uname().machine == 'x86_64' else 1/0",
                "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0 or 1/0",
                "umount": "libc.umount2(b'/proc', 2) == 0 or 1/0",
                "user namespace": "libc.unshare(0x10000000) == 0 or 1/0",
                "mount namespace": "libc.unshare(0x20000) == 0 or 1/0",
                "setns": "libc.setns(os.open('/proc/self/ns/net', 0), 0) == 0 or 1/0",
                "setuid": "os.setuid(0)",
                "chroot": "os.chroot('/tmp')",
                "hostname": "socket.sethostname('mine')",
                "raw socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
                "packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
                "vsock": "socket.socket(40, socket.SOCK_STREAM)",
                "device": "os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0))",
                "keep alive": "libc.prctl(1, 0) == 0 or 1/0",
                "priority": "os.nice(-5)",
                "raise limit": "__import__('resource').setrlimit(7, (1 << 20, 1 << 20))",
            },
        )
    )
    setuid = tried(rt, {"su": "subprocess.run(['/bin/su', '-c', 'id'], capture_output=True)"})
    assert "uid=0" not in setuid["su"]
    caps = {"caps": "[l.split()[1] for l in open('/proc/self/status') if l[:3] == 'Cap']"}
    assert tried(rt, caps) == {"caps": repr(["0" * 16] * 5)}


@contextlib.contextmanager
def listening(family: int, address: object) -> Iterator[tuple[object, list[object]]]:
    """A socket on this host that counts who connects."""
    seen: list[object] = []
    with socket.socket(family) as server:
        server.bind(address)
        server.listen()
        server.settimeout(0.2)
        done = threading.Event()

        def accept() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    seen.append(server.accept())

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname(), seen
        done.set()
        thread.join()


def test_internal_ports_and_metadata(rt: Functions) -> None:
    with (
        listening(socket.AF_INET, ("127.0.0.1", 0)) as ((_, port), tcp),
        listening(socket.AF_UNIX, f"\0{ABSTRACT}") as (_, abstract),
    ):
        proxied = "urllib.request.urlopen('http://{}/', timeout=2).read()"
        tunnel = (
            "(lambda s: (s.sendall(b'CONNECT {} HTTP/1.1\\r\\n\\r\\n'), s.recv(12))[1]"
            " == b'HTTP/1.1 200' or 1/0)(socket.create_connection(('127.0.0.1', 3128), 2))"
        )
        targets = [
            f"127.0.0.1:{port}", f"localhost:{port}", f"0.0.0.0:{port}", f"[::1]:{port}",
            f"127.1:{port}", f"2130706433:{port}", f"[::ffff:127.0.0.1]:{port}",
            "169.254.169.254:80", "[fd00:ec2::254]:80", "10.0.0.1:80", "192.168.0.1:80",
            "100.64.0.1:80", "224.0.0.1:80", "255.255.255.255:80",
        ]  # fmt: skip
        attempts = {f"tunnel {t}": tunnel.format(t) for t in targets}
        attempts |= {f"proxy {t}": proxied.format(t) for t in targets}
        attempts |= {
            "direct": f"socket.create_connection(('127.0.0.1', {port}), 1)",
            "metadata": "socket.create_connection(('169.254.169.254', 80), 1)",
            "abstract": f"socket.socket(socket.AF_UNIX).connect('\\0{ABSTRACT}')",
            "runtime": f"socket.socket(socket.AF_UNIX).connect({str(rt.socket)!r})",
        }
        direct = {"NO_PROXY": "", "no_proxy": ""}
        results = tried(rt, attempts, environment=direct, timeout_s=120)
        all_refused(results)
        assert tcp == [] and abstract == []


def test_endless_loop(rt: Functions) -> None:
    spec = rt.spec("def handler(e, c):\n    while True: pass", timeout_s=1)
    started = time.monotonic()
    outcome = rt.run(spec, request_id="rid")
    assert time.monotonic() - started > 0.9
    assert outcome.function_error == "Unhandled"
    assert b"rid Task timed out after 1.00 seconds" in outcome.payload
    assert "Duration: 1000.00 ms" in outcome.log[-1][1]
    assert outcome.log[-1][1].endswith("Status: timeout")


def test_fork_bomb(rt: Functions) -> None:
    spec = rt.spec(
        "import os\ndef handler(e, c):\n"
        "    while True:\n"
        "        try: os.fork()\n"
        "        except OSError: pass",
        timeout_s=1,
    )
    wait_until(lambda: rt.stats()["pooled"] >= 2)  # what is prepared for others is there again
    before = count_processes_of_workers(rt)
    message = rt.error(spec)["errorMessage"]
    assert "Task timed out" in message or "signal: killed" in message
    wait_until(lambda: count_processes_of_workers(rt) <= before + 2)


def count_processes_of_workers(rt: Functions) -> int:
    """Of this runtime: another's, beside it on the machine, have the same user ids."""
    count, ours = 0, str(rt.home).encode()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            uid = next(x for x in status.read_text().splitlines() if x.startswith("Uid:"))
            theirs = 200_000 <= int(uid.split()[1]) < 300_000
            count += theirs and ours in (status.parent / "cmdline").read_bytes()
    return count


def test_memory(rt: Functions) -> None:
    eater = "def handler(e, c):\n    k = []\n    while True: k.append(bytearray(16 << 20))"
    error = rt.error(rt.spec(eater, memory_mb=128), request_id="rid")
    killed = "RequestId: rid Error: Runtime exited with error: signal: killed"
    assert error == {"errorType": "Runtime.ExitError", "errorMessage": killed}
    slow = (
        "import time\ndef handler(e, c):\n"
        "    k = [bytearray(200 << 20)]\n    time.sleep(25)\n    return 'survived'"
    )
    assert rt.error(rt.spec(slow, memory_mb=128))["errorType"] == "Runtime.ExitError"
    assert rt.answer(rt.spec(slow.replace("(25)", "(.3)"), memory_mb=512)) == "survived"


def test_tmp_has_its_size(rt: Functions) -> None:
    fill = (
        "def handler(e, c):\n"
        "    with open('/tmp/f', 'wb') as f:\n"
        "        for n in range(600): f.write(bytes(1 << 20))"
    )
    error = rt.error(rt.spec(fill, ephemeral_mb=512))
    assert error["errorType"] == "OSError" and "No space left" in error["errorMessage"]
    assert rt.answer(rt.spec(fill.replace("600", "400"), ephemeral_mb=512)) is None


def test_daemon_does_not_outlive_its_time(rt: Functions) -> None:
    spec = rt.spec(
        daemon(NAP_S),
        timeout_s=1,
    )
    assert "timed out" in rt.error(spec)["errorMessage"]
    wait_until(lambda: not sleepers())


def sleepers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == f"sleep\0{NAP_S}\0".encode():
                found.append(path.parent.name)
    return found


def test_endless_output(rt: Functions) -> None:
    spec = rt.spec("def handler(e, c):\n    while True: print('x' * 10_000)", timeout_s=3)
    outcome = rt.run(spec)
    assert b"timed out" in outcome.payload
    assert sum(len(line) for _, line in outcome.log) < 20 << 20
    assert any("log events were dropped" in line for _, line in outcome.log)


def test_endless_output_between_requests(rt: Functions) -> None:
    spec = rt.spec(
        textwrap.dedent("""
        import threading, time
        def flood():
            time.sleep(.2)
            while True: print('x' * 1000)
        def handler(e, c):
            if e: threading.Thread(target=flood, daemon=True).start()
            return 1
        """)
    )
    rt.answer(spec, True)
    wait_until(lambda: not rt.stats()["functions"].get(spec.arn, {}).get("idle"))
    assert rt.run(spec, False).cold


def test_lies_on_the_socket(rt: Functions) -> None:
    """A worker that writes its own frames can only harm itself."""
    spec = rt.spec(
        textwrap.dedent("""
        import os, stat
        def handler(e, c):
            for fd in range(3, 64):
                try:
                    if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, bytes.fromhex(e))
                except OSError: pass
            return 'done'
        """)
    )
    assert rt.error(spec, "ffffffff03")["errorType"] == "Runtime.ExitError"  # too long
    assert rt.error(spec, "0000000063")["errorType"] == "Runtime.ExitError"  # unknown
    assert rt.error(spec, "0000000001" * 3)["errorType"] == "Runtime.ExitError"  # not asked for
    assert rt.run(spec, "020000000337370000000003" + "00" * 9).payload in (b"77", b"")


def test_kill_of_everything_reaches_nobody(rt: Functions) -> None:
    spec = rt.spec("import os\ndef handler(e, c):\n    os.kill(-1, 9)")
    assert rt.error(spec)["errorType"] == "ProcessLookupError"


def test_own_files_are_fresh_for_each_worker(rt: Functions) -> None:
    spec = rt.spec(
        "import os\ndef handler(e, c):\n"
        "    seen = [n for n in 'abc' if os.path.exists('/tmp/' + n)]\n"
        "    open('/tmp/' + e, 'w').close()\n"
        "    if e == 'b': os._exit(1)\n    return seen"
    )
    assert rt.answer(spec, "a") == []
    assert rt.error(spec, "b")["errorType"] == "Runtime.ExitError"
    assert rt.answer(spec, "c") == []


def test_open_files_are_its_own(rt: Functions) -> None:
    """Nothing inherited but the standard streams and the socket to the runtime."""
    spec = rt.spec(
        "import os\ndef handler(e, c):\n"
        "    links = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]\n"
        "    return sorted(os.readlink(x).split(':')[0] for x in links if os.path.lexists(x))"
    )
    assert rt.answer(spec) == ["/dev/null", "pipe", "pipe", "socket"]
