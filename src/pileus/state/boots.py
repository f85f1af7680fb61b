"""Whether a node's state may be older than what the node has shown of it.

A replica's commits are not synced (the log is, on most nodes), so a power cut takes the last of
them back, and nothing in the file tells. A process that ends takes nothing. What tells them apart
is the system's word which start of it this is (``boot_id``, man 4 random): the home keeps that of
the last time its state had come to where the log stood.
"""

from __future__ import annotations

import os
from pathlib import Path

from pileus.state.groups import write_synced

FILE = "boot"
TOLD = Path("/proc/sys/kernel/random/boot_id")
INSTEAD = "PILEUS_BOOT_ID"  # where the system's is not the machine's, as in the lab's power cuts


def this() -> str:
    """Which start of the system this is; "" where it does not tell."""
    told = os.environ.get(INSTEAD)
    if told is None and TOLD.exists():
        told = TOLD.read_text()
    return (told or "").strip()


def same(home: Path) -> bool:
    """Whether the system has not been started again since ``note``."""
    file, now = home / FILE, this()
    return bool(now) and file.exists() and file.read_text() == now


def note(home: Path) -> None:
    """The state has come to where the log stands."""
    if not same(home):
        write_synced(home / FILE, this().encode())


def forget(home: Path) -> None:
    """The state is about to be replaced by another node's, which may be behind this one."""
    (home / FILE).unlink(missing_ok=True)
