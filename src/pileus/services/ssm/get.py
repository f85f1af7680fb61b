"""GetParameter, GetParameters, GetParametersByPath, GetParameterHistory.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.ssm import faults, filters, rows, secrets

BY_PATH_MAX, HISTORY_MAX = 10, 50
Record = dict[str, Any]


async def get_parameter(parts: Parts, call: Call) -> Record:
    return {"Parameter": await _found(parts, call, call.params["Name"])}


async def get_parameters(parts: Parts, call: Call) -> Record:
    """Those that are there; the others are told as invalid."""
    told: list[Record] = []
    absent: list[str] = []
    for name in dict.fromkeys(call.params["Names"]):
        try:
            told.append(await _found(parts, call, name))
        except AwsError as error:
            if error.code not in ("ParameterNotFound", "ParameterVersionNotFound"):
                raise
            absent.append(name)
    return {"Parameters": told, "InvalidParameters": absent}


async def _found(parts: Parts, call: Call, told: str) -> Record:
    asked, selector = rows.asked(told)
    rows.check_form(asked)
    name = rows.stored(parts.store, call.place, asked)
    record = parts.store.get_json(rows.key(call.place, name))
    if record is None:
        raise faults.not_found(asked)
    number = record["version"]
    if selector:
        if not selector.isdigit():  # a label: there are none
            raise faults.no_version(name, selector)
        number = int(selector)
    shown = await _shown(parts, call, name, record, number) | {"Name": asked}
    return shown | ({"Selector": f":{selector}"} if selector else {})


async def _shown(parts: Parts, call: Call, name: str, record: Record, number: int) -> Record:
    version = parts.store.get_json(rows.version_key(call.place, name, number))
    if version is None:
        raise faults.no_version(name, str(number))
    return {
        "Name": name,
        "Type": record["type"],
        "Value": await _value(parts, call, name, record, version),
        "Version": number,
        "LastModifiedDate": version["written_ms"] / 1000,
        "ARN": rows.arn(call, name),
        "DataType": "text",
    }


async def _value(parts: Parts, call: Call, name: str, record: Record, version: Record) -> str:
    value = str(version["value"])
    if record["type"] == "SecureString" and call.params.get("WithDecryption"):
        return await secrets.opened(parts, call, name, value, version["key"])
    return value


async def get_by_path(parts: Parts, call: Call) -> Record:
    """The parameters below a path, one level or all."""
    p = call.params
    path = p["Path"]
    if not path.startswith("/"):
        raise faults.invalid(
            "The parameter doesn't meet the parameter name requirements. The parameter name must"
            ' begin with a forward slash "/".'
        )
    prefix = path.rstrip("/") + "/"
    wanted = filters.of(p.get("ParameterFilters", []))
    limit = filters.limit_of(p, BY_PATH_MAX, BY_PATH_MAX)
    out: list[tuple[str, Record]] = []
    found = rows.parameters(parts.store, call.place, prefix, p.get("NextToken") or "")
    for name, record in found:
        if not p.get("Recursive") and "/" in name.removeprefix(prefix):
            continue
        if wanted(name, record):
            out.append((name, record))
        if len(out) > limit:
            break
    page = out[:limit]
    told = [await _shown(parts, call, n, record, record["version"]) for n, record in page]
    return {"Parameters": told} | ({"NextToken": page[-1][0]} if len(out) > limit else {})


async def get_history(parts: Parts, call: Call) -> Record:
    """Every kept version, oldest first."""
    p = call.params
    name, where = rows.asked(p["Name"]).name, call.place
    record = parts.store.get_json(rows.key(where, name))
    if record is None:
        raise faults.not_found(name)
    limit = filters.limit_of(p, HISTORY_MAX, HISTORY_MAX)
    after = filters.number_of(p.get("NextToken") or "0")
    found = [v for v in rows.versions(parts.store, where, name) if v["number"] > after]
    told = [
        {
            "Name": name,
            "Type": record["type"],
            "LastModifiedDate": version["written_ms"] / 1000,
            "LastModifiedUser": version["by"],
            "Value": await _value(parts, call, name, record, version),
            "Version": version["number"],
            "Labels": [],
            "Tier": version["tier"],
            "Policies": [],
            "DataType": "text",
            **filters.optional(version),
        }
        for version in found[:limit]
    ]
    more = {"NextToken": str(found[limit - 1]["number"])} if len(found) > limit else {}
    return {"Parameters": told, **more}
