"""From a fork of the zygote to a confined worker, in two halves.

``enclose`` (in the pool, before anyone's code is known): cgroup, namespaces, doors to the outside.
``confine`` (on a request's path, before user code): code, layers, /tmp, then every privilege is
dropped for good. Between the two only our own code runs.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pileus.runtime import landlock, seccomp
from pileus.runtime.kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    Kernel,
)

NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
PROCESSES_MAX = 1024  # AWS: execution processes and threads
FILES_MAX = 1024  # AWS: file descriptors
API_PORT, PROXY_PORT, TLS_PORT, RUNTIME_API_PORT = 4566, 3128, 443, 9001
CODE_FOLDER = "/mnt/code"


@dataclass(frozen=True, slots=True)
class Confinement:
    """What ``confine`` needs. ``code`` and ``layers`` are folder names below the code folder
    ('' = none); ``uid`` 0 means: stay who we are (no privileges to change)."""

    code: str
    layers: str
    tmp_mb: int
    uid: int
    data_mb: int = 0
    weak: bool = False


def enclose(kernel: Kernel, privileged: bool, cgroup_fds: Sequence[int]) -> list[socket.socket]:
    """Join the cgroups, enter new namespaces; answer four listening sockets of the new network:
    AWS endpoint, proxy, AWS endpoint by TLS, Runtime API. The caller forks next: the child is
    process 1."""
    for fd in cgroup_fds:
        os.write(fd, b"0")
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(NAMESPACES if privileged else NAMESPACES | CLONE_NEWUSER)
    if not privileged:
        map_ids(uid, gid)
    kernel.loopback_up()
    return listeners((API_PORT, PROXY_PORT, TLS_PORT, RUNTIME_API_PORT))


def map_ids(uid: int, gid: int) -> None:
    """Give the new user namespace our own ids (user_namespaces(7))."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as f:
            f.write(text)


def listeners(ports: Sequence[int]) -> list[socket.socket]:
    """Sockets listening on 127.0.0.1 of the current network namespace (port 0: any)."""
    sockets = []
    for port in ports:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(128)
        sockets.append(s)
    return sockets


def settle(kernel: Kernel) -> None:
    """First act of process 1: a /proc that shows this namespace only."""
    with contextlib.suppress(OSError):  # locked in a user namespace: mounted over instead
        kernel.umount("/proc")
    kernel.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def confine(kernel: Kernel, what: Confinement, kept: Sequence[str], filter_code: bytes) -> None:
    """Mount the function's files and drop every privilege, irrevocably."""
    if not what.weak:
        _mount_function(kernel, what, kept)
    _limit(what)
    kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
    if not what.weak:
        landlock.restrict(kernel, ["/"], [p for p in ("/tmp", "/dev", "/proc") if os.path.isdir(p)])
    if not what.weak:
        kernel.drop_bounding_set()
    if what.uid:
        os.setgroups([])
        os.setresgid(what.uid, what.uid, what.uid)
        os.setresuid(what.uid, what.uid, what.uid)
    if not what.weak:
        kernel.drop_capabilities()
    kernel.prctl(PR_SET_PDEATHSIG, 9)  # after setresuid, which clears it
    kernel.prctl(PR_SET_DUMPABLE, 1)  # /proc/self belongs to us again
    if not what.weak:
        seccomp.install(kernel, filter_code)


def _mount_function(kernel: Kernel, what: Confinement, kept: Sequence[str]) -> None:
    handles = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in kept]
    if what.code:
        kernel.bind_read_only(f"{CODE_FOLDER}/{what.code}", "/var/task", MS_NODEV)
    if what.layers:
        _mount_layers(kernel, f"{CODE_FOLDER}/{what.layers}", handles)
    owner = what.uid or os.getuid()
    options = f"size={what.tmp_mb}m,mode=0700,uid={owner},gid={what.uid or os.getgid()}"
    kernel.mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    _show_again(kernel, "/tmp", handles)
    with contextlib.suppress(OSError):  # locked in a user namespace; read-only code either way
        kernel.umount(CODE_FOLDER)
    if os.listdir(CODE_FOLDER):
        kernel.mount("tmpfs", CODE_FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, "size=4k,mode=0500")
    for _, fd in handles:
        os.close(fd)


def _mount_layers(kernel: Kernel, folder: str, handles: Sequence[tuple[str, int]]) -> None:
    if not any(path.startswith("/opt/") for path, _ in handles):
        kernel.bind_read_only(folder, "/opt", MS_NODEV)
        return
    kernel.mount("tmpfs", "/opt", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755")
    for name in os.listdir(folder):
        source, target = f"{folder}/{name}", f"/opt/{name}"
        os.mkdir(target) if os.path.isdir(source) else os.close(os.open(target, os.O_CREAT))
        kernel.bind_read_only(source, target, MS_NODEV)
    _show_again(kernel, "/opt", handles)


def _show_again(kernel: Kernel, below: str, handles: Sequence[tuple[str, int]]) -> None:
    for path, fd in handles:
        if path.startswith(f"{below}/") and not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.isdir(f"/proc/self/fd/{fd}"):
                os.mkdir(path)
            else:
                os.close(os.open(path, os.O_CREAT))
            kernel.mount(f"/proc/self/fd/{fd}", path, None, MS_BIND)


def _limit(what: Confinement) -> None:
    set_limit = resource.setrlimit
    set_limit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    set_limit(resource.RLIMIT_NOFILE, (files, files))
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    processes = PROCESSES_MAX if hard == resource.RLIM_INFINITY else min(PROCESSES_MAX, hard)
    set_limit(resource.RLIMIT_NPROC, (processes, processes))
    if what.data_mb:
        size = what.data_mb * 1024 * 1024
        set_limit(resource.RLIMIT_DATA, (size, size))
    if what.weak:
        size = what.tmp_mb * 1024 * 1024
        set_limit(resource.RLIMIT_FSIZE, (size, size))
