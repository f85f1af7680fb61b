"""Filter policies: which messages a subscription wants, by their attributes or their body.

https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from pileus.services.event_pattern import Record, Test, Wrong, alternatives, pattern
from pileus.services.sns import faults
from pileus.services.sns.messages import Message, text_for
from pileus.services.sns.rows import Subscription

ATTRIBUTES, BODY = "MessageAttributes", "MessageBody"
BYTES_MAX = 256 * 1024
KEYS_MAX, COMBINATIONS_MAX, NUMBER_MAX = 5, 150, 10**9
KEPT_MAX = 1000


def check(attributes: dict[str, str]) -> None:
    """What a subscription's attributes say of filtering, all together; ``InvalidParameter``."""
    scope = attributes.get("FilterPolicyScope", ATTRIBUTES)
    if scope not in (ATTRIBUTES, BODY):
        raise faults.invalid(
            f"FilterPolicyScope: Invalid value [{scope}]. Please use either MessageBody or"
            " MessageAttributes"
        )
    text = attributes.get("FilterPolicy")
    if text is None:
        return
    if len(text.encode()) > BYTES_MAX:
        raise faults.invalid("FilterPolicy: Filter policy is larger than 256 KB")
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise faults.invalid(f"FilterPolicy: failed to parse JSON. {error}") from None
    try:
        pattern(told)
        _check_limits(told, scope)
    except Wrong as error:
        raise faults.invalid(f"FilterPolicy: {error}") from None


def _check_limits(told: dict[str, Any], scope: str) -> None:
    """Of keys only the outermost count, in either scope."""
    if len(told) > KEYS_MAX:
        raise Wrong(f"Filter policy can not have more than {KEYS_MAX} keys")
    if scope == ATTRIBUTES and _nested(told):
        raise Wrong("Filter policy scope MessageAttributes does not support nested filter policy")
    if _combinations(told, 1) > COMBINATIONS_MAX:
        raise Wrong("Filter policy is too complex")
    for number in _numbers(told):
        if not -NUMBER_MAX <= number <= NUMBER_MAX:
            raise Wrong(f"Value of number must be between -1.0E9 and 1.0E9, inclusive: {number}")


def _nested(told: dict[str, Any]) -> bool:
    return any(
        any(map(_nested, wanted)) if alternatives(name, wanted) else isinstance(wanted, dict)
        for name, wanted in told.items()
    )


def _combinations(told: dict[str, Any], depth: int) -> int:
    """As the guide counts: every list's length times its depth, multiplied; what alternatives
    have is added."""

    def of(name: str, wanted: Any) -> int:
        if alternatives(name, wanted):
            return sum(_combinations(one, depth) for one in wanted)
        if isinstance(wanted, dict):
            return _combinations(wanted, depth + 1)
        return len(wanted) * depth

    return math.prod(of(name, wanted) for name, wanted in told.items())


def _numbers(told: Any) -> Iterator[float]:
    if isinstance(told, dict | list):
        for one in told.values() if isinstance(told, dict) else told:
            yield from _numbers(one)
    elif isinstance(told, int | float):
        yield told


class Wants:
    """Who wants one message. Its attributes and body are read once, each policy is asked once; a
    body that is no JSON object passes no policy about bodies."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._said: dict[tuple[str, str], bool] = {}
        self._records: dict[str, Record | None] = {}

    def __call__(self, subscription: Subscription) -> bool:
        told = subscription["attributes"]
        text = told.get("FilterPolicy")
        if text is None:
            return True
        bodies = told.get("FilterPolicyScope", ATTRIBUTES) == BODY
        what = subscription["protocol"] if bodies else ""
        said = self._said.get((text, what))
        if said is None:
            record = self._record(what)
            said = self._said[text, what] = record is not None and _compiled(text)(record)
        return said

    def _record(self, protocol: str) -> Record | None:
        """The body as a protocol's subscribers see it; '': the attributes."""
        if protocol not in self._records:
            told = _body(self._message, protocol) if protocol else _attributes(self._message)
            self._records[protocol] = None if told is None else Record(told)
        return self._records[protocol]


def _attributes(message: Message) -> dict[str, Any]:
    told = message["attributes"].items()
    return {name: _value(a) for name, a in told if not a["Type"].startswith("Binary")}


def _body(message: Message, protocol: str) -> dict[str, Any] | None:
    try:
        told = orjson.loads(text_for(message, protocol))
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


@lru_cache(maxsize=KEPT_MAX)
def _compiled(text: str) -> Test:
    return pattern(orjson.loads(text))


def _value(told: dict[str, str]) -> Any:
    """An attribute's value as patterns see it. An array that is none is the text it is."""
    kind, text = told["Type"], told["Value"]
    if kind.startswith("Number"):
        return float(text)
    if kind == "String.Array":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return text
