"""Numbers of the log and the state that are asked for once a second, in the process that has
them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pileus.engine.embedded.log import EmbeddedLog
from pileus.state.store import STATE_FILE, Store
from pileus.telemetry import Meters


def watch_state(meters: Meters, store: Store) -> None:
    """The writer's store: its log, its files, its tablets."""
    meters.gauge("pileus_log_entries_total", lambda: float(store.replica.applied))
    log = store.log
    if isinstance(log, EmbeddedLog):
        meters.gauge("pileus_log_groups_total", lambda: float(log.groups))
        meters.gauge("pileus_log_busy_seconds_total", lambda: log.busy_s)
        meters.gauge("pileus_log_failures_total", lambda: float(log.failures))
        meters.gauge("pileus_log_queue", lambda: float(log.queued))
    meters.gauge("pileus_state_bytes", _size(store.home / STATE_FILE), file="rows")
    meters.gauge("pileus_state_bytes", _size(store.home / f"{STATE_FILE}-wal"), file="wal")
    meters.gauge("pileus_telemetry_bytes", _size(store.home / "telemetry.db"))
    meters.gauge("pileus_state_tablets", lambda: float(len(store.tablets.tablets)))


def _size(path: Path) -> Callable[[], float]:
    def size() -> float:
        try:
            return float(path.stat().st_size)
        except FileNotFoundError:
            return 0.0

    return size
