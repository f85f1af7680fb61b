"""PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy: a table's own policy, or a stream's.

The parsed document stands in the table's metadata row, a stream's in what the row tells of the
stream; ``access`` and ``streams`` find it there for every call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.decide import Caller, Policies, decide
from pileus.policy.document import Malformed, Statement, compile_document
from pileus.services.call import Call
from pileus.services.dynamodb.faults import invalid, not_found, table_not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table

POLICY_BYTES_MAX = 20 * 1024
PUT = "dynamodb:PutResourcePolicy"
NO_POLICY = "NO_POLICY"


def _missing(arn: str) -> AwsError:
    """A table is told by its name; what is none of a table, by its ARN."""
    _, of_table, name = arn.partition(":table/")
    if of_table and "/" not in name:
        return table_not_found(name)
    return not_found(f"Requested resource not found: ResourceArn: {arn} not found")


def _absent(told: str) -> AwsError:
    return AwsError(
        "PolicyNotFoundException",
        f"Resource-based policy not found for the provided ResourceArn: {told}",
    )


def table_of(room: Room, call: Call, arn: str) -> Table | None:
    """The table whose ARN, or whose stream's, this is."""
    named = arn.partition("/stream/")[0]
    whole = named.startswith("arn:") and named.count("/") == 1
    return room.tables.find(call.account, call.region, named) if whole else None


def _key(room: Room, call: Call, arn: str) -> bytes:
    """The metadata row that holds the policy of ``arn``."""
    table = table_of(room, call, arn)
    if table is None:
        raise _missing(arn)
    return table.meta_key


def holder(row: dict[str, Any] | None, arn: str) -> dict[str, Any] | None:
    """The part of a table's metadata row that has, or may have, the ``policy`` of an ARN: the whole
    row, or a stream in it. None: the row is of no such resource."""
    if row is None:
        return None
    if arn == row["TableArn"]:
        return row
    streams = row.get("streams", ())
    return next((s for s in streams if arn == f"{row['TableArn']}/stream/{s['label']}"), None)


def _revision(policy: dict[str, Any]) -> str:
    """A revision names the text it stands for."""
    return str(int(hashlib.sha256(orjson.dumps(policy)).hexdigest()[:12], 16))


def _check_expected(p: dict[str, Any], current: dict[str, Any] | None) -> None:
    expected = p.get("ExpectedRevisionId")
    if expected is None:
        return
    name = p["ResourceArn"].partition(":table/")[2]
    if current is None:
        if expected != NO_POLICY:
            raise _absent(p["ResourceArn"])
        return
    actual = _revision(current)
    if expected == NO_POLICY:
        raise _absent(
            f"Requested policy update expecting none to be present for table {name}, but a policy"
            f" exists with revision id {actual}."
        )
    if expected != actual:
        raise _absent(
            f"Requested update for policy with revision id {expected}, but the policy associated to"
            f" target table {name} has revision id {actual}."
        )


def _parsed(text: str) -> tuple[dict[str, Any], tuple[Statement, ...]]:
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise invalid("Resource-based policy exceeds the maximum size of 20 KB")
    try:
        policy = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise invalid("Invalid policy document: the policy is not valid JSON") from None
    try:
        return policy, compile_document(policy, identity=False)
    except Malformed as wrong:
        raise invalid(f"Invalid policy document: {wrong}") from None


def _check_lockout(call: Call, arn: str, statements: tuple[Statement, ...]) -> None:
    """Who takes away his own leave to change the policy must say that he means it
    (``ConfirmRemoveSelfResourceAccess``). The account's root always may (API reference)."""
    who = call.principal
    if who.kind == "root":
        return
    caller = Caller(who.kind, who.account, (who.arn,))
    if decide(caller, Policies(), PUT, arn, {}, statements, who.account).denied:
        raise invalid(
            "The policy denies its author to change it in the future; confirm that by"
            " ConfirmRemoveSelfResourceAccess"
        )


async def _change(
    room: Room, call: Call, arn: str, change: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    """Let ``change`` act on what holds the policy; answers the revision it answers, if any."""
    key = _key(room, call, arn)

    def commit(draft: Any) -> str:
        row = draft.get_json(key)
        held = holder(row, arn)
        if held is None:
            raise _missing(arn)
        revision = change(held)
        draft.put_json(key, row)
        return revision

    revision = await room.store.transact(commit, call.invocation_id)
    return {"RevisionId": revision} if revision else {}


async def put_resource_policy(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Attach or replace the policy."""
    arn = p["ResourceArn"]
    policy, statements = _parsed(p["Policy"])
    if not p.get("ConfirmRemoveSelfResourceAccess"):
        _check_lockout(call, arn, statements)

    def put(held: dict[str, Any]) -> str:
        _check_expected(p, held.get("policy"))
        held["policy"] = policy
        return _revision(policy)

    return await _change(room, call, arn, put)


def get_resource_policy(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """The policy's text and revision."""
    arn = p["ResourceArn"]
    held = holder(room.store.get_json(_key(room, call, arn)), arn)
    if held is None:
        raise _missing(arn)
    policy = held.get("policy")
    if not policy:
        raise _absent(arn)
    return {"Policy": orjson.dumps(policy).decode(), "RevisionId": _revision(policy)}


async def delete_resource_policy(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Take the policy away; there being none is no error."""

    def take(held: dict[str, Any]) -> str:
        policy = held.pop("policy", None)
        _check_expected(p, policy)
        return _revision(policy) if policy else ""

    return await _change(room, call, p["ResourceArn"], take)
