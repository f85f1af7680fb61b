"""Reserved concurrency and the account's settings.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.names import (
    LATEST,
    called_function,
    invalid,
    invalid_value,
    not_found,
)
from pileus.services.lambda_.room import Record, Room
from pileus.services.lambda_.targets import reserved_total
from pileus.state.draft import Draft


def unreserved_minimum(account_limit: int) -> int:
    """What reservations must leave to the other functions: 100 of AWS's 1,000, in proportion."""
    return min(100, max(1, account_limit // 10))


async def put_function_concurrency(room: Room, call: Call) -> dict[str, Any]:
    """Reserve concurrency; 0 stops the function."""
    wanted = call.params["ReservedConcurrentExecutions"]
    name = called_function(call)
    if name.qualifier:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not"
            " support this operation. Please specify either a function name or an unqualified"
            " function ARN."
        )
    if wanted < 0:
        raise invalid("ReservedConcurrentExecutions must be at least 0.")
    if room.store.get(rows.function(name)) is None:
        raise not_found(f"Function not found: {name.arn}:{LATEST}")
    limit = room.config.function_concurrency_max
    minimum = unreserved_minimum(limit)

    def change(draft: Draft, record: Record) -> None:
        found = draft.range(*rows.span(name.place, "fn/"), 100_000)
        others = [orjson.loads(row.value) for row in found if row.key != rows.function(name)]
        reserved = sum(other["reserved"] or 0 for other in others)
        if limit - reserved - wanted < minimum:
            raise invalid_value(
                "Specified ReservedConcurrentExecutions for function decreases account's"
                f" UnreservedConcurrentExecution below its minimum value of [{minimum}]."
            )
        record["reserved"] = wanted

    await room.edit(call, name, change)
    return {"ReservedConcurrentExecutions": wanted}


def get_function_concurrency(room: Room, call: Call) -> dict[str, Any]:
    reserved = room.function(called_function(call))["reserved"]
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


async def delete_function_concurrency(room: Room, call: Call) -> None:
    await room.edit(call, called_function(call), lambda draft, record: record.update(reserved=None))


def get_account_settings(room: Room, call: Call) -> dict[str, Any]:
    """Limits of the account and what it uses of them."""
    partition = call.place
    functions = [
        orjson.loads(row.value) for row in room.store.range(*rows.span(partition, "fn/"), 100_000)
    ]
    published = [
        orjson.loads(row.value)
        for kind in ("v/", "lv/")
        for row in room.store.range(*rows.span(partition, kind), 100_000)
    ]
    limit = room.config.function_concurrency_max
    return {
        "AccountLimit": {
            "TotalCodeSize": 80_530_636_800,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": limit,
            "UnreservedConcurrentExecutions": limit - reserved_total(room.store, partition),
        },
        "AccountUsage": {
            "TotalCodeSize": sum(record["code"]["size"] for record in [*functions, *published]),
            "FunctionCount": len(functions),
        },
    }
