"""The wall clock of a host's processes, moved while they run.

Every program asks the kernel's vDSO what time it is, statically linked ones too, which no
``LD_PRELOAD`` reaches; and time namespaces do not move CLOCK_REALTIME. So the three functions of
the vDSO that tell wall time (``clock_gettime``, ``gettimeofday``, ``time``) are written over, in
each process of the host alone (the kernel copies the page): they ask the kernel itself and add the
offset. The monotonic clock stays right, as on a machine whose wall clock is wrong. Processes that
start meanwhile are found within some milliseconds. The kernel's own stamps (a file's times) and
programs that make the system call themselves keep the true time.

x86-64 only; needs root. The functions are written while the host is frozen, and only when none of
its threads is inside their first bytes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from lab.hosts import Group

LOOK_S = 0.05
TRIES = 200
STUB_BYTES_MAX = 40
HEAD = struct.Struct("<40xQ10xHH2x")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<I4xQ8x")
DYNAMIC_SYMBOLS = 11
NAMES = (b"__vdso_clock_gettime", b"__vdso_gettimeofday", b"__vdso_time")


def clocks_work() -> bool:
    """Whether wall clocks can be moved here."""
    return platform.machine() == "x86_64" and os.geteuid() == 0


def stubs(offset_s: int) -> tuple[bytes, ...]:
    """Machine code of the functions in ``NAMES``: the system call, then ``offset_s`` added to the
    seconds it told. No stack, no data."""
    moved = struct.pack("<i", offset_s).hex()
    return tuple(
        bytes.fromhex(code)
        for code in (
            # mov eax, 228; syscall; test eax, eax; jnz end; test edi, edi (CLOCK_REALTIME); jz add;
            # cmp edi, 5 (CLOCK_REALTIME_COARSE); jne end; add: add qword [rsi], moved; end: ret
            f"b8e4000000 0f05 85c0 7510 85ff 7405 83ff05 7507 488106{moved} c3",
            # mov eax, 96; syscall; test rdi, rdi; jz end; add qword [rdi], moved; end: ret
            f"b860000000 0f05 4885ff 7407 488107{moved} c3",
            # mov rdx, rdi; xor edi, edi; mov eax, 201; syscall; add rax, moved; test rdx, rdx;
            # jz end; mov [rdx], rax; end: ret
            f"4889fa 31ff b8c9000000 0f05 4805{moved} 4885d2 7403 488902 c3",
        )
    )


class Skew:
    """``with Skew(host.group, 300)``: the host's wall clock is five minutes ahead."""

    def __init__(self, group: Group, offset_s: int) -> None:
        self._group = group
        self._own = _functions()
        self._new = {at: new for (at, _), new in zip(self._own, stubs(offset_s), strict=True)}
        self._old = {at: old[: len(self._new[at])] for at, old in self._own}
        self._moved: dict[int, str] = {}
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._follow)
        self.failure: Exception | None = None

    def __enter__(self) -> Skew:
        self._all(self._new)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Every process that lives reads the right time again."""
        self._stop.set()
        self._watch.join()
        while self._all(self._old):
            pass  # a child may have been born of one that was not yet right again
        if self.failure is not None:
            raise self.failure

    def _follow(self) -> None:
        try:
            while not self._stop.wait(LOOK_S):
                self._all(self._new)
        except Exception as error:
            self.failure = error

    def _all(self, code: dict[int, bytes]) -> int:
        """Have every process run ``code``; how many did not."""
        changed = 0
        for pid in self._group.pids():
            with contextlib.suppress(OSError):  # it ends: it needs no other time
                base = _vdso(pid)[0]
                changed += bool(base) and self._one(pid, {base + at: c for at, c in code.items()})
        return changed

    def _one(self, pid: int, code: dict[int, bytes]) -> bool:
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            if all(os.pread(memory.fileno(), len(new), at) == new for at, new in code.items()):
                return False
            for _ in range(TRIES):
                self._group.freeze()
                try:
                    if not _inside(pid, code):
                        for at, new in code.items():
                            os.pwrite(memory.fileno(), new, at)
                        return True
                finally:
                    self._group.thaw()
                time.sleep(0.001)
        raise RuntimeError(f"a thread of {pid} does not leave the vDSO")


def _inside(pid: int, code: dict[int, bytes]) -> bool:
    """Whether a thread of the (frozen) process stands behind the first byte of what is to be
    written over."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError, ValueError):
            at = int((task / "syscall").read_text().split()[-1], 16)
            if any(start < at < start + len(new) for start, new in code.items()):
                return True
    return False


def _vdso(pid: int | str) -> tuple[int, int]:
    """Where it begins and ends in a process; (0, 0): a process about to end has none."""
    found = re.search(r"^(\w+)-(\w+) .*\[vdso\]$", Path(f"/proc/{pid}/maps").read_text(), re.M)
    return (int(found[1], 16), int(found[2], 16)) if found else (0, 0)


def _functions() -> list[tuple[int, bytes]]:
    """Where in the vDSO each function of ``NAMES`` begins, and its first bytes. It is an ELF file
    that every process has in memory, this one too."""
    begin, end = _vdso("self")
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        image = os.pread(memory.fileno(), end - begin, begin)
    found = dict(_symbols(image))
    if lacking := [name.decode() for name in NAMES if name not in found]:
        raise RuntimeError(f"this kernel's vDSO lacks {lacking}")
    return [(found[name], image[found[name] : found[name] + STUB_BYTES_MAX]) for name in NAMES]


def _symbols(image: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and place of the functions in an ELF file."""
    at, size, count = HEAD.unpack_from(image)
    sections = [SECTION.unpack_from(image, at + n * size) for n in range(count)]
    for _, kind, _, _, start, length, names, _, _, each in sections:
        if kind != DYNAMIC_SYMBOLS:
            continue
        texts = sections[names][4]
        for where in range(start, start + length, each):
            name, value = SYMBOL.unpack_from(image, where)
            yield image[texts + name : image.index(b"\0", texts + name)], value
