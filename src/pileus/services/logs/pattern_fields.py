"""Space-delimited patterns: ``[ip, user, ..., status=4*, bytes>1000]``.

A line is cut at spaces; ``"…"`` and ``[…]`` count as one field. The pattern matches a line with
as many fields (any number where ``...`` stands) whose conditions hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pileus.services.logs.pattern_json import text_test
from pileus.services.logs.rows import invalid

_CUT = re.compile(r'"([^"]*)"|\[([^\]]*)\]|(\S+)')
_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*"|%(?:[^%\\]|\\.)*%|[^,"%])+')
_NAME = re.compile(r"\s*([A-Za-z0-9_\-$.]+)\s*")
_CONDITION = re.compile(
    r"""\s*(?P<name>[A-Za-z0-9_\-$.]+)\s*(?P<op>!=|>=|<=|=|>|<)\s*
    (?:"(?P<text>(?:[^"\\]|\\.)*)"|%(?P<regex>(?:[^%\\]|\\.)+)%|(?P<word>[^\s&|]+))\s*""",
    re.VERBOSE,
)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}

Test = Callable[[str], bool]


@dataclass(frozen=True)
class _Fields:
    """``head`` and ``tail`` are the fields before and after ``...`` (None: exact count)."""

    head: list[tuple[str, Test]]
    tail: list[tuple[str, Test]] | None


def compile_fields(text: str) -> Callable[[str], bool]:
    """A predicate over lines."""
    fields = _parse(text)

    def matches(message: str) -> bool:
        values = _cut(message)
        pairs = _pair(fields, values)
        return pairs is not None and all(test(value) for (_, test), value in pairs)

    return matches


def extract(text: str, message: str) -> dict[str, str]:
    """``{"$name": value}`` of the fields, those under ``...`` numbered."""
    fields, values = _parse(text), _cut(message)
    pairs = _pair(fields, values)
    if pairs is None:
        return {}
    found = {f"${name}": value for (name, _), value in pairs}
    if fields.tail is not None:
        for at in range(len(fields.head), len(values) - len(fields.tail)):
            found[f"${at + 1}"] = values[at]
    return found


def _pair(fields: _Fields, values: list[str]) -> list[tuple[tuple[str, Test], str]] | None:
    head, tail = fields.head, fields.tail
    if tail is None:
        return list(zip(head, values, strict=True)) if len(values) == len(head) else None
    if len(values) < len(head) + len(tail):
        return None
    end = values[len(values) - len(tail) :]
    return [*zip(head, values, strict=False), *zip(tail, end, strict=True)]


def _cut(message: str) -> list[str]:
    return [a or b or c for a, b, c in _CUT.findall(message)]


def _parse(text: str) -> _Fields:
    if not text.endswith("]"):
        raise invalid("Invalid filter pattern: ']' is missing")
    head: list[tuple[str, Test]] = []
    tail: list[tuple[str, Test]] | None = None
    for at, item in enumerate(_ITEM.findall(text[1:-1]), 1):
        if item.strip() == "...":
            if tail is not None:
                raise invalid("Invalid filter pattern: '...' may stand once")
            tail = []
        else:
            (head if tail is None else tail).append(_field(item, at))
    return _Fields(head, tail)


def _field(item: str, at: int) -> tuple[str, Test]:
    """A field's name and condition: a bare name, or comparisons joined by && and ||."""
    bare = _NAME.fullmatch(item)
    if bare:
        return bare[1], lambda value: True
    if not item.strip():
        return str(at), lambda value: True
    options: list[list[Test]] = [[]]
    place, name = 0, ""
    while True:
        found = _CONDITION.match(item, place)
        if found is None or (name and found["name"] != name):
            raise invalid(f"Invalid filter pattern near '{item.strip()}'")
        name = found["name"]
        options[-1].append(_test(found))
        place = found.end()
        if place == len(item):
            return name, lambda value: any(all(t(value) for t in o) for o in options)
        joint = item[place : place + 2]
        if joint not in ("&&", "||"):
            raise invalid(f"Invalid filter pattern near '{item[place:].strip()}'")
        if joint == "||":
            options.append([])
        place += 2


def _test(found: re.Match[str]) -> Test:
    op = found["op"]
    kind = next(k for k in ("text", "regex", "word") if found[k] is not None)
    text = found[kind]
    if op in ("=", "!="):
        test = text_test(kind, text)
        return test if op == "=" else lambda value: not test(value)
    try:
        number = float(text)
    except ValueError:
        raise invalid(f"Invalid filter pattern: {op} needs a number, not '{text}'") from None
    return lambda value: _ordered(value, op, number)


def _ordered(value: str, op: str, number: float) -> bool:
    try:
        return _ORDER[op](float(value), number)
    except ValueError:
        return False
