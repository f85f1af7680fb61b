"""PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy: a table's own policy.

The parsed document stands in the metadata row, where ``access`` finds it for every call.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb.faults import invalid, not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table

POLICY_BYTES_MAX = 20 * 1024


def _find(room: Room, call: Call, arn: str) -> Table:
    table = room.tables.find(call.account, call.region, arn) if arn.startswith("arn:") else None
    if table is None or arn != table.description["TableArn"]:
        raise not_found(f"Requested resource not found: ResourceArn: {arn} not found")
    return table


def _absent(arn: str) -> AwsError:
    return AwsError("PolicyNotFoundException", f"Resource-based policy not found for: {arn}")


def _revision(policy: dict[str, Any]) -> str:
    """A revision names the text it stands for."""
    return str(int(hashlib.sha256(orjson.dumps(policy)).hexdigest()[:12], 16))


def _check_expected(p: dict[str, Any], current: dict[str, Any] | None) -> None:
    expected = p.get("ExpectedRevisionId")
    if expected is None:
        return
    actual = _revision(current) if current else "NO_POLICY"
    if expected != actual:
        raise _absent(p["ResourceArn"])


async def put_resource_policy(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Attach or replace the policy."""
    table = _find(room, call, p["ResourceArn"])
    if len(p["Policy"].encode()) > POLICY_BYTES_MAX:
        raise invalid("Resource-based policy exceeds the maximum size of 20 KB")
    try:
        policy = orjson.loads(p["Policy"])
    except orjson.JSONDecodeError:
        raise invalid("Invalid policy document: the policy is not valid JSON") from None
    if not isinstance(policy, dict) or not isinstance(policy.get("Statement"), dict | list):
        raise invalid("Invalid policy document: a policy needs a Statement")

    def change(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise not_found()
        _check_expected(p, row.get("policy"))
        draft.put_json(table.meta_key, {**row, "policy": policy})

    await room.store.transact(change, call.invocation_id)
    return {"RevisionId": _revision(policy)}


def get_resource_policy(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """The policy's text and revision."""
    policy = _find(room, call, p["ResourceArn"]).description.get("policy")
    if not policy:
        raise _absent(p["ResourceArn"])
    return {"Policy": orjson.dumps(policy).decode(), "RevisionId": _revision(policy)}


async def delete_resource_policy(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Take the policy away; there being none is no error."""
    table = _find(room, call, p["ResourceArn"])

    def change(draft: Any) -> str:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise not_found()
        policy = row.pop("policy", None)
        _check_expected(p, policy)
        if policy is None:
            return ""
        draft.put_json(table.meta_key, row)
        return _revision(policy)

    revision = await room.store.transact(change, call.invocation_id)
    return {"RevisionId": revision} if revision else {}
