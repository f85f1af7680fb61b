"""ListObjects, ListObjectsV2 and ListObjectVersions.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import archive, faults, rows, storage_classes
from pileus.services.s3.headers import moment
from pileus.services.s3.listing import Merged, Page, has_current, list_keys, rolled_up
from pileus.services.s3.room import Room
from pileus.services.s3.rows import Meta

PAGE_MAX = 1000


def page_size(params: dict[str, Any], name: str = "MaxKeys", wire: str = "max-keys") -> int:
    """What the caller asks for, at most a thousand."""
    told = params.get(name, PAGE_MAX)
    if not 0 <= told <= 2**31 - 1:
        raise faults.invalid_argument(
            f"Argument {wire} must be an integer between 0 and 2147483647", wire, told
        )
    return min(told, PAGE_MAX)


def part_marker(params: dict[str, Any]) -> int:
    """The part after which a listing of parts begins."""
    told = str(params.get("PartNumberMarker") or "0")
    wire = "part-number-marker"
    if not re.fullmatch(r"-?[0-9]{1,10}", told, re.ASCII) or int(told) >= 2**31:
        text = f"Provided {wire} not an integer or within integer range"
        raise faults.invalid_argument(text, wire, told)
    if int(told) < 0:
        text = f"Argument {wire} must be an integer between 0 and 2147483647"
        raise faults.invalid_argument(text, wire, told)
    return int(told)


class Encoding:
    """How names are written: as they are, or URL-encoded."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.kind = params.get("EncodingType")
        if self.kind not in (None, "url"):
            raise faults.invalid_argument(
                "Invalid Encoding Method specified in Request", "encoding-type", self.kind
            )

    def __call__(self, text: str) -> str:
        return quote(text, safe="/*") if self.kind == "url" else text


Item = Callable[[str, Meta], dict[str, Any]]


def _items(room: Room, params: dict[str, Any], owner: str | None, encode: Encoding) -> Item:
    """How this listing tells of a version; ``owner`` None: not of its owner."""
    asked = [a.strip() for t in params.get("OptionalObjectAttributes") or [] for a in t.split(",")]
    if any(a != "RestoreStatus" for a in asked):
        raise faults.invalid_argument(
            "Invalid attribute name specified",
            "x-amz-optional-object-attributes",
            ",".join(asked),
        )
    if not asked:
        return lambda key, meta: _item(room, key, meta, owner, encode)
    now_ms = room.clock.now_ms()

    def told(key: str, meta: Meta) -> dict[str, Any]:
        status = archive.member(meta, now_ms)
        more = {} if status is None else {"RestoreStatus": status}
        return _item(room, key, meta, owner, encode) | more

    return told


def _item(room: Room, key: str, meta: Meta, owner: str | None, encode: Encoding) -> dict[str, Any]:
    out: dict[str, Any] = {
        "Key": encode(key),
        "LastModified": moment(meta.modified_ms),
        "ETag": f'"{meta.etag}"',
        "Size": meta.size,
        "StorageClass": storage_classes.of(meta),
    }
    if meta.checks:
        out["ChecksumAlgorithm"] = list(meta.checks)
        out["ChecksumType"] = meta.check_type or "FULL_OBJECT"
    if owner is not None:
        out["Owner"] = room.owner_of(meta.owner or owner)
    return out


def _prefixes(page: Page, encode: Encoding) -> list[dict[str, str]]:
    return [{"Prefix": encode(p)} for p in page.prefixes]


def list_objects(room: Room, call: Call) -> dict[str, Any]:
    """Version 1: pages by Marker."""
    params = call.params
    bucket = room.bucket(params["Bucket"])
    encode, limit = Encoding(params), page_size(params)
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    marker = params.get("Marker") or ""
    anonymous = call.principal.kind == "anonymous"  # is told of no owners (recorded of AWS)
    item = _items(room, params, None if anonymous else bucket.owner, encode)
    page = list_keys(room.store, bucket.name, prefix, delimiter, marker, limit, inside=True)
    answer: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": encode(prefix),
        "Marker": encode(marker),
        "MaxKeys": limit,
        "IsTruncated": page.truncated,
        "Contents": [item(k, m) for k, m in page.items],
        "CommonPrefixes": _prefixes(page, encode),
        "EncodingType": encode.kind,
    }
    if delimiter:
        answer["Delimiter"] = encode(delimiter)
        if page.truncated:
            answer["NextMarker"] = encode(page.last)
    return answer


