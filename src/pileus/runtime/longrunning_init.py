"""Process 1 of a long-running service: starts the command, passes signals on, buries the dead.

A process namespace's first process ignores every signal it has no handler for, and orphans become
its children: programs are not written for that (compare tini, or Docker's ``--init``).
Standard library only; everything here runs confined, with the service's own rights.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
RESET = (*PASSED_ON, signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ)


def run(
    argv: Sequence[str], environment: Mapping[str, str], first: Callable[[], None] | None = None
) -> int:
    """Run the command until it ends; answer its exit status, 128 + N for signal N. ``first`` is
    called in the command's process."""
    child = 0

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            if child:
                os.kill(child, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    child = os.fork()
    if child == 0:
        if first is not None:
            first()
        become(argv, environment)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def become(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Execute the command, found on its own PATH. Never returns."""
    for number in RESET:
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    try:
        os.execvpe(argv[0], list(argv), dict(environment))
    except OSError as e:
        text = f"cannot run {argv[0]}: {e.strerror}\n"
        os.write(sys.stderr.fileno(), text.encode("utf-8", "replace"))
    os._exit(127)
