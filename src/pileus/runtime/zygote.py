"""The parent of all workers: Python with AWS's packages already imported, forked on demand.

One thread, no open files but its control socket (SOCK_SEQPACKET, JSON and file descriptors). It
is told to ``spawn``; a child builds the enclosure, forks process 1, reports and leaves; the zygote
adopts process 1 and reports its end. It dies with the runtime, and its workers with it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pileus import heap
from pileus.model_files import ModelFiles
from pileus.runtime import jail, longrunning_init, root, seccomp
from pileus.runtime.kernel import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NAME,
    PR_SET_PDEATHSIG,
    Kernel,
)
from pileus.runtime.python_worker import (
    INIT_ERROR,
    SPECIALISE,
    Channel,
    PythonWorker,
    prepare_process,
)

MESSAGE_BYTES_MAX = 64 * 1024
UID_BASE, UID_RANGE = 200_000, 10_000
CAPABILITIES_NEEDED = (0, 6, 7, 21)  # CHOWN, SETGID, SETUID, SYS_ADMIN
WARM_MODULES = (
    "importlib.metadata",
    "asyncio",
    "base64",
    "csv",
    "encodings.idna",
    "hashlib",
    "uuid",
)
WARM_CLIENTS = ("dynamodb", "s3", "lambda")  # of what can be called here


class Zygote:
    def __init__(self, control: socket.socket, options: dict[str, Any]) -> None:
        self._control = control
        self._options = options
        self._weak = bool(options["weak"])
        self._kernel = Kernel()
        self._uid_base = worker_uid_base()
        self._privileged = self._uid_base > 0
        self._kept = root.covered_paths()
        self._filter = b"" if self._weak else seccomp.program()

    def prepare(self) -> None:
        """Warm up, then move into the private root."""
        warm_up()
        if not self._weak:
            self._enter_root()
        gc.collect()
        heap.give_back()
        gc.freeze()

    def _enter_root(self) -> None:
        uid, gid = os.geteuid(), os.getegid()
        self._kernel.unshare(CLONE_NEWNS if self._privileged else CLONE_NEWNS | CLONE_NEWUSER)
        if not self._privileged:
            jail.map_ids(uid, gid)
        paths = self._options
        contents = root.Contents(
            *(Path(paths["code"]), paths["node"], paths["node_modules"], paths["client"]),
            paths["authority"],
        )
        root.build(self._kernel, Path(paths["root"]), contents)

    def serve(self) -> None:
        """Until the runtime closes its end."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._say({"ready": True})
        while True:
            readable = select.select([self._control.fileno(), reader], [], [])[0]
            if reader in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(reader, 4096)
                self._reap()
            if self._control.fileno() in readable:
                try:
                    data, fds, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, 16)
                except ConnectionResetError:
                    return
                if not data:
                    return
                order = json.loads(data)
                if "sockets" in order:
                    self._give_sockets(order, fds[0])
                else:
                    self._spawn(order, fds)
                for fd in fds:
                    os.close(fd)

    def _say(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        socket.send_fds(self._control, [json.dumps(message).encode()], fds or [])

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._say({"exit": pid, "status": os.waitstatus_to_exitcode(status)})

    def _give_sockets(self, order: dict[str, Any], network: int) -> None:
        """Make ``count`` TCP sockets in the network namespace ``network``: what connects to a
        worker's own port. Without privileges there is no way back, so a child goes."""
        if not self._privileged and os.fork():
            return
        own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._kernel.setns(network, CLONE_NEWNET)
            made = [socket.socket() for _ in range(order["count"])]
            answer: dict[str, Any] = {"sockets": order["sockets"]}
        except OSError as e:
            made, answer = [], {"sockets": order["sockets"], "error": f"{e}"}
        if self._privileged:
            self._kernel.setns(own, CLONE_NEWNET)
        self._say(answer, [s.fileno() for s in made])
        if not self._privileged:
            os._exit(0)
        os.close(own)
        for s in made:
            s.close()

    def _spawn(self, order: dict[str, Any], fds: list[int]) -> None:
        """``order``: ``slot``, ``net`` (is its network asked for?); ``fds``: worker's socket, log
        pipe, cgroup files."""
        if os.fork():
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            self._become(order, fds)
        except BaseException as e:
            self._say({"failed": order["slot"], "error": f"{type(e).__name__}: {e}"})
        os._exit(0)

    def _become(self, order: dict[str, Any], fds: list[int]) -> None:
        if self._weak:
            doors = jail.listeners((0,))
        else:
            doors = jail.enclose(self._kernel, self._privileged, fds[2:])
        # Before process 1 makes /proc its own.
        network = [os.open("/proc/self/ns/net", os.O_RDONLY)] if order.get("net") else []
        order["uid"] = self._uid_base + order["slot"] if self._privileged else 0
        settled, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            run_process_one(self, order, fds, ready, doors)
        os.close(ready)
        trouble = os.read(settled, 4096)
        if trouble:
            raise OSError(trouble.decode())
        handles = [os.pidfd_open(pid), *(s.fileno() for s in doors)]
        port = doors[-1].getsockname()[1]
        report = {"spawned": order["slot"], "pid": pid, "port": port, "builder": os.getpid()}
        if network:
            report["net"] = True
            handles += network
        self._say(report, handles)


def run_process_one(
    zygote: Zygote,
    order: dict[str, Any],
    fds: list[int],
    ready: int,
    doors: list[socket.socket],
) -> None:
    """Process 1 of a worker: settle, wait for a function, become its worker. Never returns."""
    status = 1
    try:
        for sock in (*doors, zygote._control):
            sock.detach()
        close_all_but({fds[0], fds[1], ready})
        if zygote._weak:
            os.setsid()
        else:
            jail.settle(zygote._kernel)
        attach_standard_streams(fds[1], order["uid"])
        channel = Channel(socket.socket(fileno=fds[0]))
        prepare_process()
    except BaseException as e:
        os.write(ready, f"{type(e).__name__}: {e}".encode())
        os._exit(1)
    os.close(ready)
    try:
        become_worker(zygote, order, channel)
        status = 0
    except EOFError:
        status = 0
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def close_all_but(kept: set[int]) -> None:
    start = 3
    for fd in sorted(kept):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def attach_standard_streams(log_fd: int, uid: int) -> None:
    if uid:
        os.fchown(log_fd, uid, uid)  # so that /dev/stdout can be opened
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(null)
    os.close(log_fd)


def become_worker(zygote: Zygote, order: dict[str, Any], channel: Channel) -> None:
    kind, body = channel.receive()
    assert kind == SPECIALISE
    settings = json.loads(body)
    what = jail.Confinement(
        settings["code"],
        settings["layers"],
        settings["tmp_mb"],
        order["uid"],
        settings["data_mb"],
        zygote._weak,
    )
    zygote._kernel.prctl(PR_SET_NAME, b"worker")
    jail.confine(zygote._kernel, what, zygote._kept, zygote._filter)
    if settings["argv"] is None:
        PythonWorker(channel, settings).run()
        return
    os.chdir(settings["task"])
    if settings.get("stays"):
        # In a jail the end of process 1 is everyone's; without one the kernel has to be asked.
        first = None if not zygote._weak else lambda: zygote._kernel.prctl(PR_SET_PDEATHSIG, 9)
        raise SystemExit(longrunning_init.run(settings["argv"], settings["env"], first))
    try:
        os.execve(settings["argv"][0], settings["argv"], settings["env"])
    except OSError as e:
        error = {
            "errorType": "Runtime.InvalidEntrypoint",
            "errorMessage": f"Error: {e.strerror}: {settings['argv'][0]}",
        }
        channel.send(INIT_ERROR, json.dumps(error).encode())
    raise SystemExit(1)


def worker_uid_base() -> int:
    """The first of the user ids workers run under; 0 when we may not change to others (not root,
    or a container that maps few ids)."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    if os.geteuid() != 0 or not all(effective >> bit & 1 for bit in CAPABILITIES_NEEDED):
        return 0
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = map(int, line.split())
        end = inside + count
        if inside <= UID_BASE and end >= UID_BASE + UID_RANGE:
            return UID_BASE
        if count >= 4 * UID_RANGE:
            return end - UID_RANGE - 1000
    return 0


def warm_up() -> None:
    """Import what AWS's Python runtime offers and load the models of the common services, with no
    account's settings: no files, no credentials, no network."""
    from botocore import loaders

    loaders.Loader.FILE_LOADER_CLASS = ModelFiles  # before boto3's first session
    import boto3
    from botocore.awsrequest import AWSResponse

    class Nothing:
        """The raw side of an empty HTTP answer."""

        def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
            return iter((b"{}",))

    boto3.setup_default_session()
    for name in WARM_CLIENTS:
        client = boto3.client(
            name,
            region_name="us-east-1",
            aws_access_key_id="-",
            aws_secret_access_key="-",
            endpoint_url="http://127.0.0.1:9",
        )
        if name == "dynamodb":  # one call, answered before it is sent: signer and parsers too
            client.meta.events.register(
                "before-send", lambda request, **_: AWSResponse(request.url, 200, {}, Nothing())
            )
            client.list_tables()
    boto3.resource("dynamodb", region_name="us-east-1")
    for module in WARM_MODULES:
        __import__(module)


def main() -> None:
    """Started by the runtime: argv = control socket's descriptor, options as JSON."""
    kernel = Kernel()
    kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    zygote = Zygote(control, json.loads(sys.argv[2]))
    try:
        zygote.prepare()
    except OSError as e:
        zygote._say({"unable": f"{e}"})
        time.sleep(0.1)
        sys.exit(1)
    zygote.serve()


if __name__ == "__main__":
    main()
