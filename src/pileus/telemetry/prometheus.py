"""Prometheus's text format 0.0.4: all counters of this node's processes.

https://prometheus.io/docs/instrumenting/exposition_formats/
Any process answers for all: the counters are read from the files the others publish.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pileus.telemetry import histogram, machine
from pileus.telemetry.catalogue import METRICS, RESOURCES
from pileus.telemetry.readings import Labels, Reading, Readings
from pileus.telemetry.series import STALE_S

SLOW_S = 10.0  # proportional memory is a millisecond's work per process
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
# Of a kind of block: its durations, its count by class of status (of functions: 2xx done, 5xx
# failed), and what was refused for its rate.
NAMES = {
    "pileus_request": (
        "pileus_request_duration_seconds",
        "pileus_requests_total",
        "pileus_requests_throttled_total",
    ),
    "pileus_function": (
        "pileus_function_duration_seconds",
        "pileus_function_invocations_total",
        "pileus_function_throttled_total",
    ),
}
Samples = dict[str, dict[Labels, float]]
Blocks = dict[tuple[str, Labels], list[float]]


@dataclass
class Exposition:
    """``text`` may be asked any time, from any thread."""

    home: Path
    supervisor: int
    _readings: Readings = field(init=False)
    _processes: machine.Processes = field(init=False)
    _shares: dict[str, float] = field(default_factory=dict)
    _slow_at: float = -1e9
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._readings = Readings(self.home)
        self._processes = machine.Processes(self.supervisor)

    def text(self) -> str:
        with self._turn:
            return self._text()

    def _text(self) -> str:
        readings = list(self._readings.all())
        samples: Samples = {}
        blocks: Blocks = {}
        for reading in readings:
            _process(reading, samples)
            _counters(reading, samples, blocks)
        self._usage(readings, samples)
        _machine(self.home, samples)
        lines = [line for kind in NAMES for line in _histogram(kind, blocks, samples)]
        for name in sorted(samples):
            lines.extend(_family(name, samples[name].items()))
        return "\n".join(lines) + "\n"

    def _usage(self, readings: Iterable[Reading], samples: Samples) -> None:
        known = {r.pid: r.process for r in readings}
        slow = time.monotonic() - self._slow_at > SLOW_S
        if slow:
            self._slow_at, self._shares = time.monotonic(), {}
        for part, usage in self._processes.usage(known, proportional=slow).items():
            labels = (("process", part),)
            if slow:
                self._shares[part] = usage.pss_bytes
            for name, value in (
                ("cpu_seconds_total", usage.cpu_s),
                ("resident_bytes", usage.rss_bytes),
                ("proportional_bytes", self._shares.get(part, 0.0)),
                ("count", float(usage.processes)),
            ):
                _add(samples, f"pileus_process_{name}", labels, value)


def _add(samples: Samples, name: str, labels: Labels, value: float) -> None:
    held = samples.setdefault(name, {})
    held[labels] = held.get(labels, 0.0) + value


def _process(reading: Reading, samples: Samples) -> None:
    labels = (("process", reading.process),)
    alive = time.time() - reading.at_s < STALE_S
    _add(samples, "pileus_process_up", labels, float(alive))
    _add(samples, "pileus_process_start_time_seconds", labels, reading.started_s)


def _counters(reading: Reading, samples: Samples, blocks: Blocks) -> None:
    for meter in reading.meters:
        if meter.kind == "requests":
            labels = tuple(pair for pair in meter.labels if pair[0] not in RESOURCES)
            held = blocks.get((meter.name, labels))
            now = list(reading.block(meter))
            blocks[meter.name, labels] = (
                now if held is None else [a + b for a, b in zip(held, now, strict=True)]
            )
            continue
        known = METRICS.get(meter.name)
        own = (("process", reading.process),) if known is not None and known.each else ()
        labels = tuple(pair for pair in meter.labels if pair[0] not in RESOURCES)
        _add(samples, meter.name, (*labels, *own), reading.cells[meter.at])


def _machine(home: Path, samples: Samples) -> None:
    for name, value in machine.counters().items():
        if name.startswith("machine_cpu_"):
            labels: Labels = (("mode", name.removeprefix("machine_cpu_")),)
            _add(samples, "pileus_machine_cpu_seconds_total", labels, value)
            continue
        device, way = name.removeprefix("machine_").removesuffix("_bytes").split("_")
        if device == "disk":
            _add(samples, "pileus_machine_disk_bytes_total", (("direction", way),), value)
        else:
            labels = (("direction", way), ("interface", device))
            _add(samples, "pileus_machine_network_bytes_total", labels, value)
    for name, value in machine.gauges(home).items():
        kind = name.removeprefix("machine_").removesuffix("_bytes").rpartition("_")[2]
        if name.startswith("machine_memory_") and name.endswith("_bytes"):
            _add(samples, "pileus_machine_memory_bytes", (("kind", kind),), value)
        elif name.startswith("disk_"):
            _add(samples, "pileus_disk_bytes", (("kind", kind),), value)
        elif name.endswith("_pressure"):
            resource = name.removeprefix("machine_").removesuffix("_pressure")
            _add(samples, "pileus_machine_pressure", (("resource", resource),), value)
        else:
            _add(samples, "pileus_machine_load", (), value)


def _histogram(kind: str, blocks: Blocks, samples: Samples) -> Iterator[str]:
    """The durations of one kind of block; the other samples of its blocks are added."""
    names = NAMES[kind]
    name = names[0]
    yield f"# HELP {name} {METRICS[name].meaning}"
    yield f"# TYPE {name} histogram"
    for (held, labels), block in sorted(blocks.items()):
        count = histogram.count_of(block)
        if held != kind or not (count or block[histogram.THROTTLED]):
            continue
        for bound, seen in histogram.octaves(block):
            yield f"{name}_bucket{_told((*labels, ('le', f'{bound:.6g}')))} {_number(seen)}"
        yield f"{name}_bucket{_told((*labels, ('le', '+Inf')))} {_number(count)}"
        yield f"{name}_sum{_told(labels)} {block[histogram.NANOSECONDS] / 1e9!r}"
        yield f"{name}_count{_told(labels)} {_number(count)}"
        for place, status in enumerate(CLASSES, 2):
            if block[place]:
                _add(samples, names[1], (*labels, ("status", status)), block[place])
        if block[histogram.THROTTLED]:
            _add(samples, names[2], labels, block[histogram.THROTTLED])
        if kind == "pileus_request":
            _add(samples, "pileus_response_bytes_total", labels, block[histogram.BYTES])


def _family(name: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    known = METRICS[name]
    yield f"# HELP {name} {known.meaning}"
    yield f"# TYPE {name} {known.kind}"
    for labels, value in sorted(samples):
        yield f"{name}{_told(labels)} {_number(value)}"


def joined(texts: Mapping[str, str], up: Mapping[str, bool]) -> str:
    """Several nodes' texts as one: families together, each sample labelled with its node. ``up``:
    which of the nodes asked are told of."""
    families: dict[str, list[str]] = {}
    for node, text in sorted(texts.items()):
        mark = f'node="{_escaped(node)}"'
        family: list[str] = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = families.setdefault(line, [])
            elif line.startswith("#"):
                family[:] = family or [line]
            else:
                family.append(_marked(line, mark) if node else line)
    lines = [line for head, family in families.items() for line in (head, *family)]
    nodes = [((("node", node),), float(is_up)) for node, is_up in up.items() if node]
    return "\n".join([*lines, *(_family("pileus_node_up", nodes) if nodes else ())]) + "\n"


def _marked(sample: str, mark: str) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f"{name}{{{mark},{rest}"
    name, _, value = sample.partition(" ")
    return f"{name}{{{mark}}} {value}"


def _told(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escaped(v)}"' for k, v in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
