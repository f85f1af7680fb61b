"""PutCompositeAlarm: an alarm over the states of others.

``ALARM("name") AND NOT (OK(other) OR INSUFFICIENT_DATA("third"))``; TRUE and FALSE.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pileus.services.call import Call
from pileus.services.cloudwatch import faults, put_metric_alarm, rows
from pileus.services.cloudwatch.room import Room
from pileus.services.cloudwatch.rows import Alarm

RULE_MAX, DEPTH_MAX, CHILDREN_MAX = 10_240, 100, 100
_TOKEN = re.compile(
    r"\s*(?:(AND|OR|NOT|TRUE|FALSE)\b|(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:\"([^\"]+)\"|'([^']+)'"
    r"|([^()\s\"']+))\s*\)|([()]))",
    re.I,
)
_KEPT = (
    *("AlarmName", "AlarmDescription", "AlarmRule", "OKActions", "AlarmActions"),
    "InsufficientDataActions",
)
State = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """``test(state_of)`` decides; ``children`` are the names or ARNs in the rule's text."""

    test: Callable[[State], bool]
    children: frozenset[str]


def parse(text: str) -> Rule:
    """The rule; ``ValidationError`` where the text is none."""
    if len(text) > RULE_MAX:
        raise faults.validation(f"AlarmRule must not be longer than {RULE_MAX} characters.")
    parser = _Parser(text)
    test = parser.disjunction(0)
    parser.end()
    return Rule(test, frozenset(parser.children))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._at = 0
        self.children: set[str] = set()

    def _peek(self) -> re.Match[str] | None:
        return _TOKEN.match(self._text, self._at)

    def _word(self, wanted: str) -> bool:
        found = self._peek()
        if found is None or (found[1] or found[6] or "").upper() != wanted:
            return False
        self._at = found.end()
        return True

    def _wrong(self) -> Exception:
        return faults.validation(
            f"Error in AlarmRule at position {self._at}: {self._text[self._at : self._at + 40]!r}"
        )

    def end(self) -> None:
        if self._at != len(self._text):
            raise self._wrong()

    def disjunction(self, depth: int) -> Callable[[State], bool]:
        tests = [self._conjunction(depth)]
        while self._word("OR"):
            tests.append(self._conjunction(depth))
        return lambda state: any(test(state) for test in tests)

    def _conjunction(self, depth: int) -> Callable[[State], bool]:
        tests = [self._atom(depth + 1)]
        while self._word("AND"):
            tests.append(self._atom(depth + 1))
        return lambda state: all(test(state) for test in tests)

    def _atom(self, depth: int) -> Callable[[State], bool]:
        if depth > DEPTH_MAX:
            raise self._wrong()
        if self._word("NOT"):
            inner = self._atom(depth + 1)
            return lambda state: not inner(state)
        for word, constant in (("TRUE", True), ("FALSE", False)):
            if self._word(word):
                return _always(constant)
        if self._word("("):
            inner = self.disjunction(depth + 1)
            if not self._word(")"):
                raise self._wrong()
            return inner
        found = self._peek()
        if found is None or not found[2]:
            raise self._wrong()
        self._at = found.end()
        wanted, name = found[2].upper(), found[3] or found[4] or found[5]
        self.children.add(name)
        return lambda state: state(name) == wanted


def _always(constant: bool) -> Callable[[State], bool]:
    return lambda state: constant


async def put_composite_alarm(room: Room, call: Call) -> None:
    """Make or change one. Those it names must exist, and must not lead back to it."""
    params, where = call.params, call.place
    put_metric_alarm.check_name(params["AlarmName"])
    for name in ("ActionsSuppressor", "ActionConfiguration"):
        if params.get(name):
            raise faults.invalid(f"The parameter {name} is not offered here.")
    rule = parse(params["AlarmRule"])
    if len(rule.children) > CHILDREN_MAX:
        raise faults.validation(f"AlarmRule may name at most {CHILDREN_MAX} alarms.")
    known = {a["AlarmName"]: a for a in rows.alarms(room.store, where)}
    for child in map(bare, rule.children):
        if child not in known:
            raise faults.validation(f"The alarm {child} named in AlarmRule does not exist.")
    if params["AlarmName"] in reached(known, {bare(c) for c in rule.children}):
        raise faults.validation("AlarmRule leads back to the alarm itself.")
    kept = {n: params[n] for n in _KEPT if params.get(n) is not None}
    await put_metric_alarm.put(room, call, rows.COMPOSITE, kept)


def bare(name: str) -> str:
    """The name in an alarm's ARN, or the name."""
    return name.split(":", 6)[6] if name.startswith("arn:") and name.count(":") >= 6 else name


def named_in(alarm: Alarm) -> set[str]:
    """The alarms a composite one's rule names."""
    if alarm["kind"] != rows.COMPOSITE:
        return set()
    return {bare(c) for c in parse(alarm["AlarmRule"]).children}


def reached(known: dict[str, Alarm], names: set[str]) -> set[str]:
    """Every alarm that these ones' rules come to, themselves included."""
    seen: set[str] = set()
    while names:
        seen |= names
        names = {c for n in names if n in known for c in named_in(known[n])} - seen
    return seen


def children(alarms: Iterable[Alarm], name: str) -> set[str]:
    known = {a["AlarmName"]: a for a in alarms}
    return named_in(known[name])


def parents(alarms: Iterable[Alarm], name: str) -> set[str]:
    return {a["AlarmName"] for a in alarms if name in named_in(a)}


def named_by(alarms: Iterable[Alarm], names: set[str]) -> list[str]:
    """Composite alarms outside ``names`` whose rules name one of them."""
    return [a["AlarmName"] for a in alarms if a["AlarmName"] not in names and named_in(a) & names]


def evaluate(alarm: Alarm, state: State) -> tuple[str, str, Any]:
    """(state, reason, data) of a composite alarm now."""
    rule = parse(alarm["AlarmRule"])
    told = rows.ALARM if rule.test(lambda name: state(bare(name))) else rows.OK
    names = sorted(bare(c) for c in rule.children)
    shown = ", ".join(f"{n} is {state(n)}" for n in names[:10])
    return told, f"{alarm['AlarmRule']} was evaluated to {told == rows.ALARM}: {shown}", None
