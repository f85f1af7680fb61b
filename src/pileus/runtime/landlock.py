"""A second lock on the file system, held by the process itself (landlock(7)).

Even if a mount were writable by mistake, only the named trees can be written. Also keeps signals
and abstract sockets inside (ABI 6).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from pileus.runtime.kernel import Kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
BITS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # file system rights known to each version
SCOPES = 3  # abstract Unix sockets, signals


def restrict(kernel: Kernel, readable: Sequence[str], writable: Sequence[str]) -> int:
    """Allow reading below ``readable``, everything below ``writable``, nothing else. Answers the
    ABI used, 0 where the kernel has no landlock. Needs no_new_privs."""
    abi = kernel.landlock_abi()
    if abi == 0:
        return 0
    everything = (1 << BITS_BY_ABI.get(abi, 16)) - 1
    attributes = struct.pack("<QQQ", everything, 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = kernel.landlock_call(0, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for paths, rights in ((readable, READ), (writable, everything)):
            for path in paths:
                _add(kernel, ruleset, path, rights & everything)
        kernel.landlock_call(2, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return abi


def _add(kernel: Kernel, ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= RIGHTS_OF_A_FILE
        rule = struct.pack("<Qi", rights, fd)
        kernel.landlock_call(1, ruleset, 1, rule, ctypes.c_uint32(0))
    finally:
        os.close(fd)
