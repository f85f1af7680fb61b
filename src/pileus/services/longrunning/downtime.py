"""How long services were away, incident by incident, beside how long they may be (C8).

An incident begins when a service that should run, and did, has no healthy copy; it ends when it has
one again. The record is a file in ``run``: a diary, not truth. Its time of change is the last
moment the services were looked at, so that a loss of the whole cloud is measured too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pileus.outages import SERVICES_FILE, read_services

INCIDENTS_KEPT = 20


class Downtime:
    """Told what is seen by the process that keeps the services."""

    def __init__(self, home: Path) -> None:
        self._file = home / "run" / SERVICES_FILE
        self._services = read_services(home)
        self._dirty = False
        self._begin()

    def _begin(self) -> None:
        """Services that were up when they were last looked at are down since then, unless the
        cloud was stopped in order."""
        try:
            last_ms = int(self._file.stat().st_mtime * 1000)
            in_order = json.loads(self._file.read_text()).get("stopped", False)
        except (OSError, ValueError):
            return
        for service in self._services.values():
            if service["up"] and not in_order:
                service |= {"up": False, "down_since_ms": last_ms}
            elif in_order:
                service |= {"up": False, "down_since_ms": 0}

    def seen(self, name: str, healthy: bool, allowed_s: float, now_ms: int) -> None:
        """One look at a service that should run."""
        fresh = {"up": False, "down_since_ms": 0, "longest_s": 0.0, "incidents": []}
        service = self._services.setdefault(name, fresh)
        if service.get("allowed_s") != allowed_s:
            service["allowed_s"] = allowed_s
            self._dirty = True
        if healthy == service["up"]:
            return
        self._dirty = True
        service["up"] = healthy
        if not healthy:
            service["down_since_ms"] = now_ms
        elif service["down_since_ms"]:
            self._close(service, now_ms)

    @staticmethod
    def _close(service: dict[str, Any], now_ms: int) -> None:
        since, service["down_since_ms"] = service["down_since_ms"], 0
        seconds = round(max(0, now_ms - since) / 1000, 3)
        over = seconds > service["allowed_s"]
        incident = {"Since": since, "Seconds": seconds, "Over": over}
        service["incidents"] = [incident, *service["incidents"][: INCIDENTS_KEPT - 1]]
        service["longest_s"] = max(service["longest_s"], seconds)

    def lost(self, now_ms: int) -> None:
        """The runtime is gone, and every copy with it."""
        for name, service in self._services.items():
            if service["up"]:
                self.seen(name, False, service["allowed_s"], now_ms)

    def keep_only(self, names: set[str]) -> None:
        """Services that should not run have no downtime."""
        for name in [n for n in self._services if n not in names]:
            del self._services[name]
            self._dirty = True

    def save(self, stopped: bool = False) -> None:
        """Write what changed; else only the moment."""
        if not (self._dirty or stopped):
            if self._services and self._file.exists():
                os.utime(self._file)
            return
        self._dirty = False
        fresh = self._file.with_suffix(".tmp")
        fresh.write_text(json.dumps({"services": self._services, "stopped": stopped}))
        fresh.rename(self._file)
