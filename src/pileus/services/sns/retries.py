"""How often a delivery that fails is tried again, and after what pauses.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
https://docs.aws.amazon.com/sns/latest/dg/creating-delivery-policy.html
Four phases: at once, before the back-off, the back-off, after it. Functions have a policy of SNS's
own; of http and https topics and subscriptions may tell one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from pileus.services.sns import faults

RETRIES_MAX, DELAY_S_MAX = 100, 3600
BACKOFFS = ("linear", "arithmetic", "geometric", "exponential")


@dataclass(frozen=True, slots=True)
class Retries:
    """Names as the guide's, which a delivery policy has; pauses in seconds."""

    minDelayTarget: int = 20
    maxDelayTarget: int = 20
    numRetries: int = 3
    numNoDelayRetries: int = 0
    numMinDelayRetries: int = 0
    numMaxDelayRetries: int = 0
    backoffFunction: str = "linear"

    def pause_s(self, failed: int) -> float | None:
        """How long to wait after ``failed`` attempts (one or more) have failed; None: it is given
        up."""
        number = failed - 1  # of this retry
        if number >= self.numRetries:
            return None
        if number < self.numNoDelayRetries:
            return 0.0
        number -= self.numNoDelayRetries
        if number < self.numMinDelayRetries:
            return float(self.minDelayTarget)
        number -= self.numMinDelayRetries
        steps = self.numRetries - self.numNoDelayRetries
        steps -= self.numMinDelayRetries + self.numMaxDelayRetries
        if number >= steps:
            return float(self.maxDelayTarget)
        return self._backed_off(number, steps)

    def _backed_off(self, number: int, steps: int) -> float:
        """From the least to the greatest pause."""
        low, high = float(self.minDelayTarget), float(self.maxDelayTarget)
        part = number / (steps - 1) if steps > 1 else 1.0
        if self.backoffFunction == "geometric":
            return float(low * (high / low) ** part)
        if self.backoffFunction == "exponential":
            part = (2.0 ** (8 * part) - 1) / 255
        elif self.backoffFunction == "arithmetic":
            part = part * (part + 1) / 2
        return low + (high - low) * part


HTTP = Retries()
FUNCTION = Retries(1, 20, 100_015, 3, 2, 100_000, "exponential")


def of_topic(text: str | None) -> Retries:
    """What a topic's ``DeliveryPolicy`` says of http and https."""
    told = _object(text).get("http") or {}
    return _read(
        _part(told, "http", "defaultHealthyRetryPolicy", ("disableSubscriptionOverrides",))
    )


def of_subscription(text: str | None) -> Retries | None:
    """What a subscription's says; None: its topic's holds."""
    told = _part(_object(text), "the policy", "healthyRetryPolicy", ())
    return _read(told) if told else None


def effective(topic: dict[str, Any], subscription: dict[str, Any]) -> Retries:
    """What holds for an http or https subscription."""
    whole = topic["attributes"].get("DeliveryPolicy")
    own = of_subscription(subscription["attributes"].get("DeliveryPolicy"))
    closed = (_object(whole).get("http") or {}).get("disableSubscriptionOverrides")
    return own if own is not None and not closed else of_topic(whole)


def _object(text: str | None) -> dict[str, Any]:
    try:
        told = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise faults.invalid("DeliveryPolicy: failed to parse JSON.")
    return told


def _part(told: Any, where: str, name: str, known: tuple[str, ...]) -> Any:
    if not isinstance(told, dict):
        raise faults.invalid(f"DeliveryPolicy: {where} must be an object")
    for other, value in told.items():
        if other not in (name, *known) and value is not None:
            raise faults.not_offered(f"DeliveryPolicy: {other}")
    return told.get(name) or {}


def _read(told: Any) -> Retries:
    if not isinstance(told, dict) or not set(told) <= set(Retries.__dataclass_fields__):
        raise faults.invalid("DeliveryPolicy: the retry policy has members that are not known")
    given = {name: value for name, value in told.items() if value is not None}
    backoff = given.pop("backoffFunction", "linear")
    if backoff not in BACKOFFS:
        raise faults.invalid(
            f"DeliveryPolicy: backoffFunction must be one of {', '.join(BACKOFFS)}"
        )
    for name, value in given.items():
        most = DELAY_S_MAX if name.endswith("Target") else RETRIES_MAX
        least = 1 if name.endswith("Target") else 0
        if type(value) is not int or not least <= value <= most:
            raise faults.invalid(f"DeliveryPolicy: {name} must be between {least} and {most}")
    made = Retries(**given, backoffFunction=backoff)
    if made.minDelayTarget > made.maxDelayTarget:
        raise faults.invalid("DeliveryPolicy: maxDelayTarget must not be less than minDelayTarget")
    phases = made.numNoDelayRetries + made.numMinDelayRetries + made.numMaxDelayRetries
    if phases > made.numRetries:
        raise faults.invalid("DeliveryPolicy: numRetries must not be less than its phases' sum")
    return made
