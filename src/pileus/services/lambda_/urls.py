"""Function URLs: an HTTP address per function or alias.

https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
The address is ``http://ID.lambda-url.localhost:PORT/`` or, where that name does not resolve,
``http://…/_lambda/ID/``. Its row: ``auth`` NONE or AWS_IAM, ``mode`` BUFFERED (where it is missing)
or RESPONSE_STREAM, ``both``: a call needs ``lambda:InvokeFunction`` too (made since AWS's rule of
October 2025; older rows lack it, and their policies need not be touched).
"""

from __future__ import annotations

import base64
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import (
    FunctionName,
    called_function,
    conflict,
    invalid,
    not_found,
    validation,
)
from pileus.services.lambda_.room import Record, Room
from pileus.services.lambda_.times import iso
from pileus.state.draft import Draft

BUFFERED = {"InvokeMode": "BUFFERED"}
_CORS = ("AllowCredentials", "AllowHeaders", "AllowMethods", "AllowOrigins", "ExposeHeaders",
         "MaxAge")  # fmt: skip


async def create_url(room: Room, call: Call) -> dict[str, Any]:
    """Give the function or alias its address; ``ResourceConflictException`` when it has one."""
    name = _addressed(room, call, "Function does not exist")
    url_id = base64.b32encode(room.clock.random_bytes(20)).decode().lower()
    now = iso(room.clock.now_ms())
    config: Record = {
        "id": url_id,
        "function": [name.account, name.region, name.name, name.qualifier],
        "created": now,
        "modified": now,
        "both": True,
        **_chosen(call.params),
    }
    key = rows.of_qualifier("u", name, name.qualifier)

    def change(draft: Draft) -> None:
        if draft.get(key) is not None:
            raise conflict(
                f"Failed to create function url config for [functionArn = {name.qualified_arn}]."
                " Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        draft.put_json(key, config)
        draft.put_json(rows.url(url_id), config)

    await room.store.transact(change, call.invocation_id)
    return _describe(room, name, config)


async def update_url(room: Room, call: Call) -> dict[str, Any]:
    name = _addressed(room, call, "Function does not exist")
    key = rows.of_qualifier("u", name, name.qualifier)
    chosen = {**_chosen(call.params), "modified": iso(room.clock.now_ms())}

    def change(draft: Draft) -> Record:
        config = draft.get_json(key)
        if config is None:
            raise _missing()
        config |= chosen
        draft.put_json(key, config)
        draft.put_json(rows.url(config["id"]), config)
        return config

    return _describe(room, name, await room.store.transact(change, call.invocation_id))


def get_url(room: Room, call: Call) -> dict[str, Any]:
    name = _addressed(room, call)
    config = room.store.get_json(rows.of_qualifier("u", name, name.qualifier))
    if config is None:
        raise _missing()
    return {**BUFFERED, **_describe(room, name, config)}


async def delete_url(room: Room, call: Call) -> None:
    name = _addressed(room, call)
    key = rows.of_qualifier("u", name, name.qualifier)

    def change(draft: Draft) -> None:
        config = draft.get_json(key)
        if config is None:
            raise _missing()
        draft.delete(key)
        draft.delete(rows.url(config["id"]))

    await room.store.transact(change, call.invocation_id)


def list_urls(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    if room.store.get(rows.function(name)) is None:
        raise not_found("Function does not exist")
    marker, size = page_of(call)
    start = int(marker) if marker.isdigit() else 0
    # One has no qualifier at all, so a place among them is the marker.
    every, _ = rows.page(room.store, name.place, f"u/{name.name}/", "", 10_000)
    found = every[start : start + size]
    more = str(start + size) if len(every) > start + size else ""
    items = [
        {**BUFFERED, **_describe(room, FunctionName(*config["function"]), config)}
        for config in found
    ]
    return listed("FunctionUrlConfigs", items, more)


MISSING = "The resource you requested does not exist."


def _addressed(room: Room, call: Call, missing: str = MISSING) -> FunctionName:
    name = called_function(call)
    if name.qualifier == "$LATEST" or name.qualifier.isdigit():
        raise invalid("A function URL belongs to a function or an alias, not to a version.")
    try:
        room.version(name)
    except AwsError:
        raise not_found(missing) from None
    return name


def _chosen(params: dict[str, Any]) -> Record:
    chosen: Record = {}
    if params.get("AuthType"):
        chosen["auth"] = _one_of(params["AuthType"], "authType", "NONE", "AWS_IAM")
    if params.get("InvokeMode"):
        modes = "BUFFERED", "RESPONSE_STREAM"
        chosen["mode"] = _one_of(params["InvokeMode"], "invokeMode", *modes)
    if params.get("Cors") is not None:
        chosen["cors"] = {k: v for k, v in params["Cors"].items() if k in _CORS}
    return chosen


def _one_of(value: str, member: str, *known: str) -> str:
    if value not in known:
        raise validation(value, member, "|".join(known))
    return value


def _missing() -> Exception:
    return not_found(MISSING)


def _describe(room: Room, name: FunctionName, config: Record) -> dict[str, Any]:
    answer = {
        "FunctionUrl": f"http://{config['id']}.lambda-url.localhost:{room.config.port}/",
        "FunctionArn": name.qualified_arn,
        "AuthType": config["auth"],
        "CreationTime": config["created"],
        "LastModifiedTime": config["modified"],
    }
    if "mode" in config:  # told at creation where it was chosen; asked later, always
        answer["InvokeMode"] = config["mode"]
    return answer | ({"Cors": config["cors"]} if config.get("cors") else {})
