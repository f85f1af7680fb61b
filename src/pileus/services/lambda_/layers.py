"""Layers: PublishLayerVersion, the look-ups, DeleteLayerVersion, and layers of a function.

https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from pileus.runtime.function import UNZIPPED_BYTES_MAX
from pileus.services.call import Call
from pileus.services.lambda_ import code, rows
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import LayerName, invalid, layer_name, not_found
from pileus.services.lambda_.room import Record, Room
from pileus.services.lambda_.settings import LAYERS_MAX, stamp
from pileus.state.draft import Draft


async def publish_layer_version(room: Room, call: Call) -> dict[str, Any]:
    """Store the zip as the layer's next version."""
    params = call.params
    name = layer_name(call, params["LayerName"])
    stored = await code.take(room, call, params["Content"])
    version: Record = {
        "layer": name.name,
        "description": params.get("Description") or "",
        "created": room.clock.now_ms(),
        "code": stored,
        "runtimes": params.get("CompatibleRuntimes"),  # what was told empty is told so
        "architectures": params.get("CompatibleArchitectures"),
        "license": params.get("LicenseInfo") or "",
        "policy": [],
    }

    def change(draft: Draft) -> Record:
        layer = draft.get_json(rows.layer(name)) or {"name": name.name, "last_version": 0}
        number = layer["last_version"] + 1
        draft.put_json(rows.layer(name), {**layer, "last_version": number})
        draft.put_json(rows.layer_version(name, number), {**version, "number": number})
        draft.put(rows.blob_reference(stored["digest"], _owner(name, number)), b"")
        return {**version, "number": number}

    return await _describe(room, call, name, await room.store.transact(change, call.invocation_id))


async def get_layer_version(room: Room, call: Call) -> dict[str, Any]:
    name = layer_name(call, call.params["LayerName"])
    _check_number(call)
    return await _describe(room, call, name, find(room, name, call.params["VersionNumber"]))


async def get_layer_version_by_arn(room: Room, call: Call) -> dict[str, Any]:
    name = layer_name(call, call.params["Arn"])
    return await _describe(room, call, name, find(room, name, name.version))


async def delete_layer_version(room: Room, call: Call) -> None:
    """Functions that use it keep it; its number is never given again."""
    name = layer_name(call, call.params["LayerName"])
    number = _check_number(call)

    def change(draft: Draft) -> None:
        version = draft.get_json(rows.layer_version(name, number))
        if version is None:
            return
        draft.delete(rows.layer_version(name, number))
        # Functions that use it hold its blob themselves.
        draft.delete(rows.blob_reference(version["code"]["digest"], _owner(name, number)))

    await room.store.transact(change, call.invocation_id)


def _check_number(call: Call) -> int:
    number: int = call.params["VersionNumber"]
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return number


def list_layer_versions(room: Room, call: Call) -> dict[str, Any]:
    """Newest first."""
    name = layer_name(call, call.params["LayerName"])
    start, _ = page_of(call)
    found, _ = rows.page(room.store, name.place, f"lv/{name.name}/", "", 10_000)
    fitting = [v for v in reversed(found) if _compatible(v, call.params)]
    at = int(start) if start.isdigit() else 0
    page = [_summary(name, v) for v in fitting[at : at + 50]]
    return listed("LayerVersions", page, str(at + 50) if len(fitting) > at + 50 else "")


def list_layers(room: Room, call: Call) -> dict[str, Any]:
    """Each layer with its newest fitting version."""
    marker, size = page_of(call)
    partition = call.place
    layers, more = rows.page(room.store, partition, "l/", marker, size)
    items = []
    for layer in layers:
        name = LayerName(call.account, call.region, layer["name"])
        versions, _ = rows.page(room.store, partition, f"lv/{name.name}/", "", 10_000)
        fitting = [v for v in versions if _compatible(v, call.params)]
        if fitting:
            newest = _summary(name, fitting[-1])
            items.append(
                {"LayerName": name.name, "LayerArn": name.arn, "LatestMatchingVersion": newest}
            )
    return listed("Layers", items, more)


# -- layers of a function ----------------------------------------------------------------------


def resolve(room: Room, call: Call, arns: list[str]) -> list[Record]:
    """What a function's configuration keeps of its layers, in order."""
    if len(arns) > LAYERS_MAX:
        raise invalid(f"Cannot reference more than {LAYERS_MAX} layers.")
    _check_twice(arns)
    found = []
    for arn in arns:
        name = layer_name(call, arn)
        if not arn.startswith("arn:") or not name.version:
            raise invalid(f"Layer version ARN is not valid: {arn}")
        if name.region != call.region:
            raise invalid("Layers are not in the same region as the function. Layers are expected"
                          f" to be in region {call.region}.")  # fmt: skip
        version = room.store.get_json(rows.layer_version(name, name.version))
        if version is None:
            raise invalid(f"Layer version {arn} does not exist.")
        stored = version["code"]
        found.append(
            {
                "arn": arn,
                "digest": stored["digest"],
                "size": stored["size"],
                "unzipped": stored["unzipped"],
            }
        )
    return found


def _check_twice(arns: list[str]) -> None:
    """No layer in two versions, nor one twice."""
    seen: dict[str, str] = {}
    for arn in arns:
        other = seen.setdefault(arn.rpartition(":")[0], arn)
        if other is not arn:
            raise invalid(
                "Two different versions of the same layer are not allowed to be referenced in the"
                f" same function. {other} and {arn} are versions of the same layer."
            )


def check_total(stored: code.Code, layers: list[Record]) -> None:
    """Code and layers together stay within 250 MB unzipped."""
    total = stored["unzipped"] + sum(layer["unzipped"] for layer in layers)
    if total > UNZIPPED_BYTES_MAX:
        raise invalid(
            "Function code combined with layers exceeds the maximum allowed size of"
            f" {UNZIPPED_BYTES_MAX} bytes. The actual size is {total} bytes."
        )


def find(room: Room, name: LayerName, number: int) -> Record:
    version = room.store.get_json(rows.layer_version(name, number))
    if version is None:
        raise not_found("The resource you requested does not exist.")
    return version


def _owner(name: LayerName, number: int) -> str:
    return f"{name.place}/layer/{name.name}/{number}"


def _compatible(version: Record, params: dict[str, Any]) -> bool:
    runtime, architecture = params.get("CompatibleRuntime"), params.get("CompatibleArchitecture")
    return (not runtime or runtime in (version["runtimes"] or ())) and (
        not architecture or architecture in (version["architectures"] or ())
    )


def _summary(name: LayerName, version: Record) -> dict[str, Any]:
    answer = {
        "LayerVersionArn": name.version_arn(version["number"]),
        "Version": version["number"],
        "Description": version["description"],
        "CreatedDate": stamp(version["created"]),
    }
    for member, key in (
        ("CompatibleRuntimes", "runtimes"),
        ("CompatibleArchitectures", "architectures"),
    ):
        if version[key] is not None:
            answer[member] = version[key]
    if version["license"]:
        answer["LicenseInfo"] = version["license"]
    return answer


async def _describe(room: Room, call: Call, name: LayerName, version: Record) -> dict[str, Any]:
    digest = version["code"]["digest"]
    content = {
        "Location": await code.location(room, call, digest),
        "CodeSha256": b64encode(bytes.fromhex(digest)).decode(),
        "CodeSize": version["code"]["size"],
    }
    return {"LayerArn": name.arn, "Content": content, **_summary(name, version)}
