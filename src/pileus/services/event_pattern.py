"""Patterns of events: which records, messages or events somebody wants to see.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
A pattern holds when every field it names holds one of the values or comparisons of its list. Only
leaves are compared: a field that is an object, or an empty list, is not there; of a list, one
element is enough. Patterns are read once into closures, a record's fields once into sets: both
may be long, and many patterns may ask the same record.
"""

from __future__ import annotations

import ipaddress
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

DEPTH_MAX = 32
Test = Callable[[Any], bool]
_LEAST, _MOST = ("=", ">", ">="), ("=", "<", "<=")


class Wrong(ValueError):
    """It is no pattern; the words say why."""


class Field(NamedTuple):
    """What a field holds, out of lists within lists. ``leaves``: each once, as ``_leaf`` has it;
    ``texts`` and ``numbers`` (in order) are those of them that are."""

    leaves: frozenset[Hashable]
    texts: tuple[str, ...]
    numbers: tuple[float, ...]
    objects: tuple[Record, ...]


class Record:
    """An object whose fields are read when they are first asked for."""

    __slots__ = ("_known", "_told")

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._known: dict[str, Field] = {}

    def field(self, name: str) -> Field:
        found = self._known.get(name)
        if found is None:
            if name not in self._told:
                return _NOTHING  # not kept: anybody may ask for any name
            found = self._known[name] = _read(self._told[name])
        return found


def _read(told: Any) -> Field:
    pending = [told]
    leaves, objects = set[Hashable](), []
    while pending:
        member = pending.pop()
        if isinstance(member, list):
            pending.extend(member)
        elif isinstance(member, dict):
            objects.append(Record(member))
        else:
            leaves.add(_leaf(member))
    texts = tuple(m for m in leaves if isinstance(m, str))
    numbers = tuple(sorted(m for m in leaves if isinstance(m, int | float)))
    return Field(frozenset(leaves), texts, numbers, tuple(objects))


_NOTHING = Field(frozenset(), (), (), ())
_NOBODY = Record({})
OfField = Callable[[Field], bool]


def _leaf(value: Any) -> Hashable:
    """Equal for what patterns take for the same: 300 and 300.0, but not 1, "1" and true."""
    return (value,) if value is None or isinstance(value, bool) else value


def pattern(told: Any) -> Test:
    """What says of a record (a dictionary, or a ``Record`` that is asked more than once) whether it
    passes; ``Wrong`` for what is no pattern."""
    if not isinstance(told, dict):
        raise Wrong("Filter is not an object")
    fields = _fields(told, 0)
    return lambda record: fields(_record(record))


def _record(told: Any) -> Record:
    if isinstance(told, Record):
        return told
    return Record(told) if isinstance(told, dict) else _NOBODY


def alternatives(name: str, wanted: Any) -> bool:
    """Whether a member is ``$or`` over patterns. One that lists comparisons, or a single object,
    is a field that happens to be called so."""
    return (
        name == "$or"
        and isinstance(wanted, list)
        and len(wanted) > 1
        and all(isinstance(w, dict) and not w.keys() & _COMPARISONS.keys() for w in wanted)
    )


def _fields(told: dict[str, Any], depth: int) -> Callable[[Record], bool]:
    """Every field must hold."""
    if depth > DEPTH_MAX:
        raise Wrong(f"Objects are more than {DEPTH_MAX} deep")
    tests: list[Callable[[Record], bool]] = []
    for name, wanted in told.items():
        if alternatives(name, wanted):
            tests.append(_either([_fields(w, depth + 1) for w in wanted]))
        elif isinstance(wanted, dict):
            tests.append(_inside(name, _fields(wanted, depth + 1)))
        elif isinstance(wanted, list):
            if not wanted:
                raise Wrong("Empty arrays are not allowed")
            tests.append(_field(name, wanted))
        else:
            raise Wrong(f'"{name}" must be an object or an array')
    return lambda record: all(test(record) for test in tests)


def _either(tests: list[Callable[[Record], bool]]) -> Callable[[Record], bool]:
    return lambda record: any(test(record) for test in tests)


def _inside(name: str, test: Callable[[Record], bool]) -> Callable[[Record], bool]:
    """Of a list's objects one must hold all; where there is none, what asks for absence holds."""
    return lambda record: any(test(o) for o in record.field(name).objects or (_NOBODY,))


def _field(name: str, wanted: list[Any]) -> Callable[[Record], bool]:
    exact, told = set[Hashable](), dict[str, list[Any]]()
    for one in wanted:
        if isinstance(one, list):
            raise Wrong("Match value must be String, number, true, false, or null")
        if not isinstance(one, dict):
            exact.add(_leaf(one))
            continue
        if len(one) != 1:
            raise Wrong("Only one key allowed in match expression")
        ((comparison, value),) = one.items()
        if comparison not in _COMPARISONS:
            raise Wrong(f"Unrecognized match type {comparison}")
        told.setdefault(comparison, []).append(value)
    tests = [_COMPARISONS[comparison](values) for comparison, values in told.items()]

    def test(record: Record) -> bool:
        field = record.field(name)
        return not exact.isdisjoint(field.leaves) or any(test(field) for test in tests)

    return test


