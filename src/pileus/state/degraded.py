"""A node's note for all its processes that its log is out of reach: ``run/degraded`` says why."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("pileus.state.degraded")
FILE = "degraded"


def tell(home: Path, why: str) -> None:
    """Write down why nothing can be appended; "": again it can."""
    file = home / "run" / FILE
    try:
        if why:
            file.write_text(why)
        else:
            file.unlink(missing_ok=True)
    except OSError as error:  # a full disk, perhaps: the log's own work goes on
        log.error("how the log stands cannot be written down: %s", error)


def told(home: Path) -> str:
    """Why this node can only read what it has, possibly old ("": it can do everything)."""
    try:
        return (home / "run" / FILE).read_text()
    except OSError:
        return ""
