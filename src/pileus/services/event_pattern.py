"""Patterns of events: which records, messages or events somebody wants to see.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
A pattern holds when every field it names holds one of the values or comparisons of its list. Only
leaves are compared: a field that is an object, or an empty list, is not there; of a list, one
element is enough. Patterns are read once into closures.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

DEPTH_MAX = 32
Test = Callable[[Any], bool]
_ABSENT: Any = object()
_NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class Wrong(ValueError):
    """It is no pattern; the words say why."""


def pattern(told: Any) -> Test:
    """What says of a record whether it passes; ``Wrong`` for what is no pattern."""
    if not isinstance(told, dict):
        raise Wrong("Filter is not an object")
    return _fields(told, 0)


def alternatives(name: str, wanted: Any) -> bool:
    """Whether a member is ``$or`` over patterns. One that lists comparisons, or a single object,
    is a field that happens to be called so."""
    return (
        name == "$or"
        and isinstance(wanted, list)
        and len(wanted) > 1
        and all(isinstance(w, dict) and not w.keys() & _COMPARISONS.keys() for w in wanted)
    )


def _fields(told: dict[str, Any], depth: int) -> Test:
    """Every field must hold."""
    if depth > DEPTH_MAX:
        raise Wrong(f"Objects are more than {DEPTH_MAX} deep")
    tests: list[Test] = []
    for name, wanted in told.items():
        if alternatives(name, wanted):
            tests.append(_any([_fields(w, depth + 1) for w in wanted]))
        elif isinstance(wanted, dict):
            tests.append(_inside(name, _fields(wanted, depth + 1)))
        elif isinstance(wanted, list):
            if not wanted:
                raise Wrong("Empty arrays are not allowed")
            tests.append(_field(name, [_value(w) for w in wanted]))
        else:
            raise Wrong(f'"{name}" must be an object or an array')
    return lambda record: all(test(record) for test in tests)


def _any(tests: list[Test]) -> Test:
    return lambda found: any(test(found) for test in tests)


def _members(record: Any, name: str) -> list[Any]:
    """What a field holds, out of lists within lists; nothing where there is no such field."""
    pending = [record[name]] if isinstance(record, dict) and name in record else []
    found = []
    while pending:
        member = pending.pop()
        if isinstance(member, list):
            pending.extend(member)
        else:
            found.append(member)
    return found


def _inside(name: str, test: Test) -> Test:
    """Of a list's objects one must hold all; where there is none, what asks for absence holds."""

    def inside(record: Any) -> bool:
        objects = [m for m in _members(record, name) if isinstance(m, dict)]
        return any(test(m) for m in objects or [_ABSENT])

    return inside


def _field(name: str, tests: list[Test]) -> Test:
    whole = _any(tests)

    def field(record: Any) -> bool:
        leaves = [m for m in _members(record, name) if not isinstance(m, dict)]
        return any(whole(m) for m in leaves or [_ABSENT])

    return field


def _value(wanted: Any) -> Test:
    if isinstance(wanted, dict):
        if len(wanted) != 1:
            raise Wrong("Only one key allowed in match expression")
        ((name, told),) = wanted.items()
        make = _COMPARISONS.get(name)
        if make is None:
            raise Wrong(f"Unrecognized match type {name}")
        return make(told)
    if isinstance(wanted, list):
        raise Wrong("Match value must be String, number, true, false, or null")
    return lambda found: _same(found, wanted)


def _same(found: Any, wanted: Any) -> bool:
    """Of one kind, and equal; 300 and 300.0 are one number."""
    if _is_number(found) and _is_number(wanted):
        return bool(found == wanted)
    return type(found) is type(wanted) and found == wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(name: str, test: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    """A comparison of texts."""

    def make(told: Any) -> Test:
        if not isinstance(told, str):
            raise Wrong(f"{name} match pattern must be a string")
        return lambda found: isinstance(found, str) and test(found, told)

    return make


def _exists(told: Any) -> Test:
    if not isinstance(told, bool):
        raise Wrong("exists match pattern must be either true or false")
    return lambda found: (found is not _ABSENT) == told


def _anything_but(told: Any) -> Test:
    """Any value but some, or any text but those that a comparison holds of."""
    if isinstance(told, dict):
        ((name, texts),) = told.items() if len(told) == 1 else [("", "")]
        if name not in _OF_TEXTS:
            raise Wrong("anything-but takes values or one comparison of texts")
        inner = _any([_OF_TEXTS[name](t) for t in _listed(texts)])
        return lambda found: isinstance(found, str) and not inner(found)
    values = _listed(told)
    if any(isinstance(v, dict | list) for v in values):
        raise Wrong("Inside anything-but list, values must be strings or numbers")
    return lambda found: found is not _ABSENT and not any(_same(found, v) for v in values)


def _listed(told: Any) -> list[Any]:
    values = told if isinstance(told, list) else [told]
    if not values:
        raise Wrong("Empty arrays are not allowed")
    return values


def _numeric(told: Any) -> Test:
    if not isinstance(told, list) or not told or len(told) % 2:
        raise Wrong("Value of numeric must be an array of operators and numbers")
    pairs = list(zip(told[::2], told[1::2], strict=True))
    if not all(isinstance(o, str) and o in _NUMERIC and _is_number(n) for o, n in pairs):
        raise Wrong("Value of numeric must be an array of operators and numbers")
    return lambda found: _is_number(found) and all(_NUMERIC[o](found, n) for o, n in pairs)


def _cidr(told: Any) -> Test:
    """Texts that are addresses of a network (an address alone is a network of one)."""
    try:
        network = ipaddress.ip_network(told if isinstance(told, str) else "", strict=False)
    except ValueError:
        raise Wrong("Malformed CIDR, one '/' required") from None

    def test(found: Any) -> bool:
        try:
            return isinstance(found, str) and ipaddress.ip_address(found) in network
        except ValueError:
            return False

    return test


def _wildcard(told: Any) -> Test:
    r"""``*`` stands for any characters, ``\*`` and ``\\`` for themselves. Read from the left, each
    piece where it first is: a text takes one pass, whatever the pattern."""
    if not isinstance(told, str):
        raise Wrong("wildcard match pattern must be a string")
    if re.fullmatch(r"(\\[*\\]|[^\\])*", told, re.DOTALL) is None:
        raise Wrong("Invalid escape character in wildcard match pattern")
    pieces = [""]
    for one in re.findall(r"\\.|.", told, re.DOTALL):
        if one == "*":
            pieces.append("")
        else:
            pieces[-1] += one[-1]
    if "" in pieces[1:-1]:
        raise Wrong("Consecutive wildcard characters are not allowed")
    first, *middle = pieces
    last = middle.pop() if middle else None

    def test(found: Any) -> bool:
        if not isinstance(found, str) or last is None:
            return bool(found == first)
        place, end = len(first), len(found) - len(last)
        if not (found.startswith(first) and found.endswith(last)) or end < place:
            return False
        for piece in middle:
            place = found.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True

    return test


_OF_TEXTS: dict[str, Callable[[Any], Test]] = {
    "prefix": _text("prefix", str.startswith),
    "suffix": _text("suffix", str.endswith),
    "equals-ignore-case": _text("equals-ignore-case", lambda a, b: a.casefold() == b.casefold()),
    "wildcard": _wildcard,
}
_COMPARISONS: dict[str, Callable[[Any], Test]] = {
    "exists": _exists,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    **_OF_TEXTS,
}
