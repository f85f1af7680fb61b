"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.kms import faults, managed, rows
from pileus.services.kms.keyring import limit_of, paged
from pileus.services.kms.room import Key, Room, alias_record, check_alive
from pileus.state.draft import Draft

LIST_MAX = 100
SCAN_MAX = 10_000


def _name(call: Call) -> str:
    name = str(call.params["AliasName"])
    if not name.startswith("alias/"):
        raise faults.invalid(
            'Alias must start with the prefix "alias/". Please see'
            " https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if not rows.is_alias(name):
        raise AwsError(
            "InvalidAliasNameException",
            f"Alias name {name} must begin with 'alias/' and hold letters, digits, /, _ and - only",
        )
    if name.startswith(managed.PREFIX):
        raise AwsError("NotAuthorizedException", "Aliases of AWS services are not to be changed")
    return name


def _target(room: Room, call: Call) -> Key:
    key = room.find(call, call.params["TargetKeyId"], aliases=False)
    if key.account != call.account or key.managed:
        raise faults.invalid("An alias stands for a customer key of its own account.")
    check_alive(key)
    return key


async def create_alias(room: Room, call: Call) -> None:
    name, key = _name(call), _target(room, call)
    at = rows.alias(call.account, call.region, name)

    def change(draft: Draft) -> None:
        if draft.get(at) is not None:
            arn = rows.arn(call.account, call.region, name)
            raise AwsError("AlreadyExistsException", f"An alias with the name {arn} already exists")
        draft.put_json(at, alias_record(key.id, draft.now_ms))

    await room.store.transact(change, call.invocation_id)


async def update_alias(room: Room, call: Call) -> None:
    name, key = _name(call), _target(room, call)
    at = rows.alias(call.account, call.region, name)

    def change(draft: Draft) -> None:
        record = draft.get_json(at)
        if record is None:
            raise faults.no_alias(rows.arn(call.account, call.region, name))
        draft.put_json(at, {**record, "target": key.id, "updated_ms": draft.now_ms})

    await room.store.transact(change, call.invocation_id)


async def delete_alias(room: Room, call: Call) -> None:
    name = _name(call)
    at = rows.alias(call.account, call.region, name)

    def change(draft: Draft) -> None:
        if draft.get(at) is None:
            raise faults.no_alias(rows.arn(call.account, call.region, name))
        draft.delete(at)

    await room.store.transact(change, call.invocation_id)


def list_aliases(room: Room, call: Call) -> dict[str, Any]:
    """All, or those of one key."""
    params = call.params
    limit, marker = limit_of(params, LIST_MAX, 50), params.get("Marker") or ""
    if params.get("KeyId"):
        key = room.find(call, params["KeyId"], aliases=False)
        found, _ = room.listed(call, rows.ALIAS, marker, SCAN_MAX)
        mine = [(name, record) for name, record in found if record["target"] == key.id]
        page, more = mine[:limit], len(mine) > limit
    else:
        page, more = room.listed(call, rows.ALIAS, marker, limit)
    told = [_told(call, name, record) for name, record in page]
    return paged("Aliases", told, page[-1][0] if more else "")


def _told(call: Call, name: str, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "AliasName": rows.ALIAS + name,
        "AliasArn": rows.arn(call.account, call.region, rows.ALIAS + name),
        "TargetKeyId": record["target"],
        "CreationDate": record["created_ms"] / 1000,
        "LastUpdatedDate": record["updated_ms"] / 1000,
    }
