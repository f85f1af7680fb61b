"""What is published, what is kept of it, and what its receivers see.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
A message is a row: ``type``, ``id``, ``topic``, ``subject`` (or None), ``message`` (a text, or one
for each protocol), ``attributes`` (name → Type, Value) and ``at_ms``; one that asks something has
a ``token`` too.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.services.sns import faults
from pileus.services.sns.signing import Sender

BYTES_MAX = 256 * 1024
SUBJECT_CHARS_MAX = 100
NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
FAREWELL = "UnsubscribeConfirmation"
_ATTRIBUTE = re.compile(r"(?!\.)(?!.*\.\.)(?!AWS\.|Amazon\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_TYPES = ("String", "Number", "Binary")
Message = dict[str, Any]


def notification(topic: str, asked: dict[str, Any], message_id: str, at_ms: int) -> Message:
    """The row of what Publish (or an entry of a batch) asks for, checked."""
    text, subject = asked["Message"], asked.get("Subject")
    if not text:
        raise faults.invalid("Empty message")
    if size_bytes(asked) > BYTES_MAX:
        raise faults.invalid("Message too long")
    if asked.get("MessageDeduplicationId"):
        raise faults.invalid(
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter"
            " that is not valid for this topic type"
        )
    if subject is not None and not (
        1 <= len(subject) <= SUBJECT_CHARS_MAX and subject.isprintable() and subject.strip()
    ):
        raise faults.invalid("Subject")
    attributes = asked.get("MessageAttributes") or {}
    return {
        "type": NOTIFICATION,
        "id": message_id,
        "topic": topic,
        "subject": subject,
        "message": _message(text, asked.get("MessageStructure")),
        "attributes": {name: _attribute(name, value) for name, value in attributes.items()},
        "at_ms": at_ms,
    }


def confirmation(topic: str, token: str, message_id: str, at_ms: int) -> Message:
    """The row of what asks an endpoint whether it wants to hear."""
    text = (
        f"You have chosen to subscribe to the topic {topic}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message."
    )
    return _question(CONFIRMATION, topic, text, token, message_id, at_ms)


def farewell(topic: str, subscription: str, token: str, message_id: str, at_ms: int) -> Message:
    """The row of what tells an endpoint that it hears no more, and how it would again."""
    text = (
        f"You have chosen to deactivate subscription {subscription}.\n"
        "To cancel this operation and restore the subscription, visit the SubscribeURL included in"
        " this message."
    )
    return _question(FAREWELL, topic, text, token, message_id, at_ms)


def _question(kind: str, topic: str, text: str, token: str, message_id: str, at_ms: int) -> Message:
    return {
        "type": kind,
        "id": message_id,
        "topic": topic,
        "subject": None,
        "message": text,
        "attributes": {},
        "at_ms": at_ms,
        "token": token,
    }


def size_bytes(asked: dict[str, Any]) -> int:
    """As its limit counts it: the text and the attributes' names, types and values."""
    size = len(asked["Message"].encode())
    for name, value in (asked.get("MessageAttributes") or {}).items():
        told = (name, value.get("DataType") or "", value.get("StringValue") or "")
        size += sum(len(part.encode()) for part in told) + len(value.get("BinaryValue") or b"")
    return size


def _message(text: str, structure: str | None) -> str | dict[str, str]:
    if not structure:
        return text
    if structure != "json":
        raise faults.invalid("MessageStructure")
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise faults.invalid("Message Structure - JSON message body failed to parse")
    kept = {name: value for name, value in told.items() if isinstance(value, str)}
    if "default" not in kept:
        raise faults.invalid("Message Structure - No default entry in JSON message body")
    return kept


def _attribute(name: str, told: dict[str, Any]) -> dict[str, str]:
    if not _ATTRIBUTE.fullmatch(name):
        raise faults.attribute_type(f"The message attribute name '{name[:256]}' is invalid.")
    kind = told["DataType"]
    if kind.partition(".")[0] not in _TYPES:
        raise faults.attribute_type(
            f"The message attribute '{name}' has an invalid message attribute type, the set of"
            " supported type prefixes is Binary, Number, and String."
        )
    text, raw = told.get("StringValue"), told.get("BinaryValue")
    if kind.startswith("Binary"):
        value = base64.b64encode(raw).decode() if raw else ""
    else:
        value = text or ""
    if not value:
        raise faults.attribute_type(
            f"The message attribute '{name}' must contain non-empty message attribute value for"
            f" message attribute type '{kind}'."
        )
    if kind.startswith("Number") and not _is_number(value):
        raise faults.attribute_type(f"Could not cast message attribute '{name}' value to number.")
    return {"Type": kind, "Value": value}


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None


def text_for(message: Message, protocol: str) -> str:
    told = message["message"]
    return told if isinstance(told, str) else str(told.get(protocol, told["default"]))


def stamp(at_ms: int) -> str:
    told = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def event(message: Message, subscription: str, sender: Sender) -> bytes:
    """What a function is given; two of the names are others than endpoints see."""
    told = {
        "Type": message["type"],
        "MessageId": message["id"],
        "TopicArn": message["topic"],
        "Subject": message["subject"],
        "Message": text_for(message, "lambda"),
        "Timestamp": stamp(message["at_ms"]),
    }
    told |= sender.signature(told, "SigningCertUrl")
    told["UnsubscribeUrl"] = sender.link("Unsubscribe", SubscriptionArn=subscription)
    told["MessageAttributes"] = message["attributes"]
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": told,
    }
    return orjson.dumps({"Records": [record]})


def post(
    message: Message, protocol: str, subscription: str, raw: bool, content: str, sender: Sender
) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of what an http or https endpoint is sent. ``raw``: the published text
    alone; ``content``: its content type."""
    kind, topic = message["type"], message["topic"]
    headers = [
        ("content-type", content),
        ("user-agent", "Amazon Simple Notification Service Agent"),
        ("x-amz-sns-message-type", kind),
        ("x-amz-sns-message-id", message["id"]),
        ("x-amz-sns-topic-arn", topic),
    ]
    text = text_for(message, protocol)
    if kind != CONFIRMATION:
        headers.append(("x-amz-sns-subscription-arn", subscription))
    if raw:
        return [*headers, ("x-amz-sns-rawdelivery", "true")], text.encode()
    told: dict[str, Any] = {"Type": kind, "MessageId": message["id"]}
    if kind != NOTIFICATION:
        told["Token"] = message["token"]
    told["TopicArn"] = topic
    if message["subject"] is not None:
        told["Subject"] = message["subject"]
    told["Message"] = text
    if kind != NOTIFICATION:
        link = {"TopicArn": topic, "Token": message["token"]}
        told["SubscribeURL"] = sender.link("ConfirmSubscription", **link)
    told["Timestamp"] = stamp(message["at_ms"])
    told |= sender.signature(told)
    if kind == NOTIFICATION:
        told["UnsubscribeURL"] = sender.link("Unsubscribe", SubscriptionArn=subscription)
    if message["attributes"]:
        told["MessageAttributes"] = message["attributes"]
    return headers, orjson.dumps(told)
