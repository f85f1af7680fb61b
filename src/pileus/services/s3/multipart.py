"""Multipart uploads: begin, parts, abort, listings.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.services import placing
from pileus.services.call import Call, HttpResponse
from pileus.services.s3 import (
    acl,
    checksums,
    encryption,
    faults,
    object_lock,
    rows,
    storage_classes,
)
from pileus.services.s3.customer_keys import OF_SOURCE
from pileus.services.s3.headers import kept, moment, tags_of
from pileus.services.s3.ingest import receive
from pileus.services.s3.layout import parts_of
from pileus.services.s3.lifecycle import abort_members
from pileus.services.s3.list_objects import Encoding, page_size, part_marker
from pileus.services.s3.listing import rolled_up
from pileus.services.s3.names import check_key, initiator_of
from pileus.services.s3.query import query_of
from pileus.services.s3.room import Room
from pileus.services.s3.rows import Meta, Part

PART_MAX = 10_000
STEP = 250


async def create_upload(room: Room, call: Call) -> dict[str, Any]:
    """Begin: remember the headers the object will have."""
    params = call.params
    request = call.request
    headers = request.headers if request is not None else {}
    key = check_key(params["Key"])
    bucket = room.bucket(params["Bucket"])
    algorithm = params.get("ChecksumAlgorithm") or ""
    if algorithm:
        algorithm = checksums.check_algorithm(algorithm)
    owner, grants = acl.of_write(headers, bucket, call.account)
    told = headers or given(params)
    sealer = await encryption.for_write(room, call, bucket, key, told)
    meta = Meta(
        "",
        0,
        room.clock.now_ms(),
        kept(told),
        owner,
        check_type=_check_type(algorithm, params.get("ChecksumType")),
        tags=tags_of(params.get("Tagging")),
        grants=grants,
        lock=object_lock.of_headers(headers, bucket, room.clock.now_ms()),
        seal=sealer.seal,
    )
    # Listings show the uploads of a key by the time they began: it leads the id.
    upload_id = f"{meta.modified_ms:012x}" + room.clock.random_bytes(40).hex()
    upload_id += placing.upload_tail(room.store.tablets, bucket.name, upload_id)
    record = msgspec.msgpack.encode(
        {"meta": rows.pack_meta(meta), "algorithm": algorithm, "initiator": call.principal.arn}
    )
    args = [bucket.name, key, upload_id, record]
    upload_id = await room.submit("s3.create_upload", args, call)  # a repeat's: the first one's id
    answer = {"Bucket": bucket.name, "Key": key, "UploadId": upload_id}
    answer |= encryption.members(meta.seal, told)
    answer |= abort_members(bucket, key, meta.modified_ms)
    if algorithm:
        answer |= {"ChecksumAlgorithm": algorithm, "ChecksumType": meta.check_type}
    return answer


def given(params: dict[str, Any]) -> dict[str, str]:
    """Headers of a call that came without a request (from another service)."""
    names = {
        "CacheControl": "cache-control",
        "ContentDisposition": "content-disposition",
        "ContentEncoding": "content-encoding",
        "ContentLanguage": "content-language",
        "ContentType": "content-type",
        "WebsiteRedirectLocation": "x-amz-website-redirect-location",
        "StorageClass": "x-amz-storage-class",
        "ServerSideEncryption": "x-amz-server-side-encryption",
        "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
        "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
        "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
        "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
        "SSECustomerKey": "x-amz-server-side-encryption-customer-key",
        "SSECustomerKeyMD5": "x-amz-server-side-encryption-customer-key-md5",
        "CopySourceSSECustomerAlgorithm": f"{OF_SOURCE}server-side-encryption-customer-algorithm",
        "CopySourceSSECustomerKey": f"{OF_SOURCE}server-side-encryption-customer-key",
        "CopySourceSSECustomerKeyMD5": f"{OF_SOURCE}server-side-encryption-customer-key-md5",
    }
    out = {wire: str(params[name]) for name, wire in names.items() if params.get(name)}
    for name, value in (params.get("Metadata") or {}).items():
        out[f"x-amz-meta-{name.lower()}"] = value
    return out


def _check_type(algorithm: str, told: str | None) -> str:
    """COMPOSITE or FULL_OBJECT; what the algorithm allows: of a whole there are CRCs only (S3 user
    guide, "Checking object integrity": full object and composite checksum types)."""
    kind = (told or ("FULL_OBJECT" if algorithm == checksums.DEFAULT else "COMPOSITE")).upper()
    if kind not in ("COMPOSITE", "FULL_OBJECT"):
        raise faults.invalid_request("Value for x-amz-checksum-type header is invalid.")
    if not algorithm:
        if told:
            raise faults.invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm"
                " header."
            )
        return ""
    if kind == "COMPOSITE":
        wrong = algorithm == checksums.DEFAULT
    else:
        wrong = not algorithm.startswith("CRC")
    if wrong:
        raise faults.invalid_request(
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum"
            " algorithm."
        )
    return kind


def upload_of(room: Room, name: str, key: str, upload_id: str) -> dict[str, Any]:
    """The upload's record, or ``NoSuchUpload``."""
    value = room.store.get(rows.upload(name, key, upload_id))
    if value is None:
        raise faults.no_such_upload(upload_id)
    return rows.upload_record(value)


