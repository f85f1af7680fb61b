"""Wildcards and variables."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.policy.patterns import fill, glob, matches


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_glob_agrees_with_a_plain_reading(pattern: str, text: str) -> None:
    plain = re.compile(fnmatch.translate(pattern))
    assert glob(pattern)(text) == (plain.match(text) is not None)


def test_no_pattern_makes_a_match_slow() -> None:
    begun = time.thread_time()
    assert not glob("*a" * 40 + "b")("a" * 2000)
    assert time.thread_time() - begun < 1


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("home/${aws:username}/*", "home/bob/x", True),
        ("home/${AWS:UserName}/*", "home/bob/x", True),
        ("home/${aws:username}/*", "home/eve/x", False),
        ("${aws:missing}", "", False),
        ("${aws:missing, 'team'}", "team", True),
        ("a${*}b", "a*b", True),
        ("a${*}b", "axb", False),
        ("a${$}{b}", "a${b}", True),
        ("${aws:stars}", "anything", False),
        ("${aws:stars}", "*", True),
        ("${aws:many}", "x", False),
    ],
)
def test_variables(pattern: str, text: str, fits: bool) -> None:
    context = {"aws:username": "bob", "aws:stars": "*", "aws:many": ["x", "y"]}
    assert matches(pattern, text, context) is fits


def test_fill_keeps_what_is_no_variable() -> None:
    assert fill("a-${aws:x}-$b", {"aws:x": True}) == "a-true-$b"
    assert fill("${aws:x}", {}) is None
