"""Subscribe, confirm, leave; and the lists.

https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html
https://docs.aws.amazon.com/sns/latest/api/API_Unsubscribe.html
A function is subscribed at once: its own policy says who may call it. An address is asked first.
Where another than the subscription's owner ended it, it is told, and may come back by the token in
that for as long as it is good; what the owner ends is ended.
A subscription's row: ``authenticated`` says whether it was confirmed with a signature, ``guarded``
whether it takes one to end it.
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import Any

from pileus.services.call import Call
from pileus.services.sns import deliveries, faults, filters, messages, rows
from pileus.services.sns.names import SubscriptionName, TopicName
from pileus.services.sns.room import Room, page
from pileus.services.sns.rows import Subscription
from pileus.services.sns.settings import checked
from pileus.state.draft import Draft

OFFERED = ("lambda", "http", "https")
OF_AWS = ("sqs", "email", "email-json", "sms", "application", "firehose")
PENDING = "pending confirmation"
TOKEN_MS = 2 * 86_400_000
_FUNCTION = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+(:[\w$-]+)?")
_TOKEN = re.compile("[0-9a-f]{128,}")
_ADDRESS = re.compile(r"https?://[^\s/?#@]+([/?][^\s#]*)?", re.ASCII)


async def subscribe(room: Room, call: Call) -> dict[str, Any]:
    """The same endpoint twice is one subscription; one that was not confirmed is asked again."""
    params, name = call.params, TopicName.of(call.params["TopicArn"])
    protocol, endpoint = params["Protocol"], params.get("Endpoint") or ""
    rows.need_topic(room.store, name)
    _check_endpoint(protocol, endpoint)
    told = {k: v for k, v in (params.get("Attributes") or {}).items() if v}
    attributes = {k: checked(protocol, k, v) for k, v in told.items()}
    filters.check(attributes)
    now_ms, new_id, fresh = room.clock.now_ms(), str(uuid.uuid4()), _token(room)
    message_id = str(uuid.uuid4())

    def change(draft: Draft) -> dict[str, Any]:
        rows.need_topic(draft, name)
        for ended in rows.ended_of(draft, name):
            if (ended["protocol"], ended["endpoint"]) == (protocol, endpoint):
                draft.delete(rows.ended_key(SubscriptionName.of(ended["arn"])))
        found = rows.subscriptions_of(draft, name)
        known = next(
            (s for s in found if (s["protocol"], s["endpoint"]) == (protocol, endpoint)), None
        )
        if known is not None and known["confirmed"]:
            if any(known["attributes"].get(k) != v for k, v in attributes.items()):
                raise faults.invalid(
                    "Attributes Reason: Subscription already exists with different attributes"
                )
            return {"SubscriptionArn": known["arn"]}
        if known is None and len(found) >= rows.SUBSCRIPTIONS_MAX:
            raise faults.too_many(rows.SUBSCRIPTIONS_MAX)
        kept = known or {
            "arn": SubscriptionName(name, new_id).arn,
            "topic": name.arn,
            "owner": call.account,
            "principal": call.principal.arn,
            "protocol": protocol,
            "endpoint": endpoint,
            "confirmed": protocol == "lambda",
            "authenticated": protocol == "lambda",
            "guarded": protocol == "lambda",
        }
        made = {**kept, "attributes": attributes, **fresh}
        draft.put_json(rows.subscription_key(SubscriptionName.of(made["arn"])), made)
        if not made["confirmed"]:
            message = messages.confirmation(name.arn, fresh["token"], message_id, now_ms)
            deliveries.put(draft, message, [made["arn"]], now_ms)
        shown = made["confirmed"] or params.get("ReturnSubscriptionArn")
        return {"SubscriptionArn": made["arn"] if shown else PENDING}

    answer: dict[str, Any] = await room.store.transact(change, call.invocation_id)
    room.ring()
    return answer


def _check_endpoint(protocol: str, endpoint: str) -> None:
    if protocol in OF_AWS:
        raise faults.not_offered(f"Protocol Reason: {protocol}")
    if protocol not in OFFERED:
        raise faults.invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if protocol == "lambda":
        if not _FUNCTION.fullmatch(endpoint):
            raise faults.invalid("Lambda endpoint ARN")
    elif not endpoint.startswith(f"{protocol}://"):
        raise faults.invalid("Endpoint must match the specified protocol")
    elif not _ADDRESS.fullmatch(endpoint):
        raise faults.invalid("Endpoint Reason: it is no address of an HTTP endpoint")


def _token(room: Room) -> dict[str, Any]:
    """By which an endpoint says yes, and until when."""
    return {"token": secrets.token_hex(64), "token_until_ms": room.clock.now_ms() + TOKEN_MS}


async def confirm_subscription(room: Room, call: Call) -> dict[str, Any]:
    """By the token that the endpoint was sent, as a question or as it was left out; repeated, it
    answers the same."""
    params, name = call.params, TopicName.of(call.params["TopicArn"])
    signed = call.principal.kind != "anonymous"
    guarded = signed and (params.get("AuthenticateOnUnsubscribe") or "").lower() == "true"

    if not _TOKEN.fullmatch(params["Token"]):
        raise faults.invalid_token()

    def change(draft: Draft) -> dict[str, Any]:
        alive, ended = rows.subscriptions_of(draft, name), rows.ended_of(draft, name)
        known = next((s for s in (*alive, *ended) if _same(s["token"], params["Token"])), None)
        if known is None:
            raise faults.invalid("Token")
        if known in alive and known["confirmed"]:
            return {"SubscriptionArn": known["arn"]}
        if known["token_until_ms"] < room.clock.now_ms():
            raise faults.invalid("Token")
        if known in ended and len(alive) >= rows.SUBSCRIPTIONS_MAX:
            raise faults.too_many(rows.SUBSCRIPTIONS_MAX)
        made = {**known, "confirmed": True, "authenticated": signed, "guarded": guarded}
        draft.delete(rows.ended_key(SubscriptionName.of(known["arn"])))
        draft.put_json(rows.subscription_key(SubscriptionName.of(known["arn"])), made)
        return {"SubscriptionArn": known["arn"]}

    answer: dict[str, Any] = await room.store.transact(change, call.invocation_id)
    return answer


def _same(token: str, other: str) -> bool:
    return secrets.compare_digest(token.encode(), other.encode())


async def unsubscribe(room: Room, call: Call) -> None:
    """One that is not there is left already. Endpoints that were told of their end and can no
    longer come back are forgotten by the way."""
    name = SubscriptionName.of(call.params["SubscriptionArn"])
    now_ms, fresh, message_id = room.clock.now_ms(), _token(room), str(uuid.uuid4())

    def change(draft: Draft) -> None:
        found = draft.get_json(rows.subscription_key(name))
        if found is None:
            return
        draft.delete(rows.subscription_key(name))
        for ended in rows.ended_of(draft, name.topic):
            if ended["token_until_ms"] < now_ms:
                draft.delete(rows.ended_key(SubscriptionName.of(ended["arn"])))
        by_other = not found["guarded"] and call.account != found["owner"]
        if by_other and found["confirmed"] and found["protocol"] != "lambda":
            draft.put_json(rows.ended_key(name), {**found, **fresh})
            told = name.topic.arn, name.arn, fresh["token"], message_id, now_ms
            deliveries.put(draft, messages.farewell(*told), [name.arn], now_ms)

    await room.store.transact(change, call.invocation_id)
    room.ring()


def list_subscriptions(room: Room, call: Call) -> dict[str, Any]:
    return _list(list(rows.subscriptions_owned(room.store, call.account, call.region)), call)


def list_subscriptions_by_topic(room: Room, call: Call) -> dict[str, Any]:
    name = TopicName.of(call.params["TopicArn"])
    rows.need_topic(room.store, name)
    return _list(rows.subscriptions_of(room.store, name), call)


def _list(found: list[Subscription], call: Call) -> dict[str, Any]:
    shown, token = page(found, call.params.get("NextToken"))
    told = [
        {
            "SubscriptionArn": s["arn"] if s["confirmed"] else "PendingConfirmation",
            "Owner": s["owner"],
            "Protocol": s["protocol"],
            "Endpoint": s["endpoint"],
            "TopicArn": s["topic"],
        }
        for s in shown
    ]
    return {"Subscriptions": told, "NextToken": token}
