"""UpdateTimeToLive, DescribeTimeToLive. The chores delete what has expired."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.faults import invalid, table_not_found
from pileus.services.dynamodb.room import Room


async def update_time_to_live(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Switch expiry on or off for an attribute."""
    name, spec = p["TableName"], p["TimeToLiveSpecification"]
    table = room.tables.describe(call.account, call.region, name)

    def change(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise table_not_found(name)
        current = row.get("ttl")
        if current and current != spec["AttributeName"]:
            raise invalid(
                "TimeToLive is active on a different AttributeName: current AttributeName is"
                f" {current}"
            )
        if bool(current) == spec["Enabled"]:
            word = "enabled" if current else "disabled"
            raise invalid(f"TimeToLive is already {word}")
        row["ttl"] = spec["AttributeName"] if spec["Enabled"] else ""
        draft.put_json(table.meta_key, row)

    await room.store.transact(change, call.invocation_id)
    return {"TimeToLiveSpecification": spec}


def describe_time_to_live(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Whether and on which attribute items expire."""
    table = room.tables.describe(call.account, call.region, p["TableName"])
    attribute = table.description.get("ttl")
    if not attribute:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}}
