"""Signature version 4's canonical forms and keys (AWS, "Create a signed AWS API request")."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import quote, unquote, unquote_plus, unquote_to_bytes

EMPTY_SHA256 = sha256(b"").hexdigest()
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*/?\Z")
_DOTS = re.compile(r"/\.{1,2}(?:/|\Z)|//")


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def path(raw: str, s3: bool) -> str:
    """The canonical path: S3 encodes once; the others normalise and encode what was sent again."""
    if _PLAIN_PATH.match(raw) and not _DOTS.search(raw):
        return raw
    if s3:
        return quote(unquote_to_bytes(raw), safe="/-_.~")
    return quote(_normal(raw), safe="/-_.~")


def _normal(raw: str) -> str:
    out: list[str] = []
    for part in raw.split("/"):
        if part == "..":
            if out:
                out.pop()
        elif part not in ("", "."):
            out.append(part)
    text = "/" + "/".join(out)
    return text + "/" if raw.endswith("/") and text != "/" else text


def query(raw: str, plus_is_space: bool = False, drop: str = "") -> str:
    """The canonical query string: names and values encoded anew, sorted; without ``drop``."""
    if not raw:
        return ""
    decode = unquote_plus if plus_is_space else unquote
    pairs = []
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        name = decode(name, errors="surrogateescape")
        if part and name != drop:
            value = decode(value, errors="surrogateescape")
            pairs.append((_encode(name), _encode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encode(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="-_.~")


def header(value: str) -> str:
    """A header value without outer spaces, inner runs folded to one."""
    value = value.strip()
    return " ".join(value.split()) if "  " in value or "\t" in value else value


def readings(raw_path: str, raw_query: str, s3: bool, drop: str = "") -> Iterator[tuple[str, str]]:
    """Canonical (path, query) pairs a client may have meant: the documented one first; then a
    ``+`` in the query as a space, and an S3 path signed as it was sent, both seen in the field."""
    told, asked = path(raw_path, s3), query(raw_query, False, drop)
    yield told, asked
    if "+" in raw_query:
        yield told, query(raw_query, True, drop)
    if s3 and told != raw_path:
        yield raw_path, asked
