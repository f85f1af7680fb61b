"""DeleteObject and DeleteObjects.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Headers, HttpResponse
from pileus.services.s3 import faults, object_lock, rows
from pileus.services.s3.query import query_of
from pileus.services.s3.room import Room

BATCH_MAX = 1000
AT_ONCE = 50
# "This functionality is only supported for directory buckets" (API reference, DeleteObject).
OF_DIRECTORY_BUCKETS = ("x-amz-if-match-last-modified-time", "x-amz-if-match-size")


async def delete_object(room: Room, call: Call) -> HttpResponse:
    """Remove the key, or one version; in a versioned bucket write a delete marker."""
    request = call.request
    assert request is not None
    version = query_of(call).get("versionId")
    bucket = room.bucket(call.params["Bucket"])
    conditions = _conditions(request.headers)
    result = await _delete(room, call, bucket.name, call.params["Key"], version, conditions)
    answer: Headers = []
    if result["version"] is not None:
        answer.append(("x-amz-version-id", result["version"]))
    if result["marker"]:
        answer.append(("x-amz-delete-marker", "true"))
    return HttpResponse(204, answer)


async def _delete(
    room: Room, call: Call, name: str, key: str, version: str | None, conditions: dict[str, Any]
) -> dict[str, Any]:
    if version == "":
        raise faults.invalid_argument("Version id cannot be the empty string", "versionId", version)
    if version is not None and version != "null" and rows.order_of(version) is None:
        raise faults.invalid_argument("Invalid version id specified", "versionId", version)
    token = room.clock.random_bytes(16)
    owner = room.bucket(name).owner
    result: dict[str, Any] = await room.submit(
        "s3.delete", [name, key, version, conditions, token, owner], call
    )
    return result


def _conditions(headers: dict[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if object_lock.BYPASS in headers:
        out["bypass"] = headers[object_lock.BYPASS].lower() == "true"
    if "if-match" in headers:
        out["match"] = headers["if-match"].strip().strip('"')
    for name in OF_DIRECTORY_BUCKETS:
        if name in headers:
            raise faults.not_built(name)
    return out


async def delete_objects(room: Room, call: Call) -> dict[str, Any]:
    """Up to a thousand keys, each permitted and answered on its own."""
    told = call.params["Delete"]
    objects = told.get("Objects") or []
    if not objects or len(objects) > BATCH_MAX:
        raise faults.malformed_xml()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, item: dict[str, Any]) -> dict[str, Any]:
        async with gate:
            return await _one_of_many(room, call, number, item)

    results = await asyncio.gather(*(one(*entry) for entry in enumerate(objects)))
    errors = [r for r in results if "Code" in r]
    deleted = [r for r in results if "Code" not in r]
    answer: dict[str, Any] = {"Errors": errors}
    if not told.get("Quiet"):
        answer["Deleted"] = deleted
    return answer


def _part_id(invocation_id: bytes, number: int) -> bytes:
    """A retry id for each key of one call: a repeat must not make a second delete marker."""
    if not invocation_id:
        return b""
    mixed = int.from_bytes(invocation_id, "big") ^ ((number + 1) << 64)
    return mixed.to_bytes(16, "big")


async def _one_of_many(room: Room, call: Call, number: int, item: dict[str, Any]) -> dict[str, Any]:
    asked = {k: v for k, v in item.items() if k in ("Key", "VersionId")}
    params: dict[str, Any] = {"Bucket": call.params["Bucket"], **asked}
    if call.params.get("BypassGovernanceRetention"):
        params["BypassGovernanceRetention"] = True
    if item.get("ETag"):
        params["IfMatch"] = item["ETag"]
    if item.get("Size") is not None:
        params["IfMatchSize"] = item["Size"]
    if item.get("LastModifiedTime") is not None:
        params["IfMatchLastModifiedTime"] = item["LastModifiedTime"]
    try:
        answer = await room.dispatch(
            "s3",
            "DeleteObject",
            params,
            principal=call.principal,
            region=call.region,
            invocation_id=_part_id(call.invocation_id, number),
        )
    except AwsError as error:
        if error.fields.get("ArgumentName") == "versionId":  # so among several, told otherwise
            error = faults.no_such_version(item["Key"], item["VersionId"])
        return {**asked, "Code": error.code, "Message": error.message}
    out = dict(asked)
    if answer.get("DeleteMarker"):
        out["DeleteMarker"] = True
        out["DeleteMarkerVersionId"] = answer.get("VersionId")
    return out
