"""Attributes of subscriptions.

https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.sns import delivery_policy, faults, filters, rows
from pileus.services.sns.names import SubscriptionName
from pileus.services.sns.room import Room
from pileus.state.draft import Draft

KNOWN = ("RawMessageDelivery", "DeliveryPolicy", "FilterPolicy", "FilterPolicyScope")


def checked(protocol: str, attribute: str, value: str) -> str:
    """An attribute's value as it is kept (``filters.check`` looks at those about filters)."""
    if attribute not in KNOWN:
        raise faults.not_offered(f"AttributeName: {attribute}")
    if attribute.startswith("Filter"):
        return value
    if attribute == "DeliveryPolicy":
        if protocol == "lambda":
            raise faults.invalid(f"Delivery protocol [{protocol}] does not support delivery policy")
        delivery_policy.check_subscription(value)
        return value
    if value.lower() not in ("true", "false"):
        raise faults.invalid(f"RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
    if protocol == "lambda" and value.lower() == "true":
        raise faults.invalid(
            f"Invalid parameter: Delivery protocol [{protocol}] does not support raw message"
            " delivery."
        )
    return value.lower()


def get_subscription_attributes(room: Room, call: Call) -> dict[str, Any]:
    name = SubscriptionName.of(call.params["SubscriptionArn"])
    found = rows.need_subscription(room.store, name)
    told = {
        "SubscriptionArn": found["arn"],
        "TopicArn": found["topic"],
        "Owner": found["owner"],
        "SubscriptionPrincipal": found["principal"],
        "Protocol": found["protocol"],
        "Endpoint": found["endpoint"],
        "PendingConfirmation": str(not found["confirmed"]).lower(),
        "ConfirmationWasAuthenticated": str(found["authenticated"]).lower(),
        "RawMessageDelivery": "false",
        **found["attributes"],
    }
    if "FilterPolicy" in told:
        told.setdefault("FilterPolicyScope", filters.ATTRIBUTES)
    if found["protocol"] != "lambda":
        topic = rows.need_topic(room.store, name.topic)
        told["EffectiveDeliveryPolicy"] = delivery_policy.shown_of_subscription(topic, found)
    return {"Attributes": told}


async def set_subscription_attributes(room: Room, call: Call) -> None:
    """One attribute; an empty value sets it back."""
    params, name = call.params, SubscriptionName.of(call.params["SubscriptionArn"])
    attribute, value = params["AttributeName"], params.get("AttributeValue") or ""

    def change(draft: Draft) -> None:
        found = rows.need_subscription(draft, name)
        kept = {k: v for k, v in found["attributes"].items() if k != attribute}
        if value:
            kept[attribute] = checked(found["protocol"], attribute, value)
        elif attribute not in KNOWN:
            raise faults.not_offered(f"AttributeName: {attribute}")
        filters.check(kept)
        draft.put_json(rows.subscription_key(name), {**found, "attributes": kept})

    await room.store.transact(change, call.invocation_id)
