"""Tables that many need who try a cloud."""

from __future__ import annotations

from typing import Any


def keyed(**types: str) -> dict[str, Any]:
    """What ``CreateTable`` is told of a table's keys, the partition's and perhaps the sort key, by
    name and type (``keyed(p="S", r="N")``); it is paid for by the request."""
    kinds = zip(types, ("HASH", "RANGE"), strict=False)
    return {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": type_} for name, type_ in types.items()
        ],
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in kinds],
        "BillingMode": "PAY_PER_REQUEST",
    }
