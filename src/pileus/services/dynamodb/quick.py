"""The quick look at a hot operation's members: right beyond doubt, or read it exactly.

Only what is common is known here (no legacy parameters); everything else takes the slow way, which
gives the same parameters or the service's error.
"""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}\Z")
NAMES = "names"
TABLE = "table"
COUNT = "count"
PRICE = frozenset({"INDEXES", "TOTAL", "NONE"})
METRICS = frozenset({"SIZE", "NONE"})
RETURNS = frozenset({"ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"})
SHOWN = frozenset({"ALL_OLD", "NONE"})
SELECT = frozenset({"SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"})

_EXPRESSION = {"ExpressionAttributeNames": NAMES, "ExpressionAttributeValues": dict}
_WRITE = {
    **_EXPRESSION,
    "TableName": TABLE,
    "ConditionExpression": str,
    "ReturnValues": RETURNS,
    "ReturnConsumedCapacity": PRICE,
    "ReturnItemCollectionMetrics": METRICS,
    "ReturnValuesOnConditionCheckFailure": SHOWN,
}
_READ = {
    **_EXPRESSION,
    "TableName": TABLE,
    "IndexName": TABLE,
    "Select": SELECT,
    "ConsistentRead": bool,
    "Limit": COUNT,
    "ExclusiveStartKey": dict,
    "ProjectionExpression": str,
    "FilterExpression": str,
    "ReturnConsumedCapacity": PRICE,
}
SPECS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "GetItem": (
        {
            "TableName": TABLE,
            "Key": dict,
            "ConsistentRead": bool,
            "ProjectionExpression": str,
            "ExpressionAttributeNames": NAMES,
            "ReturnConsumedCapacity": PRICE,
        },
        ("TableName", "Key"),
    ),
    "PutItem": ({**_WRITE, "Item": dict}, ("TableName", "Item")),
    "DeleteItem": ({**_WRITE, "Key": dict}, ("TableName", "Key")),
    "UpdateItem": ({**_WRITE, "Key": dict, "UpdateExpression": str}, ("TableName", "Key")),
    "Query": (
        {**_READ, "KeyConditionExpression": str, "ScanIndexForward": bool},
        ("TableName",),
    ),
    "Scan": (_READ, ("TableName",)),
}


def looks_right(operation: str, params: dict[str, Any]) -> bool:
    """True when every member is known here and has its type."""
    found = SPECS.get(operation)
    if found is None:
        return False
    spec, required = found
    for name, value in params.items():
        want = spec.get(name)
        if want is str or want is dict or want is bool:
            if type(value) is not want:
                return False
        elif want is TABLE:
            if type(value) is not str or not NAME.match(value):
                return False
        elif want is None or not _fits(want, value):
            return False
    return all(r in params for r in required)


def _fits(want: Any, value: Any) -> bool:
    if want is NAMES:
        return type(value) is dict and all(type(v) is str for v in value.values())
    if want is COUNT:
        return type(value) is int and value >= 1
    return type(value) is str and value in want
