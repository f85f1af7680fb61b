"""The console's built pages: read once, hashed names, gzip made once, strict headers."""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pileus.services.call import Headers, HttpRequest, HttpResponse

BUILT = Path(__file__).with_name("built")
PLACE = "/admin/"
FOR_EVER = "public, max-age=31536000, immutable"
SMALL = 512  # bytes: below, gzip gains nothing
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,255}")
NOT_BUILT = (
    b"<!doctype html><html lang=en><title>Pileus console</title><main><h1>The console is not built"
    b"</h1><p>Run <code>make setup</code> in the checkout, then reload this page.</p></main>"
)


class File(NamedTuple):
    """A file and its gzip form (empty where it would gain nothing)."""

    data: bytes
    packed: bytes
    kind: str
    tag: str


def read(directory: Path) -> Mapping[str, File]:
    """Every file below ``directory`` by its relative name; none when it does not exist."""
    found: dict[str, File] = {}
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            packed = gzip.compress(data, 9, mtime=0) if len(data) > SMALL else b""
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            if kind.startswith("text/"):
                kind += "; charset=utf-8"
            tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
            found[path.relative_to(directory).as_posix()] = File(data, packed, kind, tag)
    return found


class Pages:
    """Answers ``/admin/…``: the page itself for the bare place, else a file of it."""

    def __init__(self, directory: Path = BUILT) -> None:
        self._files = functools.cache(functools.partial(read, directory))

    def serve(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(405, [("allow", "GET, HEAD"), *_guards(request)])
        if request.path == PLACE[:-1]:
            return HttpResponse(308, [("location", PLACE), *_guards(request)])
        name = request.path[len(PLACE) :] or "index.html"
        found = self._files().get(name)
        if found is None:
            return self._absent(request, name)
        keep = FOR_EVER if name.startswith("assets/") else "no-cache"
        headers = [("content-type", found.kind), ("cache-control", keep), ("etag", found.tag)]
        headers += [("vary", "accept-encoding"), *_guards(request)]
        if request.headers.get("if-none-match") == found.tag:
            return HttpResponse(304, headers)
        if found.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return HttpResponse(200, [*headers, ("content-encoding", "gzip")], found.packed)
        return HttpResponse(200, headers, found.data)

    def _absent(self, request: HttpRequest, name: str) -> HttpResponse:
        headers = [("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store")]
        if name == "index.html":
            return HttpResponse(503, [*headers, *_guards(request)], NOT_BUILT)
        text = b"<!doctype html><html lang=en><title>Not here</title><h1>Not here</h1>"
        return HttpResponse(404, [*headers, *_guards(request)], text)


def _guards(request: HttpRequest) -> Headers:
    """Other pages of this origin are other people's: scripts come from the console's own place
    only, nothing frames or opens it, and nothing inline runs."""
    host = request.headers.get("host", "").lower()
    own = f"{request.scheme}://{host}{PLACE}" if _HOST.fullmatch(host) else "'none'"
    policy = (
        f"default-src 'none'; script-src {own}; style-src {own}; img-src {own} data: blob:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none';"
        " require-trusted-types-for 'script'; trusted-types lit-html pileus-xml"
    )
    return [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ]
