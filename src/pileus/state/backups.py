"""Which backups a home has, and how far each has come: what the archive is kept for.

``backups.json`` in the home: ``{target: {"last": sequence, "at": seconds since 1970}}``. A backup
that
has not run for ``patience_s`` is waited for no longer: its next run has to begin anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pileus.state.groups import write_synced

PATIENCE_S = 30 * 24 * 3600
FILE = "backups.json"


def note(home: Path, target: Path, last: int, now_s: int) -> None:
    """A backup to ``target`` has reached entry ``last``."""
    told = {**_read(home), str(target.absolute()): {"last": last, "at": now_s}}
    write_synced(home / FILE, json.dumps(told).encode())


def waited_for(home: Path, now_s: int, otherwise: int, patience_s: int = PATIENCE_S) -> int:
    """The lowest entry a backup will go on from; ``otherwise`` where there is none."""
    recent = [b["last"] for b in _read(home).values() if b["at"] > now_s - patience_s]
    return min(recent, default=otherwise)


def _read(home: Path) -> dict[str, Any]:
    file = home / FILE
    return dict(json.loads(file.read_text())) if file.exists() else {}
