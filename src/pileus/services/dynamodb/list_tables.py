"""ListTables."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.room import Room

PAGE_MAX = 100


def list_tables(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Names in order, up to a hundred a page."""
    limit = p.get("Limit", PAGE_MAX)
    after = p.get("ExclusiveStartTableName", "")
    names = room.tables.names(call.account, call.region, after, limit + 1)
    out: dict[str, Any] = {"TableNames": names[:limit]}
    if len(names) > limit:
        out["LastEvaluatedTableName"] = names[limit - 1]
    return out
