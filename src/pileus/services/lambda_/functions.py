"""Reading and deleting: GetFunction, GetFunctionConfiguration, ListFunctions, DeleteFunction.

https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.lambda_ import code, rows, settings
from pileus.services.lambda_.names import (
    LATEST,
    USER,
    FunctionName,
    called_function,
    conflict,
    invalid,
    no_function,
    not_found,
)
from pileus.services.lambda_.room import Record, Room
from pileus.state import keys
from pileus.state.draft import Draft

PAGE_MAX = 50


async def get_function(room: Room, call: Call) -> dict[str, Any]:
    """Configuration, an address of the code valid for ten minutes, tags, reserved concurrency."""
    name = called_function(call)
    record, function = room.version(name), room.function(name)
    answer: dict[str, Any] = {
        "Configuration": _as_asked(name, record),
        "Code": {
            "RepositoryType": "S3",
            "Location": await code.location(room, call, record["code"]["digest"]),
        },
    }
    if function["tags"]:
        answer["Tags"] = function["tags"]
    if function["reserved"] is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": function["reserved"]}
    return answer


def get_function_configuration(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    return _as_asked(name, room.version(name))


def _as_asked(name: FunctionName, record: Record) -> dict[str, Any]:
    """A configuration under the ARN it was asked for: an alias's keeps the alias."""
    answer = settings.describe(name, record, qualified=bool(name.qualifier))
    return answer | ({"FunctionArn": name.qualified_arn} if name.qualifier else {})


def get_code_signing_config(room: Room, call: Call) -> dict[str, Any]:
    """No function has one: configurations with code signing are refused."""
    name = called_function(call)
    room.function(name)
    return {"CodeSigningConfigArn": "", "FunctionName": name.name}


def get_runtime_management_config(room: Room, call: Call) -> dict[str, Any]:
    """Runtimes are updated with the cloud."""
    name = called_function(call)
    room.version(name)
    return {"UpdateRuntimeOn": "Auto", "FunctionArn": name.qualified_arn}


def page_of(call: Call) -> tuple[str, int]:
    """Marker and page size of a list request."""
    size = call.params.get("MaxItems") or PAGE_MAX
    if not 1 <= size <= 10_000:
        raise invalid(f"1 validation error detected: Value '{size}' at 'maxItems' failed to satisfy"
                      " constraint: Member must have value between 1 and 10000")  # fmt: skip
    return call.params.get("Marker") or "", min(size, PAGE_MAX)


def listed(member: str, items: list[dict[str, Any]], marker: str) -> dict[str, Any]:
    return {member: items} | ({"NextMarker": marker} if marker else {})


def list_functions(room: Room, call: Call) -> dict[str, Any]:
    """Functions in name order; with ``FunctionVersion=ALL`` their versions too."""
    marker, size = page_of(call)
    partition = call.place
    found, more = rows.page(room.store, partition, "fn/", marker, size)
    items = []
    every = call.params.get("FunctionVersion") == "ALL"
    for record in found:
        name = FunctionName(call.account, call.region, record["name"])
        items.append(settings.summarize(name, record, qualified=every))
        if every:
            published, _ = rows.page(room.store, partition, f"v/{name.name}/", "", 10_000)
            items += [settings.summarize(name, version) for version in published]
    return listed("Functions", items, more)


async def delete_function(room: Room, call: Call) -> dict[str, Any]:
    """A version, or (unqualified) the function with all that hangs on it."""
    name = called_function(call)
    if name.qualifier and name.qualifier != LATEST:
        await _delete_version(room, call, name)
    elif name.qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    else:
        await room.store.transact(lambda draft: _delete_all(draft, name), call.invocation_id)
    await room.forget_workers(name)
    return {"StatusCode": 204}


def _delete_all(draft: Draft, name: FunctionName) -> None:
    record = draft.get_json(rows.function(name))
    if record is None:
        raise no_function(name)
    rows.drop_blobs(draft, name, record)
    draft.delete(rows.function(name))
    for kind in ("v", "a", "p", "e", "u", "pc"):
        for row in draft.range(*rows.span(name.place, f"{kind}/{name.name}/"), 100_000):
            if kind == "v":
                _drop_version_blob(draft, name, row.key)
            elif kind == "u":
                found = draft.get_json(row.key)
                assert found is not None
                draft.delete(rows.url(found["id"]))
            draft.delete(row.key)


def _drop_version_blob(draft: Draft, name: FunctionName, key: bytes) -> None:
    version = draft.get_json(key)
    assert version is not None
    rows.drop_blobs(draft, name, version)


async def _delete_version(room: Room, call: Call, name: FunctionName) -> None:
    if room.store.get(rows.function(name)) is None:
        raise not_found(f"Function not found: {name.arn}")
    if not name.qualifier.isdigit():
        raise AwsError(
            "InvalidParameterValueException",
            "Deletion of aliases is not currently supported by DeleteFunction; use DeleteAlias.",
            400,
            fields=USER,
        )
    key = rows.version(name, name.qualifier)

    def change(draft: Draft) -> None:
        if draft.get(key) is None:
            return  # AWS answers 204 for a version that is not there
        for row in draft.range(*rows.span(name.place, f"a/{name.name}/"), 100_000):
            alias = draft.get_json(row.key)
            assert alias is not None
            if name.qualifier in (alias["version"], *alias["weights"]):
                alias_name = keys.split(row.key)[2].decode().rsplit("/", 1)[-1]
                raise conflict(f"Version {name.qualifier} is used by alias {alias_name}.")
        _drop_version_blob(draft, name, key)
        draft.delete(key)

    await room.store.transact(change, call.invocation_id)
