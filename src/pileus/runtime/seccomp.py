"""The system calls a worker may not make, as a classic BPF program (seccomp(2)).

A deny list: everything a language runtime needs stays open; what reaches into other processes,
the mount tree, kernel modules, keys, tracing or rarely used kernel surface answers EPERM.
"""

from __future__ import annotations

import ctypes
import struct

from pileus.runtime.kernel import MACHINE, PR_SET_PDEATHSIG, PR_SET_SECCOMP, Kernel

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
EAFNOSUPPORT = 0x00050061
NAMESPACES = 0x7E020080  # every CLONE_NEW* flag, NEWTIME included
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (routes, for getaddrinfo). Never AF_VSOCK: it ignores
# network namespaces and would reach the hypervisor; never AF_ALG, AF_PACKET.
FAMILIES = (1, 2, 10, 16)
TIOCSTI, TIOCLINUX = 0x5412, 0x541C

# name: (x86_64, aarch64); None where the architecture lacks it
DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "personality": (135, 92),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "fanotify_init": (300, 262),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
}
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE, CLONE3, PRCTL, IOCTL, SOCKET = range(5)
CHECKED = {"x86_64": (56, 435, 157, 16, 41), "aarch64": (220, 435, 167, 29, 198)}


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


def _load(offset: int) -> bytes:
    return _op(0x20, offset)


def _return(value: int) -> bytes:
    return _op(0x06, value)


def _when(number: int, body: list[bytes]) -> list[bytes]:
    """If the call is ``number`` run ``body`` (which ends in a return), else go on."""
    return [_op(0x15, number, 0, len(body)), *body]


def program(machine: str = MACHINE) -> bytes:
    """The filter for ``machine`` (``x86_64`` or ``aarch64``)."""
    column = 0 if machine == "x86_64" else 1
    calls = CHECKED[machine]
    code = [_load(4), _op(0x15, ARCHITECTURE[machine], 1, 0), _return(KILL), _load(0)]
    if machine == "x86_64":  # x32 numbers would go round the list
        code += [_op(0x35, 0x40000000, 0, 1), _return(EPERM)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            code += _when(number, [_return(EPERM)])
    # clone3's flags lie in memory, out of a filter's sight: without it the C library uses clone.
    code += _when(calls[CLONE3], [_return(ENOSYS)])
    code += _when(
        calls[CLONE],
        [_load(16), _op(0x45, NAMESPACES, 0, 1), _return(EPERM), _return(ALLOW)],
    )
    # The signal that ends a worker with its parent must stay set.
    code += _when(
        calls[PRCTL],
        [_load(16), _op(0x15, PR_SET_PDEATHSIG, 0, 1), _return(EPERM), _return(ALLOW)],
    )
    ioctl = [_load(24), _op(0x15, TIOCSTI, 1, 0), _op(0x15, TIOCLINUX, 0, 1)]
    code += _when(calls[IOCTL], [*ioctl, _return(EPERM), _return(ALLOW)])
    families = [_op(0x15, family, len(FAMILIES) - i, 0) for i, family in enumerate(FAMILIES)]
    code += _when(calls[SOCKET], [_load(16), *families, _return(EAFNOSUPPORT), _return(ALLOW)])
    code.append(_return(ALLOW))
    return b"".join(code)


def install(kernel: Kernel, code: bytes) -> None:
    """Confine this thread and its children for good. Needs no_new_privs."""
    text = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(text))
    kernel.prctl(PR_SET_SECCOMP, 2, ctypes.create_string_buffer(header, len(header)))
