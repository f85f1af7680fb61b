"""What a version 4 signature claims, and AWS's words for claims that do not hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from urllib.parse import unquote

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.wire import canonical, refusals
from pileus.wire.canonical import Proof, SigningKey

MOMENT = re.compile(r"\d{8}T\d{6}Z")
_HOISTED = frozenset({"if-match", "if-none-match"})
SIGNED_BY_V2 = frozenset({"content-type", "content-md5"})
_SIGNING = tuple(
    f"x-amz-{name}"
    for name in (
        *("algorithm", "credential", "date", "expires", "signedheaders", "signature"),
        *("security-token", "content-sha256", "checksum-", "sdk-checksum-algorithm", "user-agent"),
        *("decoded-content-length", "trailer"),
    )
)
_UNSIGNED_ALLOWED = frozenset({"x-amz-content-sha256", "x-amz-user-agent"})


@dataclass(slots=True)
class Claim:
    """What a request says about its signature, before the signature itself."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signed_text: str
    scope: str = ""
    checked: list[str] = field(default_factory=list)
    secret: str = ""
    key: SigningKey | None = None
    values: Any = None  # the signed headers' values, of a request's headers
    proofs: dict[Any, Proof] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = itemgetter(*self.signed)


def claim_of(credential: str, signed: str, kind: str, in_query: bool = False) -> Claim:
    """What a credential and its list of signed headers say. Raises ``AwsError``."""
    parts = credential.rsplit("/", 4)
    if kind == "s3":
        _check_credential(parts, in_query)
    elif len(parts) != 5 or parts[4] != "aws4_request" or not parts[0]:
        raise refusals.incomplete(
            kind,
            "Credential must have exactly 5 slash-delimited elements, e.g."
            f" keyid/date/region/service/term, got '{credential[:256]}'",
        )
    names = tuple(signed.lower().split(";"))
    if "host" not in names:
        raise refusals.incomplete(
            kind,
            f"'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
            f" Got '{signed[:256]}'",
        )
    key_id, date, region, service, _ = parts
    return Claim(key_id, date, region, service, names, ";".join(names), "/".join(parts[1:]))


def _check_credential(parts: list[str], in_query: bool) -> None:
    """What S3 says of one that is not as it should be, part by part."""
    if len(parts) != 5 or not parts[0]:
        raise refusals.malformed(
            "the Credential is mal-formed; expecting"
            ' "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
            in_query,
        )
    _, date, _, _, terminal = parts
    if terminal != "aws4_request":
        message = f'incorrect terminal "{terminal[:64]}". This endpoint uses "aws4_request".'
        raise refusals.malformed(message, in_query)
    if len(date) != 8 or not (date.isascii() and date.isdigit()):
        raise refusals.malformed(
            f'incorrect date format "{date[:64]}". This date in the credential must be in the'
            ' format "yyyyMMdd".',
            in_query,
        )


def out_of_scope(
    claim: Claim, date: str, kind: str, service: str, in_query: bool = False
) -> AwsError:
    """A credential for another service or day."""
    if kind == "s3" and claim.service != service:
        return refusals.malformed(
            f'incorrect service "{claim.service[:64]}". This endpoint belongs to "s3".', in_query
        )
    if kind == "s3" and not in_query and not MOMENT.fullmatch(date):
        return refusals.undated()
    if kind == "s3" and in_query:
        return query_error(
            kind,
            f'Invalid credential date "{claim.date}". This date is not the same as X-Amz-Date:'
            f' "{date[:8]}".',
        )
    if claim.service != service:
        message = f"Credential should be scoped to correct service: '{service}'."
    elif kind == "s3":
        message = "Invalid credential date. Date is not the same as X-Amz-Date."
    else:
        message = (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date"
            f" from HTTP: '{claim.date}' != '{date[:8]}', from '{date[:32]}'."
        )
    return (refusals.incomplete if kind == "s3" else refusals.stale)(kind, message)


def loose(names: Sequence[str], signed: tuple[str, ...]) -> list[str]:
    """Headers that were sent and should have been signed."""
    return [
        n
        for n in names
        if n.startswith("x-amz-") and n not in signed and n not in _UNSIGNED_ALLOWED
    ]


def check_signed(names: list[str], signed: tuple[str, ...], kind: str) -> None:
    """Every x-amz- header that was sent must be signed."""
    found = loose(names, signed)
    if not found:
        return
    if kind == "s3":
        raise AwsError(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            403,
            fields={"HeadersNotSigned": ", ".join(found)},
        )
    raise refusals.stale(kind, f"Headers must be signed: {', '.join(found)}")


def disputed(
    claim: Claim,
    request: HttpRequest,
    date: str,
    hashed: str,
    signature: str,
    kind: str,
    drop: str = "",
) -> AwsError:
    """A wrong signature; to S3's clients with what it should have signed, in which a header that
    was not sent is empty."""
    if kind != "s3":
        return refusals.mismatch(kind)
    lines = canonical.headers(claim.signed, dict.fromkeys(claim.signed, "") | dict(request.headers))
    path, query = next(canonical.readings(request.path, request.query, True, drop))
    text = f"{request.method}\n{path}\n{query}\n{lines}\n{claim.signed_text}\n{hashed}"
    digest = hashlib.sha256(text.encode("latin-1", "replace")).hexdigest()
    signed = f"AWS4-HMAC-SHA256\n{date}\n{claim.scope}\n{digest}"
    return refusals.mismatch(kind, claim.access_key_id, signature, signed, text)


def query_parts(query: str) -> dict[str, Any]:
    """A presigned request's own parameters."""
    out: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name.startswith("X-Amz-"):
            out[name] = unquote(value)
    return out


def take_hoisted(request: HttpRequest, beside: frozenset[str] = _HOISTED) -> None:
    """Headers that a presigned address brings in its query, signed with it (the JavaScript and
    Java SDKs write them so, and boto3 in version 2): they count as headers. ``beside``: those that
    are not Amazon's. Checksums there are signed and else ignored."""
    for part in request.query.split("&"):
        name, _, value = part.partition("=")
        lower = unquote(name).lower()
        if lower in beside or (lower.startswith("x-amz-") and not lower.startswith(_SIGNING)):
            request.headers.setdefault(lower, unquote(value))


def query_error(kind: str, message: str) -> AwsError:
    """A presigned request that is malformed."""
    if kind == "s3":
        return AwsError("AuthorizationQueryParametersError", message, 400)
    return refusals.incomplete(kind, message)


def only_v4(kind: str, algorithm: str = "", in_query: bool = False) -> AwsError:
    """Another kind of signature than the one we verify."""
    if kind == "s3" and algorithm and not algorithm.startswith("AWS4-ECDSA"):
        if in_query:
            return query_error(
                kind, 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"'
            )
        return AwsError(
            "InvalidArgument",
            "Unsupported Authorization Type",
            fields={"ArgumentName": "Authorization", "ArgumentValue": algorithm[:256]},
        )
    message = (
        "The authorization mechanism you have provided is not supported."
        " Please use AWS4-HMAC-SHA256."
    )
    if algorithm.startswith("AWS4-ECDSA"):
        message = "Signature version 4A is not offered by Pileus. Please use AWS4-HMAC-SHA256."
    return (
        AwsError("InvalidRequest", message) if kind == "s3" else refusals.incomplete(kind, message)
    )
