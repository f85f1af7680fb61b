"""Topics: make, delete, list, and their attributes.

https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.sns import delivery_policy, faults, policies, rows
from pileus.services.sns.names import SubscriptionName, TopicName
from pileus.services.sns.room import Room, page
from pileus.services.sns.signing import VERSIONS
from pileus.services.sns.tags import given
from pileus.state.draft import Draft

DISPLAY_CHARS_MAX = 100


async def create_topic(room: Room, call: Call) -> dict[str, Any]:
    """A topic that is there already is answered, if it was made with the same attributes and
    tags."""
    wanted = {k: v for k, v in (call.params.get("Attributes") or {}).items() if v is not None}
    fifo = wanted.pop("FifoTopic", "false") != "false"
    if fifo != call.params["Name"].endswith(".fifo"):
        raise faults.invalid("Topic Name")
    if fifo:
        raise faults.not_offered("FifoTopic: a FIFO topic")
    if call.params.get("DataProtectionPolicy"):
        raise faults.not_offered("DataProtectionPolicy")
    name = TopicName.new(call, call.params["Name"])
    attributes = {k: _checked(k, v) for k, v in wanted.items()}
    tags = given(call.params.get("Tags") or [])

    def change(draft: Draft) -> dict[str, Any]:
        known = draft.get_json(rows.topic_key(name))
        if known is None:
            made = {"Policy": policies.default(name), **attributes}
            draft.put_json(
                rows.topic_key(name), {"arn": name.arn, "attributes": made, "tags": tags}
            )
        elif any(known["attributes"].get(k) != v for k, v in attributes.items()):
            raise faults.invalid(
                "Attributes Reason: Topic already exists with different attributes"
            )
        elif not tags.items() <= known["tags"].items():
            raise faults.invalid("Tags Reason: Topic already exists with different tags")
        return {"TopicArn": name.arn}

    return await room.store.transact(change, call.invocation_id)


async def delete_topic(room: Room, call: Call) -> None:
    """With its subscriptions; what is on its way to them is no longer delivered. A topic that is
    not there is deleted too."""
    name = TopicName.of(call.params["TopicArn"])

    def change(draft: Draft) -> None:
        if draft.get(rows.topic_key(name)) is None:
            return
        draft.delete(rows.topic_key(name))
        for subscription in rows.subscriptions_of(draft, name):
            draft.delete(rows.subscription_key(SubscriptionName.of(subscription["arn"])))
        for ended in rows.ended_of(draft, name):
            draft.delete(rows.ended_key(SubscriptionName.of(ended["arn"])))

    await room.store.transact(change, call.invocation_id)


def list_topics(room: Room, call: Call) -> dict[str, Any]:
    found = rows.topics(room.store, call.place)
    shown, token = page(found, call.params.get("NextToken"))
    return {"Topics": [{"TopicArn": t["arn"]} for t in shown], "NextToken": token}


def get_topic_attributes(room: Room, call: Call) -> dict[str, Any]:
    name = TopicName.of(call.params["TopicArn"])
    topic = rows.need_topic(room.store, name)
    confirmed = [s["confirmed"] for s in rows.subscriptions_of(room.store, name)]
    now_ms = room.clock.now_ms()
    restorable = [s for s in rows.ended_of(room.store, name) if s["token_until_ms"] >= now_ms]
    return {
        "Attributes": {
            "TopicArn": name.arn,
            "Owner": name.account,
            "DisplayName": "",
            **topic["attributes"],
            "EffectiveDeliveryPolicy": delivery_policy.shown_of_topic(topic),
            "SubscriptionsConfirmed": str(confirmed.count(True)),
            "SubscriptionsPending": str(confirmed.count(False)),
            "SubscriptionsDeleted": str(len(restorable)),
        }
    }


async def set_topic_attributes(room: Room, call: Call) -> None:
    """One attribute; an empty value sets it back."""
    name, attribute = TopicName.of(call.params["TopicArn"]), call.params["AttributeName"]
    value = call.params.get("AttributeValue") or ""
    if value:
        value = _checked(attribute, value)
    elif attribute == "Policy":
        value = policies.default(name)
    else:
        _known(attribute)

    def change(draft: Draft) -> None:
        topic = rows.need_topic(draft, name)
        attributes = {k: v for k, v in topic["attributes"].items() if k != attribute}
        if value:
            attributes[attribute] = value
        draft.put_json(rows.topic_key(name), {**topic, "attributes": attributes})

    await room.store.transact(change, call.invocation_id)


def _known(attribute: str) -> None:
    if attribute == "FifoTopic":  # what a topic is from its beginning
        raise faults.invalid("AttributeName")
    if attribute not in ("DisplayName", "Policy", "DeliveryPolicy", "SignatureVersion"):
        raise faults.not_offered(f"AttributeName: {attribute}")


def _checked(attribute: str, value: str) -> str:
    """An attribute's value as it is kept."""
    _known(attribute)
    if attribute == "Policy":
        return policies.checked(value)
    if attribute == "DeliveryPolicy":
        delivery_policy.check_topic(value)
    elif attribute == "SignatureVersion":
        if value not in VERSIONS:
            raise faults.invalid("SignatureVersion Reason: it must be 1 or 2")
    elif len(value) > DISPLAY_CHARS_MAX:
        raise faults.invalid("DisplayName")
    return value
