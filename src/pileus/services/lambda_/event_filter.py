"""FilterCriteria of event source mappings: which records a function wants to see.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
A record passes when one of the patterns holds; a pattern when every field it names holds one of the
values or comparisons of its list. Patterns are read once into closures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.lambda_.names import invalid

FILTERS_MAX = 10
PATTERN_CHARS_MAX = 4096
DEPTH_MAX = 32
Test = Callable[[Any], bool]
_ABSENT = object()
_NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compiled(criteria: dict[str, Any] | None) -> Test:
    """What says of a record whether it passes; everything passes without filters.
    ``InvalidParameterValueException`` for what is no pattern."""
    filters = (criteria or {}).get("Filters") or []
    if len(filters) > FILTERS_MAX:
        raise invalid(f"The number of filters cannot exceed {FILTERS_MAX}.")
    tests = [_pattern((f or {}).get("Pattern") or "{}") for f in filters]
    if not tests:
        return lambda record: True
    return lambda record: any(test(record) for test in tests)


def _wrong() -> AwsError:
    return invalid("Invalid filter pattern definition.")


def _pattern(text: str) -> Test:
    if len(text) > PATTERN_CHARS_MAX:
        raise _wrong()
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _wrong() from None
    if not isinstance(told, dict):
        raise _wrong()
    return _fields(told, 0)


def _fields(told: dict[str, Any], depth: int) -> Test:
    """Every field must hold."""
    if depth > DEPTH_MAX:
        raise _wrong()
    tests: list[Test] = []
    for name, wanted in told.items():
        if name == "$or" and isinstance(wanted, list) and all(isinstance(w, dict) for w in wanted):
            tests.append(_any([_fields(w, depth + 1) for w in wanted]))
        elif isinstance(wanted, dict):
            tests.append(_inside(name, _fields(wanted, depth + 1)))
        elif isinstance(wanted, list) and wanted:
            tests.append(_field(name, [_value(w) for w in wanted]))
        else:
            raise _wrong()
    return lambda record: all(test(record) for test in tests)


def _any(tests: list[Test]) -> Test:
    return lambda found: any(test(found) for test in tests)


def _get(record: Any, name: str) -> Any:
    return record.get(name, _ABSENT) if isinstance(record, dict) else _ABSENT


def _inside(name: str, test: Test) -> Test:
    """A part that is not there has no fields: only ``exists: false`` can hold of it."""
    return lambda record: test(_get(record, name))


def _field(name: str, tests: list[Test]) -> Test:
    """Of a list in the record, one element is enough."""
    whole = _any(tests)

    def test(record: Any) -> bool:
        found = _get(record, name)
        if isinstance(found, list):
            return any(whole(item) for item in found)
        return whole(found)

    return test


def _value(wanted: Any) -> Test:
    if isinstance(wanted, dict):
        if len(wanted) != 1:
            raise _wrong()
        ((name, told),) = wanted.items()
        make = _COMPARISONS.get(name)
        if make is None:
            raise _wrong()
        return make(told)
    if isinstance(wanted, list):
        raise _wrong()
    return lambda found: _same(found, wanted)


def _same(found: Any, wanted: Any) -> bool:
    return found is not _ABSENT and type(found) is type(wanted) and found == wanted


def _text(told: Any, test: Callable[[str, str], bool]) -> Test:
    if not isinstance(told, str):
        raise _wrong()
    return lambda found: isinstance(found, str) and test(found, told)


def _exists(told: Any) -> Test:
    if not isinstance(told, bool):
        raise _wrong()
    return lambda found: (found is not _ABSENT and not isinstance(found, dict)) == told


def _anything_but(told: Any) -> Test:
    if isinstance(told, dict):
        inner = _value(told)
        return lambda found: isinstance(found, str) and not inner(found)
    values = told if isinstance(told, list) else [told]
    if not values or any(isinstance(v, dict | list) for v in values):
        raise _wrong()
    return lambda found: found is not _ABSENT and not any(_same(found, v) for v in values)


def _numeric(told: Any) -> Test:
    if not isinstance(told, list) or not told or len(told) % 2:
        raise _wrong()
    pairs = list(zip(told[::2], told[1::2], strict=True))
    if not all(o in _NUMERIC and _is_number(n) for o, n in pairs):
        raise _wrong()
    return lambda found: _is_number(found) and all(_NUMERIC[o](found, n) for o, n in pairs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_COMPARISONS: dict[str, Callable[[Any], Test]] = {
    "exists": _exists,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "prefix": lambda told: _text(told, str.startswith),
    "suffix": lambda told: _text(told, str.endswith),
    "equals-ignore-case": lambda told: _text(told, lambda a, b: a.casefold() == b.casefold()),
}
