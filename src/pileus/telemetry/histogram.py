"""Durations in fixed logarithmic buckets, four to a doubling: no percentile is off by more than an
eighth. A block of cells counts one kind of request: how many, how long, how much.

The layout of a block (``CELLS`` numbers): 0 nanoseconds in all, 1 bytes answered, 2-6 answers by
status class (1xx-5xx), 7 of them throttled, from 12 on the buckets. A bucket's number holds the
highest three bits of the duration in units of 1,024 ns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter_ns

CELLS = 128
NANOSECONDS, BYTES, CLASSES, THROTTLED, FIRST = 0, 1, 1, 7, 12
BITS_MAX = 31
SHORT = 1024  # units whose buckets are known without computing
UNIT_S = 1024e-9
Cells = Sequence[float]


def counting(cells: list[float], own: int) -> Callable[[int, int, int, int], None]:
    """``count(block, status, size_bytes, begun_ns)`` for the path of every request; ``own`` is the
    block of requests that nobody gave one (0)."""

    short = _short()

    def count(block: int, status: int, size: int, begun: int) -> None:
        took = perf_counter_ns() - begun
        block = block or own
        cells[block] += took
        cells[block + 1] += size
        if status == 200:
            cells[block + 3] += 1
        else:
            cells[block + 1 + status // 100] += 1
        units = took >> 10
        if units < SHORT:
            cells[block + short[units]] += 1
        else:
            cells[block + _bucket(units)] += 1

    return count


def add(cells: list[float], block: int, status: int, size: int, seconds: float) -> None:
    """Count something that took so long, off the path of every request."""
    cells[block] += int(seconds * 1e9)
    cells[block + BYTES] += size
    cells[block + CLASSES + status // 100] += 1
    cells[block + place(seconds)] += 1


def add_turn(cells: list[float], block: int, size: int, begun: Sequence[int], ended: int) -> None:
    """Count answers 200 of ``size`` bytes together, begun at these times and sent at one."""
    short, count = _short(), len(begun)
    for since in begun:
        units = ended - since >> 10
        cells[block + (short[units] if units < SHORT else _bucket(units))] += 1
    cells[block + NANOSECONDS] += ended * count - sum(begun)
    cells[block + BYTES] += size
    cells[block + CLASSES + 2] += count


@functools.cache
def _short() -> tuple[int, ...]:
    """The buckets of the shortest durations."""
    return tuple(map(_bucket, range(SHORT)))


def place(seconds: float) -> int:
    """The bucket of a duration."""
    return _bucket(int(seconds / UNIT_S))


def _bucket(units: int) -> int:
    """The highest three bits of a duration in units; what is longer than half an hour is alike."""
    units |= 4
    bits = units.bit_length()
    return (bits << 2) + (units >> bits - 3 & 3) if bits <= BITS_MAX else BITS_MAX << 2


def above(bucket: int) -> float:
    """The seconds below which the durations of ``bucket`` lie."""
    return float((5 + (bucket & 3)) << (bucket >> 2) - 3) * UNIT_S


def below(bucket: int) -> float:
    """The seconds from which the durations of ``bucket`` lie (0 of the first)."""
    return float((4 + (bucket & 3)) << (bucket >> 2) - 3) * UNIT_S if bucket > FIRST else 0.0


def count_of(block: Cells) -> float:
    """How many requests a block counted."""
    return sum(block[CLASSES + 1 : CLASSES + 6])


def quantile(block: Cells, share: float) -> float:
    """Seconds that ``share`` (0..1) of the requests did not exceed, by linear interpolation within
    a bucket; NaN when there was none."""
    return sparse_quantile({i: block[i] for i in range(FIRST, CELLS) if block[i]}, share)


def sparse_quantile(held: Mapping[int, float], share: float) -> float:
    """The same of a block's cells that are not 0."""
    buckets = sorted(i for i in held if i >= FIRST)
    wanted, seen = share * sum(held[i] for i in buckets), 0.0
    for bucket in buckets:
        count = held[bucket]
        if seen + count >= wanted * (1 - 1e-12) or bucket == buckets[-1]:
            low, high = below(bucket), above(bucket)
            return low + (high - low) * min(max(wanted - seen, 0.0) / count, 1.0)
        seen += count
    return float("nan")


def octaves(block: Cells) -> Iterator[tuple[float, float]]:
    """(upper bound in seconds, how many at most that long), one for each doubling that matters to
    a reader: 65 µs to 67 s."""
    seen = sum(block[FIRST : 6 << 2])
    for bits in range(6, 27):
        seen += sum(block[bits << 2 : (bits + 1) << 2])
        yield float(1 << bits) * UNIT_S, seen
