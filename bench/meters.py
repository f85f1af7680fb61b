"""What the store of every second costs: CPU of one look at so many series (L3).

``python -m bench.meters --series 500 --seconds 30``: two processes' worth of counters, of which
every kind of request is busy in every second; the collector's own process time for each second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from pileus.telemetry import histogram
from pileus.telemetry.collect import Collector
from pileus.telemetry.meters import Meters

PROCESSES = 2
HOURS = 6


class Busy:
    """One process's counters: so many kinds of request, each counted in every second."""

    def __init__(self, name: str, home: Path) -> None:
        self.meters = Meters(name)
        self.meters.open(home)
        self._kinds: list[int] = []

    def add(self, number: int) -> None:
        labels = {"service": "bench", "operation": f"Operation{number}"}
        self._kinds.append(self.meters.requests("pileus_request", **labels))

    def second(self) -> None:
        for at in self._kinds:
            for seconds in (0.0002, 0.001, 0.009):
                histogram.add(self.meters.cells, at, 200, 1000, seconds)
        self.meters.publish()


def measure(series: int, seconds: int) -> tuple[int, list[float]]:
    """(series written, milliseconds of CPU in each second)."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "run").mkdir()
        busy = [Busy(f"front-{n}", home) for n in range(PROCESSES)]
        collector = Collector(home, os.getpid(), HOURS)
        number, took = 0, []
        while collector.count < series or len(took) < seconds:
            if collector.count < series:
                number += 1
                for each in busy:
                    each.add(number)
            else:
                time.sleep(1.0 - time.time() % 1.0)
            for each in busy:
                each.second()
            begun = time.process_time()
            collector.turn(time.time())
            if collector.count >= series:
                took.append(1000 * (time.process_time() - begun))
        for each in busy:
            each.meters.close()
        return collector.count, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=30)
    asked = parser.parse_args()
    count, took = measure(asked.series, asked.seconds)
    mean, median = statistics.mean(took), statistics.median(took)
    print(
        f"{count} series, {len(took)} seconds: {median:.1f} ms of CPU at the median,"
        f" {mean:.1f} in the mean ({mean / 10:.2f} % of a core), {max(took):.1f} at most"
    )


if __name__ == "__main__":
    main()
