"""Signature version 2 as S3 knows it: header, presigned and form (S3 API reference, "Signing and
authenticating REST requests (AWS signature version 2)").

Old as it is, stock clients still write it: a boto3 client in us-east-1 presigns with it by default.
Only S3 takes it.
"""

from __future__ import annotations

import base64
import calendar
import hmac
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_tz
from urllib.parse import unquote

from pileus.errors import AwsError
from pileus.services.call import Credential, Directory, HttpRequest
from pileus.wire import refusals

SKEW_S = 900
# Query parameters that name what is signed; the others say how it is shown.
SIGNED_PARAMETERS = frozenset(
    (
        *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "encryption"),
        *("inventory", "lifecycle", "location", "logging", "metrics", "notification"),
        *("object-lock", "legal-hold", "retention", "partNumber", "policy", "replication"),
        *("requestPayment", "restore", "select", "select-type", "storageClass", "tagging"),
        *("torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"),
        *("ownershipControls", "publicAccessBlock", "intelligent-tiering", "policyStatus"),
        *("response-cache-control", "response-content-disposition", "response-content-encoding"),
        *("response-content-language", "response-content-type", "response-expires"),
    )
)


def is_header(text: str) -> bool:
    """Whether an Authorization header is version 2's."""
    return text[:4] == "AWS "


def is_presigned(query: str) -> bool:
    return "Signature=" in query and "AWSAccessKeyId=" in query


class VerifierV2:
    """Checks version 2 signatures against a ``Directory``."""

    def __init__(self, directory: Directory, now_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._now_ms = now_ms

    def header(self, request: HttpRequest, text: str, bucket: str) -> Credential:
        """``AWS KEY:SIGNATURE``. ``bucket``: that of a virtual-hosted request, else ''."""
        key_id, mark, signature = text[4:].strip().rpartition(":")
        if not mark or not key_id:
            raise AwsError(
                "InvalidArgument",
                "Authorization header is invalid -- one and only one ' ' (space) required",
                fields={"ArgumentName": "Authorization", "ArgumentValue": text[:256]},
            )
        headers = request.headers
        dated = headers.get("x-amz-date", headers.get("date", ""))
        at = _seconds(dated)
        if at is None:
            raise AwsError(
                "AccessDenied",
                "AWS authentication requires a valid Date or x-amz-date header",
                403,
            )
        now = self._now_ms() // 1000
        if abs(now - at) > SKEW_S:
            raise AwsError(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                403,
                fields={
                    "RequestTime": dated,
                    "ServerTime": _stamp(now),
                    "MaxAllowedSkewMilliseconds": SKEW_S * 1000,
                },
            )
        date = "" if "x-amz-date" in headers else headers.get("date", "")
        amz = {n: v for n, v in headers.items() if n.startswith("x-amz-")}
        held = self._held(key_id, headers.get("x-amz-security-token"))
        self._compare(request, held, key_id, signature, date, amz, bucket, {})
        return held

    def presigned(self, request: HttpRequest, bucket: str) -> Credential:
        """``?AWSAccessKeyId=…&Expires=…&Signature=…``."""
        told = dict(_parameters(request.query))
        expires = told.get("Expires", "")
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            raise AwsError(
                "AccessDenied",
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId"
                " parameters"
                if not expires
                else f"Invalid date (should be seconds since epoch): {expires[:64]}",
                403,
            )
        now = self._now_ms() // 1000
        if now > int(expires):
            raise AwsError(
                "AccessDenied",
                "Request has expired",
                403,
                fields={"Expires": _stamp(int(expires)), "ServerTime": _stamp(now)},
            )
        # SDKs move such headers into the query of a link; they count as headers.
        amz = {n: v for n, v in request.headers.items() if n.startswith("x-amz-")}
        amz |= {n.lower(): v for n, v in told.items() if n.lower().startswith("x-amz-")}
        held = self._held(told["AWSAccessKeyId"], amz.get("x-amz-security-token"))
        key_id, signature = told["AWSAccessKeyId"], told["Signature"]
        self._compare(request, held, key_id, signature, expires, amz, bucket, told)
        return held

    def form(self, fields: Mapping[str, str], policy: str) -> Credential:
        """A browser form's policy document, signed as it was sent (base64)."""
        for name in ("AWSAccessKeyId", "Signature"):
            if not fields.get(name.lower()):
                raise refusals.no_field(name)
        held = self._held(fields["awsaccesskeyid"], fields.get("x-amz-security-token"))
        if not _same(_sign(held.secret, policy), fields["signature"]):
            told = fields["awsaccesskeyid"], fields["signature"], policy
            raise refusals.mismatch("s3", *told)
        return held

    def _held(self, key_id: str, token: str | None) -> Credential:
        held = self._directory.lookup(key_id, token)
        if held is None:
            raise refusals.unknown_key("s3", key_id)
        if held.expires_ms is not None and held.expires_ms <= self._now_ms():
            raise refusals.expired("s3")
        return held

    @staticmethod
    def _compare(
        request: HttpRequest,
        held: Credential,
        key_id: str,
        signature: str,
        date: str,
        amz: dict[str, str],
        bucket: str,
        told: Mapping[str, str],
    ) -> None:
        headers = request.headers
        lines = "".join(f"{n}:{v.strip()}\n" for n, v in sorted(amz.items()))
        about = [
            request.method,
            headers.get("content-md5") or told.get("content-md5", ""),
            headers.get("content-type") or told.get("content-type", ""),
            date,
        ]
        texts = [
            "\n".join(about) + "\n" + lines + path + _resource(request.query)
            for path in _paths(request.path, bucket)
        ]
        if not any(_same(_sign(held.secret, text), signature) for text in texts):
            raise refusals.mismatch("s3", key_id, signature, texts[0])


def _parameters(query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


def _resource(query: str) -> str:
    """The sub-resources of a canonical resource, in order."""
    found = []
    for part in query.split("&"):
        name, mark, value = part.partition("=")
        if name in SIGNED_PARAMETERS:
            found.append(f"{name}={unquote(value, 'latin-1')}" if mark and value else name)
    return "?" + "&".join(sorted(found)) if found else ""


def _paths(path: str, bucket: str) -> list[str]:
    """What a client may have signed as path: a bucket's own name with or without a slash."""
    if bucket:
        return [f"/{bucket}{path}"]
    bare = path.count("/") == 1 and len(path) > 1
    return [path, f"{path}/"] if bare else [path]


def _sign(secret: str, text: str) -> str:
    try:
        raw = text.encode("latin-1")  # the bytes of a header as they came
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "replace")
    return base64.b64encode(hmac.digest(secret.encode(), raw, "sha1")).decode()


def _same(wanted: str, told: str) -> bool:
    return hmac.compare_digest(wanted.encode(), told.strip().encode("utf-8", "replace"))


def _seconds(text: str) -> int | None:
    """Seconds since 1970 of an HTTP date (or an ISO basic one), None for what is neither or before
    1970."""
    parsed = parsedate_tz(text) if text else None
    try:
        if parsed is not None:
            at = calendar.timegm(parsed[:6]) - (parsed[9] or 0)  # type: ignore[arg-type]
        else:
            at = calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))
    except (ValueError, OverflowError):
        return None
    return at if at >= 0 else None


def _stamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(seconds, 253402300799)))
