"""From readings to series: what the processes counted becomes rates, percentiles and states.

A series is called ``metric`` or ``metric{label=value,…}``, labels in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pileus.telemetry import growth, histogram, machine
from pileus.telemetry.catalogue import BLOCKS, RESOURCES
from pileus.telemetry.growth import Growth
from pileus.telemetry.readings import Labels, Meter, Reading, Readings

STALE_S = 3.0
SLOW_EVERY = 10  # proportional memory costs a millisecond a process
MAXIMA = ("latency_p99_seconds", "duration_p99_seconds", "process_loop_lag_seconds")
Kind = tuple[str, Labels]  # the block's name, its labels


def name_of(metric: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """The series' name."""
    told = ",".join(f"{k}={_clean(v)}" for k, v in sorted(labels))
    return f"{metric}{{{told}}}" if told else metric


def split(name: str) -> tuple[str, dict[str, str]]:
    """(metric, labels) of a series' name."""
    metric, mark, rest = name.partition("{")
    if not mark:
        return metric, {}
    return metric, dict(pair.partition("=")[::2] for pair in rest[:-1].split(","))


def fold_of(name: str) -> str:
    """How numbers of a series become one: by their ``mean``, or the worst counts: ``max``."""
    return "max" if name.partition("{")[0] in MAXIMA else "mean"


def _clean(value: str) -> str:
    return "".join("_" if c in ',{}=\n"' else c for c in value)


@dataclass(frozen=True, slots=True)
class Names:
    """What the series of one kind of request are called."""

    rate: str
    refused: str
    failed: str
    throttled: str
    mean: str
    p50: str
    p99: str

    @classmethod
    def of(cls, block: str, labels: Labels) -> Names:
        what, time_of = BLOCKS[block]
        rates = ("", "_refused", "_failed", "_throttled")
        return cls(
            *(name_of(f"{what}{kind}_per_second", labels) for kind in rates),
            *(name_of(f"{time_of}_{kind}_seconds", labels) for kind in ("mean", "p50", "p99")),
        )


