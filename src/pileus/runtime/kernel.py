"""The few Linux calls Python lacks, through ctypes: namespaces, mounts, capabilities, prctl.

Each raises ``OSError`` with the kernel's reason. References: unshare(2), mount(2), pivot_root(2),
prctl(2), capabilities(7), netdevice(7).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import struct
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 15, 38, 36
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

MACHINE = platform.machine()
# Numbers of (capset, pivot_root, landlock_create_ruleset, …_add_rule, …_restrict_self).
SYSCALLS = {
    "x86_64": {"capset": 126, "pivot_root": 155, "landlock": 444},
    "aarch64": {"capset": 91, "pivot_root": 41, "landlock": 444},
}


def sync_filesystem(path: Path) -> None:
    """Everything written to the file system that holds ``path`` is on its disk afterwards
    (``syncfs(2)``)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"syncfs: {os.strerror(code)}")
    finally:
        os.close(fd)


class Kernel:
    """Holds the C library. Make one per process that needs it."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        if MACHINE not in SYSCALLS:
            raise OSError(f"no system call table for {MACHINE}")
        self._numbers = SYSCALLS[MACHINE]

    def syscall(self, number: int, *args: object) -> int:
        result = self._libc.syscall(ctypes.c_long(number), *args)
        if result < 0:
            raise self._error(f"system call {number}")
        return result

    def _error(self, what: str) -> OSError:
        code = ctypes.get_errno()
        return OSError(code, f"{what}: {os.strerror(code)}")

    def setns(self, fd: int, kind: int) -> None:
        """Enter the namespace that ``fd`` names (setns(2))."""
        if self._libc.setns(fd, kind) != 0:
            raise self._error(f"setns({kind:#x})")

    def unshare(self, flags: int) -> None:
        if self._libc.unshare(flags) != 0:
            raise self._error(f"unshare({flags:#x})")

    def mount(
        self, source: str, target: str, kind: str | None, flags: int, data: str | None = None
    ) -> None:
        arguments = [v.encode() if v is not None else None for v in (source, target, kind, data)]
        if self._libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3]) != 0:
            raise self._error(f"mount({source}, {target}, {kind})")

    def bind_read_only(self, source: str, target: str, extra: int = 0) -> None:
        """Bind ``source`` (file or tree) on ``target``, read-only, nosuid. Flags the source's
        mount carries are kept: a user namespace may not drop them."""
        self.mount(source, target, None, MS_BIND)
        kept = os.statvfs(target).f_flag & 0x1C0F  # nosuid nodev noexec *atime, as in mount(2)
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | extra | kept
        self.mount("none", target, None, flags)

    def umount(self, target: str) -> None:
        if self._libc.umount2(target.encode(), MNT_DETACH) != 0:
            raise self._error(f"umount({target})")

    def pivot_root(self, new: str, old: str) -> None:
        self.syscall(self._numbers["pivot_root"], new.encode(), old.encode())

    def prctl(self, option: int, a: object = 0, b: object = 0, c: object = 0) -> None:
        words = [ctypes.c_ulong(v) if isinstance(v, int) else v for v in (a, b, c, 0)]
        if self._libc.prctl(option, *words) != 0:
            raise self._error(f"prctl({option})")

    def landlock_abi(self) -> int:
        """The version the kernel speaks; 0 where landlock is absent."""
        number = ctypes.c_long(self._numbers["landlock"])
        return max(0, self._libc.syscall(number, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))

    def landlock_call(self, which: int, *args: object) -> int:
        """``which``: 0 create_ruleset, 1 add_rule, 2 restrict_self."""
        return self.syscall(self._numbers["landlock"] + which, *args)

    def drop_bounding_set(self) -> None:
        """No program executed from now on can gain a capability. Needs CAP_SETPCAP."""
        for capability in range(64):
            if self._libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                break  # EINVAL past the last capability; EPERM without privileges to lose

    def drop_capabilities(self) -> None:
        """Empty the ambient, inheritable, permitted and effective sets."""
        self._libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        header = struct.pack("<II", 0x20080522, 0)
        self.syscall(self._numbers["capset"], header, bytes(24))

    def loopback_up(self) -> None:
        """Raise ``lo`` in the current network namespace."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            request = struct.pack("16sH14x", b"lo", 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