# -- comparisons: made of all values that one list has for them --------------------------------


def _each(make: Callable[[Any], OfField]) -> Callable[[list[Any]], OfField]:
    """A comparison that is made of one value."""

    def made(values: list[Any]) -> OfField:
        tests = [make(value) for value in values]
        return tests[0] if len(tests) == 1 else lambda field: any(test(field) for test in tests)

    return made


def _exists(told: Any) -> OfField:
    if not isinstance(told, bool):
        raise Wrong("exists match pattern must be either true or false")
    return lambda field: bool(field.leaves) == told


def _anything_but(told: Any) -> OfField:
    """Any value but some, or any text but those that a comparison holds of."""
    if isinstance(told, dict):
        ((name, texts),) = told.items() if len(told) == 1 else [("", "")]
        if name not in _OF_TEXTS:
            raise Wrong("anything-but takes values or one comparison of texts")
        holds = _OF_TEXTS[name](_listed(texts))
        return lambda field: not all(map(holds, field.texts))
    values = _listed(told)
    if any(isinstance(v, dict | list) for v in values):
        raise Wrong("Inside anything-but list, values must be strings or numbers")
    but = frozenset(map(_leaf, values))
    return lambda field: not field.leaves <= but


def _listed(told: Any) -> list[Any]:
    values = told if isinstance(told, list) else [told]
    if not values:
        raise Wrong("Empty arrays are not allowed")
    return values


def _numeric(told: Any) -> OfField:
    """A range that one of the numbers is in: the first that is not below it decides."""
    if not isinstance(told, list) or not told or len(told) % 2:
        raise Wrong("Value of numeric must be an array of operators and numbers")
    low, high = (-math.inf, False), (math.inf, True)  # with: above it only; it, too
    for operator, number in zip(told[::2], told[1::2], strict=True):
        known = operator in (*_LEAST, *_MOST) and isinstance(number, int | float)
        if not known or isinstance(number, bool):
            raise Wrong("Value of numeric must be an array of operators and numbers")
        if operator in _LEAST:
            low = max(low, (number, operator == ">"))
        if operator in _MOST:
            high = min(high, (number, operator != "<"))

    def test(field: Field) -> bool:
        place = (bisect_right if low[1] else bisect_left)(field.numbers, low[0])
        found = field.numbers[place : place + 1]
        return any(n < high[0] or (high[1] and n == high[0]) for n in found)

    return test


def _cidr(values: list[Any]) -> OfField:
    """Texts that are addresses of a network (an address alone is a network of one)."""
    try:
        told = _strings("cidr", values)
        networks = [ipaddress.ip_network(value, strict=False) for value in told]
    except ValueError:
        raise Wrong("Malformed CIDR, one '/' required") from None

    def within(text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return lambda field: any(map(within, field.texts))


# -- of texts: whether one of some values holds of a text --------------------------------------


def _strings(name: str, values: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise Wrong(f"{name} match pattern must be a string")
    return tuple(values)


def _prefix(values: list[Any]) -> Callable[[str], bool]:
    told = _strings("prefix", values)
    return lambda text: text.startswith(told)


def _suffix(values: list[Any]) -> Callable[[str], bool]:
    told = _strings("suffix", values)
    return lambda text: text.endswith(told)


def _ignoring_case(values: list[Any]) -> Callable[[str], bool]:
    told = frozenset(value.casefold() for value in _strings("equals-ignore-case", values))
    return lambda text: text.casefold() in told


def _wildcard(values: list[Any]) -> Callable[[str], bool]:
    tests = [_one_wildcard(value) for value in _strings("wildcard", values)]
    return lambda text: any(test(text) for test in tests)


def _one_wildcard(told: str) -> Callable[[str], bool]:
    r"""``*`` stands for any characters, ``\*`` and ``\\`` for themselves. Read from the left, each
    piece where it first is: a text takes one pass, whatever the pattern."""
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
    if not middle:
        return lambda text: text == first
    last = middle.pop()

    def test(text: str) -> bool:
        place, end = len(first), len(text) - len(last)
        if not (text.startswith(first) and text.endswith(last)) or end < place:
            return False
        for piece in middle:
            place = text.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True

    return test


def _of_texts(make: Callable[[list[Any]], Callable[[str], bool]]) -> Callable[[list[Any]], OfField]:
    def made(values: list[Any]) -> OfField:
        holds = make(values)
        return lambda field: any(map(holds, field.texts))

    return made


_OF_TEXTS: dict[str, Callable[[list[Any]], Callable[[str], bool]]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _ignoring_case,
    "wildcard": _wildcard,
}
_COMPARISONS: dict[str, Callable[[list[Any]], OfField]] = {
    "exists": _each(_exists),
    "anything-but": _each(_anything_but),
    "numeric": _each(_numeric),
    "cidr": _cidr,
    **{name: _of_texts(make) for name, make in _OF_TEXTS.items()},
}
