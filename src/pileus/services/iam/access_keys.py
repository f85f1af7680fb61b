"""Access keys: CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey,
GetAccessKeyLastUsed.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html
"""

from __future__ import annotations

import base64
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import rows

Record = dict[str, Any]
KEYS_MAX = 2


def _whose(call: Call) -> str:
    name = call.params.get("UserName") or (
        call.principal.name if call.principal.kind == "user" else ""
    )
    if not name:
        raise AwsError(
            "ValidationError", "Must specify userName when calling with non-User credentials"
        )
    return str(name)


async def create_access_key(parts: Parts, call: Call) -> Record:
    key: Record = {
        "id": rows.unique_id("AKIA", parts.clock.random_bytes(24))[:20],
        "secret": base64.b64encode(parts.clock.random_bytes(30)).decode(),
        "account": call.account,
        "status": "Active",
        "created": parts.clock.now_ms(),
    }

    def change(draft: Any) -> Record:
        user = rows.find(draft, call.account, "user", _whose(call))
        held = user.get("keys", [])
        if len(held) >= KEYS_MAX:
            raise AwsError(
                "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_MAX}", 409
            )
        key["user"] = user["name"]
        draft.put_json(rows.access_key_key(key["id"]), key)
        rows.put(draft, call.account, "user", user | {"keys": [*held, key["id"]]})
        return key

    key = await parts.store.transact(change, call.invocation_id)
    return {"AccessKey": _shape(key) | {"SecretAccessKey": key["secret"]}}


def _shape(key: Record) -> Record:
    return {
        "UserName": key["user"],
        "AccessKeyId": key["id"],
        "Status": key["status"],
        "CreateDate": rows.moment(key["created"]),
    }


def list_access_keys(parts: Parts, call: Call) -> Record:
    user = rows.find(parts.store, call.account, "user", _whose(call))
    keys = [parts.store.get_json(rows.access_key_key(k)) for k in user.get("keys", [])]
    return rows.page(call.params, [_shape(k) for k in keys if k], "AccessKeyMetadata")


def _owned(reader: Any, call: Call) -> Record:
    key_id = call.params["AccessKeyId"]
    key = reader.get_json(rows.access_key_key(key_id))
    if key is None or key["account"] != call.account or key["user"] == "":
        raise AwsError("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.", 404)
    if "UserName" in call.params and key["user"].lower() != call.params["UserName"].lower():
        raise AwsError("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.", 404)
    return dict(key)


async def update_access_key(parts: Parts, call: Call) -> Record:
    status = call.params["Status"]
    if status not in ("Active", "Inactive"):
        raise AwsError("ValidationError", "Status must be Active or Inactive")

    def change(draft: Any) -> None:
        key = _owned(draft, call)
        draft.put_json(rows.access_key_key(key["id"]), key | {"status": status})

    await parts.store.transact(change, call.invocation_id)
    return {}


async def delete_access_key(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        key = _owned(draft, call)
        draft.delete(rows.access_key_key(key["id"]))
        user = rows.find(draft, call.account, "user", key["user"])
        kept = [k for k in user.get("keys", []) if k != key["id"]]
        rows.put(draft, call.account, "user", user | {"keys": kept})

    await parts.store.transact(change, call.invocation_id)
    return {}


def get_access_key_last_used(parts: Parts, call: Call) -> Record:
    """Uses are not recorded; like AWS for a key never used, the answer says N/A."""
    key = _owned(parts.store, call)
    return {"UserName": key["user"], "AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"}}


OPERATIONS = {
    "CreateAccessKey": create_access_key,
    "ListAccessKeys": list_access_keys,
    "UpdateAccessKey": update_access_key,
    "DeleteAccessKey": delete_access_key,
    "GetAccessKeyLastUsed": get_access_key_last_used,
}
