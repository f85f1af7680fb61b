"""How events of a function are retried and where their outcome goes: event invoke configurations.

https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
"""

from __future__ import annotations

import re
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import (
    LATEST,
    FunctionName,
    called_function,
    function_name,
    invalid,
    not_found,
)
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft

_TARGET = re.compile(r"arn:aws[a-zA-Z-]*:(sqs|sns|lambda|events|s3):.*")
MEMBERS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


async def put_config(room: Room, call: Call) -> dict[str, Any]:
    """Replace the whole configuration."""
    return await _write(room, call, keep=False)


async def update_config(room: Room, call: Call) -> dict[str, Any]:
    """Change the given members of an existing configuration."""
    return await _write(room, call, keep=True)


async def _write(room: Room, call: Call, keep: bool) -> dict[str, Any]:
    name = called_function(call)
    if all(call.params.get(member) is None for member in MEMBERS):
        raise invalid("You must specify at least one of error handling or destination setting.")
    try:
        room.version(name)
    except AwsError:
        raise not_found("The function doesn't exist.") from None
    key = rows.of_qualifier("e", name, name.qualifier or LATEST)
    chosen = _chosen(call.params)
    _check_functions(room, call, name, chosen)

    def change(draft: Draft) -> Record:
        before = draft.get_json(key)
        if keep and before is None:
            raise _missing(name)
        config = {**((before or {}) if keep else {}), **chosen}
        config |= {"qualifier": name.qualifier or LATEST, "modified": room.clock.now_ms()}
        draft.put_json(key, config)
        return config

    return _describe(name, await room.store.transact(change, call.invocation_id))


def get_config(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    config = room.store.get_json(rows.of_qualifier("e", name, name.qualifier or LATEST))
    if config is None:
        raise _missing(name)
    return _describe(name, config)


async def delete_config(room: Room, call: Call) -> None:
    name = called_function(call)
    key = rows.of_qualifier("e", name, name.qualifier or LATEST)

    def change(draft: Draft) -> None:
        if draft.get(key) is None:
            raise _missing(name)
        draft.delete(key)

    await room.store.transact(change, call.invocation_id)


def list_configs(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    if room.store.get(rows.function(name)) is None:
        raise not_found("The function doesn't exist.")
    marker, size = page_of(call)
    found, more = rows.page(room.store, name.place, f"e/{name.name}/", marker, size)
    items = [_describe(name, config) for config in found]
    return listed("FunctionEventInvokeConfigs", items, more)


def _chosen(params: dict[str, Any]) -> Record:
    chosen = {member: params[member] for member in MEMBERS if params.get(member) is not None}
    if not 0 <= chosen.get("MaximumRetryAttempts", 0) <= 2:
        raise invalid("MaximumRetryAttempts must be between 0 and 2.")
    if not 60 <= chosen.get("MaximumEventAgeInSeconds", 60) <= 21_600:
        raise invalid("MaximumEventAgeInSeconds must be between 60 and 21600.")
    for side in ("OnSuccess", "OnFailure"):
        target = (chosen.get("DestinationConfig", {}).get(side) or {}).get("Destination")
        if target and not _TARGET.fullmatch(target):
            raise invalid(f"The provided destination config {_told(chosen)} is invalid.")
    return chosen


def _told(chosen: Record) -> str:
    """A DestinationConfig in AWS's words."""
    sides = []
    for side in ("OnSuccess", "OnFailure"):
        target = (chosen["DestinationConfig"].get(side) or {}).get("Destination")
        value = "null" if target is None else f"{side}(destination={target})"
        sides.append(f"{side[0].lower()}{side[1:]}={value}")
    return f"DestinationConfig({', '.join(sides)})"


def _check_functions(room: Room, call: Call, name: FunctionName, chosen: Record) -> None:
    """A function told as a destination is there, and another one."""
    for side in chosen.get("DestinationConfig", {}).values():
        target = (side or {}).get("Destination") or ""
        if ":lambda:" not in target:
            continue
        try:
            told = function_name(call, target)
            room.version(told)
        except AwsError:
            raise invalid(f"The destination ARN {target} is invalid.") from None
        if told.arn == name.arn:
            raise invalid("You can't specify the function as a destination for itself.")


def _missing(name: FunctionName) -> Exception:
    return not_found(
        f"The function {name.arn}:{name.qualifier or LATEST} doesn't have an EventInvokeConfig"
    )


def _describe(name: FunctionName, config: Record) -> dict[str, Any]:
    answer = {member: config[member] for member in MEMBERS if member in config}
    sides: Record = {"OnSuccess": {}, "OnFailure": {}}
    answer["DestinationConfig"] = sides | (config.get("DestinationConfig") or {})
    answer["LastModified"] = config["modified"] / 1000
    answer["FunctionArn"] = f"{name.arn}:{config['qualifier']}"
    return answer
