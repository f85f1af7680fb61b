"""Which permission each operation needs, on which ARN, with which topic's policy.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
"""

from __future__ import annotations

import functools
from typing import Any

import orjson

from pileus.services.call import Access, Call
from pileus.services.sns import faults, rows
from pileus.services.sns.names import SubscriptionName, TopicName
from pileus.services.sns.publish import target
from pileus.services.sns.room import Room

POLICIES_MAX = 1000


class AccessRules:
    """Bound to the room: policies are read from the store, each text parsed once."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._parsed = functools.lru_cache(POLICIES_MAX)(orjson.loads)

    def __call__(self, call: Call) -> list[Access]:
        params, operation = call.params, call.operation
        if operation in ("ListTopics", "ListSubscriptions"):
            return [Access(f"SNS:{operation}")]
        if operation == "CreateTopic":
            return [self._create(call)]
        if operation == "ConfirmSubscription":
            return _confirm(call)
        if "SubscriptionArn" in params:
            return self._subscription(call)
        if operation == "Publish" and params.get("PhoneNumber"):
            return [Access("SNS:Publish")]
        if operation == "Publish":
            return [self._topic(call, target(params), "Publish")]
        member = "ResourceArn" if params.get("ResourceArn") else "TopicArn"
        action = "Publish" if operation == "PublishBatch" else operation
        return [self._topic(call, TopicName.of(params.get(member) or "", member), action)]

    def _create(self, call: Call) -> Access:
        name = TopicName.new(call, call.params["Name"])
        return Access("SNS:CreateTopic", name.arn, context=_tags(call))

    def _topic(self, call: Call, name: TopicName, action: str) -> Access:
        if name.region != call.region:
            raise faults.invalid("TopicArn")
        topic = self._room.store.get_json(rows.topic_key(name))
        policy = self._parsed(topic["attributes"]["Policy"]) if topic else None
        context = _tags(call)
        if topic:
            context |= {f"aws:ResourceTag/{k}": v for k, v in topic["tags"].items()}
        if action == "Subscribe":
            context["sns:Protocol"] = call.params["Protocol"]
            context["sns:Endpoint"] = call.params.get("Endpoint") or ""
        if call.principal.kind == "service":
            context["aws:SourceOwner"] = call.account
        return Access(f"SNS:{action}", name.arn, policy, name.account, context)

    def _subscription(self, call: Call) -> list[Access]:
        """A subscription is its owner's, to leave it also its topic's."""
        name = SubscriptionName.of(call.params["SubscriptionArn"])
        found = self._room.store.get_json(rows.subscription_key(name))
        leaving = call.operation == "Unsubscribe"
        if call.principal.kind == "anonymous":  # by the link in what the endpoint was sent
            if found is None or found["guarded"]:
                raise faults.unauthorized("Access Denied")
            return []
        owner = found["owner"] if found else name.topic.account
        if leaving and call.account == name.topic.account:
            owner = call.account
        return [Access(f"SNS:{call.operation}", name.topic.arn, owner=owner)]


def _confirm(call: Call) -> list[Access]:
    """The token stands for the permission, unless leaving is to need a signature."""
    if call.principal.kind != "anonymous":
        return [Access("SNS:ConfirmSubscription", call.params["TopicArn"])]
    if (call.params.get("AuthenticateOnUnsubscribe") or "").lower() == "true":
        raise faults.unauthorized("Access Denied")
    return []


def _tags(call: Call) -> dict[str, Any]:
    if call.params.get("TagKeys"):
        return {"aws:TagKeys": call.params["TagKeys"]}
    tags = call.params.get("Tags")
    if not tags:
        return {}
    told: dict[str, Any] = {f"aws:RequestTag/{t['Key']}": t["Value"] for t in tags}
    return told | {"aws:TagKeys": [t["Key"] for t in tags]}
