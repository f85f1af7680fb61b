"""Grants: leave to use a key, given to one principal without touching the key's policy.

A grant is statements added to the policy of its key while it lasts.
https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.principals import root_arn
from pileus.services.call import Call
from pileus.services.kms import faults, rows
from pileus.services.kms.keyring import limit_of, paged
from pileus.services.kms.room import Key, Room, check_usable
from pileus.state.draft import Draft

OPERATIONS = (
    *("Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
    *("ReEncryptFrom", "ReEncryptTo", "CreateGrant", "RetireGrant", "DescribeKey"),
)
LIST_MAX = 100
GRANTS_MAX = 10_000
# A principal of an account, or a service's.
GRANTEES = ("GranteePrincipal", "GranteeServicePrincipal")
RETIRING = ("RetiringPrincipal", "RetiringServicePrincipal")


async def create_grant(room: Room, call: Call) -> dict[str, Any]:
    """The same grant asked for once more, by name, is the same grant."""
    params = call.params
    key = room.find(call, params["KeyId"], aliases=False)
    check_usable(key)
    wrong = [o for o in params["Operations"] if o not in OPERATIONS]
    if wrong or not params["Operations"]:
        raise faults.invalid(f"Grant operations do not fit the key: {', '.join(wrong) or 'none'}")
    told = {
        name: params[name]
        for name in (*GRANTEES, *RETIRING, "Name", "Operations", "Constraints")
        if params.get(name)
    }
    if not any(name in told for name in GRANTEES):
        raise faults.lacking("granteePrincipal")
    grant_id = hashlib.sha256(_seed(room, key, told)).hexdigest()
    grant = {
        "told": told,
        "issuer": root_arn(call.account),
        "created_ms": room.clock.now_ms(),
        "statements": _statements(told),
    }
    at = rows.grant(key.account, key.region, key.id, grant_id)

    def change(draft: Draft) -> str:
        if draft.get(at) is None:
            draft.put_json(at, grant)
        return grant_id

    grant_id = await room.store.transact(change, call.invocation_id)
    return {"GrantId": grant_id, "GrantToken": _token(key, grant_id)}


def _seed(room: Room, key: Key, told: dict[str, Any]) -> bytes:
    same = orjson.dumps([key.arn, told], option=orjson.OPT_SORT_KEYS)
    return same if "Name" in told else same + room.clock.random_bytes(16)


def _statements(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The grant in the words of a policy."""
    allow: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": _principal(told, GRANTEES),
        "Action": [f"kms:{operation}" for operation in told["Operations"]],
        "Resource": "*",
    }
    limits = told.get("Constraints") or {}
    exact, part = limits.get("EncryptionContextEquals"), limits.get("EncryptionContextSubset")
    wanted: dict[str, str] = exact or part or {}
    if wanted:
        pairs = {f"kms:EncryptionContext:{k}": v for k, v in wanted.items()}
        allow["Condition"] = {"StringEquals": pairs}
        if exact:
            whole = {"kms:EncryptionContextKeys": list(exact)}
            allow["Condition"]["ForAllValues:StringEquals"] = whole
    out = [allow]
    retire = _principal(told, RETIRING)
    if retire:
        out.append({**allow, "Principal": retire, "Action": "kms:RetireGrant"})
        out[1].pop("Condition", None)
    return out


def _principal(told: dict[str, Any], names: tuple[str, str]) -> dict[str, str]:
    """Who it is, as a policy says it; empty when nobody is named."""
    kinds = zip(("AWS", "Service"), names, strict=True)
    return {kind: told[name] for kind, name in kinds if name in told}


def _token(key: Key, grant_id: str) -> str:
    return base64.b64encode(f"{key.arn} {grant_id}".encode()).decode()


def named(room: Room, call: Call) -> tuple[Key, str]:
    """(key, grant id) of a call that tells a token, or a key and an id."""
    params = call.params
    token = params.get("GrantToken")
    if token is None:
        return room.find(call, params.get("KeyId") or "", aliases=False), str(
            params.get("GrantId") or ""
        )
    try:
        arn, _, grant_id = base64.b64decode(token, validate=True).decode().partition(" ")
    except (binascii.Error, ValueError):
        raise AwsError("InvalidGrantTokenException", "The grant token is not valid.") from None
    return room.find(call, arn, aliases=False), grant_id


async def retire_grant(room: Room, call: Call) -> None:
    await _remove(room, call, *named(room, call))


async def revoke_grant(room: Room, call: Call) -> None:
    key = room.find(call, call.params["KeyId"], aliases=False)
    await _remove(room, call, key, call.params["GrantId"])


async def _remove(room: Room, call: Call, key: Key, grant_id: str) -> None:
    at = rows.grant(key.account, key.region, key.id, grant_id)

    def change(draft: Draft) -> None:
        if draft.get(at) is None:
            raise faults.not_found(f"Grant ID {grant_id} not found")
        draft.delete(at)

    await room.store.transact(change, call.invocation_id)


def list_grants(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    key = room.find(call, params["KeyId"], aliases=False)
    found = _all(room, call, key.account, f"{rows.GRANT}{key.id}/")
    grantee, wanted = params.get("GranteePrincipal"), params.get("GrantId")
    found = [
        (name, g)
        for name, g in found
        if wanted in (None, name.rpartition("/")[2])
        and grantee in (None, g["told"].get("GranteePrincipal"))
    ]
    return _page(call, key.account, found)


def list_retirable(room: Room, call: Call) -> dict[str, Any]:
    """Grants of the account's keys that a principal may retire."""
    asked = [(name, call.params[name]) for name in RETIRING if call.params.get(name)]
    if not asked:
        raise faults.lacking("retiringPrincipal")
    found = _all(room, call, call.account, rows.GRANT)
    found = [(name, g) for name, g in found if asked[0] in g["told"].items()]
    return _page(call, call.account, found)


def _all(room: Room, call: Call, account: str, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    """(``KEY ID/GRANT ID``, row) of all grants below ``prefix``."""
    return room.below(account, call.region, prefix, GRANTS_MAX)


def _page(call: Call, account: str, found: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    limit, marker = limit_of(call.params, LIST_MAX, 50), call.params.get("Marker") or ""
    left = [(name, grant) for name, grant in found if name > marker]
    page = left[:limit]
    told = [_told(account, call.region, name, grant) for name, grant in page]
    return paged("Grants", told, page[-1][0] if len(left) > limit else "")


def _told(account: str, region: str, name: str, grant: dict[str, Any]) -> dict[str, Any]:
    key_id, _, grant_id = name.partition("/")
    return {
        "KeyId": rows.arn(account, region, rows.KEY + key_id),
        "GrantId": grant_id,
        "CreationDate": grant["created_ms"] / 1000,
        "IssuingAccount": grant["issuer"],
        **grant["told"],
    }
