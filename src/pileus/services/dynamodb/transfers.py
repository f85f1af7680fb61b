"""The rows of exports and imports: one each, found by ARN, listed newest first, kept 90 days.

Row ``dynamodb.exports`` or ``dynamodb.imports``/``account/region``/``id``: ``{"description": as the
API shows it, "request": digest of what was asked}``. A client's token stands beside them, in
``dynamodb.transfers``, for eight hours.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb.room import Room
from pileus.state import keys

EXPORTS = "dynamodb.exports"
IMPORTS = "dynamodb.imports"
TOKENS = "dynamodb.transfers"
TOKEN_MS = 8 * 3600 * 1000
KEPT_MS = 90 * 86_400_000
PAGE = 25


class Kind(NamedTuple):
    """What differs between exports and imports."""

    rows: str
    noun: str  # of ARNs: ``table/NAME/NOUN/ID``
    member: str  # of descriptions: ``MEMBERArn``, ``MEMBERStatus``


EXPORT = Kind(EXPORTS, "export", "Export")
IMPORT = Kind(IMPORTS, "import", "Import")


def row_key(kind: Kind, scope: str, transfer_id: str) -> bytes:
    return keys.key(kind.rows, scope, transfer_id)


def find(room: Room, kind: Kind, arn: str) -> dict[str, Any]:
    """The description behind an ARN; ``…NotFoundException``."""
    pieces = arn.split(":", 5)
    if len(pieces) == 6 and f"/{kind.noun}/" in pieces[5]:
        key = row_key(kind, f"{pieces[4]}/{pieces[3]}", arn.rpartition("/")[2])
        row = room.store.get_json(key)
        if row is not None and row["description"][f"{kind.member}Arn"] == arn:
            return dict(row["description"])
    raise AwsError(f"{kind.member}NotFoundException", f"{kind.member} not found: {arn}")


def digest(params: dict[str, Any]) -> str:
    """What a client's token stands for."""
    return hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).hexdigest()


def token_key(kind: Kind, scope: str, token: str) -> bytes:
    return keys.key(TOKENS, scope, f"{kind.noun}/{token}")


def repeated(
    draft: Any, kind: Kind, scope: str, p: dict[str, Any], now_ms: int
) -> dict[str, Any] | None:
    """The description a request with this ClientToken made before; ``…ConflictException`` when that
    request was another."""
    told = draft.get_json(token_key(kind, scope, p["ClientToken"])) if "ClientToken" in p else None
    if told is None or told["at_ms"] + TOKEN_MS < now_ms:
        return None
    row = draft.get_json(row_key(kind, scope, told["id"]))
    if row is None:
        return None
    if row["request"] != digest(p):
        raise AwsError(
            f"{kind.member}ConflictException",
            f"There was a conflict when writing to the specified {kind.noun}: the client token was"
            " used with other parameters",
        )
    return dict(row["description"])


def record(
    draft: Any, kind: Kind, scope: str, description: dict[str, Any], p: dict[str, Any], at_ms: int
) -> None:
    """Write a transfer's row and its token's."""
    transfer_id = description[f"{kind.member}Arn"].rpartition("/")[2]
    row = {"description": description, "request": digest(p)}
    draft.put_json(row_key(kind, scope, transfer_id), row)
    if "ClientToken" in p:
        told = {"id": transfer_id, "at_ms": at_ms}
        draft.put_json(token_key(kind, scope, p["ClientToken"]), told)


def tell(draft: Any, key: bytes, told: dict[str, Any]) -> None:
    """Bring a description up to date."""
    row = draft.get_json(key)
    if row is not None:
        row["description"] |= told
        draft.put_json(key, row)


def page(
    room: Room, call: Call, kind: Kind, p: dict[str, Any], limit: int, members: tuple[str, ...]
) -> tuple[list[dict[str, Any]], str]:
    """Summaries of one page, newest first, and the token of the next ("" at the end)."""
    scope = f"{call.account}/{call.region}"
    prefix = keys.partition_prefix(kind.rows, scope)
    end = keys.after_prefix(prefix)
    if p.get("NextToken"):
        end = row_key(kind, scope, p["NextToken"].rpartition("/")[2])
    found: list[dict[str, Any]] = []
    while len(found) <= limit:
        rows = room.store.range(prefix, end, PAGE, True)
        for row in rows:
            shown = orjson.loads(row.value)["description"]
            if p.get("TableArn") in (None, shown["TableArn"]):
                found.append({m: shown[m] for m in members if m in shown})
        if len(rows) < PAGE:
            break
        end = rows[-1].key
    following = found[limit - 1][f"{kind.member}Arn"] if len(found) > limit else ""
    return found[:limit], following


async def forget(room: Room) -> None:
    """Drop what is older than 90 days, and tokens older than eight hours (a chore)."""
    now_ms = room.clock.now_ms()
    for table, kept_ms in ((EXPORTS, KEPT_MS), (IMPORTS, KEPT_MS), (TOKENS, TOKEN_MS)):
        start = keys.table_prefix(table)
        end = keys.after_prefix(start)
        while rows := room.store.range(start, end, 200):
            ended = [(r.key, _ended_ms(orjson.loads(r.value))) for r in rows]
            old = [[key, None] for key, ms in ended if ms < now_ms - kept_ms]
            if old:
                await room.store.submit("write", old)
            start = rows[-1].key + b"\x00"
            await room.clock.sleep(0)


def _ended_ms(row: dict[str, Any]) -> float:
    """When a transfer ended (never, while it is under way) or a token was used."""
    if "at_ms" in row:
        return float(row["at_ms"])
    return float(row["description"].get("EndTime", float("inf"))) * 1000
