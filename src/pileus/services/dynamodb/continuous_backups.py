"""DescribeContinuousBackups, UpdateContinuousBackups: point-in-time recovery of a table.

While it is on, the table is recorded (``history.py``); what is older than the recovery period is
forgotten by the chores. Every moment since it was switched on can be restored, up to now.
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb import history
from pileus.services.dynamodb.backups import DAY_MS, check_whole, source_not_found
from pileus.services.dynamodb.delete_table import gone_key
from pileus.services.dynamodb.room import Room

DAYS_MAX = 35


def describe_continuous_backups(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Continuous backups are always on, as on AWS; point-in-time recovery where it was asked."""
    table = room.tables.find(call.account, call.region, p["TableName"])
    if table is None:
        raise source_not_found(p["TableName"])
    return {"ContinuousBackupsDescription": _description(room, table.description)}


def window(room: Room, row: dict[str, Any]) -> tuple[int, int]:
    """The moments a table with recovery can be restored to, in ms: (earliest, latest)."""
    now_ms, pitr = room.clock.now_ms(), row["pitr"]
    return max(pitr["from_ms"], now_ms - pitr["days"] * DAY_MS), max(now_ms, pitr["from_ms"])


def _description(room: Room, row: dict[str, Any]) -> dict[str, Any]:
    recovery: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
    if row.get("pitr"):
        earliest_ms, latest_ms = window(room, row)
        recovery = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": row["pitr"]["days"],
            "EarliestRestorableDateTime": earliest_ms / 1000,
            "LatestRestorableDateTime": latest_ms / 1000,
        }
    return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}


async def update_continuous_backups(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Switch point-in-time recovery on or off, or change its period. Off forgets the history."""
    name, spec = p["TableName"], p["PointInTimeRecoverySpecification"]
    table = room.tables.find(call.account, call.region, name)
    if table is None:
        raise source_not_found(name)
    history_id = room.clock.random_bytes(3).hex()
    at_ms = room.clock.now_ms()

    def change(draft: Any) -> dict[str, Any]:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise source_not_found(name)
        check_whole({**row, "copies": ()})
        if spec["PointInTimeRecoveryEnabled"]:
            days = spec.get("RecoveryPeriodInDays", row.get("pitr", {}).get("days", DAYS_MAX))
            since = row.get("pitr", {}).get("from_ms", at_ms)
            row["pitr"] = {"from_ms": since, "days": days}
            row.setdefault("history", history_id)
        else:
            row.pop("pitr", None)
            for rows in history.release(row):
                draft.put(gone_key(rows), b"")
        draft.put_json(table.meta_key, row)
        return dict(row)

    row = await room.store.transact(change, call.invocation_id)
    return {"ContinuousBackupsDescription": _description(room, row)}
