"""A writer in another process, whose acknowledgements come one by one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import SOURCE

SCRIPT = """
import asyncio, sys
from pathlib import Path
from pileus.engine.embedded.clock import SystemClock
from pileus.state.store import Store

async def run():
    home, writes, *rest = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    keys = [bytes.fromhex(key) for key in rest]
    writer = await Store.open(home, {}, SystemClock())
    print("open", flush=True)
    sys.stdin.readline()
    for number in range(1, writes + 1):
        await writer.submit("write", [[keys[number % len(keys)], b"%d" % number]])
        print(number, flush=True)
    sys.stdin.readline()
    await writer.close()

asyncio.run(run())
"""


class WriterElsewhere:
    """Writes 1, 2, … ``writes``, n to the key n (modulo their number), once ``begin`` was called;
    ends with the block."""

    def __init__(self, home: Path, writes: int, *keys: bytes) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home), str(writes), *(k.hex() for k in keys)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            text=True,
        )
        self._writes = writes

    def __enter__(self) -> WriterElsewhere:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._process.communicate("end\n", timeout=60)
        assert error or self._process.returncode == 0

    def opened(self) -> None:
        """Wait until it has the store."""
        assert self._line() == "open\n"

    def begin(self) -> Iterator[int]:
        """Each number when its write was acknowledged."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write("go\n")
        stdin.flush()
        for number in range(1, self._writes + 1):
            assert self._line() == f"{number}\n"
            yield number

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()
