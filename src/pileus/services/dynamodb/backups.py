"""DescribeContinuousBackups."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb.room import Room


def describe_continuous_backups(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Continuous backups are always on, as on AWS; point-in-time recovery is off."""
    table = room.tables.find(call.account, call.region, p["TableName"])
    if table is None:
        raise AwsError("TableNotFoundException", f"Table not found: {p['TableName']}")
    return {
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
        }
    }
