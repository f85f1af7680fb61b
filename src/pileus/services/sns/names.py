"""Names of topics and subscriptions, and the ARNs they stand in.

https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pileus.services.call import Call
from pileus.services.owned import Owned
from pileus.services.sns import faults

ELEMENTS_MIN = 6
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ARN = re.compile(r"arn:aws:sns:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_-]{1,256})")
_SUBSCRIPTION = re.compile(rf"({_ARN.pattern}):([0-9a-f-]{{36}})")


def _check_elements(arn: str, member: str) -> None:
    count = arn.count(":") + 1
    if count < ELEMENTS_MIN:
        raise faults.invalid(
            f"{member} Reason: An ARN must have at least {ELEMENTS_MIN} elements, not {count}"
        )


@dataclass(frozen=True, slots=True)
class TopicName(Owned):
    SERVICE = "sns"

    @classmethod
    def of(cls, arn: str, member: str = "TopicArn") -> TopicName:
        """The topic an ARN names; ``InvalidParameter`` naming ``member`` where it names none."""
        _check_elements(arn, member)
        found = _ARN.fullmatch(arn)
        if found is None:
            raise faults.invalid(member)
        return cls(found[2], found[1], found[3])

    @classmethod
    def new(cls, call: Call, name: str) -> TopicName:
        """The caller's topic called ``name``, checked."""
        if not _TOPIC.fullmatch(name.removesuffix(".fifo")):
            raise faults.invalid("Topic Name")
        return cls(call.account, call.region, name)


@dataclass(frozen=True, slots=True)
class SubscriptionName:
    topic: TopicName
    id: str

    @classmethod
    def of(cls, arn: str) -> SubscriptionName:
        _check_elements(arn, "SubscriptionArn")
        found = _SUBSCRIPTION.fullmatch(arn)
        if found is None:
            raise faults.invalid("SubscriptionId")
        return cls(TopicName.of(found[1]), found[5])

    @property
    def arn(self) -> str:
        return f"{self.topic.arn}:{self.id}"