def list_objects_v2(room: Room, call: Call) -> dict[str, Any]:
    """Version 2: pages by an opaque token."""
    params = call.params
    bucket = room.bucket(params["Bucket"])
    encode, limit = Encoding(params), page_size(params)
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    token, after = params.get("ContinuationToken"), params.get("StartAfter") or ""
    marker = _untoken(token) if token is not None else after
    page = list_keys(room.store, bucket.name, prefix, delimiter, marker, limit)
    item = _items(room, params, bucket.owner if params.get("FetchOwner") else None, encode)
    answer: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": encode(prefix),
        "MaxKeys": limit,
        "KeyCount": len(page.items) + len(page.prefixes),
        "IsTruncated": page.truncated,
        "Contents": [item(k, m) for k, m in page.items],
        "CommonPrefixes": _prefixes(page, encode),
        "EncodingType": encode.kind,
        "ContinuationToken": token,
    }
    if delimiter:
        answer["Delimiter"] = encode(delimiter)
    if after and token is None:  # where a page goes on from a token, AWS does not tell it
        answer["StartAfter"] = encode(after)
    if page.truncated:
        answer["NextContinuationToken"] = _token(page.last)
    return answer


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(b"1" + last.encode()).decode()


def _untoken(token: str) -> str:
    try:
        raw = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        if raw[:1] != b"1":
            raise ValueError(token)
        return raw[1:].decode()
    except (binascii.Error, ValueError):
        raise faults.invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", None
        ) from None


def list_object_versions(room: Room, call: Call) -> dict[str, Any]:
    """Every version and delete marker, newest first within a key."""
    params = call.params
    bucket = room.bucket(params["Bucket"])
    encode, limit = Encoding(params), page_size(params)
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    item = _items(room, params, bucket.owner, encode)
    versions, markers, prefixes, more = _collect(room, bucket.name, params, limit)
    answer: dict[str, Any] = {
        "Name": bucket.name,
        "Prefix": encode(prefix),
        "KeyMarker": encode(params.get("KeyMarker") or ""),
        "VersionIdMarker": params.get("VersionIdMarker") or "",
        "MaxKeys": limit,
        "IsTruncated": more is not None,
        "Versions": [_version(v, item) for v in versions],
        "DeleteMarkers": [_marker(room, v, bucket.owner, encode) for v in markers],
        "CommonPrefixes": [{"Prefix": encode(p)} for p in prefixes],
        "EncodingType": encode.kind,
    }
    if delimiter:
        answer["Delimiter"] = encode(delimiter)
    if more is not None:
        answer["NextKeyMarker"] = encode(more[0])
        answer["NextVersionIdMarker"] = more[1]
    return answer


Found = tuple[str, Meta, bool, int]  # key, version, is it the newest, its place in the listing


def _collect(
    room: Room, name: str, params: dict[str, Any], limit: int
) -> tuple[list[Found], list[Found], list[str], tuple[str, str | None] | None]:
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    merged = Merged(room.store, name, prefix)
    previous = _seek(room, merged, name, params, prefix, delimiter)
    versions: list[Found] = []
    markers: list[Found] = []
    prefixes: list[str] = []
    last: tuple[str, str | None] = ("", None)
    while True:
        found = merged.next()
        if found is None or limit == 0:
            return versions, markers, prefixes, None
        key, meta, current = found
        if len(versions) + len(markers) + len(prefixes) == limit:
            return versions, markers, prefixes, last
        shared = rolled_up(key, prefix, delimiter)
        if shared:
            prefixes.append(shared)
            last = (shared, None)
            merged.skip(shared)
            continue
        latest = current or (key != previous and not has_current(room.store, name, key))
        place = len(versions) + len(markers)
        (markers if meta.marker else versions).append((key, meta, latest, place))
        previous, last = key, (key, meta.version or "null")


def _seek(
    room: Room, merged: Merged, name: str, params: dict[str, Any], prefix: str, delimiter: str
) -> str:
    """Go to the marker; answers the key whose newest version lies before it."""
    key, version = params.get("KeyMarker") or "", params.get("VersionIdMarker") or ""
    if version and not key:
        raise faults.invalid_argument(
            "A version-id marker cannot be specified without a key marker.",
            "version-id-marker",
            version,
        )
    if not key:
        return ""
    shared = rolled_up(key, prefix, delimiter) if key.startswith(prefix) else ""
    if shared:  # nor the rest of the prefix it lies in
        merged.skip(shared)
        return ""
    if not version:
        merged.seek(key, None)
        return key
    try:
        order = room.find(name, key, version)[2].order
    except AwsError:  # deleted since the last page: go on where it was
        told = rows.ORDER_MAX if version == "null" else rows.order_of(version)
        if told is None:
            raise
        order = told
    merged.seek(key, order)
    return key


def _version(found: Found, item: Item) -> dict[str, Any]:
    key, meta, latest, place = found
    told = {"VersionId": meta.version or "null", "IsLatest": latest, "Place": place}
    return {**item(key, meta), **told}


def _marker(room: Room, found: Found, owner: str, encode: Encoding) -> dict[str, Any]:
    key, meta, latest, place = found
    return {
        "Key": encode(key),
        "VersionId": meta.version or "null",
        "IsLatest": latest,
        "Place": place,
        "LastModified": moment(meta.modified_ms),
        "Owner": room.owner_of(meta.owner or owner),
    }
