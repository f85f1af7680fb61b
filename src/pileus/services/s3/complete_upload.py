"""CompleteMultipartUpload: the parts become the object without being copied.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import checksums, customer_keys, encryption, faults, rows
from pileus.services.s3.lifecycle import expiration
from pileus.services.s3.multipart import PART_MAX, checksum_of, given, upload_of
from pileus.services.s3.names import location_of
from pileus.services.s3.put_object import write_conditions
from pileus.services.s3.room import Room, again
from pileus.services.s3.rows import Part, Seal
from pileus.state import keys
from pileus.state.rules import range_digest

PART_BYTES_MIN = 5 * 1024 * 1024
Told = dict[str, Any]


async def complete_upload(room: Room, call: Call) -> dict[str, Any]:
    """Check the list against the parts that are there, then let apply make the object."""
    try:
        return dict(await again(lambda: _once(room, call)))
    except AwsError as error:
        if error.code != "NoSuchUpload":
            raise
    return _repeated(room, call)  # an earlier request has completed it, or one at this moment


async def _once(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    name, key, upload_id = params["Bucket"], params["Key"], params["UploadId"]
    conditions = write_conditions(call.request.headers if call.request is not None else {})
    record = upload_of(room, name, key, upload_id)
    told = (params.get("MultipartUpload") or {}).get("Parts") or []
    if not told:
        empty = params.get("MultipartUpload") is None
        at_least = faults.invalid_request("You must specify at least one part")
        raise at_least if empty else faults.malformed_xml()
    _check_conflict(room, name, key, conditions, rows.unpack_meta(record["meta"]).modified_ms)
    found = room.store.partition(rows.PARTS, upload_id, PART_MAX)
    there = {int.from_bytes(keys.split(r.key)[2], "big"): rows.unpack_part(r.value) for r in found}
    chosen = _chosen(told, there, upload_id)
    meta = rows.unpack_meta(record["meta"])
    _check_key(call, meta.seal, record["algorithm"])
    meta.etag = f"{hashlib.md5(b''.join(bytes.fromhex(p.etag) for p in chosen)).hexdigest()}"
    meta.etag += f"-{len(chosen)}"
    meta.size = sum(p.size for p in chosen)
    meta.modified_ms = room.clock.now_ms()
    meta.upload, meta.parts = upload_id, len(chosen)
    _check_size(params, meta.size)
    algorithm = checksum_of(record["algorithm"], meta)
    meta.checks = _checks(algorithm, meta.check_type, chosen)
    _check_told(params, meta.checks, meta.check_type)
    _check_parts_told(told, record["algorithm"], meta.check_type, upload_id)
    numbers = [p["PartNumber"] for p in told]
    token = room.clock.random_bytes(16)
    digest = range_digest(found)
    packed = rows.pack_meta(meta)
    args = [name, key, upload_id, packed, conditions, token, digest, numbers]
    version = await room.submit("s3.complete_upload", args, call)
    return _answer(room, call, meta, version)


def _check_conflict(
    room: Room, name: str, key: str, conditions: dict[str, Any], began_ms: int
) -> None:
    """ "If a conflicting operation occurs during the upload S3 returns a 409" (API reference,
    CompleteMultipartUpload, If-Match): also where the object is equal to what it was."""
    value = room.store.get(rows.current(name, key)) if "match" in conditions else None
    meta = rows.describe(value) if value is not None else None
    if meta is not None and meta.etag == conditions["match"] and meta.modified_ms > began_ms:
        raise AwsError(
            "ConditionalRequestConflict",
            "The conditional request cannot succeed due to a conflicting operation against this"
            " resource.",
            409,
            fields={"Condition": "If-Match", "Key": key},
        )


def _check_key(call: Call, seal: Seal | None, algorithm: str) -> None:
    """ "Needed only when the object was created using a checksum algorithm" (API reference,
    CompleteMultipartUpload, SSECustomerKey); what is told must be right."""
    headers = call.request.headers if call.request is not None else given(call.params)
    customer = customer_keys.read(headers, call.request)
    if seal is not None:
        encryption.check_upload_key(seal, customer, needed=bool(algorithm))


def _answer(room: Room, call: Call, meta: rows.Meta, version: str | None) -> dict[str, Any]:
    name, key = call.params["Bucket"], call.params["Key"]
    answer: dict[str, Any] = {
        "Location": location_of(call, name, key),
        "Bucket": name,
        "Key": key,
        "ETag": f'"{meta.etag}"',
        "VersionId": version,
        "Expiration": expiration(room.bucket(name), key, meta),
        **checksums.members(meta.checks),
        **encryption.members(meta.seal),
    }
    if meta.checks:
        answer["ChecksumType"] = meta.check_type or "FULL_OBJECT"
    return answer


def _repeated(room: Room, call: Call) -> dict[str, Any]:
    """Completing once more what is complete answers the same, as S3 does for a while."""
    upload_id = call.params["UploadId"]
    value = room.store.get(rows.current(call.params["Bucket"], call.params["Key"]))
    meta = rows.describe(value) if value is not None else None
    if meta is None or meta.upload != upload_id:
        raise faults.no_such_upload(upload_id)
    return _answer(room, call, meta, meta.version or None)


def _chosen(told: list[Told], there: dict[int, Part], upload_id: str) -> list[Part]:
    """The parts named, in order; every one but the last at least 5 MiB."""
    out: list[Part] = []
    last = 0
    for item in told:
        number, etag = item.get("PartNumber"), item.get("ETag")
        if number is None or etag is None:
            raise faults.malformed_xml()
        if number < 1:
            raise faults.invalid_argument("PartNumber must be >= 1", "PartNumber", number)
        _check_form(item)
        part = there.get(number)
        if part is None or part.etag != etag.strip().strip('"'):
            raise _invalid_part(number, etag, upload_id)
        if number <= last:
            raise AwsError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part"
                " number.",
                fields={"UploadId": upload_id},
            )
        for algorithm, value in part.checks.items():
            if item.get(f"Checksum{algorithm}") not in (None, value):
                raise _invalid_part(number, etag, upload_id)
        last = number
        out.append(part)
    for item, part in zip(told[:-1], out[:-1], strict=True):
        if part.size < PART_BYTES_MIN:
            raise AwsError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                fields={
                    "ProposedSize": part.size,
                    "MinSizeAllowed": PART_BYTES_MIN,
                    "PartNumber": item["PartNumber"],
                    "ETag": part.etag,
                },
            )
    return out


def _check_form(item: Told) -> None:
    """Of a part there may be one checksum, of its algorithm's size."""
    told = {a: item[m] for m, a in checksums.MEMBERS.items() if item.get(m)}
    if len(told) > 1 or any(checksums.raw_of(a, value) is None for a, value in told.items()):
        listed = "".join(f"{a}:{value};" for a, value in told.items())
        value = listed if len(told) > 1 else next(iter(told.values()))
        raise faults.invalid_argument(
            "Invalid Base64 or multiple checksums present in request", "Checksum", value
        )


