"""Browser uploads: a signed multipart form (S3, "Browser-based uploads using POST").

The fields come first and are small; the file, the last part, streams.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import ANONYMOUS, Credential, Directory, HttpRequest, Principal
from pileus.wire import canonical, refusals, sigv2

FIELDS_BYTES_MAX = 64 * 1024
FILE_MAX = 5 * 1024**3
_NAME = re.compile(rb'(?:^|;)\s*name="([^"]*)"', re.IGNORECASE)
_FILENAME = re.compile(rb'(?:^|;)\s*filename="([^"]*)"', re.IGNORECASE)
_DISPOSITION = re.compile(rb"content-disposition:\s*form-data\s*(;[^\r\n]*)", re.IGNORECASE)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z\Z")
_FOURTH = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
# Fields that sign the form need no condition.
_SIGNING = ("policy", "file", "x-amz-signature", "signature", "awsaccesskeyid")


@dataclass(slots=True)
class Form:
    """``params``: ``Fields`` (lower-case name → text), ``File`` (a ``FormFile``),
    ``Policy`` (the parsed document, or None). The service checks the content length."""

    principal: Principal
    params: dict[str, Any]


class FormFile:
    """The file part: bytes up to the closing boundary. ``limit`` bounds it (the policy's
    content-length-range)."""

    length = -1

    def __init__(self, chunks: AsyncIterator[bytes], rest: bytes, boundary: bytes) -> None:
        self._chunks = chunks
        self._rest = rest
        self._end = b"\r\n--" + boundary

    async def __aiter__(self) -> AsyncIterator[bytes]:
        buffer, end = self._rest, self._end
        size = 0
        while True:
            at = buffer.find(end)
            if at >= 0:
                if at:
                    yield buffer[:at]
                async for _ in self._chunks:
                    pass  # what follows the file is ignored, as S3 does
                return
            keep = len(end) - 1
            if len(buffer) > keep:
                size += len(buffer) - keep
                if size > FILE_MAX:
                    raise AwsError(
                        "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"
                    )
                yield buffer[:-keep]
                buffer = buffer[-keep:]
            try:
                buffer += await anext(self._chunks)
            except StopAsyncIteration:
                raise _malformed() from None


def _malformed() -> AwsError:
    return AwsError(
        "MalformedPOSTRequest",
        "The body of your POST request is not well-formed multipart/form-data.",
    )


async def _pieces(request: HttpRequest) -> AsyncIterator[bytes]:
    if request.stream is None:
        yield request.body
        return
    async for chunk in request.stream:
        yield chunk


async def read_form(request: HttpRequest, bucket: str, directory: Directory, now_ms: int) -> Form:
    """Fields, file and who signed the policy. Raises ``AwsError``."""
    found = re.search(r'boundary="?([^";,]{1,70})"?', request.headers.get("content-type", ""))
    if found is None:
        raise _malformed()
    boundary = found[1].encode("latin-1")
    chunks = _pieces(request)
    buffer = b"\r\n"
    fields: dict[str, str] = {}
    mark = b"\r\n--" + boundary
    while True:
        at, head_end = buffer.find(mark), -1
        if at >= 0:
            if buffer[at + len(mark) : at + len(mark) + 2] == b"--":
                raise AwsError(
                    "InvalidArgument",
                    "POST requires exactly one file upload per request.",
                    fields={"ArgumentName": "file", "ArgumentValue": "0"},
                )
            head_end = buffer.find(b"\r\n\r\n", at + len(mark))
        if head_end >= 0:
            head = buffer[at + len(mark) : head_end]
            name, file_name = _part(head)
            if name == "file":
                file = FormFile(chunks, buffer[head_end + 4 :], boundary)
                break
            value_end = buffer.find(mark, head_end + 4)
            if value_end >= 0:
                fields[name] = buffer[head_end + 4 : value_end].decode("utf-8", "replace")
                buffer = buffer[value_end:]
                continue
        if len(buffer) > FIELDS_BYTES_MAX:
            raise AwsError(
                "MaxPostPreDataLengthExceededError",
                "Your POST request fields preceding the upload file were too large.",
            )
        try:
            buffer += await anext(chunks)
        except StopAsyncIteration:
            raise _malformed() from None
    if "key" in fields and file_name is not None:
        fields["key"] = fields["key"].replace("${filename}", file_name)
    principal, policy = signed_policy({**fields, "bucket": bucket}, directory, now_ms)
    params = {"Fields": fields, "File": file, "Policy": policy}
    return Form(principal, params)


def _part(head: bytes) -> tuple[str, str | None]:
    """(lower-case field name, file name or None) of a part's headers. The file part's own
    Content-Type does not count: S3 stores what the field of that name says."""
    disposition = _DISPOSITION.search(head)
    name = _NAME.search(disposition[1]) if disposition is not None else None
    if disposition is None or name is None:
        raise _malformed()
    file_name = _FILENAME.search(disposition[1])
    return (
        name[1].decode("utf-8", "replace").lower(),
        file_name[1].decode("utf-8", "replace") if file_name is not None else None,
    )


def signed_policy(
    fields: dict[str, str], directory: Directory, now_ms: int
) -> tuple[Principal, dict[str, Any] | None]:
    """Who signed the form, and its policy document. Without a policy the form is anonymous.
    Raises ``AwsError`` for a wrong signature and an expired policy."""
    text = fields.get("policy")
    if text is None:
        return ANONYMOUS, None
    if any(name.lower() in fields for name in _FOURTH):
        held = _fourth(fields, text, directory, now_ms)
    elif "awsaccesskeyid" not in fields and "signature" not in fields:
        raise AwsError("AccessDenied", "Access Denied", 403)
    else:
        held = sigv2.VerifierV2(directory, lambda: now_ms).form(fields, text)
    return held.principal, check_policy(_document(text), fields, now_ms)


def _fourth(fields: dict[str, str], text: str, directory: Directory, now_ms: int) -> Credential:
    """Signature version 4 of the policy."""
    for name in _FOURTH:
        if name.lower() not in fields:
            raise refusals.no_field(name)
    if fields["x-amz-algorithm"] != "AWS4-HMAC-SHA256":
        raise AwsError(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported."
            " Please use AWS4-HMAC-SHA256.",
        )
    parts = fields["x-amz-credential"].rsplit("/", 4)
    if len(parts) != 5 or parts[3] != "s3" or parts[4] != "aws4_request":
        raise refusals.incomplete("s3", "the Credential is mal-formed")
    held = directory.lookup(parts[0], fields.get("x-amz-security-token"))
    if held is None:
        raise refusals.unknown_key("s3", parts[0])
    if held.expires_ms is not None and held.expires_ms <= now_ms:
        raise refusals.expired("s3")
    wanted = canonical.SigningKey(held.secret, *parts[1:4]).sign(text.encode())
    if not hmac.compare_digest(wanted.encode(), fields["x-amz-signature"].encode()):
        raise refusals.mismatch("s3", parts[0], fields["x-amz-signature"], text)
    return held


def _document(text: str) -> dict[str, Any]:
    try:
        policy = orjson.loads(base64.b64decode(text))
        assert _MOMENT.match(policy["expiration"])
        datetime.fromisoformat(policy["expiration"])
        assert isinstance(policy["conditions"], list)
    except (binascii.Error, ValueError, KeyError, TypeError, AssertionError):
        raise AwsError("InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from None
    return policy  # type: ignore[no-any-return]


def check_policy(policy: dict[str, Any], fields: dict[str, str], now_ms: int) -> dict[str, Any]:
    """Expiry, and every condition on a field; every field must be told in a condition, but those
    that sign, and checksums, which prove only the bytes. ``fields`` holds ``bucket``, the one
    posted to (``content-length-range`` is the service's). Answers the policy."""
    expiry = datetime.fromisoformat(policy["expiration"])
    if expiry.tzinfo is None:
        expiry = expiry.replace(tzinfo=UTC)
    if expiry.timestamp() * 1000 < now_ms:
        raise _refused("Policy expired.")
    covered = set(_SIGNING)
    for condition in policy["conditions"]:
        for kind, name, value in _tests(condition):
            covered.add(name)
            if not _fits(kind, name, fields.get(name, ""), value):
                raise _refused(f'Policy Condition failed: ["{kind}", "${name}", "{value}"]')
    for name in fields:
        if name not in covered and not name.startswith(("x-ignore-", "x-amz-checksum-")):
            raise _refused(f"Extra input fields: {name}")
    return policy


def _fits(kind: str, name: str, told: str, value: str) -> bool:
    if kind == "eq":
        return told == value
    if name == "content-type":  # a list of types: each must start so
        return all(each.strip().startswith(value) for each in told.split(","))
    return told.startswith(value)


def _tests(condition: Any) -> list[tuple[str, str, str]]:
    """(kind, field, value) of each test a condition makes."""
    if isinstance(condition, dict) and len(condition) == 1:
        return [("eq", str(name).lower(), str(value)) for name, value in condition.items()]
    if isinstance(condition, list) and len(condition) == 3:
        kind = str(condition[0]).lower()
        if kind == "content-length-range" and all(_size(n) for n in condition[1:]):
            return []
        name = str(condition[1])
        if kind in ("eq", "starts-with") and name.startswith("$"):
            return [(kind, name[1:].lower(), str(condition[2]))]
        no_sizes = kind == "content-length-range" and not all(map(_is_number, condition[1:]))
        if no_sizes or kind in ("eq", "starts-with"):  # of no field
            raise _refused(f'Policy Condition failed: ["{kind}", "{name}", "{condition[2]}"]')
    raise AwsError(
        "InvalidPolicyDocument",
        "Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property"
        " specified."
        if isinstance(condition, dict)
        else "Invalid Policy: Invalid Condition.",
    )


def _is_number(told: Any) -> bool:
    return str(told).isascii() and str(told).removeprefix("-").isdigit()


def _size(told: Any) -> bool:
    return str(told).isascii() and str(told).isdigit() and len(str(told)) < 16


def _refused(message: str) -> AwsError:
    return AwsError("AccessDenied", f"Invalid according to Policy: {message}", 403)
