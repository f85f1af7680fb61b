"""Where stacks live in the state: one record per stack, its resources, its events, its change sets.

Table ``cfn``. Partition ``account/region``: ``name/NAME`` names the live stack, ``stack/ID`` holds
its record.
Partition ``ID`` (the stack's ARN): ``resource/LOGICAL``, ``event/N``, ``changeset/NAME``,
``answer/REQUEST`` (of a custom resource, while its operation lasts),
``handle/ID`` (of a wait condition, with its signals).
Table ``cfnwork``: one row per stack that has an operation under way; the worker takes it up again
after a crash.
"""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from pileus.services.cloudformation.template import invalid
from pileus.state import keys

TABLE = "cfn"
WORK = "cfnwork"
Record = dict[str, Any]


def name_key(place: str, name: str) -> bytes:
    return keys.key(TABLE, place, f"name/{name}")


def stack_key(place: str, stack_id: str) -> bytes:
    return keys.key(TABLE, place, f"stack/{stack_id}")


def resource_key(stack_id: str, logical: str) -> bytes:
    return keys.key(TABLE, stack_id, f"resource/{logical}")


def event_key(stack_id: str, number: int) -> bytes:
    return keys.key(TABLE, stack_id, f"event/{number:010d}")


def answer_key(stack_id: str, request_id: str) -> bytes:
    return keys.key(TABLE, stack_id, f"answer/{request_id}")


def handle_key(stack_id: str, handle_id: str) -> bytes:
    return keys.key(TABLE, stack_id, f"handle/{handle_id}")


def drop_answers(store: Any, draft: Any, stack_id: str) -> None:
    """An operation's end: nothing it asked is waited for any more."""
    start = keys.partition_prefix(TABLE, stack_id) + b"answer/"
    for row in store.range(start, keys.after_prefix(start)):
        draft.delete(row.key)


def secret_key() -> bytes:
    """What addresses for answers are signed with (see ``console.rows.SECRET``)."""
    return keys.key(TABLE, "keys", "answers")


def put_event(draft: Any, stack_id: str, record: Record) -> None:
    """Append to the stack's history what ``record`` (of a resource, or ``of_stack``) tells."""
    counter = keys.key(TABLE, stack_id, "events")
    number = (draft.get_json(counter) or 0) + 1
    event = {
        "EventId": str(uuid.uuid4()),
        "LogicalResourceId": record["logical"],
        "PhysicalResourceId": record.get("physical", ""),
        "ResourceType": record["type"],
        "ResourceStatus": record["status"],
        "at": draft.now_ms,
    }
    if record.get("reason"):
        event["ResourceStatusReason"] = record["reason"]
    draft.put_json(counter, number)
    draft.put_json(event_key(stack_id, number), event)


def of_stack(stack: Record, reason: str = "User Initiated") -> Record:
    """A stack as the resource its own events tell of."""
    return {
        "logical": stack["name"],
        "physical": stack["id"],
        "type": "AWS::CloudFormation::Stack",
        "status": stack["status"],
        "reason": reason,
    }


def change_set_key(stack_id: str, name: str) -> bytes:
    return keys.key(TABLE, stack_id, f"changeset/{name}")


def work_key(stack_id: str) -> bytes:
    return keys.key(WORK, "work", stack_id)


def told_parameters(record: Record) -> list[Record]:
    """The parameters of a stack or a change set as answers tell them."""
    resolved = record.get("resolved", {})
    return [
        {"ParameterKey": k, "ParameterValue": v}
        | ({"ResolvedValue": resolved[k]} if k in resolved else {})
        for k, v in record["parameters"].items()
    ]


def export_key(place: str, name: str) -> bytes:
    return keys.key(TABLE, place, f"export/{name}")


def listing(store: Any, partition: str, prefix: str, limit: int = 100_000) -> list[Record]:
    """The records of ``partition`` whose sort key starts with ``prefix``, in order."""
    start = keys.partition_prefix(TABLE, partition) + prefix.encode()
    return [orjson.loads(row.value) for row in store.range(start, keys.after_prefix(start), limit)]


def new_stack_id(region: str, account: str, name: str) -> str:
    return f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"


def find(reader: Any, place: str, name: str) -> Record | None:
    """A stack by name (live ones) or by id (deleted ones too)."""
    stack_id = name
    if not name.startswith("arn:"):
        pointer = reader.get_json(name_key(place, name))
        if pointer is None:
            return None
        stack_id = pointer["id"]
    found = reader.get_json(stack_key(place, stack_id))
    return None if found is None else dict(found)


def must_find(reader: Any, place: str, name: str) -> Record:
    found = find(reader, place, name)
    if found is None:
        raise invalid(f"Stack with id {name} does not exist")
    return found


def resources(store: Any, stack_id: str) -> dict[str, Record]:
    """The stack's resources by logical name."""
    return {r["logical"]: r for r in listing(store, stack_id, "resource/")}
