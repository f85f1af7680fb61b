"""CreateKey, DescribeKey, ListKeys, EnableKey, DisableKey, UpdateKeyDescription, and the end of a
key: ScheduleKeyDeletion, CancelKeyDeletion.

https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.kms import faults, managed, rows
from pileus.services.kms.policies import check_policy, default_policy
from pileus.services.kms.room import DAY_MS, Key, Room, check_alive
from pileus.services.kms.sealing import ALGORITHM, named_material
from pileus.services.kms.tags import read_tags
from pileus.state.draft import Draft

WINDOW_DAYS_MIN, WINDOW_DAYS_MAX = 7, 30
LIST_MAX = 1000
DESCRIPTION_CHARS_MAX = 8192


async def create_key(room: Room, call: Call) -> dict[str, Any]:
    """A symmetric key; other kinds are refused by name."""
    params = call.params
    spec = params.get("KeySpec") or params.get("CustomerMasterKeySpec") or ALGORITHM
    usage = params.get("KeyUsage") or "ENCRYPT_DECRYPT"
    origin = params.get("Origin") or "AWS_KMS"
    if spec != ALGORITHM or usage != "ENCRYPT_DECRYPT" or origin != "AWS_KMS":
        raise faults.unsupported(
            f"Keys of spec {spec}, usage {usage} and origin {origin} are not offered by Pileus:"
            " it makes symmetric keys that encrypt and decrypt."
        )
    if params.get("MultiRegion"):
        raise faults.unsupported("Multi-region keys are not offered by Pileus: it is one region.")
    policy = params.get("Policy") or default_policy(call.account)
    check_policy(call, policy, params.get("BypassPolicyLockoutSafetyCheck"))
    description = _described(params.get("Description") or "")
    key_id, record = room.new_record(call.account, policy, description)
    record["tags"] = read_tags(params.get("Tags") or [])
    at = rows.key(call.account, call.region, key_id)

    def change(draft: Draft) -> list[Any]:
        draft.put_json(at, record)
        return [key_id, record]

    key_id, record = await room.store.transact(change, call.invocation_id)  # a repeat's: the first
    return {"KeyMetadata": metadata(Key(call.account, call.region, key_id, record, {}))}


def _described(told: str) -> str:
    if len(told) > DESCRIPTION_CHARS_MAX:
        raise faults.invalid(
            "1 validation error detected: Value at 'description' failed to satisfy constraint:"
            f" Member must have length less than or equal to {DESCRIPTION_CHARS_MAX}"
        )
    return told


def metadata(key: Key) -> dict[str, Any]:
    """The KeyMetadata of a key."""
    record = key.record
    told = {
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": record["created_ms"] / 1000,
        "Enabled": key.state == "Enabled",
        "Description": record["description"],
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": record["manager"],
        "CustomerMasterKeySpec": ALGORITHM,
        "KeySpec": ALGORITHM,
        "EncryptionAlgorithms": [ALGORITHM],
        "MultiRegion": False,
        "CurrentKeyMaterialId": named_material(key, len(record["materials"]) - 1),
    }
    if record["deletion_ms"] is not None:
        told["DeletionDate"] = record["deletion_ms"] / 1000
    return told


async def describe_key(room: Room, call: Call) -> dict[str, Any]:
    """Asking for a service's alias makes its key, as on AWS."""
    parsed = rows.parse(call.params["KeyId"], call.account, call.region)
    if parsed is not None and managed.names(parsed[2]):
        await room.ensured(call, call.params["KeyId"])
    return {"KeyMetadata": metadata(room.find(call, call.params["KeyId"]))}


def limit_of(params: dict[str, Any], most: int, usual: int = 100) -> int:
    told = params.get("Limit")
    if told is None:
        return usual
    if not 1 <= told <= most:
        raise faults.invalid(
            f"1 validation error detected: Value '{told}' at 'limit' failed to satisfy constraint:"
            f" Member must have value between 1 and {most}"
        )
    return int(told)


def list_keys(room: Room, call: Call) -> dict[str, Any]:
    limit = limit_of(call.params, LIST_MAX)
    page, more = room.listed(call, rows.KEY, call.params.get("Marker") or "", limit)
    told = [
        {"KeyId": i, "KeyArn": rows.arn(call.account, call.region, rows.KEY + i)} for i, _ in page
    ]
    return paged("Keys", told, page[-1][0] if more else "")


def paged(name: str, items: list[Any], marker: str) -> dict[str, Any]:
    told = {name: items, "Truncated": bool(marker)}
    return told | ({"NextMarker": marker} if marker else {})


def own(room: Room, call: Call) -> Key:
    """The key a change is asked of: the account's own, named by id or ARN."""
    key = room.find(call, call.params["KeyId"], aliases=False)
    if key.managed:
        raise faults.managed(key.arn)
    return key


async def enable_key(room: Room, call: Call) -> None:
    await _switch(room, call, True)


async def disable_key(room: Room, call: Call) -> None:
    await _switch(room, call, False)


async def _switch(room: Room, call: Call, on: bool) -> None:
    key = own(room, call)
    check_alive(key)
    await room.edit(call, key, lambda record: record.update(enabled=on))


async def update_description(room: Room, call: Call) -> None:
    key = own(room, call)
    check_alive(key)
    told = _described(call.params["Description"])
    await room.edit(call, key, lambda record: record.update(description=told))


# -- the end of a key --------------------------------------------------------------------------


async def schedule_deletion(room: Room, call: Call) -> dict[str, Any]:
    """From now on it serves nothing; after the window its material is destroyed."""
    key = own(room, call)
    days = call.params.get("PendingWindowInDays") or WINDOW_DAYS_MAX
    if not WINDOW_DAYS_MIN <= days <= WINDOW_DAYS_MAX:
        raise faults.invalid(
            f"1 validation error detected: Value '{days}' at 'pendingWindowInDays' failed to"
            " satisfy constraint: Member must have value between"
            f" {WINDOW_DAYS_MIN} and {WINDOW_DAYS_MAX}"
        )
    at_ms = room.clock.now_ms() + days * DAY_MS

    def change(record: dict[str, Any]) -> int:
        if record["deletion_ms"] is not None:
            raise faults.invalid_state(f"{key.arn} is pending deletion.")
        record.update(deletion_ms=at_ms, window_days=days)
        return at_ms

    at_ms = await room.edit(call, key, change)
    return {
        "KeyId": key.arn,
        "DeletionDate": at_ms / 1000,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }


async def cancel_deletion(room: Room, call: Call) -> dict[str, Any]:
    """The key comes back disabled."""
    key = own(room, call)

    def change(record: dict[str, Any]) -> None:
        if record["deletion_ms"] is None:
            raise faults.invalid_state(f"{key.arn} is not pending deletion.")
        record.update(deletion_ms=None, window_days=None, enabled=False)

    await room.edit(call, key, change)
    return {"KeyId": key.arn}
