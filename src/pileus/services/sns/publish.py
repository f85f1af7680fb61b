"""Publish and PublishBatch: durable, with all deliveries that are due, before the answer.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
"""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.sns import deliveries, faults, filters, messages, rows
from pileus.services.sns.messages import Message
from pileus.services.sns.names import TopicName
from pileus.services.sns.room import Room
from pileus.state.draft import Draft

ENTRIES_MAX = 10
LONG_CHARS = 8192  # policies that look at more than this are asked beside the loop
ENTRY_ID_CHARS_MAX = 80
_DEVICE = re.compile(r"arn:aws:sns:[a-z0-9-]+:\d{12}:endpoint/.+")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]+")


async def publish(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    if params.get("PhoneNumber"):
        raise faults.not_offered("PhoneNumber: SMS")
    name = target(params)
    message = _row(room, name, params)
    told = await _put(room, call, name, {"": message})
    return {"MessageId": told[""]}


def target(params: dict[str, Any]) -> TopicName:
    """The topic a message is published to. There are no endpoints of devices here."""
    for member in ("TopicArn", "TargetArn"):
        arn = params.get(member)
        if arn is not None:
            if _DEVICE.fullmatch(arn):
                raise faults.invalid(
                    f"{member} Reason: No endpoint found for the target arn specified"
                )
            return TopicName.of(arn, member)
    raise faults.invalid("TopicArn or TargetArn Reason: no value for required parameter")


async def publish_batch(room: Room, call: Call) -> dict[str, Any]:
    """Entries that are wrong by themselves fail alone; the others are in one entry of the log."""
    entries, name = call.params["PublishBatchRequestEntries"], TopicName.of(call.params["TopicArn"])
    _check_batch(entries)
    good: dict[str, Message] = {}
    failed = []
    for entry in entries:
        try:
            good[entry["Id"]] = _row(room, name, entry)
        except AwsError as error:
            told = {"Code": error.code, "Message": error.message, "SenderFault": True}
            failed.append({"Id": entry["Id"], **told})
    ids = await _put(room, call, name, good)
    done = [{"Id": entry, "MessageId": message} for entry, message in ids.items()]
    return {"Successful": done, "Failed": failed}


def _check_batch(entries: list[dict[str, Any]]) -> None:
    if not entries:
        raise AwsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(entries) > ENTRIES_MAX:
        raise AwsError(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        )
    ids = [entry["Id"] for entry in entries]
    for one in ids:
        _check_entry_id(one)
    if len(set(ids)) < len(ids):
        raise AwsError(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        )
    if sum(map(messages.size_bytes, entries)) > messages.BYTES_MAX:
        raise AwsError(
            "BatchRequestTooLong",
            "The length of all the messages put together is more than the limit.",
        )


def _check_entry_id(told: str) -> None:
    if len(told) > ENTRY_ID_CHARS_MAX:
        what = f"is too long: {told}"
    elif not _ENTRY_ID.fullmatch(told):
        what = f"contains an impermissible character: {told}"
    else:
        return
    raise AwsError("InvalidBatchEntryId", f"The Id of a batch entry in the batch request {what}")


def _row(room: Room, name: TopicName, asked: dict[str, Any]) -> Message:
    return messages.notification(name.arn, asked, str(uuid.uuid4()), room.clock.now_ms())


async def _put(
    room: Room, call: Call, name: TopicName, found: dict[str, Message]
) -> dict[str, str]:
    """Write messages and deliveries; the id of each message (a repeated request's: the first's)."""
    asked = [(message, filters.Wants(message)) for message in found.values()]
    if sum(len(str(message["message"])) for message in found.values()) > LONG_CHARS:
        known = rows.subscriptions_of(room.store, name)
        await asyncio.to_thread(lambda: [wants(s) for _, wants in asked for s in known])

    def change(draft: Draft) -> dict[str, str]:
        rows.need_topic(draft, name)
        all_ = [s for s in rows.subscriptions_of(draft, name) if s["confirmed"]]
        for message, wants in asked:
            to = [s["arn"] for s in all_ if wants(s)]
            deliveries.put(draft, message, to, message["at_ms"])
        return {entry: message["id"] for entry, message in found.items()}

    told = await room.store.transact(change, call.invocation_id)
    room.ring()
    return told
