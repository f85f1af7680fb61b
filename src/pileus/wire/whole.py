"""A small request that arrived whole in one packet, read without the parser (RFC 9112).

Only what is plain beyond doubt is read here: HTTP/1.1, an origin-form target, each header once,
one Content-Length that is exactly what follows, no other framing. For anything else the answer is
None and the strict parser reads the bytes from the start, so nothing is accepted here that it would
refuse. Clients repeat most header lines word for word: a line is looked at once and then known.
"""

from __future__ import annotations

import re

from pileus.services.call import HttpRequest

BYTES_MAX = 64 * 1024
LINES_MAX = 64
KNOWN_MAX = 4096
NAMES_MAX = 512
KNOWN_LENGTH_MAX = 256
_TARGET = re.compile(r"([A-Z]{3,7}) (/[!-~]*) HTTP/1\.1")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([!-~\x80-\xff](?:[\t -~\x80-\xff]*))?")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
# Headers by which a request is framed, held open or turned into something else.
_SPECIAL = frozenset(
    {
        *("transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive"),
        *("connection", "proxy-connection", "http2-settings"),
    }
)
# Headers whose value is new with every request: not worth keeping.
_UNIQUE = frozenset({"authorization", "amz-sdk-invocation-id", "x-amzn-trace-id"})
Line = tuple[str, str]


class WholeRequests:
    """Reads requests; knows the lines it has seen. One per server, bounded: clients choose the
    text."""

    def __init__(self, uri_bytes: int, bytes_max: int = BYTES_MAX, lines: int = LINES_MAX) -> None:
        self._uri_bytes = uri_bytes
        self._bytes_max = min(bytes_max, BYTES_MAX)
        self._lines_max = min(lines, LINES_MAX)
        self._targets: dict[str, tuple[str, str, str]] = {}
        self._lines: dict[str, Line] = {}
        self._names: dict[str, str] = {}

    def read(self, data: bytes, remote: str) -> HttpRequest | None:
        """The request ``data`` is, or None: ask the parser."""
        if len(data) > self._bytes_max:
            return None
        head, mark, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, path, query = self._targets[lines[0]]
        except KeyError:
            found = self._target(lines[0])
            if found is None:
                return None
            method, path, query = found
        del lines[0]
        pairs = list(map(self._lines.get, lines))
        if None in pairs and not self._learn(lines, pairs):
            return None
        headers: dict[str, str] = dict(pairs)  # type: ignore[arg-type]
        if len(headers) != len(lines) or len(lines) > self._lines_max or not mark:
            return None
        if headers.get("content-length", "0") != str(len(body)) or "host" not in headers:
            return None
        return HttpRequest(method, path, query, headers, body, None, remote, "http", head)

    def _target(self, line: str) -> tuple[str, str, str] | None:
        found = _TARGET.fullmatch(line)
        if found is None or found[1] not in _METHODS or "#" in line:
            return None
        if len(found[2]) > self._uri_bytes:
            return None
        path, _, query = found[2].partition("?")
        told = (found[1], path, query)
        if len(line) <= KNOWN_LENGTH_MAX:
            if len(self._targets) >= KNOWN_MAX:
                self._targets.clear()
            self._targets[line] = told
        return told

    def _learn(self, lines: list[str], pairs: list[Line | None]) -> bool:
        """Fill in the lines not seen before; False where one is not plain."""
        at = -1
        for _ in range(pairs.count(None)):
            at = pairs.index(None, at + 1)
            line = lines[at]
            if line.startswith("Authorization: AWS4") and line.isprintable() and line[-1] != " ":
                pairs[at] = ("authorization", line[15:])
                continue
            pair = self._line(line)
            if pair is None:
                return False
            pairs[at] = pair
        return True

    def _line(self, line: str) -> Line | None:
        name, mark, value = line.partition(": ")
        key = self._names.get(name)
        if key is not None and value.isascii() and value.isprintable() and mark:
            pair = (key, value)
        else:
            found = _HEADER.fullmatch(line)
            if found is None:
                return None
            key = found[1].lower()
            pair = (key, found[2] or "")
            if len(self._names) < NAMES_MAX and key not in _SPECIAL:
                self._names[found[1]] = key
        if pair[1] != pair[1].strip(" \t"):
            return None
        if key in _SPECIAL and not (key == "connection" and pair[1].lower() == "keep-alive"):
            return None
        if key not in _UNIQUE and len(line) <= KNOWN_LENGTH_MAX:
            if len(self._lines) >= KNOWN_MAX:
                self._lines.clear()
            self._lines[line] = pair
        return pair