@dataclass
class Series:
    """Called once a second; keeps what it saw the last time."""

    home: Path
    supervisor: int
    _readings: Readings = field(init=False)
    _processes: machine.Processes = field(init=False)
    _last: dict[str, Reading] = field(default_factory=dict)
    _rates: dict[str, dict[str, float]] = field(default_factory=dict)
    _blocks: dict[str, dict[Kind, Growth]] = field(default_factory=dict)
    _cpu: dict[str, float] = field(default_factory=dict)
    _kinds: dict[Kind, Kind] = field(default_factory=dict)
    _names: dict[Kind, Names] = field(default_factory=dict)
    _gauges: dict[Kind, str] = field(default_factory=dict)
    _own: dict[str, float] = field(default_factory=dict)
    _machine: dict[str, float] = field(default_factory=dict)
    _slow: dict[str, float] = field(default_factory=dict)
    _at: float = 0.0
    _turn: int = 0

    def __post_init__(self) -> None:
        self._readings = Readings(self.home)
        self._processes = machine.Processes(self.supervisor)

    def now(self) -> dict[str, float]:
        """Every series' number of this second."""
        at = time.monotonic()
        took, self._at = at - self._at if self._at else 0.0, at
        readings = list(self._readings.all())
        out: dict[str, float] = {}
        self._counted(readings, out)
        self._used({r.pid: r.process for r in readings}, took, out)
        self._whole_machine(took, out)
        self._turn += 1
        return out

    # -- what the processes counted ----------------------------------------------------------

    def _counted(self, readings: Sequence[Reading], out: dict[str, float]) -> None:
        now_s = time.time()
        blocks: dict[Kind, Growth] = {}
        for reading in readings:
            alive = now_s - reading.at_s < STALE_S
            out[name_of("process_up", [("process", reading.process)])] = float(alive)
            last = self._last.get(reading.process)
            if not alive:
                self._last.pop(reading.process, None)
                self._rates.pop(reading.process, None)
                self._own.pop(reading.process, None)
                continue
            if last is None or last.pid != reading.pid or last.at_s < reading.at_s:
                self._last[reading.process] = reading
                self._compare(last, reading)
            for name, value in self._rates.get(reading.process, {}).items():
                out[name] = out.get(name, 0.0) + value
            for kind, block in self._blocks.get(reading.process, {}).items():
                growth.add(blocks.setdefault(kind, {}), block)
            for meter in reading.meters:
                if meter.kind == "gauge" and not meter.name.endswith("_total"):
                    out[self._gauge(meter, reading.process)] = reading.cells[meter.at]
        self._requests(blocks, out)

    def _gauge(self, meter: Meter, process: str) -> str:
        key = (meter.name, (*meter.labels, ("process", process)))
        found = self._gauges.get(key)
        if found is None:
            found = self._gauges[key] = name_of(key[0].removeprefix("pileus_"), key[1])
        return found

    def _requests(self, blocks: Mapping[Kind, Growth], out: dict[str, float]) -> None:
        """Rates and percentiles of each kind of request, and of all but health checks."""
        total: Growth = {}
        for kind, block in blocks.items():
            names = self._names.get(kind)
            if names is None:
                names = self._names[kind] = Names.of(*kind)
            _tell(names, block, out, always=False)
            if kind[0] == "pileus_request" and ("service", "health") not in kind[1]:
                growth.add(total, block)
        _tell(Names.of("pileus_request", ()), total, out, always=True)
        out["sent_bytes_per_second"] = total.get(histogram.BYTES, 0.0)

    def _compare(self, last: Reading | None, now: Reading) -> None:
        """What one process did between two of its readings."""
        rates: dict[str, float] = {}
        blocks: dict[Kind, Growth] = {}
        fresh = last is None or last.pid != now.pid
        took = now.at_s - (now.started_s if fresh else last.at_s)  # type: ignore[union-attr]
        old = [] if fresh else last.cells  # type: ignore[union-attr]
        took = max(took, 0.1)
        cpu_s = now.cpu_s - (0.0 if fresh else last.cpu_s)  # type: ignore[union-attr]
        self._own[now.process] = max(cpu_s, 0.0) / took  # finer than the kernel's ticks
        for meter in now.meters:
            if meter.kind == "requests":
                more = growth.grown(meter.at, None if fresh else last, now)
                growth.add(blocks.setdefault(self._kind(meter), {}), more, 1 / took)
            elif meter.kind == "counter" or meter.name.endswith("_total"):
                was = old[meter.at] if meter.at < len(old) else 0.0
                metric = meter.name.removeprefix("pileus_").removesuffix("_total") + "_per_second"
                own = (("process", now.process),) if metric.startswith("process_") else ()
                name = name_of(metric, (*self._kind(meter)[1], *own))
                rates[name] = rates.get(name, 0.0) + max(now.cells[meter.at] - was, 0.0) / took
        self._rates[now.process] = rates
        self._blocks[now.process] = blocks

    def _kind(self, meter: Meter) -> Kind:
        """Blocks that differ in whose resource it was only are one."""
        key = (meter.name, meter.labels)
        found = self._kinds.get(key)
        if found is None:
            labels = tuple(pair for pair in meter.labels if pair[0] not in RESOURCES)
            found = self._kinds[key] = (meter.name, labels)
        return found

    # -- what the kernel knows ---------------------------------------------------------------

    def _used(self, known: Mapping[int, str], took: float, out: dict[str, float]) -> None:
        slow = self._turn % SLOW_EVERY == 0
        if slow:
            self._slow.clear()
        for part, usage in self._processes.usage(known, proportional=slow).items():
            labels = [("process", part)]
            before = self._cpu.get(part)
            self._cpu[part] = usage.cpu_s
            if part in self._own:
                out[name_of("process_cpu_cores", labels)] = self._own[part]
            elif before is not None and took:
                out[name_of("process_cpu_cores", labels)] = max(usage.cpu_s - before, 0.0) / took
            out[name_of("process_resident_bytes", labels)] = usage.rss_bytes
            out[name_of("process_count", labels)] = float(usage.processes)
            if slow:
                self._slow[name_of("process_proportional_bytes", labels)] = usage.pss_bytes
        out.update(self._slow)
        cpu = name_of("process_cpu_cores")
        out["cpu_cores"] = sum(v for k, v in out.items() if k.startswith(cpu))

    def _whole_machine(self, took: float, out: dict[str, float]) -> None:
        counted = machine.counters()
        if took:
            for name, value in counted.items():
                before = self._machine.get(name, value)
                told = name.replace("_bytes", "_bytes_per_second").replace("_cpu_", "_cpu_cores_")
                out[told] = max(value - before, 0.0) / took
        self._machine = counted
        out.update(machine.gauges(self.home))


def _tell(names: Names, block: Growth, out: dict[str, float], always: bool) -> None:
    """One kind of request's rates and times; rates that were never other than 0 are left out."""
    asked = growth.count(block)
    out[names.rate] = asked
    refused, failed = block.get(histogram.CLASSES + 4, 0.0), block.get(histogram.CLASSES + 5, 0.0)
    throttled = block.get(histogram.THROTTLED, 0.0)
    if always or refused or failed:
        out[names.refused], out[names.failed] = refused, failed
    if always or throttled:
        out[names.throttled] = throttled
    if asked > 0:
        out[names.mean] = block.get(histogram.NANOSECONDS, 0.0) / asked / 1e9
        out[names.p50] = histogram.sparse_quantile(block, 0.5)
        out[names.p99] = histogram.sparse_quantile(block, 0.99)