def checksum_of(algorithm: str, whole: Meta) -> str:
    """The checksum an upload's object will have: the one asked for when it began, else S3's
    default; none of what a customer's key hides from S3 when the upload is completed."""
    hidden = whole.seal is not None and whole.seal.kind == encryption.CUSTOMER
    return algorithm or ("" if hidden else checksums.DEFAULT)


def part_number(told: Any) -> int:
    text = str(told)
    if not text.isdigit() or not 1 <= int(text) <= PART_MAX:
        raise faults.invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", text
        )
    return int(text)


async def upload_part(room: Room, call: Call) -> HttpResponse:
    """Store one part as a blob; a part of the same number is replaced."""
    request = call.request
    assert request is not None
    query = query_of(call)
    name, key, upload_id = call.params["Bucket"], call.params["Key"], query.get("uploadId", "")
    number = part_number(query.get("partNumber", ""))
    record = upload_of(room, name, key, upload_id)
    whole = rows.unpack_meta(record["meta"])
    sealer = await encryption.for_part(room, call, room.bucket(name), whole, request.headers)
    algorithm, told = record["algorithm"], checksums.algorithm_of(request.headers)
    _check_part(algorithm, whole.check_type, told)
    more = checksum_of(algorithm, whole)
    body = await receive(room, request, sealer, inline=False, more=more)
    checks = body.checks or {}
    part = Part(body.etag, body.size, room.clock.now_ms(), body.blob, checks, body.seal)
    args = [name, key, upload_id, number, rows.pack_part(part), []]
    await room.submit("s3.put_part", args, call)
    answer = [("etag", f'"{body.etag}"')]
    answer += encryption.answer_headers(whole.seal, request.headers)
    answer += [(f"x-amz-checksum-{a.lower()}", checks[a]) for a in (algorithm or told,) if a]
    return HttpResponse(200, answer)


def _check_part(algorithm: str, kind: str, told: str) -> None:
    """Is a part's checksum the upload's? It may be left out where the whole is to have one; a
    composite one is made of what was told."""
    if not algorithm or told == algorithm or (not told and kind == "FULL_OBJECT"):
        return
    raise faults.invalid_request(
        f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}, actual"
        f" checksum Type: {told.lower() or 'null'}"
    )


async def abort_upload(room: Room, call: Call) -> None:
    params = call.params
    args = [params["Bucket"], params["Key"], params["UploadId"]]
    await room.submit("s3.abort_upload", args, call)  # it looks for the upload: a repeat may not


def list_parts(room: Room, call: Call) -> dict[str, Any]:
    """Parts above PartNumberMarker."""
    params = call.params
    record = upload_of(room, params["Bucket"], params["Key"], params["UploadId"])
    limit = page_size(params, "MaxParts", "max-parts")
    marker = part_marker(params)
    found = [p for p in parts_of(room, params["UploadId"]) if p[0] > marker]
    page = found[:limit]
    meta = rows.unpack_meta(record["meta"])
    answer: dict[str, Any] = {
        "Bucket": params["Bucket"],
        "Key": params["Key"],
        "UploadId": params["UploadId"],
        "PartNumberMarker": marker,
        "MaxParts": limit,
        "IsTruncated": len(found) > len(page),
        "Parts": [_part(number, part, bool(record["algorithm"])) for number, part in page],
        "Initiator": _initiator(record, meta),
        "Owner": room.owner_of(meta.owner),
        "StorageClass": storage_classes.of(meta),
        "NextPartNumberMarker": page[-1][0] if page else 0,
        **abort_members(room.bucket(params["Bucket"]), params["Key"], meta.modified_ms),
    }
    if record["algorithm"]:
        answer |= {"ChecksumAlgorithm": record["algorithm"], "ChecksumType": meta.check_type}
    return answer


