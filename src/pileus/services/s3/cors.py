"""Cross-origin rules of a bucket: configuration, preflight, and what answers carry.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Headers, HttpRequest, HttpResponse
from pileus.services.s3 import faults
from pileus.services.s3.room import Bucket, Room

METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})
RULES_MAX = 100
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110, 5.6.2)


def _fits(pattern: str, value: str) -> bool:
    if "*" not in pattern:
        return pattern == value
    return re.match(re.escape(pattern).replace(r"\*", ".*") + r"\Z", value) is not None


def _rule(
    bucket: Bucket, origin: str, method: str, asked: list[str] | None = None
) -> tuple[dict[str, Any], str] | None:
    """The first rule that lets ``origin`` do ``method`` with the headers ``asked`` for, and the
    pattern that matched."""
    for rule in (bucket.settings.get("cors") or {}).get("CORSRules", []):
        if method not in rule["AllowedMethods"]:
            continue
        pattern = next((p for p in rule["AllowedOrigins"] if _fits(p, origin)), None)
        if pattern is None:
            continue
        allowed = [h.lower() for h in rule.get("AllowedHeaders") or []]
        if asked and not all(any(fnmatch.fnmatchcase(h, p) for p in allowed) for h in asked):
            continue
        return rule, pattern
    return None


def cors_headers(bucket: Bucket, request: HttpRequest) -> Headers:
    """What an answer to a request with an Origin header carries; nothing where no rule fits. What
    a preflight would ask counts here, too (recorded of AWS)."""
    told = request.headers
    origin = told["origin"]
    method = told.get("access-control-request-method", request.method)
    found = _rule(bucket, origin, method, _asked(told))
    return [] if found is None else _headers(*found, origin)


def _asked(headers: dict[str, str]) -> list[str]:
    told = headers.get("access-control-request-headers", "")
    return [h.strip().lower() for h in told.split(",") if h.strip()]


def _headers(rule: dict[str, Any], pattern: str, origin: str) -> Headers:
    everyone = pattern == "*"
    out: Headers = [
        ("access-control-allow-origin", "*" if everyone else origin),
        ("access-control-allow-methods", ", ".join(rule["AllowedMethods"])),
    ]
    if rule.get("ExposeHeaders"):
        out.append(("access-control-expose-headers", ", ".join(rule["ExposeHeaders"])))
    if rule.get("MaxAgeSeconds") is not None:
        out.append(("access-control-max-age", str(rule["MaxAgeSeconds"])))
    if not everyone:
        out.append(("access-control-allow-credentials", "true"))
    out.append(("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"))
    return out


def preflight(room: Room, call: Call) -> HttpResponse:
    """A browser's question (OPTIONS): may this origin do this?"""
    request = call.request
    assert request is not None
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method")
    if not origin:
        raise AwsError("BadRequest", "Insufficient information. Origin request header needed.", 400)
    try:
        bucket = room.bucket(call.params["Bucket"])
    except AwsError as error:
        message = "CORSResponse: Bucket not found"
        raise _forbidden(message, method or "OPTIONS", "BUCKET") from error
    if not bucket.settings.get("cors"):
        message = "CORSResponse: CORS is not enabled for this bucket."
        raise _forbidden(message, method or "OPTIONS", "BUCKET")
    if method not in METHODS:
        raise AwsError(
            "BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}", 400
        )
    asked = _asked(request.headers)
    found = _rule(bucket, origin, method, asked)
    if found is None:
        raise _forbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution"
            " of Origin, request method / Access-Control-Request-Method or"
            " Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
            method,
            "OBJECT" if call.params.get("Key") else "BUCKET",
        )
    headers = _headers(*found, origin)
    if asked:
        headers.append(("access-control-allow-headers", ", ".join(asked)))
    return HttpResponse(200, headers)


def _forbidden(message: str, method: str, kind: str) -> AwsError:
    return AwsError(
        "AccessForbidden", message, 403, fields={"Method": method, "ResourceType": kind}
    )


# -- configuration -----------------------------------------------------------------------------


def get_cors(room: Room, call: Call) -> dict[str, Any]:
    absent = ("NoSuchCORSConfiguration", "The CORS configuration does not exist")
    return dict(room.setting(call, "cors", *absent))


async def put_cors(room: Room, call: Call) -> None:
    told = call.params["CORSConfiguration"]
    rules = told.get("CORSRules") or []
    if not rules or len(rules) > RULES_MAX:
        raise faults.malformed_xml()
    for rule in rules:
        _check(rule)
    await room.configure(call, call.params["Bucket"], "cors", {"CORSRules": rules})


def _check(rule: dict[str, Any]) -> None:
    if not rule.get("AllowedMethods") or not rule.get("AllowedOrigins"):
        raise faults.malformed_xml()
    for method in rule["AllowedMethods"]:
        if method not in METHODS:
            raise faults.invalid_request(
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            )
    for kind in ("AllowedOrigins", "AllowedHeaders"):
        for value in rule.get(kind) or []:
            if value.count("*") > 1:
                name = kind.removesuffix("s")
                raise faults.invalid_request(
                    f'{name} "{value}" can not have more than one wildcard.'
                )
    for kind in ("AllowedHeaders", "ExposeHeaders"):
        for value in rule.get(kind) or []:
            if not _HEADER.fullmatch(value):
                raise faults.invalid_request(
                    f'{kind.removesuffix("s")} "{value}" contains invalid character.'
                )
    for value in rule.get("ExposeHeaders") or []:
        if "*" in value:
            raise faults.invalid_request(
                f'ExposeHeader "{value}" contains wildcard. We currently do not support wildcard'
                " for ExposeHeader."
            )


async def delete_cors(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], "cors", None)
