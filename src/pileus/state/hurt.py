"""What a process does when a page it reads is damaged: the rows in it are not answered, the state
is made anew, from another node's or from its own log, and whoever reads the old file ends.

The wish for it is a file in the home, which the next start of the writer grants before anything
else (``rebuild``, ``mending``); the supervisor starts again what ends here.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import apsw

from pileus.engine.damage import damaged
from pileus.errors import Unavailable
from pileus.state.rebuild import given_up, wish, wished

log = logging.getLogger("pileus.state.hurt")


def hurt(home: Path, error: Exception) -> Exception:
    """What to raise in place of ``error``, met while reading a shard's state, whose home this
    is."""
    if not isinstance(error, apsw.Error) or not damaged(error):
        return error
    if given_up(home):
        return Unavailable(
            "a page of the state file is damaged", "run `pileus verify`; restore a backup"
        )
    if not wished(home):
        log.error("a page of the state file in %s is damaged: it is made anew", home)
        wish(home, f"a page of the state file is damaged: {error}")
    os.kill(os.getpid(), signal.SIGTERM)
    return Unavailable("a page of the state file is damaged; it is being made anew", "try again")


def end_if_wished(homes: Iterable[Path]) -> None:
    """End the writer when another process of the node has met a damaged page."""
    for home in homes:
        if why := wished(home):
            log.error("this process starts again, to make its state anew: %s", why)
            os.kill(os.getpid(), signal.SIGTERM)
