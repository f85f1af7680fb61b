"""What is known about the running cloud: log lines, counters, and the last hours by the second."""

from __future__ import annotations

from pileus.telemetry.lines import Telemetry
from pileus.telemetry.meters import Meters

__all__ = ["Meters", "Telemetry"]
