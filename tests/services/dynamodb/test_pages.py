"""Where a page of Query and Scan ends: the service's own measure of an item (dynalite's
figures)."""

from __future__ import annotations

import orjson
import pytest

from pileus.services.dynamodb.addresses import Span
from pileus.services.dynamodb.pages import PAGE_BYTES_MAX, read_page, stored_size


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": {"S": "x"}}, 2 + 3 + 18),
        ({"a": {"S": "x" * 200}}, 2 + 203 + 18),
        ({"a": {"S": "xy"}, "r": {"S": "abc"}}, 2 + 4 + 18 + 3),
        ({"a": {"S": "x" * 4000}, "r": {"S": "abc"}}, 2 + 4003 + 2 * 21),
        ({"a": {"SS": ["a", "bc"]}, "b": {"BOOL": True}, "c": {"NULL": True}}, 2 + 10 + 18),
        ({"m": {"M": {"k": {"N": "12"}}}}, 2 + 1 + 3 + 1 + 1 + 3 + 18),
    ],
)
def test_an_item_as_stored(item, size):
    assert stored_size(item, "r") == size


def pages_of(items, limit=0, priced=False):
    """Read all pages of made-up rows; the number of rows in each."""
    rows = [(b"%06d" % n, orjson.dumps(i)) for n, i in enumerate(items)]

    def pairs(start, end, want, reverse):
        return [r for r in rows if start <= r[0] < end][:want]

    start, out = b"", []
    while True:
        page = read_page(pairs, Span(start, b"~"), False, limit, priced, "")
        out.append(len(page.texts))
        if not page.more:
            return out
        start = rows[sum(out) - 1][0] + b"\x00"


def test_a_page_ends_with_the_item_that_fills_it():
    size = 41_943  # a 25th of a page
    blocks = (1 + (1 + size) // 3072) * 18
    just = {"a": {"S": "x" * (size - blocks - 6)}}
    assert stored_size(just, "") == size
    more = {"a": {"S": "x" * (PAGE_BYTES_MAX - 24 * size - blocks - 6)}}
    assert stored_size(more, "") + 24 * size == PAGE_BYTES_MAX
    for priced in (False, True):
        assert pages_of([just] * 24 + [more], priced=priced) == [25, 0]
        less = {"a": {"S": more["a"]["S"][1:]}}
        assert pages_of([just] * 24 + [less], priced=priced) == [25]


def test_many_small_rows_and_a_limit():
    tiny = [{"a": {"S": f"{n:05d}"}} for n in range(60_000)]
    counts = pages_of(tiny)
    assert sum(counts) == 60_000 and counts[0] == -(-PAGE_BYTES_MAX // 27)
    assert pages_of(tiny[:10], limit=4) == [4, 4, 2]
