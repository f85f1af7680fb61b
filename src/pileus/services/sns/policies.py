"""A topic's policy: who besides its account's identities may use it.

https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.policy.document import Malformed, compile_document
from pileus.policy.principals import root_arn
from pileus.services.call import Call
from pileus.services.sns import faults, rows
from pileus.services.sns.names import TopicName
from pileus.services.sns.room import Room
from pileus.state.draft import Draft

BYTES_MAX = 30 * 1024
_OWNERS = (
    *("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission"),
    *("DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish"),
)
_ACTIONS = {"*", "ListSubscriptionsByTopic", "Publish", "Subscribe", *_OWNERS}


def default(name: TopicName) -> str:
    """A new topic's: services that act for its own account may use it (an alarm), nobody else
    by this. Its identities may what IAM says: for them ``AWS:SourceOwner`` is not told."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in _OWNERS],
        "Resource": name.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": name.account}},
    }
    told = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    return orjson.dumps(told).decode()


def checked(text: str) -> str:
    """The text of a policy that can be read; ``InvalidParameter`` otherwise."""
    if len(text.encode()) > BYTES_MAX:
        raise faults.invalid("Policy Reason: Policy size exceeds the maximum allowed")
    try:
        compile_document(orjson.loads(text), identity=False)
    except (orjson.JSONDecodeError, Malformed) as error:
        raise faults.invalid(f"Policy Error: {error}") from None
    return text


async def add_permission(room: Room, call: Call) -> None:
    """One more statement; its label must be new."""
    params, name = call.params, TopicName.of(call.params["TopicArn"])
    for action in params["ActionName"]:
        if action not in _ACTIONS:
            raise faults.invalid("Policy statement action out of service scope!")
    for account in params["AWSAccountId"]:
        if not (account.isdigit() and len(account) == 12):
            raise faults.invalid("AWSAccountId")
    statement = {
        "Sid": params["Label"],
        "Effect": "Allow",
        "Principal": {"AWS": _one_or_all([root_arn(a) for a in params["AWSAccountId"]])},
        "Action": _one_or_all([f"SNS:{action}" for action in params["ActionName"]]),
        "Resource": name.arn,
    }

    def add(statements: list[Any]) -> list[Any]:
        if any(s.get("Sid") == params["Label"] for s in statements):
            raise faults.invalid("Statement already exists")
        return [*statements, statement]

    await _edit(room, call, name, add)


def _one_or_all(told: list[str]) -> str | list[str]:
    return told[0] if len(told) == 1 else told


async def remove_permission(room: Room, call: Call) -> None:
    name, label = TopicName.of(call.params["TopicArn"]), call.params["Label"]
    await _edit(room, call, name, lambda all_: [s for s in all_ if s.get("Sid") != label])


async def _edit(room: Room, call: Call, name: TopicName, edit: Any) -> None:
    def change(draft: Draft) -> None:
        topic = rows.need_topic(draft, name)
        policy = orjson.loads(topic["attributes"]["Policy"])
        statements = policy["Statement"]
        policy["Statement"] = edit([statements] if isinstance(statements, dict) else statements)
        text = orjson.dumps(policy).decode()
        if policy["Statement"]:
            checked(text)
        draft.put_json(
            rows.topic_key(name), {**topic, "attributes": {**topic["attributes"], "Policy": text}}
        )

    await room.store.transact(change, call.invocation_id)
