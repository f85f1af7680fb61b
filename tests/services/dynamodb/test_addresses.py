"""Row keys: order, distinctness, spans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pileus.services.dynamodb.addresses import index_sort, index_span, segment, span
from pileus.state import keys

parts = st.binary(max_size=6) | st.sampled_from([b"\x00", b"\x00\x01", b"\xff\xff", b"a\x00b"])
OPERATORS = {
    "EQ": lambda v, a, b: v == a,
    "LT": lambda v, a, b: v < a,
    "LE": lambda v, a, b: v <= a,
    "GT": lambda v, a, b: v > a,
    "GE": lambda v, a, b: v >= a,
    "BETWEEN": lambda v, a, b: a <= v <= b,
    "BEGINS_WITH": lambda v, a, b: v.startswith(a),
}


@given(parts, parts, parts, parts)
def test_base_rows_order_by_sort_key_within_a_partition(
    p: bytes, a: bytes, b: bytes, c: bytes
) -> None:
    x, y = keys.key("t", p, a), keys.key("t", p, b)
    assert (x < y) == (a < b)
    assert keys.split(x) == ("t", p, a)


@given(st.sampled_from(sorted(OPERATORS)), parts, parts, parts, parts)
def test_span_holds_exactly_what_meets_the_condition(
    operator: str, a: bytes, b: bytes, value: bytes, item: bytes
) -> None:
    wanted = OPERATORS[operator](value, a, b)
    prefix = keys.partition_prefix("t", b"p")
    base = span(prefix, operator, [a, b])
    assert (base.start <= keys.key("t", b"p", value) < base.end) == wanted
    row = keys.key("t", b"p", index_sort(value, item))
    indexed = index_span(prefix, b"", operator, [a, b], True)
    assert (indexed.start <= row < indexed.end) == wanted


@given(st.sampled_from(sorted(OPERATORS)), parts, parts, parts, parts, parts)
def test_span_on_a_leading_part_of_a_composite_range(
    operator: str, a: bytes, b: bytes, first: bytes, second: bytes, item: bytes
) -> None:
    prefix = keys.partition_prefix("t", b"p")
    row = keys.key("t", b"p", index_sort(keys.escape(first) + second, item))
    found = index_span(prefix, b"", operator, [a, b], False)
    assert (found.start <= row < found.end) == OPERATORS[operator](first, a, b)


@given(st.integers(1, 1000), st.lists(st.binary(max_size=8), max_size=20))
def test_segments_share_out_every_row_once(total: int, partitions: list[bytes]) -> None:
    cuts = [segment("t", n, total) for n in range(total)]
    for partition in partitions:
        row = keys.key("t", partition)
        assert sum(c.start <= row < c.end for c in cuts) == 1
