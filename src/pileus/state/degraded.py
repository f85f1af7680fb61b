"""A node's note for all its processes that a log is out of reach: ``run/degraded`` says why, of
another shard than the first ``run/degraded-N``."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("pileus.state.degraded")
FILE = "degraded"


def tell(home: Path, why: str, shard: int = 0) -> None:
    """Write down why nothing can be appended to a shard's log; "": again it can."""
    file = home / "run" / (f"{FILE}-{shard}" if shard else FILE)
    try:
        if why:
            file.write_text(why)
        else:
            file.unlink(missing_ok=True)
    except OSError as error:  # a full disk, perhaps: the log's own work goes on
        log.error("how the log stands cannot be written down: %s", error)


def silent(home: Path) -> dict[int, str]:
    """The shards whose logs are out of reach, and why each is."""
    found: dict[int, str] = {}
    for file in (home / "run").glob(f"{FILE}*"):
        number = file.name.removeprefix(FILE).lstrip("-") or "0"
        try:
            if number.isdigit():
                found[int(number)] = file.read_text()
        except OSError:
            continue  # again it can
    return dict(sorted(found.items()))


def told(home: Path) -> str:
    """Why this node can only read what it has, possibly old ("": it can do everything)."""
    found = silent(home)
    if set(found) <= {0}:
        return found.get(0, "")
    return "; ".join(f"shard {number}: {why}" for number, why in found.items())
