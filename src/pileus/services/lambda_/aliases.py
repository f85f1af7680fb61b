"""Aliases: names for versions, with weighted routing to a second one.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import (
    LATEST,
    FunctionName,
    called_function,
    check_alias,
    conflict,
    invalid,
    invalid_value,
    no_alias,
    not_found,
    precondition_failed,
)
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft


async def create_alias(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    name = called_function(call)
    if room.store.get(rows.function(name)) is None:
        raise not_found(f"Function not found: {name.arn}:{params['FunctionVersion']}")
    check_alias(params["Name"])
    key = rows.of_qualifier("a", name, params["Name"])
    alias: Record = {
        "name": params["Name"],
        "version": params["FunctionVersion"],
        "description": params.get("Description") or "",
        "weights": _weights(params),
        "revision": rows.new_id(room.clock),
    }
    _check(room, name, alias)

    def change(draft: Draft) -> None:
        if draft.get(key) is not None:
            raise conflict(f"Alias already exists: {_arn(name, alias['name'])}")
        draft.put_json(key, alias)

    await room.store.transact(change, call.invocation_id)
    return _describe(name, alias)


async def update_alias(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    name = called_function(call)
    key = rows.of_qualifier("a", name, params["Name"])
    revision = rows.new_id(room.clock)

    def change(draft: Draft) -> Record:
        alias = draft.get_json(key)
        if alias is None:
            raise not_found(f"Alias not found: {_arn(name, params['Name'])}")
        if params.get("RevisionId") and params["RevisionId"] != alias["revision"]:
            raise precondition_failed()
        if params.get("FunctionVersion"):
            alias["version"] = params["FunctionVersion"]
        if params.get("Description") is not None:
            alias["description"] = params["Description"]
        if params.get("RoutingConfig") is not None:
            alias["weights"] = _weights(params)
        alias["revision"] = revision
        _check(room, name, alias)
        draft.put_json(key, alias)
        return alias

    return _describe(name, await room.store.transact(change, call.invocation_id))


def get_alias(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    alias = room.store.get_json(rows.of_qualifier("a", name, call.params["Name"]))
    if alias is None:
        raise no_alias(name, call.params["Name"])
    return _describe(name, alias)


async def delete_alias(room: Room, call: Call) -> None:
    """Deleting what is not there succeeds, as on AWS; policies of the alias go with it."""
    name = called_function(call)
    room.function(name)
    alias = call.params["Name"]
    deletes = [[rows.of_qualifier(kind, name, alias), None] for kind in ("a", "p", "e", "pc")]
    await room.store.submit("write", deletes, call.invocation_id)


def list_aliases(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    room.function(name)
    marker, size = page_of(call)
    found, more = rows.page(room.store, name.place, f"a/{name.name}/", marker, size)
    wanted = call.params.get("FunctionVersion")
    items = [_describe(name, a) for a in found if not wanted or a["version"] == wanted]
    return listed("Aliases", items, more)


def _weights(params: dict[str, Any]) -> dict[str, float]:
    routing = params.get("RoutingConfig") or {}
    return dict(routing.get("AdditionalVersionWeights") or {})


def _check(room: Room, name: FunctionName, alias: Record) -> None:
    """The versions exist; at most one second version, weighted between 0 and 1."""
    versions = [alias["version"], *alias["weights"]]
    for version in versions:
        key = rows.version(name, version) if version.isdigit() else b""
        if version != LATEST and (not key or room.store.get(key) is None):
            raise not_found(f"Function not found: {name.arn}:{version}")
    if not alias["weights"]:
        return
    if len(alias["weights"]) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if LATEST in versions:
        raise invalid_value("$LATEST is not supported for an alias pointing to more than 1 version")
    if alias["version"] in alias["weights"]:
        raise invalid(
            f"Invalid function version {alias['version']}. Function version"
            f" {alias['version']} is already included in routing configuration."
        )
    if not all(0 <= weight <= 1 for weight in alias["weights"].values()):
        raise invalid("The weight of a version must be between 0.0 and 1.0.")


def _arn(name: FunctionName, alias: str) -> str:
    return f"{name.arn}:{alias}"


def _describe(name: FunctionName, alias: Record) -> dict[str, Any]:
    answer = {
        "AliasArn": _arn(name, alias["name"]),
        "Name": alias["name"],
        "FunctionVersion": alias["version"],
        "Description": alias["description"],
        "RevisionId": alias["revision"],
    }
    if alias["weights"]:
        answer["RoutingConfig"] = {"AdditionalVersionWeights": alias["weights"]}
    return answer
