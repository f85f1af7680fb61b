"""Numbers: canonical text, size, byte order, arithmetic."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.errors import AwsError
from pileus.services.dynamodb import numbers

decimals = st.builds(
    lambda sign, digits, exponent: f"{sign}{digits}e{exponent}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**38 - 1),
    st.integers(-130, 87),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("+1", "1"),
        ("1.0", "1"),
        ("-001.50", "-1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1E+2", "100"),
        ("1e-3", "0.001"),
        ("-0.000", "0"),
        ("123456789012345678901234567890.12345678", "123456789012345678901234567890.12345678"),
        ("1e125", "1" + "0" * 125),
        ("1e-130", "0." + "0" * 129 + "1"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert numbers.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The parameter cannot be converted to a numeric value"),
        ("b", "cannot be converted to a numeric value: b"),
        ("1e126", "Number overflow"),
        ("1e-131", "Number underflow"),
        ("1" * 39, "more than 38 significant digits"),
        ("٣", "cannot be converted"),
        ("1_0", "cannot be converted"),
        ("NaN", "cannot be converted"),
        (".", "cannot be converted"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(AwsError, match=words):
        numbers.canonical(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 1), ("1", 2), ("12", 2), ("123", 3), ("-1", 3), ("100", 2), ("10", 2), ("1.5", 3)],
)
def test_size(text: str, size: int) -> None:
    assert numbers.size(text) == size


@given(decimals)
def test_canonical_keeps_the_value_and_is_final(text: str) -> None:
    canonical = numbers.canonical(text)
    assert Decimal(canonical) == Decimal(text)
    assert numbers.canonical(canonical) == canonical
    assert "e" not in canonical.lower()


@given(decimals, decimals)
def test_bytes_order_as_numbers(a: str, b: str) -> None:
    x, y = numbers.order_bytes(a), numbers.order_bytes(b)
    assert (x < y) == (Decimal(a) < Decimal(b))
    assert (x == y) == (Decimal(a) == Decimal(b))
    assert numbers.compare(numbers.canonical(a), numbers.canonical(b)) == (x > y) - (x < y)


@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
def test_arithmetic_is_exact(a: int, b: int) -> None:
    assert numbers.add(str(a), str(b)) == str(a + b)
    assert numbers.subtract(str(a), str(b)) == str(a - b)


def test_sum_beyond_38_digits_is_refused() -> None:
    with pytest.raises(AwsError, match="38 significant digits"):
        numbers.add("1" + "0" * 38, "1")
