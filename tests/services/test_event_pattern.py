"""Patterns of events: which values each comparison holds of, and what is no pattern."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.services.event_pattern import Record, Wrong, pattern

ITEMS = [{"name": "a", "size": 1}, {"name": "b", "size": 2}]
HOLDS: list[tuple[Any, list[Any], list[Any]]] = [
    (300, [300, 300.0, [7, 300]], [True, "300", 300.5, None]),
    (1, [1, 1.0], [True]),
    (None, [None], [0, "", False]),
    ({"exists": True}, ["a", None, ["a"], [{}, "a"]], [{}, [], {"b": 1}, [{}]]),
    ({"exists": False}, [{}, [], {"b": 1}], ["a", None, ["a"]]),
    ({"anything-but": "a"}, ["b", 1, ["a", "b"]], ["a", ["a"], [], {}, {"b": 1}]),
    ({"anything-but": [1, 2]}, [3, "1"], [1, 2.0]),
    ({"anything-but": {"prefix": "a"}}, ["ba"], ["ab", 1, {}]),
    ({"anything-but": {"suffix": ["a", "b"]}}, ["ac"], ["ca", "cb"]),
    ({"anything-but": {"wildcard": "*/x/*"}}, ["a/y/b"], ["a/x/b"]),
    ({"anything-but": {"equals-ignore-case": "A"}}, ["b"], ["a", "A"]),
    ({"numeric": [">", 0, "<=", 5]}, [0.1, 5, [9, 1, -1]], [0, 5.1, "3", True, [0, 6]]),
    ({"numeric": ["=", 5]}, [5, 5.0, [4, 5, 6]], [4, [4, 6], "5"]),
    ({"numeric": [">=", 5]}, [5, 1e300], [4.9]),
    ({"numeric": ["<", 5]}, [4.9, -1e300, 0], [5, False, None]),
    ({"numeric": [">", 5, "<", 5]}, [], [5, [4, 6]]),
    ({"cidr": "10.0.0.0/24"}, ["10.0.0.0", "10.0.0.255"], ["10.1.1.0", "ten", 10, "::a"]),
    ({"cidr": "2001:db8::/32"}, ["2001:db8::1"], ["2001:db9::1", "10.0.0.1"]),
    ({"wildcard": "a*c"}, ["ac", "abc", "abcc", "a\nc"], ["a", "abcd", "bac", 1]),
    ({"wildcard": "aa*aa"}, ["aaaa", "aabaa"], ["aaa", "aa"]),
    ({"wildcard": "*a*b*"}, ["ab", "xaxbx"], ["ba", "xbxa"]),
    ({"wildcard": r"\*\\*"}, ["*\\", "*\\x"], ["x\\", "**"]),
    ({"wildcard": "abc"}, ["abc"], ["abcd", "xabc"]),
    ({"wildcard": "*"}, ["", "a"], [1, None]),
]


@pytest.mark.parametrize(("wanted", "yes", "no"), HOLDS, ids=str)
def test_comparisons(wanted: Any, yes: list[Any], no: list[Any]) -> None:
    test = pattern({"field": [wanted]})
    assert [test({"field": value}) for value in yes] == [True] * len(yes)
    assert [test({"field": value}) for value in no] == [False] * len(no)


@pytest.mark.parametrize(
    ("told", "passes"),
    [
        ({"items": {"name": ["b"], "size": [2]}}, True),
        ({"items": {"name": ["a"], "size": [2]}}, False),  # both of one element
        ({"items": {"name": ["c"]}}, False),
        ({"none": {"name": [{"exists": False}]}}, True),
        ({"deep": ["x"]}, True),
        ({"$or": [{"one": ["x"]}, {"items": {"size": [1]}}]}, True),
        ({"$or": [{"one": ["x"]}, {"items": {"size": [3]}}]}, False),
        ({"$or": [{"prefix": "a"}, {"suffix": "z"}]}, False),  # a field that is called so
    ],
)
def test_nested_fields(told: Any, passes: bool) -> None:
    assert pattern(told)({"items": ITEMS, "deep": [["w", ["x"]]]}) is passes


def test_several_of_one_comparison() -> None:
    told = [{"prefix": "a"}, {"prefix": "b"}, {"cidr": "10.0.0.0/8"}, {"cidr": "::/0"}, "z"]
    test = pattern({"f": [*told, {"numeric": ["<", 1]}, {"numeric": [">", 9]}]})
    assert [test({"f": v}) for v in ("ax", "bx", "10.1.1.1", "::1", "z", 0, 10)] == [True] * 7
    assert [test({"f": v}) for v in ("xa", "9.1.1.1", 1, 9, None)] == [False] * 5


def test_a_record_is_read_once_whoever_asks() -> None:
    class Counted(dict[str, Any]):
        reads = 0

        def __getitem__(self, name: str) -> Any:
            Counted.reads += 1
            return super().__getitem__(name)

    record = Record(Counted(items=[{"name": "a"}], f=["x"] * 1000))
    for n in range(10):
        assert pattern({"f": ["x", {"prefix": str(n)}], "items": {"name": ["a"]}})(record)
        assert not pattern({"f": [str(n)]})(record)
        assert not pattern({f"gone{n}": {"name": ["a"]}})(record)
    assert Counted.reads == 2


def test_a_field_may_be_called_or() -> None:
    assert pattern({"$or": [{"prefix": "a"}, {"suffix": "z"}]})({"$or": "az"})


def test_lists_may_be_deep() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert pattern({"a": ["x"]})({"a": deep})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ([], "Empty arrays"),
        ("a", '"field" must be an object or an array'),
        ([["a"]], "Match value must be"),
        ([{}], "Only one key"),
        ([{"what": 1}], "Unrecognized match type what"),
        ([{"exists": 1}], "exists match pattern"),
        ([{"prefix": 1}], "prefix match pattern"),
        ([{"cidr": "10.0.0.0/33"}], "Malformed CIDR"),
        ([{"cidr": 10}], "Malformed CIDR"),
        ([{"wildcard": "a**b"}], "Consecutive wildcard"),
        ([{"wildcard": "a\\"}], "Invalid escape"),
        ([{"wildcard": "\\a"}], "Invalid escape"),
        ([{"wildcard": 1}], "wildcard match pattern"),
        ([{"anything-but": []}], "Empty arrays"),
        ([{"anything-but": {}}], "anything-but takes"),
        ([{"anything-but": {"exists": True}}], "anything-but takes"),
        ([{"anything-but": {"prefix": 1}}], "prefix match pattern"),
        ([{"numeric": [[], 1]}], "Value of numeric"),
        ([{"numeric": [">", True]}], "Value of numeric"),
    ],
)
def test_what_is_no_pattern(wanted: Any, words: str) -> None:
    with pytest.raises(Wrong, match=words):
        pattern({"field": wanted})
