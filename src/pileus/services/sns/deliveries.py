"""Deliveries: a message to a subscription, tried until it arrived or its policy gives it up.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
Each is an item of a durable queue, written by the entry that the publisher's answer waits for.
What the receiver refuses (4xx, a function that is not there or does not let SNS call it) is not
tried again; 429, 5xx and silence are.
"""

from __future__ import annotations

import logging
import math
import uuid
from typing import Any

from pileus import hub
from pileus.errors import AwsError, Unavailable
from pileus.services import addresses
from pileus.services.call import Parts, Principal
from pileus.services.sns import delivery_policy, messages, retries, rows
from pileus.services.sns.delivery_policy import Policy
from pileus.services.sns.messages import Message
from pileus.services.sns.names import SubscriptionName, TopicName
from pileus.services.sns.rows import Subscription
from pileus.services.sns.signing import DEFAULT_VERSION, Sender, Signing
from pileus.state.draft import Draft

QUEUE = "sns.deliveries"
SERVICE = "sns.amazonaws.com"
CONNECT_S, ANSWER_S = 10.0, 15.0
TURNS_MAX = 10_000
_OF_FUNCTIONS = Policy(retries.FUNCTION)

log = logging.getLogger(__name__)


class Refused(Exception):
    """The receiver will not have it, now or later."""


def put(draft: Draft, message: Message, subscriptions: list[str], now_ms: int) -> None:
    """Within the author's transaction: the message, and an item for each that it goes to."""
    if not subscriptions:
        return
    draft.put_json(rows.message_key(message["id"]), message)
    draft.put_json(rows.left_key(message["id"]), len(subscriptions))
    for arn in subscriptions:
        body = {"message": message["id"], "subscription": arn, "failed": 0}
        hub.put(draft, QUEUE, now_ms, f"{message['id']}/{arn.rpartition(':')[2]}", body)


class Deliveries:
    """The queue of deliveries and what works it off."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._signing = Signing(parts)
        self._turns: dict[str, float] = {}  # when each subscription's next one is due, at the least
        self.queue = hub.Queue(parts.store, parts.clock, QUEUE, self.handle, owner=parts.owner)

    async def handle(self, item: hub.Item) -> hub.Done | hub.Later:
        """One attempt."""
        body, store = item.body, self._parts.store
        name = SubscriptionName.of(body["subscription"])
        message = store.get_json(rows.message_key(body["message"]))
        ended = message is not None and message["type"] == messages.FAREWELL
        subscription = store.get_json((rows.ended_key if ended else rows.subscription_key)(name))
        topic = store.get_json(rows.topic_key(name.topic))
        if message is None or subscription is None or topic is None:
            return _over(body)  # unsubscribed (or restored), or the topic deleted, meanwhile
        policy = _OF_FUNCTIONS
        if subscription["protocol"] != "lambda":
            policy = delivery_policy.effective(topic, subscription)
        if message["type"] == messages.NOTIFICATION and policy.per_second and not body.get("held"):
            turn_ms = self._turn_ms(subscription["arn"], policy.per_second)
            if turn_ms > self._parts.clock.now_ms():
                return hub.Later(turn_ms, {**body, "held": True})
        sender = await self._sender(topic, subscription)
        try:
            await self._send(message, subscription, policy, sender)
        except (Refused, AwsError, Unavailable, TimeoutError, OSError) as error:
            return self._put_off(body, policy, error)
        return _over(body)

    async def _sender(self, topic: rows.Topic, subscription: Subscription) -> Sender:
        to_function = subscription["protocol"] == "lambda"
        version = topic["attributes"].get("SignatureVersion", DEFAULT_VERSION)
        return Sender(
            await addresses.in_functions(self._parts)
            if to_function
            else addresses.outside(self._parts.config),
            await self._signing.signer(),
            version,
        )

    def _turn_ms(self, subscription: str, per_second: int) -> int:
        """When the subscription's next delivery has its turn. A turn that was given counts, so no
        delivery is held back twice; turns are forgotten with this process."""
        now_ms = self._parts.clock.now_ms()
        if len(self._turns) >= TURNS_MAX:
            self._turns = {arn: ms for arn, ms in self._turns.items() if ms > now_ms}
        turn_ms = max(self._turns.get(subscription, 0.0), now_ms)
        self._turns[subscription] = turn_ms + 1000 / per_second
        return math.ceil(turn_ms)

    def _put_off(
        self, body: dict[str, Any], policy: Policy, error: Exception
    ) -> hub.Done | hub.Later:
        failed = body["failed"] + 1
        pause_s = None if _final(error) else policy.retries.pause_s(failed)
        if pause_s is None:
            told = body["message"], body["subscription"], failed, str(error) or "no answer in time"
            log.warning("message %s to %s is given up after %d attempts: %s", *told)
            return _over(body)
        due_ms = self._parts.clock.now_ms() + int(1000 * pause_s)
        return hub.Later(due_ms, {**body, "failed": failed, "held": False})

    async def _send(
        self, message: Message, subscription: Subscription, policy: Policy, sender: Sender
    ) -> None:
        if subscription["protocol"] == "lambda":
            await self._invoke(message, subscription, sender)
        else:
            await self._post(message, subscription, policy, sender)

    async def _invoke(self, message: Message, subscription: Subscription, sender: Sender) -> None:
        """The function's own queue has the event when this returns, once for all attempts."""
        topic, function = TopicName.of(message["topic"]), subscription["endpoint"]
        once = uuid.uuid5(uuid.UUID(message["id"]), subscription["arn"])
        await self._parts.dispatch(
            "lambda",
            "Invoke",
            {
                "FunctionName": function,
                "InvocationType": "Event",
                "Payload": messages.event(message, subscription["arn"], sender),
            },
            principal=Principal("service", topic.account, SERVICE, SERVICE),
            region=function.split(":")[3],
            context={"aws:SourceArn": topic.arn, "aws:SourceAccount": topic.account},
            invocation_id=once.bytes,
        )

    async def _post(
        self, message: Message, subscription: Subscription, policy: Policy, sender: Sender
    ) -> None:
        raw = subscription["attributes"].get("RawMessageDelivery") == "true"
        raw = raw and message["type"] == messages.NOTIFICATION
        told = message, subscription["protocol"], subscription["arn"], raw, policy.header(raw)
        headers, body = messages.post(*told, sender)
        url = subscription["endpoint"]
        timeouts = {"connect_s": CONNECT_S, "read_s": ANSWER_S}
        answer = await self._parts.outbound.send("POST", url, headers, body, **timeouts)
        answer.close()
        if answer.status == 429 or answer.status >= 500:
            raise Unavailable(f"{url} answered {answer.status}")
        if not 200 <= answer.status < 300:
            raise Refused(f"{url} answered {answer.status}")


def _final(error: Exception) -> bool:
    if isinstance(error, AwsError):
        return error.status < 500 and error.status != 429
    return isinstance(error, Refused)


def _over(body: dict[str, Any]) -> hub.Done:
    """The delivery has ended; with the last one the message goes."""
    left_key = rows.left_key(body["message"])

    def change(draft: Draft) -> None:
        left = draft.get_json(left_key) or 0
        if left > 1:
            draft.put_json(left_key, left - 1)
        else:
            draft.delete(left_key)
            draft.delete(rows.message_key(body["message"]))

    return hub.Done(change)