def _initiator(record: dict[str, Any], meta: Meta) -> dict[str, str]:
    arn = str(record.get("initiator") or "")
    account = arn.split(":")[4] if arn.startswith("arn:") else meta.owner
    return initiator_of(account, arn)


def _part(number: int, part: Part, checked: bool) -> dict[str, Any]:
    return {
        "PartNumber": number,
        "LastModified": moment(part.modified_ms),
        "ETag": f'"{part.etag}"',
        "Size": part.size,
        **(checksums.members(part.checks) if checked else {}),
    }


def list_uploads(room: Room, call: Call) -> dict[str, Any]:
    """Uploads under way, by key, then by upload id."""
    params = call.params
    name = params["Bucket"]
    encode, limit = Encoding(params), page_size(params, "MaxUploads", "max-uploads")
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    found, prefixes, last, more = _collect(room, name, params, limit)
    answer: dict[str, Any] = {
        "Bucket": name,
        "KeyMarker": encode(params.get("KeyMarker") or ""),
        "UploadIdMarker": (params.get("KeyMarker") and params.get("UploadIdMarker")) or "",
        "Prefix": encode(prefix) if prefix else None,
        "MaxUploads": limit,
        "IsTruncated": more,
        "Uploads": [_upload(room, encode, *f) for f in found],
        "CommonPrefixes": [{"Prefix": encode(p)} for p in prefixes],
        "EncodingType": encode.kind,
    }
    if delimiter:
        answer["Delimiter"] = encode(delimiter)
    told = last if more or last[1] else ("", "")  # a prefix only where there is more
    answer["NextKeyMarker"], answer["NextUploadIdMarker"] = encode(told[0]), told[1]
    return answer


Found = tuple[str, str, dict[str, Any]]


def _collect(
    room: Room, name: str, params: dict[str, Any], limit: int
) -> tuple[list[Found], list[str], tuple[str, str], bool]:
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    start, end = rows.prefix_range(rows.UPLOADS, name, prefix)
    key, upload_id = params.get("KeyMarker") or "", params.get("UploadIdMarker") or ""
    shared = rolled_up(key, prefix, delimiter) if key.startswith(prefix) else ""
    if shared:  # nor the rest of the prefix the marker lies in
        start = max(start, rows.prefix_range(rows.UPLOADS, name, shared)[1])
    elif key and upload_id:
        start = max(start, rows.upload(name, key, upload_id) + b"\x00")
    elif key:
        start = max(start, rows.uploads_of(name, key)[1])
    out: list[Found] = []
    prefixes: list[str] = []
    last = ("", "")
    while start < end:
        page = room.store.range(start, end, STEP)
        if not page:
            break
        for row in page:
            start = row.key + b"\x00"
            at, told = rows.compound_of(row.key)
            if len(out) + len(prefixes) == limit:
                return out, prefixes, last, limit > 0
            shared = rolled_up(at, prefix, delimiter)
            if shared:
                start = rows.prefix_range(rows.UPLOADS, name, shared)[1]
                prefixes.append(shared)
                last = (shared, "")
                break
            last = (at, told.decode())
            out.append((at, told.decode(), rows.upload_record(row.value)))
    return out, prefixes, last, False


def _upload(
    room: Room, encode: Encoding, key: str, upload_id: str, record: dict[str, Any]
) -> dict[str, Any]:
    meta = rows.unpack_meta(record["meta"])
    out = {
        "Key": encode(key),
        "UploadId": upload_id,
        "Initiated": moment(meta.modified_ms),
        "StorageClass": storage_classes.of(meta),
        "Owner": room.owner_of(meta.owner),
        "Initiator": _initiator(record, meta),
    }
    if record["algorithm"]:
        out |= {"ChecksumAlgorithm": record["algorithm"], "ChecksumType": meta.check_type}
    return out