def _check_parts_told(told: list[Told], algorithm: str, kind: str, upload_id: str) -> None:
    """Checksums of parts in the list, as S3 was seen to judge them: an upload begun without an
    algorithm has none, one for a composite checksum needs them all."""
    for item in told:
        number = item["PartNumber"]
        others = [a for m, a in checksums.MEMBERS.items() if item.get(m) and a != algorithm]
        if not algorithm and others:
            raise _invalid_part(number, item["ETag"], upload_id)
        if others:
            raise AwsError(
                "BadDigest",
                f"The {others[0].lower()} you specified for part {number} did not match what we"
                " received.",
            )
        if kind == "COMPOSITE" and not item.get(f"Checksum{algorithm}"):
            raise faults.invalid_request(
                f"The upload was created using a {algorithm.lower()} checksum. The complete request"
                " must include the checksum for each part. It was missing for part"
                f" {number} in the request."
            )


def _invalid_part(number: int, etag: str, upload_id: str) -> AwsError:
    return AwsError(
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been"
        " uploaded, or the specified entity tag may not match the part's entity tag.",
        fields={"UploadId": upload_id, "PartNumber": number, "ETag": etag.strip('"')},
    )


def _check_size(params: Told, size: int) -> None:
    wanted = params.get("MpuObjectSize")
    if wanted is not None and int(wanted) < 0:
        raise faults.invalid_request(
            f"Value for x-amz-mp-object-size header is less than zero: '{wanted}'"
        )
    if wanted is not None and int(wanted) != size:
        raise faults.invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {wanted} does not match what was"
            f" computed: {size}"
        )


def _checks(algorithm: str, kind: str, parts: list[Part]) -> dict[str, str]:
    """The object's checksum from its parts' ones."""
    if not algorithm or not all(algorithm in p.checks for p in parts):
        return {}
    if kind != "COMPOSITE":
        told = [(p.checks[algorithm], p.size) for p in parts]
        return {algorithm: checksums.combined(algorithm, told)}
    running = checksums.new(algorithm)
    running.update(b"".join(base64.b64decode(p.checks[algorithm]) for p in parts))
    return {algorithm: f"{checksums.encoded(running.digest())}-{len(parts)}"}


def _check_told(params: Told, checks: dict[str, str], kind: str) -> None:
    """The whole object's checksum, where the caller tells it."""
    given = {a: params[m] for m, a in checksums.MEMBERS.items() if params.get(m) is not None}
    if len(given) > 1:
        raise faults.invalid_request("Expecting a single x-amz-checksum- header")
    for algorithm, told in given.items():
        have = checks.get(algorithm)
        if have is None:
            continue
        value, mark, parts = told.partition("-")
        checksums.check_value(algorithm, value if not mark or parts.isdigit() else "")
        if told != have and told != have.split("-")[0]:
            raise faults.bad_digest(algorithm.lower())
    if params.get("ChecksumType") not in (None, "COMPOSITE", "FULL_OBJECT"):
        raise faults.invalid_request("Value for x-amz-checksum-type header is invalid.")
    if params.get("ChecksumType") not in (None, kind or None):
        raise faults.invalid_request(
            f"The upload was created using the {kind or 'null'} checksum mode. The complete request"
            " must use the same checksum mode."
        )
