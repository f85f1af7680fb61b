"""Delivery policies of topics and of http and https subscriptions: retries, rate, content type.

https://docs.aws.amazon.com/sns/latest/dg/creating-delivery-policy.html
A subscription's part goes before its topic's, unless the topic forbids that; a part that neither
tells is the default's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.services.sns import faults, retries
from pileus.services.sns.retries import Retries

TEXT = "text/plain; charset=UTF-8"
OF_JSON = ("application/json", "text/plain")  # what SNS's own JSON may be called
OF_RAW = (
    *("text/css", "text/csv", "text/html", "text/plain", "text/xml", "application/atom+xml"),
    *("application/json", "application/octet-stream", "application/soap+xml"),
    *("application/x-www-form-urlencoded", "application/xhtml+xml", "application/xml"),
)
_RETRY, _THROTTLE, _REQUEST = "healthyRetryPolicy", "throttlePolicy", "requestPolicy"
_PARTS = (_RETRY, _THROTTLE, _REQUEST)
_CLOSED = "disableSubscriptionOverrides"
Parts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for deliveries. ``per_second``: at most so many to one subscription, on average;
    None: as they come."""

    retries: Retries = retries.HTTP
    per_second: int | None = None
    content_type: str = TEXT

    @classmethod
    def of(cls, parts: Parts) -> Policy:
        """Of the parts of a policy that was checked."""
        return cls(
            retries.read(parts.get(_RETRY) or {}),
            (parts.get(_THROTTLE) or {}).get("maxReceivesPerSecond"),
            (parts.get(_REQUEST) or {}).get("headerContentType") or TEXT,
        )

    def header(self, raw: bool) -> str:
        """The content type of what is posted: for JSON of SNS's own only one that can be its."""
        return self.content_type if raw or _bare(self.content_type) in OF_JSON else TEXT

    def told(self) -> Parts:
        rate = self.per_second
        return {
            _RETRY: dataclasses.asdict(self.retries),
            _THROTTLE: None if rate is None else {"maxReceivesPerSecond": rate},
            _REQUEST: {"headerContentType": self.content_type},
        }


def check_topic(text: str) -> None:
    """``InvalidParameter`` for what is no delivery policy of a topic."""
    _of_topic(text)


def check_subscription(text: str) -> None:
    _of_subscription(text)


def effective(topic: dict[str, Any], subscription: dict[str, Any]) -> Policy:
    """What holds for an http or https subscription."""
    parts, closed = _of_topic(topic["attributes"].get("DeliveryPolicy"))
    if not closed:
        parts |= _of_subscription(subscription["attributes"].get("DeliveryPolicy"))
    return Policy.of(parts)


def shown_of_topic(topic: dict[str, Any]) -> str:
    """``EffectiveDeliveryPolicy`` of a topic."""
    parts, closed = _of_topic(topic["attributes"].get("DeliveryPolicy"))
    told = {_default(name): part for name, part in Policy.of(parts).told().items() if part}
    return orjson.dumps({"http": {**told, _CLOSED: closed}}).decode()


def shown_of_subscription(topic: dict[str, Any], subscription: dict[str, Any]) -> str:
    return orjson.dumps(effective(topic, subscription).told()).decode()


def _of_topic(text: str | None) -> tuple[Parts, bool]:
    """The parts that are told, under a subscription's names, and whether they alone hold."""
    whole = _members(_parsed(text), "the policy", ("http",))
    http = _members(whole.get("http") or {}, "http", (*map(_default, _PARTS), _CLOSED))
    closed = http.pop(_CLOSED, False)
    if not isinstance(closed, bool):
        raise faults.invalid(f"DeliveryPolicy: {_CLOSED} must be true or false")
    return _checked({name: http.get(_default(name)) for name in _PARTS}), closed


def _of_subscription(text: str | None) -> Parts:
    return _checked(_members(_parsed(text), "the policy", _PARTS))


def _default(name: str) -> str:
    return f"default{name[0].upper()}{name[1:]}"


def _parsed(text: str | None) -> Any:
    try:
        return orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        raise faults.invalid("DeliveryPolicy: failed to parse JSON.") from None


def _members(told: Any, where: str, known: tuple[str, ...]) -> Parts:
    """Those that say something; ``guaranteed`` and ``sicklyRetryPolicy`` are told by AWS, and say
    nothing."""
    if not isinstance(told, dict):
        raise faults.invalid(f"DeliveryPolicy: {where} must be an object")
    found = {n: value for n, value in told.items() if value is not None and value is not False}
    for name in found:
        if name not in known:
            raise faults.not_offered(f"DeliveryPolicy: {name}")
    return found


def _checked(parts: Parts) -> Parts:
    """The parts that are told, each of which can be read."""
    told = {name: part for name, part in parts.items() if part}
    if _RETRY in told:
        retries.read(told[_RETRY])
    if _THROTTLE in told:
        rate = _members(told[_THROTTLE], _THROTTLE, ("maxReceivesPerSecond",))
        most = rate.get("maxReceivesPerSecond", 1)
        if type(most) is not int or most < 1:
            raise faults.invalid("DeliveryPolicy: maxReceivesPerSecond must be 1 or more")
    if _REQUEST in told:
        request = _members(told[_REQUEST], _REQUEST, ("headerContentType",))
        kind = request.get("headerContentType", TEXT)
        if not isinstance(kind, str) or _bare(kind) not in OF_RAW or not _printable(kind):
            raise faults.invalid(
                f"DeliveryPolicy: headerContentType must be one of {', '.join(OF_RAW)}"
            )
    return told


def _printable(kind: str) -> bool:
    return kind.isascii() and kind.isprintable()


def _bare(kind: str) -> str:
    """A content type without its parameters."""
    return kind.partition(";")[0].strip().lower()
