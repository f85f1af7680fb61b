"""CreateFunction.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.lambda_ import code, layers, rows, settings, tags, versions
from pileus.services.lambda_.names import (
    LATEST,
    NAME_LENGTH_MAX,
    FunctionName,
    check_role,
    conflict,
    function_name,
    invalid,
    too_long,
)
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft


async def create_function(room: Room, call: Call) -> dict[str, Any]:
    """Check everything, store the code, write the function's row (and version 1 with Publish)."""
    params = call.params
    name = _new_name(call)
    config = await _config(room, call, name)
    stored = await code.take(room, call, params["Code"])
    layers.check_total(stored, config["Layers"])
    record: Record = {
        "name": name.name,
        "version": LATEST,
        "config": config,
        "code": stored,
        "created": room.clock.now_ms(),
        "modified": room.clock.now_ms(),
        "revision": rows.new_id(room.clock),
        "last_version": 0,
        "published": "",
        "reserved": None,
        "tags": tags.checked(params.get("Tags") or {}),
    }

    revision = rows.new_id(room.clock)

    def change(draft: Draft) -> dict[str, Any]:
        if draft.get(rows.function(name)) is not None:
            raise conflict(f"Function already exist: {name.name}")
        rows.hold_blobs(draft, name, record)
        answer = record
        if params.get("Publish"):
            answer = versions.publish(room, draft, name, record, "")
        draft.put_json(rows.function(name), record)
        # AWS tells the version that was made, but the function's own ARN.
        told = settings.describe(name, answer) | {"FunctionArn": name.arn}
        return settings.created(told, revision)

    return await room.store.transact(change, call.invocation_id)


def _new_name(call: Call) -> FunctionName:
    name = function_name(call, call.params["FunctionName"])
    if len(name.name) > NAME_LENGTH_MAX:
        # Its code alone differs from what the model's limits are answered with.
        raise invalid(too_long(name.name, "functionName", NAME_LENGTH_MAX).message)
    if name.qualifier:
        raise invalid("A function is created without a qualifier.")
    if name.account != call.account:
        raise invalid("A function can be created in the caller's own account only.")
    return name


async def _config(room: Room, call: Call, name: FunctionName) -> dict[str, Any]:
    params = call.params
    config = {**settings.DEFAULTS, **settings.chosen(params)}
    for member in ("Runtime", "Handler"):
        if not config.get(member):
            raise invalid("Runtime and Handler are mandatory parameters for functions created"
                          " with deployment packages.")  # fmt: skip
    if params.get("Architectures"):
        config["Architectures"] = settings.check_architectures(params["Architectures"])
    check_role(config["Role"], name.account)
    await room.roles.check(config["Role"])
    config["Layers"] = layers.resolve(room, call, params.get("Layers") or [])
    return config
