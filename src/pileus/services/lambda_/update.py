"""UpdateFunctionCode and UpdateFunctionConfiguration.

https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.lambda_ import code, layers, rows, settings, versions
from pileus.services.lambda_.names import called_function, check_role, precondition_failed
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft


async def update_function_code(room: Room, call: Call) -> dict[str, Any]:
    """Replace ``$LATEST``'s code; ``DryRun`` only checks, ``Publish`` makes a version of it."""
    params = call.params
    name = called_function(call)
    before = room.function(name)
    revision = params.get("RevisionId")
    if revision and revision != before["revision"]:
        raise precondition_failed()
    fresh = await code.take(room, call, params)
    architectures = params.get("Architectures")
    if architectures:
        settings.check_architectures(architectures)
    layers.check_total(fresh, before["config"]["Layers"])

    def change(draft: Draft, record: Record) -> dict[str, Any]:
        rows.drop_blobs(draft, name, record)
        record["code"] = fresh
        rows.hold_blobs(draft, name, record)
        if architectures:
            record["config"]["Architectures"] = architectures
        _touch(room, record)
        if params.get("Publish"):
            version = versions.publish(room, draft, name, record, "")
            return settings.created(settings.describe(name, version), version["revision"])
        return settings.updated(settings.describe(name, record), rows.new_id(room.clock))

    if params.get("DryRun"):
        return settings.describe(name, {**before, "code": fresh})
    answer = await room.edit(call, name, change, revision)
    await room.forget_workers(name)
    return answer


async def update_function_configuration(room: Room, call: Call) -> dict[str, Any]:
    """Change the given members of ``$LATEST``."""
    params = call.params
    name = called_function(call)
    room.function(name)
    chosen = settings.chosen(params)
    if "Role" in chosen:
        check_role(chosen["Role"], name.account)
        await room.roles.check(chosen["Role"])
    if params.get("Layers") is not None:
        chosen["Layers"] = layers.resolve(room, call, params["Layers"])

    def change(draft: Draft, record: Record) -> dict[str, Any]:
        rows.drop_blobs(draft, name, record)
        record["config"] |= chosen
        rows.hold_blobs(draft, name, record)
        layers.check_total(record["code"], record["config"]["Layers"])
        _touch(room, record)
        return settings.updated(settings.describe(name, record), rows.new_id(room.clock))

    answer = await room.edit(call, name, change, params.get("RevisionId"))
    await room.forget_workers(name)
    return answer


def _touch(room: Room, record: Record) -> None:
    record["modified"] = room.clock.now_ms()
    record["revision"] = rows.new_id(room.clock)
