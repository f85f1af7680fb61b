"""Signature version 4's canonical forms and keys (AWS, "Create a signed AWS API request")."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, unquote_to_bytes

EMPTY_SHA256 = sha256(b"").hexdigest()
# Paths that are their own canonical form: no escapes, no empty and no dotted segments.
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?\Z")


class SigningKey:
    """The key of one day, region and service. Holds HMAC's two half-way states: a signature costs
    two copies instead of a set-up (a quarter of ``hmac.digest``)."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: str, date: str, region: str, service: str) -> None:
        key = ("AWS4" + secret).encode()
        for part in (date, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(x ^ 0x36 for x in block))
        self._outer = sha256(bytes(x ^ 0x5C for x in block))

    def halves(self) -> tuple[Any, Any]:
        """Copies of the two states."""
        return self._inner.copy(), self._outer.copy()

    def sign(self, text: bytes) -> str:
        """HMAC-SHA256 in hex."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class Proof:
    """A request's head, ready to be checked around any body: the hash of the canonical request up
    to the body's, and the HMAC up to the request's. What a client repeats is hashed once."""

    __slots__ = ("_inner", "_outer", "_request", "at_ms")

    def __init__(self, key: SigningKey, at: int, head: str, request: str) -> None:
        """``head``: the string to sign without its last line; ``request``: the canonical request
        without its last line; ``at``: its time in seconds since 1970."""
        self.at_ms = at * 1000
        self._request = sha256(request.encode("latin-1", "replace"))
        self._inner, self._outer = key.halves()
        self._inner.update(head.encode())

    def states(self) -> tuple[Any, Any, Any]:
        """The three hashes ``agrees`` goes on from: of the canonical request, and both of the
        HMAC. To be copied, never to be changed."""
        return self._request, self._inner, self._outer

    def agrees(self, body_hash: str, signature: bytes) -> bool:
        """Is this the signature of the head with a body of that hash?"""
        request = self._request.copy()
        request.update(body_hash.encode())
        inner = self._inner.copy()
        inner.update(request.hexdigest().encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return hmac.compare_digest(outer.hexdigest().encode(), signature)


def path(raw: str, s3: bool) -> str:
    """The canonical path: S3 encodes once; the others normalise and encode what was sent again."""
    if raw == "/" or _PLAIN_PATH.match(raw):
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


def headers(names: Sequence[str], values: Mapping[str, str]) -> str:
    """The canonical headers: values without outer spaces, inner runs folded to one. Raises
    ``KeyError`` for a signed header that was not sent."""
    text = "".join([f"{name}:{values[name]}\n" for name in names])
    if "  " in text or "\t" in text or ": " in text or " \n" in text:
        return "".join([f"{name}:{' '.join(values[name].split())}\n" for name in names])
    return text


def readings(raw_path: str, raw_query: str, s3: bool, drop: str = "") -> Iterator[tuple[str, str]]:
    """Canonical (path, query) pairs a client may have meant: the documented one first; then a
    ``+`` in the query as a space, and an S3 path signed as it was sent, both seen in the field."""
    told, asked = path(raw_path, s3), query(raw_query, False, drop) if raw_query else ""
    yield told, asked
    if "+" in raw_query:
        yield told, query(raw_query, True, drop)
    if s3 and told != raw_path:
        yield raw_path, asked
