"""DescribeLimits, DescribeEndpoints."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.room import Room

ACCOUNT_UNITS = 80_000
TABLE_UNITS = 40_000


def describe_limits(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """AWS's default quotas."""
    return {
        "AccountMaxReadCapacityUnits": ACCOUNT_UNITS,
        "AccountMaxWriteCapacityUnits": ACCOUNT_UNITS,
        "TableMaxReadCapacityUnits": TABLE_UNITS,
        "TableMaxWriteCapacityUnits": TABLE_UNITS,
    }


def describe_endpoints(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Where this service is: the address the caller used."""
    host = call.request.headers.get("host", "") if call.request is not None else ""
    address = host or f"dynamodb.{call.region}.amazonaws.com"
    return {"Endpoints": [{"Address": address, "CachePeriodInMinutes": 1440}]}
