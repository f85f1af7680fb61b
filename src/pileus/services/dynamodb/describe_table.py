"""DescribeTable, and how a description row is shown."""

from __future__ import annotations

import copy
from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.billing import GLOBAL, show_capacity
from pileus.services.dynamodb.counting import count
from pileus.services.dynamodb.room import Room

INDEXES = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")


def describe_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """The table's description."""
    table = room.tables.describe(call.account, call.region, p["TableName"])
    return {"Table": describe(room, table.description)}


def describe(room: Room, description: dict[str, Any]) -> dict[str, Any]:
    """A TableDescription with its counts: AWS's members only."""
    out = {n: copy.deepcopy(v) for n, v in description.items() if n[0].isupper()}
    rows = "d:" + description["id"]
    out["ItemCount"], out["TableSizeBytes"] = count(room, rows)
    now_s = room.clock.now_ms() / 1000
    show_capacity(out, now_s)
    for member in INDEXES:
        for index in out.get(member, ()):
            index_rows = f"{rows}:{index.pop('id')}"
            index["ItemCount"], index["IndexSizeBytes"] = count(room, index_rows)
            if member == GLOBAL:
                show_capacity(index, now_s)
            if index.get("Backfilling") is False:  # its resources are being allocated
                out["TableStatus"] = "UPDATING"
    return out
