"""How often a delivery that fails is tried again, and after what pauses.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
https://docs.aws.amazon.com/sns/latest/dg/creating-delivery-policy.html
Four phases: at once, before the back-off, the back-off, after it. Functions have a policy of SNS's
own; of http and https topics and subscriptions may tell one (``delivery_policy``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.services.sns import faults

RETRIES_MAX, DELAY_S_MAX, SUM_S_MAX = 100, 3600, 3600
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


def read(told: Any) -> Retries:
    """What a retry policy says, checked."""
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
    if sum(made.pause_s(failed) or 0 for failed in range(1, made.numRetries + 1)) > SUM_S_MAX:
        raise faults.invalid(
            f"DeliveryPolicy: the sum of all pauses must not be more than {SUM_S_MAX} seconds"
        )
    return made
