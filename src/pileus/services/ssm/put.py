"""PutParameter, DeleteParameter, DeleteParameters.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
"""

from __future__ import annotations

from typing import Any

import regex

from pileus.services.call import Call, Parts
from pileus.services.ssm import faults, rows, secrets
from pileus.services.ssm.tags import read_tags
from pileus.state.draft import Draft

STANDARD_BYTES_MAX, ADVANCED_BYTES_MAX = 4096, 8192
VERSIONS_MAX = 100
PATTERN_S = 0.1
Record = dict[str, Any]


async def put_parameter(parts: Parts, call: Call) -> Record:
    """A new parameter, or with ``Overwrite`` a new version of one."""
    p = call.params
    name = rows.check_name(rows.asked(p["Name"]).name)
    name = rows.stored(parts.store, call.place, name)
    at = rows.key(call.place, name)
    tags = read_tags(p.get("Tags", []))
    _check(p)
    before = parts.store.get_json(at)
    kind = p.get("Type") or (before or {}).get("type")
    key_id = _key_id(p, before, kind)
    tier = _tier(p, before, kind)
    value = p["Value"]
    _fits(
        p["AllowedPattern"] if "AllowedPattern" in p else (before or {}).get("pattern", ""), value
    )
    if kind == "SecureString":
        value = await secrets.sealed(parts, call, name, value, key_id)

    def change(draft: Draft) -> Record:
        have = draft.get_json(at)
        if have is not None and not p.get("Overwrite"):
            raise faults.exists()
        if have is not None and kind != have["type"]:
            raise faults.error(
                "HierarchyTypeMismatchException",
                "Parameter Store doesn't support changing a parameter type in a hierarchy. For"
                " example, you can't change a parameter from a String type to a SecureString type."
                " You must create a new, unique parameter.",
            )
        old = have or {"tags": tags, "description": "", "pattern": "", "version": 0}
        number = old["version"] + 1
        record = old | {"type": kind, "tier": tier, "key": key_id, "version": number}
        record["description"] = p.get("Description", old["description"])
        record["pattern"] = p.get("AllowedPattern", old["pattern"])
        where = call.place
        version = {"number": number, "value": value, "written_ms": draft.now_ms}
        version |= {"by": call.principal.arn, "key": key_id, "description": record["description"]}
        version |= {"pattern": record["pattern"], "tier": tier}
        draft.put_json(at, record)
        draft.put_json(rows.version_key(where, name, number), version)
        if number > VERSIONS_MAX:
            draft.delete(rows.version_key(where, name, number - VERSIONS_MAX))
        return {"Version": number, "Tier": tier}

    return await parts.store.transact(change, call.invocation_id)


def _check(p: Record) -> None:
    """What can be told of the request by itself."""
    if p.get("Policies"):
        raise faults.not_offered("A parameter policy")
    if p.get("DataType", "text") != "text":
        raise faults.not_offered(f"The data type {p['DataType']}")
    if p.get("Overwrite") and p.get("Tags"):
        raise faults.invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with"
            " tags, please remove overwrite flag. To update tags for an existing parameter, please"
            " use AddTagsToResource or RemoveTagsFromResource."
        )
    if p.get("Type") == "StringList" and not all(p["Value"].split(",")):
        raise faults.invalid("A StringList holds values separated by commas, none of them empty.")
    if not p["Value"]:
        raise faults.invalid("A parameter's value must have at least one character.")


def _key_id(p: Record, before: Record | None, kind: str | None) -> str:
    """The key of a secret: given, kept, or the account's own for this service."""
    if kind is None:
        raise faults.invalid("A parameter type is required when you create a parameter.")
    if kind != "SecureString":
        if p.get("KeyId"):
            raise faults.invalid(f"KeyId is not required for {kind} type parameter.")
        return ""
    return p.get("KeyId") or (before or {}).get("key") or secrets.OWN_KEY


def _tier(p: Record, before: Record | None, kind: str | None) -> str:
    """``Standard`` or ``Advanced``. An advanced parameter is not made a standard one again."""
    size = len(p["Value"].encode())
    told = p.get("Tier") or (before or {}).get("tier", "Standard")
    if told == "Intelligent-Tiering":
        told = "Advanced" if size > STANDARD_BYTES_MAX else (before or {}).get("tier", "Standard")
    if (before or {}).get("tier") == "Advanced" and told == "Standard":
        raise faults.invalid(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from"
            " the advanced-parameter tier to the standard-parameter tier."
        )
    longest = ADVANCED_BYTES_MAX if told == "Advanced" else STANDARD_BYTES_MAX
    if size > longest:
        raise faults.invalid(
            f"{told} tier parameters support a maximum parameter value of {longest} characters."
        )
    if kind == "SecureString" and size > STANDARD_BYTES_MAX:
        raise faults.not_offered("A SecureString of more than 4096 bytes")
    return str(told)


def _fits(pattern: str, value: str) -> None:
    """Whoever writes the parameter writes the pattern: it may not hold up the others."""
    if not pattern:
        return
    try:
        fits = regex.fullmatch(pattern, value, timeout=PATTERN_S) is not None
    except (regex.error, TimeoutError, OverflowError, RecursionError, MemoryError):
        raise faults.error(
            "InvalidAllowedPatternException", f"AllowedPattern {pattern} is not valid."
        ) from None
    if not fits:
        raise faults.error(
            "ParameterPatternMismatchException",
            f"Parameter value, cannot be validated against allowedPattern: {pattern}",
        )


async def delete_parameter(parts: Parts, call: Call) -> Record:
    name = rows.asked(call.params["Name"]).name

    def change(draft: Draft) -> Record:
        if not _gone(draft, call.place, rows.stored(draft, call.place, name)):
            raise faults.not_found(name)
        return {}

    return await parts.store.transact(change, call.invocation_id)


async def delete_parameters(parts: Parts, call: Call) -> Record:
    """Those that are there; the others are told as invalid."""

    def change(draft: Draft) -> Record:
        where, told = call.place, dict.fromkeys(call.params["Names"])
        there = [
            n for n in told if _gone(draft, where, rows.stored(draft, where, rows.asked(n).name))
        ]
        return {
            "DeletedParameters": there,
            "InvalidParameters": [n for n in told if n not in there],
        }

    return await parts.store.transact(change, call.invocation_id)


def _gone(draft: Draft, where: str, name: str) -> bool:
    at = rows.key(where, name)
    if draft.get(at) is None:
        return False
    draft.delete(at)
    for version in rows.versions(draft, where, name):
        draft.delete(rows.version_key(where, name, version["number"]))
    return True
