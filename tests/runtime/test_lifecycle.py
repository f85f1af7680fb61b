"""Scaling, throttling, recycling, starts and ends of the runtime process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.runtime.client import Runtime
from pileus.runtime.function import (
    IDLE,
    INIT_FAILURE,
    NEW,
    NO_ROOM,
    Credentials,
    FunctionSpec,
    Invocation,
    InvokeOutcome,
    Kept,
    NotBegun,
    Throttled,
)
from pileus.runtime.server import Server
from tests.answering import Answering, listening
from tests.runtime.harness import SOURCE, Functions, start, stop

NAP = "import time, os\ndef handler(e, c):\n    time.sleep(e)\n    return c.aws_request_id"


def many(rt: Functions, specs: list[FunctionSpec], event: Any) -> list[Any]:
    """Invoke all at once."""

    async def act(client: Runtime) -> list[Any]:
        payload = json.dumps(event).encode()
        calls = [client.invoke(spec, Invocation(payload, str(n))) for n, spec in enumerate(specs)]
        return await asyncio.gather(*calls, return_exceptions=True)

    return rt.call(act)


@contextlib.contextmanager
def another(*flags: str, prefix: tuple[str, ...] = ()) -> Iterator[Functions]:
    """A runtime of its own for one test."""
    with tempfile.TemporaryDirectory(prefix="pileus-runtime-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        process = start(home, *flags, prefix=prefix)
        try:
            yield Functions(home, process, Path(folder))
        finally:
            if process.poll() is None:
                stop(process)


def workers_of(rt: Functions) -> list[int]:
    """Host processes whose parent chain leads to the runtime."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = path.read_text()
            parents[int(path.parent.name)] = int(text[text.rindex(")") + 2 :].split()[1])
    found = [rt.process.pid]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def wait_until(condition: Any, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def test_scales_out_and_serves_each_once(rt: Functions) -> None:
    spec = rt.spec(NAP)
    outcomes = many(rt, [spec] * 8, 1.5)  # a second worker is there before the first is free
    assert [json.loads(o.payload) for o in outcomes] == [str(n) for n in range(8)]
    assert 2 <= len({o.log_stream for o in outcomes}) <= 8


def test_reserved_concurrency_throttles(rt: Functions) -> None:
    spec = rt.spec(NAP, concurrency_max=2, reserved=True)
    outcomes = many(rt, [spec] * 5, 1.5)  # all five come while two are served
    served = [o for o in outcomes if isinstance(o, InvokeOutcome)]
    refused = [o for o in outcomes if isinstance(o, Throttled)]
    assert (len(served), len(refused)) == (2, 3)
    assert refused[0].reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert rt.answer(spec, 0)
    none = dataclasses.replace(spec, concurrency_max=0)
    with pytest.raises(Throttled):
        rt.run(none, 0)


def test_unreserved_functions_share_the_account(rt: Functions) -> None:
    specs = [rt.spec(NAP, concurrency_max=2, account="000000000009") for _ in range(3)]
    outcomes = many(rt, specs, 1.5)
    assert sum(isinstance(o, Throttled) for o in outcomes) == 1


def test_forget_ends_idle_workers_now_and_busy_ones_later(rt: Functions) -> None:
    spec = rt.spec(NAP)
    first = rt.run(spec, 0)

    async def act(client: Runtime) -> InvokeOutcome:
        call = asyncio.create_task(client.invoke(spec, Invocation(b"0.5", "x")))
        while not (call.done() or (await client.stats())["functions"][spec.arn]["busy"]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await client.forget(spec.arn)
        return await call

    assert rt.call(act).log_stream == first.log_stream
    second = rt.run(spec, 0)
    assert second.cold and second.log_stream != first.log_stream


def test_forget_does_not_strand_those_who_wait() -> None:
    with another("--workers-max", "1") as own:
        spec = own.spec(NAP)

        async def act(client: Runtime) -> list[InvokeOutcome]:
            calls = [client.invoke(spec, Invocation(b"0.3", str(n))) for n in range(3)]
            served = asyncio.gather(*calls)
            await asyncio.sleep(0.15)
            await client.forget(spec.arn)
            return await served

        assert [json.loads(o.payload) for o in own.call(act)] == ["0", "1", "2"]


def test_who_does_not_wait_is_told_that_there_is_no_room() -> None:
    """No more workers can be had: who has nowhere else to go waits, who has is told at once."""
    with another("--workers-max", "1") as own:
        spec, other = own.spec(NAP), own.spec(NAP)

        async def act(client: Runtime) -> list[Any]:
            napping = asyncio.create_task(client.invoke(spec, Invocation(b"2", "first")))
            while not (await client.stats())["functions"].get(spec.arn, {}).get("busy"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            told = [
                client.invoke(other, Invocation(b"0", "second", worker=NEW)),
                client.invoke(other, Invocation(b"0", "third")),
            ]
            return await asyncio.gather(napping, *told, return_exceptions=True)

        first, second, third = own.call(act)
        assert isinstance(second, Throttled) and second.reason == NO_ROOM
        assert json.loads(first.payload) == "first" and json.loads(third.payload) == "third"
        assert json.loads(own.run(other, 0, worker=NEW).payload)  # the idle one makes room


def test_who_wants_an_idle_worker_has_none_started(rt: Functions) -> None:
    spec = rt.spec(NAP)
    with pytest.raises(Throttled) as refused:
        rt.run(spec, 0, worker=IDLE)
    assert refused.value.reason == NO_ROOM
    first = rt.run(spec, 0, worker=NEW)
    assert rt.run(spec, 0, worker=IDLE).log_stream == first.log_stream


def test_a_lost_runtime_tells_what_did_not_begin() -> None:
    """What waited for a worker may be run elsewhere; what had one may have run."""
    with another("--workers-max", "1") as own:
        spec, other = own.spec(NAP), own.spec(NAP)

        async def act(client: Runtime) -> list[Any]:
            calls = [asyncio.create_task(client.invoke(spec, Invocation(b"60", "first")))]
            while not (await client.stats())["functions"].get(spec.arn, {}).get("busy"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            calls.append(asyncio.create_task(client.invoke(other, Invocation(b"0", "second"))))
            while not (await client.stats())["functions"].get(other.arn, {}).get("waiting"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            own.process.kill()
            return await asyncio.gather(*calls, return_exceptions=True)

        first, second = own.call(act)
        assert type(first) is Unavailable and "may have run" in str(first)
        assert type(second) is NotBegun
        own.process.wait(60)
        with pytest.raises(NotBegun):
            own.run(spec, 0)


def test_a_runtime_lost_at_its_start_began_nothing(tmp_path: Path) -> None:
    async def act() -> Any:
        server = Server(tmp_path / "run" / "runtime.sock", {})
        await server.start()
        client = Runtime(tmp_path / "run" / "runtime.sock")
        spec = FunctionSpec("arn", "1", "python3.11", "a.b", "0", "", "r", "a")
        call = asyncio.create_task(client.invoke(spec, Invocation(b"1", "x")))
        await asyncio.sleep(0)
        await client.stats()  # answered after what was asked before
        await server.stop()
        return (await asyncio.gather(call, return_exceptions=True))[0]

    assert type(asyncio.run(act())) is NotBegun


def test_one_runtime_for_a_home(rt: Functions) -> None:
    command = [sys.executable, "-m", "pileus.runtime", "--home", str(rt.home)]
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90)
    assert second.returncode == 1 and "another runtime serves" in second.stderr
    assert rt.answer(rt.spec("def handler(e, c): return 1")) == 1


def test_new_configuration_means_new_workers(rt: Functions) -> None:
    spec = rt.spec("import os\ndef handler(e, c): return os.environ['V']", environment={"V": "1"})
    changed = dataclasses.replace(spec, environment={"V": "2"})
    assert [rt.answer(spec), rt.answer(changed), rt.answer(spec)] == ["1", "2", "1"]


def test_credentials_are_renewed_before_they_expire(rt: Functions) -> None:
    spec = rt.spec("import os\ndef handler(e, c): return os.environ['AWS_ACCESS_KEY_ID']")
    now = int(time.time() * 1000)
    old = dataclasses.replace(spec, credentials=Credentials("OLD", "s", "t", now + 30_000))
    new = dataclasses.replace(spec, credentials=Credentials("NEW", "s", "t", now + 3_600_000))
    newer = dataclasses.replace(spec, credentials=Credentials("NEWER", "s", "t", now + 7_200_000))
    answers = [rt.answer(s) for s in (old, old, new, newer)]
    assert answers == ["OLD", "OLD", "NEW", "NEW"]


def test_provisioned_workers_are_warm(rt: Functions) -> None:
    spec = rt.spec(NAP)
    rt.call(lambda client: client.set_provisioned(spec, 2))
    wait_until(lambda: rt.stats()["functions"].get(spec.arn, {}).get("idle") == 2)
    outcomes = many(rt, [spec, spec], 1.5)
    assert len({o.log_stream for o in outcomes}) == 2
    rt.call(lambda client: client.set_provisioned(spec, 0))


def kept(rt: Functions, spec: FunctionSpec, asked: int) -> Kept:
    return rt.call(lambda client: client.kept(spec.arn, spec.version, asked))


def test_provisioned_workers_are_told_when_they_are_there() -> None:
    """Their initialisation asks an endpoint, and waits for its answer."""
    let_on = threading.Event()

    class Gate(Answering):
        def do_GET(self) -> None:
            let_on.wait()
            self.answer()

    with listening(Gate) as port:
        with another("--api", f"127.0.0.1:{port}", "--init-timeout", "300") as own:
            asks = "import os, urllib.request\n"
            asks += "urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'])\n"
            spec = own.spec(asks + NAP)
            assert kept(own, spec, 7) == (0, 0, "")
            own.call(lambda client: client.set_provisioned(spec, 2, 7))
            assert kept(own, spec, 7) == (2, 0, "")
            let_on.set()
            wait_until(lambda: kept(own, spec, 7) == (2, 2, ""))
            own.call(lambda client: client.set_provisioned(spec, 0, 7))
            assert kept(own, spec, 7) == (0, 0, "")


def test_provisioned_workers_that_cannot_begin_say_why(rt: Functions) -> None:
    broken, unknown = rt.spec("1 / 0"), rt.spec("", runtime="cobol")
    for asked in (1, 2):  # the second wish is tried, too
        for spec in (broken, unknown):
            rt.call(lambda client, s=spec, n=asked: client.set_provisioned(s, 1, n))
        wait_until(lambda n=asked: kept(rt, broken, n) == (0, 0, INIT_FAILURE))
        assert kept(rt, unknown, asked) == (0, 0, "no worker for the runtime 'cobol'")
        assert kept(rt, broken, asked + 1) == (0, 0, "")  # of another wish nothing is known
    gone = rt.spec("", code_path="/nonexistent.zip", code_digest="0" * 64)
    rt.call(lambda client: client.set_provisioned(gone, 1, 1))
    wait_until(lambda: kept(rt, gone, 1).trouble)
    for spec in (broken, gone):
        rt.call(lambda client, s=spec: client.set_provisioned(s, 0, 3))


def test_unknown_runtime_and_missing_code(rt: Functions) -> None:
    with pytest.raises(Unavailable, match="no worker for the runtime 'cobol'"):
        rt.run(rt.spec("", runtime="cobol"))
    with pytest.raises(Unavailable):
        rt.run(rt.spec("", code_path="/nonexistent.zip", code_digest="0" * 64))


def test_socket_is_private(rt: Functions) -> None:
    assert stat.S_IMODE(rt.socket.stat().st_mode) == 0o600


def test_idle_workers_end_and_a_full_node_makes_room() -> None:
    with another("--workers-max", "2", "--idle", "1") as own:
        specs = [own.spec("def handler(e, c): return 1") for _ in range(4)]
        assert [own.answer(s) for s in specs] == [1, 1, 1, 1]
        wait_until(lambda: own.stats()["workers"] - own.stats()["pooled"] == 0)
        assert own.answer(specs[0]) == 1


def test_init_has_a_time_limit() -> None:
    with another("--init-timeout", "1") as own:
        spec = own.spec("import time\ntime.sleep(60)", timeout_s=1)
        assert "timed out after 1.00 seconds" in own.error(spec)["errorMessage"]


def test_stop_leaves_nothing() -> None:
    with another() as own:
        own.answer(own.spec("def handler(e, c): return 1"))
        wait_until(lambda: len(workers_of(own)) >= 3)  # zygote, a worker, the pool
        pids = workers_of(own)
        assert stop(own.process) == 0
        assert not own.socket.exists()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    assert groups_of(own) == []


def groups_of(rt: Functions) -> list[str]:
    """The control groups of a runtime, by the name it gives them."""
    name = f"pileus-{hashlib.sha256(str(rt.home).encode()).hexdigest()[:12]}"
    find = ["find", "/sys/fs/cgroup", "-maxdepth", "5", "-name", name]
    return subprocess.run(find, capture_output=True, text=True).stdout.split()


def test_killed_runtime_takes_its_workers_along_and_starts_again() -> None:
    with another() as own:
        spec = own.spec(
            "import os, time, subprocess\ndef handler(e, c):\n"
            "    subprocess.Popen(['sleep', '4343'], start_new_session=True)\n"
            "    time.sleep(e)\n    return 'up'"
        )
        assert own.answer(spec, 0) == "up"
        pids = workers_of(own)
        own.process.send_signal(signal.SIGKILL)
        own.process.wait()
        wait_until(lambda: not any(running(pid) for pid in pids))
        own.process = start(own.home)
        assert own.answer(spec, 0) == "up"
        assert stop(own.process) == 0


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_loss_of_the_zygote_ends_the_runtime() -> None:
    with another() as own:
        spec = own.spec(NAP)
        own.answer(spec, 0)
        zygote = next(p for p in workers_of(own) if b"zygote" in command_of(p))
        os.kill(zygote, signal.SIGKILL)
        assert own.process.wait(60) == 1


def command_of(pid: int) -> bytes:
    """Nothing, when it has ended meanwhile."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


UNPRIVILEGED = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


def test_without_root() -> None:
    if subprocess.run([*UNPRIVILEGED, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    with another(prefix=UNPRIVILEGED) as own:
        assert own.stats()["isolation"]["kind"] == "jail"
        probe = (
            "import os\ndef handler(e, c):\n"
            "    open('/tmp/x', 'w').close()\n"
            "    return [os.getuid(), os.getpid(), os.path.exists('/tmp/x'), os.listdir('/home'),\n"
            "            [p for p in os.listdir('/proc') if p.isdigit()]]"
        )
        assert own.answer(own.spec(probe)) == [1000, 1, True, [], ["1"]]
        forks = (
            "import os, time\ndef handler(e, c):\n"
            "    for n in range(4):\n"
            "        if os.fork() == 0:\n"
            "            k = bytearray(60 << 20); time.sleep(60)\n"
            "    time.sleep(25)"
        )
        assert own.error(own.spec(forks, memory_mb=128))["errorType"] == "Runtime.ExitError"


def test_refused_without_a_jail_unless_weak() -> None:
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" "$@"'
    without = ("unshare", "--user", "--map-root-user", "sh", "-c", script)
    drop = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs")
    prefix = (*without, *drop)
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("setpriv is missing")
    with another(prefix=prefix) as own:
        isolation = own.stats()["isolation"]
        assert isolation["kind"] == "none" and isolation["reason"]
        with pytest.raises(Unavailable) as refused:
            own.run(own.spec("def handler(e, c): return 1"))
        assert "--weak-isolation" in refused.value.hint
    with another("--weak-isolation", prefix=prefix) as own:
        assert own.stats()["isolation"]["kind"] == "weak"
        assert own.answer(own.spec("def handler(e, c): return e"), "ran") == "ran"
        loop = own.spec("def handler(e, c):\n    while 1: pass", timeout_s=1)
        assert "timed out" in own.error(loop)["errorMessage"]
