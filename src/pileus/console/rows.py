"""``/_pileus/rows``: what the state holds, row by row, read only.

    GET /_pileus/rows                                      {"tables": [name]}
    GET /_pileus/rows/TABLE?partition=&prefix=&after=&limit=  {"rows": [{"key", "partition", "sort",
        "version", "size", "value", "cut", "hidden"}], "next"}

``key`` and ``after`` are hexadecimal; names that are no text are told as ``hex:…``; ``value`` is
base64. Rows that hold secrets are listed, their values are not told. Permissions:
``pileus:ReadRawRows`` on ``arn:pileus:cluster::ACCOUNT:rows/TABLE``, in the cluster's first
account: rows are of all accounts.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from pileus.errors import AwsError
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal
from pileus.state import keys
from pileus.state.tx import Row

ROWS = "/_pileus/rows"
END = b"\xff" * 64
LIMIT_MAX, TABLES_MAX = 100, 10_000
VALUE_BYTES_MAX = 64 * 1024
# Keys and seals lie in these: (table, partition), None for the whole table.
SECRET = {("iam", b"keys"), ("iam", b"cluster"), ("vault", None), ("kms", None), ("nodes", None)}
SECRET |= {("cfn", b"keys"), ("snssigning", None)}


class RowsDoor:
    """Serves callers that are known and allowed (``access`` says what to ask)."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._account = parts.config.account

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]:
        """The permission this request needs; ``AwsError`` for a path or method that is none."""
        place = f"arn:pileus:cluster::{self._account}:"
        table = _table(request.path)
        if request.method != "GET" or table is None:
            raise AwsError("MethodNotAllowed", f"{request.method} is not offered here", 405)
        return [Access("pileus:ReadRawRows", f"{place}rows/{table or '*'}", owner=self._account)]

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """Answer one request; errors are JSON ``{"__type", "message"}``."""
        asked = {k: v[-1] for k, v in parse_qs(request.query, keep_blank_values=True).items()}
        table = _table(request.path)
        try:
            told: dict[str, Any]
            if table:
                told = self._rows(table, asked)
            else:
                told = {"tables": table_names(self._store)}
        except AwsError as e:
            return answer(e.status, {"__type": e.code, "message": e.message})
        return answer(200, told)

    def _rows(self, table: str, asked: dict[str, str]) -> dict[str, Any]:
        limit = _limit(asked.get("limit", "10"))
        start = whole = _start(table, asked)
        if asked.get("after"):
            start = max(start, _hex(asked["after"]) + b"\x00")
        found = self._store.range(start, keys.after_prefix(whole), limit + 1)
        told: dict[str, Any] = {"rows": [_row(row) for row in found[:limit]]}
        if len(found) > limit:
            told["next"] = found[limit - 1].key.hex()
        return told


def table_names(store: Any, prefix: str = "") -> list[str]:
    """Every table that has rows, in order; one look per table."""
    names: list[str] = []
    start, end = prefix.encode(), keys.after_prefix(prefix.encode()) if prefix else END
    while len(names) < TABLES_MAX:
        found = store.range(start, end, 1)
        if not found:
            break
        name, _, _ = found[0].key.partition(b"\x00")
        names.append(name.decode("utf-8", "replace"))
        start = name + b"\x01"
    return names


def whole(table: str) -> tuple[bytes, bytes]:
    prefix = keys.table_prefix(table)
    return prefix, keys.after_prefix(prefix)


def _table(path: str) -> str | None:
    """The table named, '' for none, None when the path is another's."""
    rest = path.removeprefix(ROWS)
    if rest == path or (rest and not rest.startswith("/")):
        return None
    return unquote(rest[1:])


def _start(table: str, asked: dict[str, str]) -> bytes:
    """What the keys asked for start with: a table, a partition of it, or a prefix within one."""
    if "\x00" in table:
        raise AwsError("ValidationException", "no table has such a name")
    if "partition" not in asked:
        return keys.table_prefix(table)
    prefix = keys.partition_prefix(table, _bytes(asked["partition"]))
    return prefix + keys.escape(_bytes(asked.get("prefix", "")))[:-2]


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LIMIT_MAX:
        raise AwsError("ValidationException", f"limit is 1 to {LIMIT_MAX}")
    return int(text)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise AwsError("ValidationException", "not hexadecimal") from None


def _bytes(text: str) -> bytes:
    return _hex(text[4:]) if text.startswith("hex:") else text.encode()


def text_of(part: bytes) -> str:
    try:
        text = part.decode()
    except UnicodeDecodeError:
        return f"hex:{part.hex()}"
    return text if text.isprintable() and not text.startswith("hex:") else f"hex:{part.hex()}"


def place_of(key: bytes) -> dict[str, str]:
    """A key in parts, as far as it is one: a tablet may begin anywhere."""
    if not key:
        return {"table": "", "partition": "", "sort": ""}
    try:
        table, partition, sort = keys.split(key)
    except (ValueError, IndexError):
        name, nul, rest = key.partition(b"\x00")
        if name.endswith(b"\x01"):  # above a table's last key
            name, nul = name[:-1], b" (end)"
        told = text_of(name) + (nul.decode() if not rest and nul != b"\x00" else "")
        return {"table": told, "partition": f"hash {rest.hex()}" if rest else "", "sort": ""}
    return {"table": table, "partition": text_of(partition), "sort": text_of(sort)}


def _row(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = {"key": row.key.hex(), **place_of(row.key)}
    told |= {"version": row.version, "size": len(row.value)}
    table, partition, _ = keys.split(row.key)
    if (table, partition) in SECRET or (table, None) in SECRET:
        return told | {"hidden": True, "value": None, "cut": False}
    cut = row.value[:VALUE_BYTES_MAX]
    value = base64.b64encode(cut).decode()
    return told | {"hidden": False, "value": value, "cut": len(cut) < len(row.value)}


def answer(status: int, told: Any) -> HttpResponse:
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    return HttpResponse(status, headers, orjson.dumps(told))
