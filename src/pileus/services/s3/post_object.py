"""PostObject: a browser's form upload. The door has checked the policy's signature and fields.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.s3 import acl, checksums, encryption, faults, object_lock
from pileus.services.s3.checksums import DEFAULT, algorithm_of
from pileus.services.s3.headers import check_tags, kept
from pileus.services.s3.ingest import OBJECT_BYTES_MAX, drain
from pileus.services.s3.names import check_key, location_of
from pileus.services.s3.put_object import commit
from pileus.services.s3.room import Room
from pileus.services.s3.rows import Meta


def resolved_key(params: dict[str, Any]) -> str:
    """The key field, in which the door has put the file's name for ``${filename}``."""
    return str(params["Fields"].get("key", ""))


async def post_object(room: Room, call: Call) -> HttpResponse:
    """Store the form's file; answer as the form asks."""
    params = call.params
    name, fields = params["Bucket"], params["Fields"]
    key = check_key(resolved_key(params))
    if not key:
        raise faults.invalid_argument(
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the"
            " order of the fields.",
            "key",
            "",
        )
    bucket = room.bucket(name)
    low, high = _limits(params.get("Policy"))
    told = kept(fields)
    headers = dict(fields)
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    owner, grants = acl.of_write(headers, bucket, call.account)
    lock = object_lock.of_headers(fields, bucket, room.clock.now_ms())
    sealer = await encryption.for_write(room, call, bucket, key, fields)
    algorithms = (algorithm_of(fields) or DEFAULT,)
    body = await drain(room, params["File"], fields, algorithms, sealer, limit=high)
    if body.size < low:
        raise AwsError(
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
            fields={"ProposedSize": body.size, "MinSizeAllowed": low},
        )
    meta = Meta(
        body.etag,
        body.size,
        room.clock.now_ms(),
        told,
        owner,
        body.blob,
        checks=body.checks or {},
        tags=_tags(fields.get("tagging")),
        grants=grants,
        lock=lock,
        seal=body.seal,
    )
    version = await commit(room, call, name, key, meta, body, {})
    return _answer(room, call, name, key, meta, version)


def _limits(policy: dict[str, Any] | None) -> tuple[int, int]:
    """The policy's content-length-range."""
    low, high = 0, OBJECT_BYTES_MAX
    for condition in (policy or {}).get("conditions", []):
        if isinstance(condition, list) and condition[0].lower() == "content-length-range":
            low, high = int(condition[1]), min(high, int(condition[2]))
    return low, high


def _tags(document: str | None) -> dict[str, str]:
    """The form's ``tagging`` field: a Tagging document."""
    if not document:
        return {}
    if "<!" in document:
        raise faults.malformed_xml()
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        raise faults.malformed_xml() from None
    pairs = [
        (tag.findtext("{*}Key") or "", tag.findtext("{*}Value") or "")
        for tag in root.iterfind(".//{*}Tag")
    ]
    return check_tags(pairs)


def _answer(
    room: Room, call: Call, name: str, key: str, meta: Meta, version: str | None
) -> HttpResponse:
    fields = call.params["Fields"]
    etag = f'"{meta.etag}"'
    location = location_of(call, name, key)
    headers = [("etag", etag), ("location", location)]
    headers += checksums.answer_headers(meta.checks, "")
    headers += encryption.answer_headers(meta.seal, fields)
    if version is not None:
        headers.append(("x-amz-version-id", version))
    redirect = fields.get("success_action_redirect") or fields.get("redirect")
    if redirect and urlsplit(redirect).scheme in ("http", "https"):
        parts = urlsplit(redirect)
        told = [("bucket", name), ("key", key), ("etag", etag)]
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *told])
        target = urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))
        headers = [h for h in headers if h[0] != "location"]
        return HttpResponse(303, [*headers, ("location", target)])
    status = fields.get("success_action_status")
    if status == "201":
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>'
            f"<Location>{escape(location)}</Location><Bucket>{escape(name)}</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{escape(etag)}</ETag></PostResponse>"
        )
        return HttpResponse(201, [*headers, ("content-type", "application/xml")], text.encode())
    return HttpResponse(200 if status == "200" else 204, headers)
