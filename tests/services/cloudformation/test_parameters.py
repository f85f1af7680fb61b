"""Patterns of parameters: who writes a template may not hold up the process."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.cloudformation.parameters import settle


def settled(pattern: Any, value: str, count: int = 1) -> str:
    about = {"Type": "String", "AllowedPattern": pattern}
    names = [f"P{n}" for n in range(count)]
    given = [{"ParameterKey": n, "ParameterValue": value} for n in names]
    try:
        settle({"Parameters": dict.fromkeys(names, about)}, given, {})
    except AwsError as error:
        return f"{error.code}: {error.message}"
    return ""


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (r"(?:a|aa)+b", "a" * 60),
        (r"((a{1,60000}){1,60000}){1,60000}", "a" * 5000 + "b"),
        (r"(x+x+)+y", "x" * 80),
    ],
)
def test_a_catastrophic_pattern_ends(pattern: str, value: str) -> None:
    started = time.monotonic()
    assert settled(pattern, value, count=50).startswith("ValidationError: Parameter 'P0'")
    assert time.monotonic() - started < 60  # instead of years


@pytest.mark.parametrize(
    ("pattern", "value", "told"),
    [
        ("[a-z]{3}", "abc", ""),
        ("[a-z]{3}", "abcd", "must match pattern [a-z]{3}"),
        (r"^[a-zA-Z][-\w]*$", "My-name", ""),
        (r"\p{L}++", "Ünï", ""),  # as Java has them, and so AWS
        ("[", "x", "is not a pattern"),
        ("(" * 5000 + ")" * 5000, "x", "is not a pattern"),
        (17, "x", "is not a pattern"),
    ],
)
def test_patterns(pattern: Any, value: str, told: str) -> None:
    found = settled(pattern, value)
    assert told in found and bool(told) == bool(found)
