"""Work that goes on in threads of its own until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Threads:
    """One for each of ``bodies``, which look at ``_stop``."""

    def __init__(self, bodies: Iterable[Callable[[], None]]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=body) for body in bodies]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when all have ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
