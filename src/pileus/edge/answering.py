"""From a kept entry to the bytes one viewer gets: conditions, ranges, HEAD, compression.

RFC 9110, sections 13 (conditional requests) and 14 (ranges).
"""

from __future__ import annotations

import re
import zlib
from email.utils import parsedate_to_datetime

from pileus.edge.cache import Entry
from pileus.services.call import HttpRequest, HttpResponse

RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
COMPRESSIBLE = re.compile(
    r"(text/|application/(javascript|json|xml|wasm|x-javascript|manifest\+json|ld\+json"
    r"|xhtml\+xml|rss\+xml|atom\+xml|vnd\.ms-fontobject|x-font-ttf|graphql|geo\+json)"
    r"|image/svg\+xml|image/x-icon|font/(ttf|otf))"
)
PACK_BYTES_MIN, PACK_BYTES_MAX = 1000, 10_000_000


def from_entry(entry: Entry, request: HttpRequest, compress: bool, age_s: int) -> HttpResponse:
    """The answer for this viewer: 200 (or the kept status), 206, 304 or 416."""
    asked = request.headers
    headers = list(entry.headers)
    headers.append(("age", str(age_s)))
    if entry.status == 200:
        if ("if-none-match" in asked or "if-modified-since" in asked) and unchanged(entry, asked):
            kept = [h for h in headers if h[0] not in ("content-type", "content-encoding")]
            return HttpResponse(304, kept)
        if "range" in asked:
            ranged = _range(entry, asked)
            if ranged is not None:
                return _part(entry, headers, ranged)
    body = entry.body
    if compress and entry.status == 200 and "gzip" in asked.get("accept-encoding", ""):
        packed = entry.packed
        if packed is None:
            packed = entry.packed = _pack(entry)
        if packed:
            return HttpResponse(200, _packed_headers(headers), packed)
    return HttpResponse(entry.status, headers, body)


def unchanged(entry: Entry, asked: dict[str, str]) -> bool:
    """Does the viewer already have this? If-None-Match outranks If-Modified-Since."""
    tags = asked.get("if-none-match")
    if tags is not None:
        if tags.strip() == "*":
            return True
        known = entry.etag.removeprefix("W/")
        return bool(known) and any(t.strip().removeprefix("W/") == known for t in tags.split(","))
    try:
        since = parsedate_to_datetime(asked["if-modified-since"])
        return bool(entry.modified) and parsedate_to_datetime(entry.modified) <= since
    except (ValueError, TypeError):
        return False


def _range(entry: Entry, asked: dict[str, str]) -> tuple[int, int] | None:
    """(first, last) byte asked for; (0, -1) when it cannot be satisfied; None to send all."""
    condition = asked.get("if-range")
    if condition is not None and condition not in (entry.etag, entry.modified):
        return None
    match = RANGE.match(asked["range"].strip())
    if match is None or not (match[1] or match[2]):
        return None
    size = len(entry.body)
    if not match[1]:
        count = int(match[2])
        return (max(0, size - count), size - 1) if count and size else (0, -1)
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    return (first, last) if first < size else (0, -1)


def _part(entry: Entry, headers: list[tuple[str, str]], ranged: tuple[int, int]) -> HttpResponse:
    first, last = ranged
    size = len(entry.body)
    if last < first:
        return HttpResponse(416, [("content-range", f"bytes */{size}")])
    headers.append(("content-range", f"bytes {first}-{last}/{size}"))
    return HttpResponse(206, headers, entry.body[first : last + 1])


def _pack(entry: Entry) -> bytes:
    """gzip of the body; b"" where it is not worth it or not allowed."""
    told = dict(entry.headers)
    if (
        not PACK_BYTES_MIN <= len(entry.body) <= PACK_BYTES_MAX
        or "content-encoding" in told
        or "no-transform" in told.get("cache-control", "")
        or not COMPRESSIBLE.match(told.get("content-type", ""))
    ):
        return b""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(entry.body) + packer.flush()


def _packed_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    out = []
    for name, value in headers:
        if name == "etag" and not value.startswith("W/"):
            value = f"W/{value}"
        out.append((name, value))
    return [*out, ("content-encoding", "gzip"), ("vary", "Accept-Encoding")]
