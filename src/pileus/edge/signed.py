"""Signed URLs and signed cookies: may this viewer see what a behaviour keeps for key holders?

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/PrivateContent.html
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import ipaddress
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pileus.services.call import HttpRequest, HttpResponse

QUERY = ("Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm")
COOKIE = "CloudFront-"
HASHES: dict[str, Any] = {"": hashes.SHA1, "SHA1": hashes.SHA1, "SHA256": hashes.SHA256}
UNSAFE = str.maketrans("-_~", "+=/")
TEXT_CHARS_MAX = 8192


class Denied(Exception):
    """The viewer may not see it. The message is CloudFront's, ``code`` its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def answer(self) -> HttpResponse:
        """403 in CloudFront's XML."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><Error>'
            f"<Code>{self.code}</Code><Message>{self}</Message></Error>"
        ).encode()
        return HttpResponse(403, [("content-type", "text/xml")], body)


def admit(
    request: HttpRequest, distribution_id: str, signers: Mapping[str, Any], now_s: float
) -> HttpRequest:
    """The request without its signature, which is neither forwarded nor part of the cache key.

    ``signers``: public keys by id. Raises ``Denied``."""
    told, bare = _told(request)
    key_id = told.get("Key-Pair-Id", "")
    if not key_id:
        raise Denied("MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
    key = signers.get(key_id)
    if key is None:
        raise Denied("InvalidKey", "Unknown Key")
    algorithm = HASHES.get(told.get("Hash-Algorithm", "").upper())
    if algorithm is None or "Signature" not in told:
        raise Denied("AccessDenied", "Access denied")
    urls = _urls(request, bare.query, distribution_id)
    signature = _decoded(told["Signature"])
    if "Policy" in told:
        policy = _decoded(told["Policy"])
        if not _signed(key, policy, signature, algorithm()):
            raise Denied("AccessDenied", "Access denied")
        _check_policy(policy, urls, request.remote, now_s)
        return bare
    expires = told.get("Expires", "")
    if not expires.isdigit() or now_s >= int(expires):
        raise Denied("AccessDenied", "Access denied")
    policies = [canned(url, int(expires)) for url in urls]
    if not any(_signed(key, policy, signature, algorithm()) for policy in policies):
        raise Denied("AccessDenied", "Access denied")
    return bare


def canned(url: str, expires_s: int) -> bytes:
    """The policy a signed URL without a policy stands for."""
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires_s}}}}}'
    return f'{{"Statement":[{{"Resource":"{url}","Condition":{condition}}}]}}'.encode()


def _told(request: HttpRequest) -> tuple[dict[str, str], HttpRequest]:
    """(signature's members by the query's names, request without them). The query outranks
    cookies."""
    told: dict[str, str] = {}
    query, cookies = [], []
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name.removeprefix(COOKIE) in QUERY and name.startswith(COOKIE):
            told[name.removeprefix(COOKIE)] = value
        elif name:
            cookies.append(part.strip())
    parts = [part.partition("=") for part in request.query.split("&") if part]
    given = {name: value for name, _, value in parts if name in QUERY}
    if "Signature" in given or "Key-Pair-Id" in given:
        told = given
    query = ["".join(part) for part in parts if part[0] not in QUERY]
    headers = {name: value for name, value in request.headers.items() if name != "cookie"}
    if cookies:
        headers["cookie"] = "; ".join(cookies)
    return told, dataclasses.replace(request, query="&".join(query), headers=headers)


def _urls(request: HttpRequest, query: str, distribution_id: str) -> list[str]:
    """The ways a signer may have written this URL: our ports are often not in it."""
    host = request.headers.get("host", "").lower()
    bare = host if host.endswith("]") else host.partition(":")[0]
    tail = f"{request.path}?{query}" if query else request.path
    own = f"{distribution_id.lower()}.cloudfront.localhost"
    places = dict.fromkeys((host, bare, own, f"{host}/_cdn/{distribution_id}"))
    return [f"{request.scheme}://{place}{tail}" for place in places]


def _decoded(text: str) -> bytes:
    try:
        if len(text) > TEXT_CHARS_MAX:
            raise ValueError("too long")
        return base64.b64decode(text.translate(UNSAFE), validate=True)
    except (ValueError, binascii.Error):
        raise Denied("AccessDenied", "Access denied") from None


def _signed(key: Any, text: bytes, signature: bytes, algorithm: hashes.HashAlgorithm) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, text, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, text, ec.ECDSA(algorithm))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _check_policy(raw: bytes, urls: list[str], remote: str, now_s: float) -> None:
    """A genuine custom policy must name this URL, time and address. Raises ``Denied``."""
    try:
        (statement,) = orjson.loads(raw)["Statement"]
        condition = statement["Condition"]
        before = float(condition["DateLessThan"]["AWS:EpochTime"])
        after = float(condition.get("DateGreaterThan", {}).get("AWS:EpochTime", 0))
        network = condition.get("IpAddress", {}).get("AWS:SourceIp", "0.0.0.0/0")
        pattern = str(statement.get("Resource", "*"))
        everyone = network == "0.0.0.0/0"
        inside = everyone or ipaddress.ip_address(remote) in ipaddress.ip_network(network, False)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Denied("MalformedPolicy", "Malformed Policy") from None
    matched = any(_matches(pattern, url) for url in urls)
    if not (matched and inside and after <= now_s < before):
        raise Denied("AccessDenied", "Access denied")


def _matches(pattern: str, url: str) -> bool:
    """``*`` is any run of characters, ``?`` any one. Without backtracking more than one star: the
    time is at most the product of the lengths, whatever a signer wrote."""
    at = i = mark = 0
    star = -1
    while i < len(url):
        if at < len(pattern) and pattern[at] == "*":
            star, mark, at = at, i, at + 1
        elif at < len(pattern) and pattern[at] in ("?", url[i]):
            at, i = at + 1, i + 1
        elif star >= 0:
            mark += 1
            at, i = star + 1, mark
        else:
            return False
    return all(c == "*" for c in pattern[at:])
