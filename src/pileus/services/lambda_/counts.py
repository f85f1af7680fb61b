"""Invocations counted by function: how many, how they ended, how long they ran."""

from __future__ import annotations

from pileus.runtime.function import InvokeOutcome
from pileus.services.lambda_.names import FunctionName
from pileus.telemetry import Meters, histogram

DONE, FAILED = 200, 500


class Counts:
    """One per process. An answer's class stands for its end: 2xx done, 5xx failed."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._blocks: dict[tuple[str, str, str], int] = {}
        self._cold = meters.counter("pileus_function_cold_starts_total")

    def ended(self, name: FunctionName, outcome: InvokeOutcome) -> None:
        status = FAILED if outcome.function_error else DONE
        seconds = outcome.duration_ms / 1000
        size = len(outcome.payload) + outcome.streamed_bytes
        histogram.add(self._meters.cells, self._block(name), status, size, seconds)
        self._meters.cells[self._cold] += outcome.cold

    def throttled(self, name: FunctionName) -> None:
        self._meters.cells[self._block(name) + histogram.THROTTLED] += 1

    def _block(self, name: FunctionName) -> int:
        key = (name.account, name.region, name.name)
        found = self._blocks.get(key)
        if found is None:
            labels = {"account": name.account, "region": name.region, "function": name.name}
            found = self._blocks[key] = self._meters.requests("pileus_function", **labels)
        return found
