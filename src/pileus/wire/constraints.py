"""What a service's model says of its input (lengths, ranges, patterns, enumerations), in AWS's
words.

AWS's services behind one of its frameworks answer a breach before anything else happens: "N
validation error(s) detected: Value '…' at '…' failed to satisfy constraint: …". The words, and how
lists and maps are told, are as recorded from AWS; the limits are botocore's.
Services that answer this way are named in ``CHECKED``, with the members they judge themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pileus.errors import AwsError
from pileus.wire.protocols.scalars import lower_first

CHECKED: dict[str, frozenset[str]] = {
    # A runtime's name, and a new function's, are refused in Lambda's own words.
    "lambda": frozenset({"Runtime"}),
    "kms": frozenset(),
    "sts": frozenset(),
}
PATTERN_CHARACTERS_MAX = 65_536
_REGION = r"(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}"
_NUMBERS = frozenset({"integer", "long", "float", "double"})
_TEXTS = frozenset({"string", "blob"})

Breaches = Iterator[str]
Judge = Callable[[Any, str], Breaches]
Rule = tuple[Callable[[Any], bool], str]


@dataclass(frozen=True, slots=True)
class Terms:
    """``skipped``: members left out. ``region``: this cloud's, which need not look like AWS's."""

    skipped: frozenset[str] = frozenset()
    region: str = "us-east-1"


def judge_of(shape: Any, terms: Terms, above: tuple[str, ...] = ()) -> Judge | None:
    """What tells the breaches of a botocore shape's constraints: given a value and its path, one
    sentence each. None where the shape has none."""
    if shape.name in above:  # a shape within itself
        return None
    below = (*above, shape.name)
    if shape.type_name == "structure":
        return _structure(shape, terms, below)
    if shape.type_name == "list":
        return _list(shape, terms, below)
    if shape.type_name == "map":
        return _map(shape, terms)
    rules = _rules(shape, terms)
    if not rules:
        return None

    def judge(value: Any, path: str) -> Breaches:
        for breached, text in rules:
            if breached(value):
                yield _sentence(shape, value, path, text)

    return judge


def _structure(shape: Any, terms: Terms, below: tuple[str, ...]) -> Judge | None:
    judges = []
    for name, member in reversed(shape.members.items()):  # as AWS tells several
        judge = None if name in terms.skipped else judge_of(member, terms, below)
        if judge is not None:
            judges.append((name, lower_first(name), judge))
    if not judges:
        return None

    def judge_members(value: Any, path: str) -> Breaches:
        for name, told, judge in judges:
            found = value.get(name)
            if found is not None:
                yield from judge(found, f"{path}.{told}" if path else told)

    return judge_members


def _whole(rules: list[Rule], shape: Any) -> str:
    """How the constraints of a list's members, or a map's keys or values, are told."""
    texts = [text for _, text in rules]
    if getattr(shape, "enum", None) or shape.type_name in _NUMBERS:
        texts.append("Member must not be null")
    return f"must satisfy constraint: [{', '.join(texts)}]"


def _list(shape: Any, terms: Terms, below: tuple[str, ...]) -> Judge | None:
    rules, items = _length_rules(shape.metadata), _rules(shape.member, terms)
    told = f"Member {_whole(items, shape.member)}"
    inner = None if items else judge_of(shape.member, terms, below)
    if not rules and not items and inner is None:
        return None

    def judge(value: Any, path: str) -> Breaches:
        for breached, text in rules:
            if breached(value):
                yield _sentence(shape, value, path, text)
        if any(breached(item) for item in value for breached, _ in items):
            yield _sentence(shape, value, path, told)
        if inner is not None:
            for at, item in enumerate(value, 1):
                yield from inner(item, f"{path}.{at}.member")

    return judge


def _map(shape: Any, terms: Terms) -> Judge | None:
    rules = _length_rules(shape.metadata)
    keys, values = _rules(shape.key, terms), _rules(shape.value, terms)
    fractions = shape.value.type_name in ("float", "double")
    if not rules and not keys and not values:
        return None

    def judge(value: Any, path: str) -> Breaches:
        if fractions:
            value = {key: float(number) for key, number in value.items()}
        for breached, text in rules:
            if breached(value):
                yield _sentence(shape, value, path, text)
        if any(breached(key) for key in value for breached, _ in keys):
            yield _sentence(shape, value, path, f"Map keys {_whole(keys, shape.key)}")
        if any(breached(one) for one in value.values() for breached, _ in values):
            yield _sentence(shape, value, path, f"Map value {_whole(values, shape.value)}")

    return judge


def _rules(shape: Any, terms: Terms) -> list[Rule]:
    """(whether a value breaks it, what AWS says of it) of a scalar's constraints; in the order in
    which AWS tells those of a list's members."""
    kind, told = shape.type_name, shape.metadata
    if kind in _NUMBERS:
        return _range_rules(told)
    if kind not in _TEXTS:
        return []
    rules = _length_rules(told)
    if told.get("pattern"):
        rules += _pattern_rules(told["pattern"], terms)
    enum = getattr(shape, "enum", None)
    if enum:
        known = frozenset(enum)
        text = f"Member must satisfy enum value set: [{', '.join(enum)}]"
        rules.append((lambda value: value not in known, text))
    return rules


def _range_rules(told: dict[str, Any]) -> list[Rule]:
    rules: list[Rule] = []
    if "max" in told:
        most = told["max"]
        text = f"Member must have value less than or equal to {most}"
        rules.append((lambda value: value > most, text))
    if "min" in told:
        least = told["min"]
        text = f"Member must have value greater than or equal to {least}"
        rules.append((lambda value: value < least, text))
    return rules


def _length_rules(told: dict[str, Any]) -> list[Rule]:
    rules: list[Rule] = []
    if "max" in told:
        most = told["max"]
        text = f"Member must have length less than or equal to {most}"
        rules.append((lambda value: len(value) > most, text))
    if "min" in told:
        least = told["min"]
        text = f"Member must have length greater than or equal to {least}"
        rules.append((lambda value: len(value) < least, text))
    return rules


def _pattern_rules(pattern: str, terms: Terms) -> list[Rule]:
    region = f"(?:{_REGION}|{re.escape(terms.region)})"
    try:
        compiled = re.compile(pattern.replace(_REGION, region))
    except re.error:  # Java's classes (\p{L}): left to the service
        return []

    def breached(value: str) -> bool:
        return len(value) > PATTERN_CHARACTERS_MAX or compiled.fullmatch(value) is None

    return [(breached, f"Member must satisfy regular expression pattern: {pattern}")]


def _sentence(shape: Any, value: Any, path: str, text: str) -> str:
    secret = shape.metadata.get("sensitive") or shape.type_name == "blob"
    told = "Value" if secret else f"Value '{_shown(value)}'"
    return f"{told} at '{path}' failed to satisfy constraint: {text}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def message(breaches: list[str]) -> str:
    """All breaches in one text."""
    count = len(breaches)
    return f"{count} validation error{'s' * (count > 1)} detected: {'; '.join(breaches)}"


def check_of(
    service: str, shape: Any, code: str, region: str
) -> Callable[[dict[str, Any]], None] | None:
    """What refuses input (of botocore's ``shape``) with ``code``; None where there is nothing to
    refuse, or the service does not answer so."""
    if service not in CHECKED or shape is None:
        return None
    judge = judge_of(shape, Terms(CHECKED[service], region))
    if judge is None:
        return None

    def check(params: dict[str, Any]) -> None:
        breaches = list(judge(params, ""))
        if breaches:
            raise AwsError(code, message(breaches))

    return check
