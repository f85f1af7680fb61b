"""The permission each operation needs, on which key. A key's policy always has its say.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Access, Call
from pileus.services.kms import grants, managed, rows, sealing
from pileus.services.kms.room import Key, Room

ACCOUNT = frozenset({"CreateKey", "ListKeys", "GenerateRandom", "ListRetirableGrants"})
ALIASED = frozenset({"CreateAlias", "UpdateAlias", "DeleteAlias"})


def access(room: Room, call: Call) -> list[Access]:
    operation, params = call.operation, call.params
    if operation in ACCOUNT or (operation == "ListAliases" and not params.get("KeyId")):
        return [Access(f"kms:{operation}", "*", context=_context(call))]
    if operation in ALIASED:
        return _on_alias(room, call)
    if operation == "ReEncrypt":
        old = _made_with(room, call, params.get("CiphertextBlob") or b"", "Source")
        return [old, _on_key(room, call, "kms:ReEncryptTo", params["DestinationKeyId"])]
    if operation == "RetireGrant":
        return [_of_key(call, "kms:RetireGrant", grants.named(room, call)[0])]
    if operation == "Decrypt":
        return [_made_with(room, call, params.get("CiphertextBlob") or b"", "")]
    return [_on_key(room, call, f"kms:{operation}", params["KeyId"])]


def _context(call: Call, key: Key | None = None) -> dict[str, Any]:
    """Condition keys of this call."""
    params = call.params
    told: dict[str, Any] = {"kms:CallerAccount": call.account}
    context = params.get("EncryptionContext") or params.get("SourceEncryptionContext")
    if isinstance(context, dict):
        told |= {f"kms:EncryptionContext:{k}": v for k, v in context.items()}
        told["kms:EncryptionContextKeys"] = list(context)
    asked = rows.parse(params.get("KeyId") or "", call.account, call.region)
    if asked is not None and rows.is_alias(asked[2]):
        told["kms:RequestAlias"] = asked[2]
    if "PendingWindowInDays" in params:
        told["kms:ScheduleKeyDeletionPendingWindowInDays"] = str(params["PendingWindowInDays"])
    if isinstance(params.get("Tags"), list):
        told |= {f"aws:RequestTag/{t['TagKey']}": t["TagValue"] for t in params["Tags"]}
        told["aws:TagKeys"] = [t["TagKey"] for t in params["Tags"]]
    if key is not None:
        told |= {f"aws:ResourceTag/{k}": v for k, v in key.record["tags"].items()}
        told |= {"kms:KeySpec": sealing.ALGORITHM, "kms:KeyUsage": "ENCRYPT_DECRYPT"}
    return told


def _of_key(call: Call, action: str, key: Key) -> Access:
    return Access(action, key.arn, key.policy, key.account, _context(call, key))


def _on_key(room: Room, call: Call, action: str, told: str) -> Access:
    """Where there is no such key the caller learns it only if it may do this to any key."""
    parsed = rows.parse(told, call.account, call.region)
    try:
        return _of_key(call, action, room.find(call, told))
    except AwsError:
        account, region, tail = parsed or (call.account, call.region, "key/*")
        if managed.names(tail) and account == call.account:  # to be made by this call
            policy = managed.policy(account, region, tail)
            where = rows.arn(account, region, "key/*")
            return Access(action, where, policy, account, _context(call))
        resource = rows.arn(account, region, tail if tail.startswith(rows.KEY) else "key/*")
        return Access(action, resource, None, "", _context(call))


def _made_with(room: Room, call: Call, blob: bytes, which: str) -> Access:
    """The key a ciphertext names."""
    action = "kms:ReEncryptFrom" if which else "kms:Decrypt"
    header = sealing.header_of(blob)
    key = room.key(header.account, call.region, header.key_id) if header is not None else None
    if key is not None:
        return _of_key(call, action, key)
    told = call.params.get(f"{which}KeyId") or call.params.get("KeyId")
    if told:
        return _on_key(room, call, action, told)
    return Access(action, "*", context=_context(call))


def _on_alias(room: Room, call: Call) -> list[Access]:
    """Both the alias and the key (for UpdateAlias, both keys) must be permitted."""
    action = f"kms:{call.operation}"
    name = str(call.params["AliasName"])
    resource = rows.arn(call.account, call.region, name if rows.is_alias(name) else "alias/*")
    out = [Access(action, resource, context=_context(call))]
    if call.operation != "CreateAlias":
        target = room.target(call.account, call.region, name)
        if target is not None:
            out.append(_on_key(room, call, action, target))
    if call.operation != "DeleteAlias":
        out.append(_on_key(room, call, action, call.params["TargetKeyId"]))
    return out
