"""Durations in buckets: placed right, percentiles near the truth."""

import math
import random
from time import perf_counter_ns

import pytest

from pileus.telemetry import histogram


@pytest.mark.parametrize("seconds", [1e-6, 5e-6, 31e-6, 1e-3, 0.01, 0.25, 1.0, 59.0, 1700.0])
def test_a_duration_lies_within_its_bucket(seconds: float) -> None:
    bucket = histogram.place(seconds)
    assert histogram.FIRST <= bucket < histogram.CELLS
    assert histogram.below(bucket) <= seconds < histogram.above(bucket)


def test_a_year_is_counted_in_the_last_doubling() -> None:
    assert histogram.place(3e7) == histogram.BITS_MAX << 2


def test_counting_fills_the_block_of_the_request_and_no_other() -> None:
    cells = [0.0] * (3 * histogram.CELLS)
    count = histogram.counting(cells, 0)
    begun = perf_counter_ns() - 5_000_000
    count(histogram.CELLS, 200, 10, begun)
    count(histogram.CELLS, 503, 7, begun - 4_000_000_000_000)
    count(0, 404, 1, begun)
    block = cells[histogram.CELLS : 2 * histogram.CELLS]
    assert histogram.count_of(block) == 2 and sum(block[histogram.FIRST :]) == 2
    assert block[histogram.BYTES] == 17 and block[3] == block[6] == 1
    assert cells[5] == 1 and not any(cells[2 * histogram.CELLS :])


def test_percentiles_are_within_an_eighth() -> None:
    chance = random.Random(4)
    told = [chance.lognormvariate(-6, 1) for _ in range(20_000)]
    block = [0.0] * histogram.CELLS
    for seconds in told:
        block[histogram.place(seconds)] += 1
    told.sort()
    for share in (0.1, 0.5, 0.9, 0.99, 0.999):
        truth = told[int(share * len(told))]
        assert histogram.quantile(block, share) == pytest.approx(truth, rel=0.125)


def test_nothing_counted_has_no_percentile() -> None:
    assert math.isnan(histogram.quantile([0.0] * histogram.CELLS, 0.5))


def test_octaves_grow_to_the_count_of_what_is_shorter_than_a_minute() -> None:
    block = [0.0] * histogram.CELLS
    for seconds in (1e-5, 1e-3, 0.5, 3.0):
        block[histogram.place(seconds)] += 1
    told = list(histogram.octaves(block))
    assert [seen for _, seen in told] == sorted(seen for _, seen in told)
    assert told[0] == (pytest.approx(65.536e-6), 1) and told[-1][1] == 4
