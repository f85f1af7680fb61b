"""The wide table over HTTP: ``/_pileus/kv/{table}/{row}/{column}`` (docs/wide-table.md)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.kv.cells import VALUE_BYTES_MAX
from pileus.services.kv.table import (
    LIST_MAX,
    Condition,
    Found,
    Table,
    tables,
    version_is,
)

PREFIX = "/_pileus/kv"
SWAP_BYTES_MAX = 16 * 1024 * 1024
ACTIONS = {
    ("GET", 3): "GetCell",
    ("HEAD", 3): "GetCell",
    ("PUT", 3): "PutCell",
    ("POST", 3): "PutCell",
    ("DELETE", 3): "DeleteCell",
    ("GET", 2): "ListColumns",
    ("GET", 1): "ListRows",
    ("GET", 0): "ListTables",
}
# Headers that tell one write of a cell from another; a repeat has them all again.
_ASKED = ("if-match", "if-none-match", "content-length", "x-amz-content-sha256")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


class Door:
    """Serves requests whose caller is known and allowed (``access`` says what to ask)."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def access(self, request: HttpRequest, principal: Principal) -> list[Access]:
        """The permission this request needs; ``AwsError`` for a path or method that is none."""
        names = _names(request.path)
        action = _action(request.method, names)
        resource = "/".join(names[:2]) or "*"
        return [Access(f"pileus:{action}", f"arn:pileus:kv::{principal.account}:table/{resource}")]

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """Answer one request; errors are JSON ``{"__type", "message"}``."""
        try:
            return await self._serve(request, principal)
        except AwsError as e:
            return failure(e)
        except Unavailable as e:
            return failure(AwsError("ServiceUnavailable", f"{e}; {e.hint}", 503))

    async def _serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        names = _names(request.path)
        action = _action(request.method, names)
        if action == "ListTables":
            told = {"tables": tables(self._parts.store, principal.account)}
            return HttpResponse(200, [("content-type", "application/json")], orjson.dumps(told))
        table = Table(self._parts.store, self._parts.blobs, names[0], principal.account)
        if action in ("ListRows", "ListColumns"):
            return _list(table, names[1:], request)
        _, row, column = names
        if action == "GetCell":
            return _get(table, table.find(row, column), request)
        if action == "DeleteCell":
            await table.delete(row, column, _condition(request), _request_id(request, principal))
            return HttpResponse(204)
        if request.method == "POST":
            version = await _swap(table, row, column, request, principal)
        else:
            version = await table.put(
                row, column, _body(request), _condition(request), _request_id(request, principal)
            )
        return HttpResponse(200, [_etag(version)], b"")


def failure(e: AwsError) -> HttpResponse:
    """An error as JSON; a failed condition tells the version found as ETag."""
    headers = [("content-type", "application/json")]
    if e.fields.get("Version"):
        headers.append(_etag(e.fields["Version"]))
    told = {"__type": e.code, "message": e.message, **e.fields}
    return HttpResponse(e.status, headers, orjson.dumps(told))


def _names(path: str) -> list[str]:
    names = [unquote(part, errors="strict") for part in path[len(PREFIX) :].split("/")[1:]]
    while names and not names[-1]:
        names.pop()
    return names


def _action(method: str, names: list[str]) -> str:
    action = ACTIONS.get((method, len(names)))
    if action is None:
        raise AwsError("MethodNotAllowed", f"{method} is not offered here", 405)
    return action


def _etag(version: int) -> tuple[str, str]:
    return ("etag", f'"{version}"')


def _version(tag: str) -> int:
    try:
        return int(tag.strip().strip('"'))
    except ValueError:
        raise AwsError("ValidationException", "If-Match takes a cell's ETag") from None


def _condition(request: HttpRequest) -> Condition:
    tag = request.headers.get("if-match")
    if tag is not None:
        return version_is(_version(tag))
    if request.headers.get("if-none-match") == "*":
        return version_is(0)
    return None


def _request_id(request: HttpRequest, principal: Principal) -> bytes:
    """The client's retry id bound to its caller and to what is asked for: a repeated write has one
    effect, one answer, and another write under the same id is none."""
    told = request.headers.get("amz-sdk-invocation-id")
    if not told:
        return b""
    asked = "\n".join(request.headers.get(name, "") for name in _ASKED)
    text = f"{told}\n{principal.arn}\n{request.method} {request.path}\n{asked}"
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


async def _body(request: HttpRequest) -> AsyncIterator[bytes]:
    if request.stream is None:
        yield request.body
        return
    if request.stream.length > VALUE_BYTES_MAX:
        raise AwsError("EntityTooLarge", "A value is at most 5 GiB", 400)
    async for piece in request.stream:
        yield piece


def _get(table: Table, found: Found | None, request: HttpRequest) -> HttpResponse:
    if found is None:
        raise AwsError("CellNotFound", "There is no such cell", 404)
    version, cell = found
    headers = [_etag(version), ("accept-ranges", "bytes")]
    headers.append(("content-type", "application/octet-stream"))
    if request.headers.get("if-none-match") == f'"{version}"':
        return HttpResponse(304, headers)
    status, offset, length = 200, 0, cell.size
    wanted = _range(request.headers.get("range", ""), cell.size)
    if wanted is not None:
        status, (offset, length) = 206, wanted
        headers.append(("content-range", f"bytes {offset}-{offset + length - 1}/{cell.size}"))
    if cell.inline is not None:
        return HttpResponse(status, headers, cell.inline[offset : offset + length])
    return HttpResponse(status, headers, table.stream(cell, offset, length), length)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """(offset, length) of a single byte range (RFC 9110, 14.2); None for the whole."""
    match = _RANGE.match(header)
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        start, end = size - length, size
    else:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
    if start >= size or end <= start:
        raise AwsError("InvalidRange", "The range does not lie within the cell", 416)
    return start, end - start


async def _swap(
    table: Table, row: str, column: str, request: HttpRequest, principal: Principal
) -> int:
    """``{"old": base64 or null, "new": base64}``: store ``new`` if the cell holds ``old``."""
    try:
        told = orjson.loads(await request.read(SWAP_BYTES_MAX))
        old = None if told["old"] is None else base64.b64decode(told["old"], validate=True)
        new = base64.b64decode(told["new"], validate=True)
    except (ValueError, KeyError, TypeError):
        raise AwsError(
            "ValidationException", 'The body is {"old": base64 or null, "new": base64}'
        ) from None
    return await table.cput(row, column, old, new, _request_id(request, principal))


def _list(table: Table, names: list[str], request: HttpRequest) -> HttpResponse:
    asked = {k: v[-1] for k, v in parse_qs(request.query, keep_blank_values=True).items()}
    prefix, after = asked.get("prefix", ""), asked.get("after", "")
    try:
        limit = int(asked.get("limit", "100"))
    except ValueError:
        limit = 0
    if not 1 <= limit <= LIST_MAX:
        raise AwsError("ValidationException", f"limit is 1 to {LIST_MAX}")
    told: dict[str, Any]
    if names:
        columns = table.columns(names[0], prefix, after, limit + 1)
        told = {"columns": [c._asdict() for c in columns[:limit]]}
        last, more = (columns[limit - 1].column, True) if len(columns) > limit else ("", False)
    else:
        rows = table.rows(prefix, after, limit + 1)
        told = {"rows": rows[:limit]}
        last, more = (rows[limit - 1], True) if len(rows) > limit else ("", False)
    if more:
        told["next"] = last
    return HttpResponse(200, [("content-type", "application/json")], orjson.dumps(told))
