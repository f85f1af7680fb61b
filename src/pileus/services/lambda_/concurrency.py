"""Reserved and provisioned concurrency, and the account's settings.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import USER, FunctionName, called_function, invalid
from pileus.services.lambda_.room import Record, Room
from pileus.services.lambda_.settings import stamp
from pileus.services.lambda_.targets import Targets, reserved_total
from pileus.state.draft import Draft


def unreserved_minimum(account_limit: int) -> int:
    """What reservations must leave to the other functions: 100 of AWS's 1,000, in proportion."""
    return min(100, max(1, account_limit // 10))


async def put_function_concurrency(room: Room, call: Call) -> dict[str, Any]:
    """Reserve concurrency; 0 stops the function."""
    wanted = call.params["ReservedConcurrentExecutions"]
    name = called_function(call)
    if wanted < 0:
        raise invalid("ReservedConcurrentExecutions must be at least 0.")
    limit = room.config.function_concurrency_max
    minimum = unreserved_minimum(limit)

    def change(draft: Draft, record: Record) -> None:
        found = draft.range(*rows.span(name.partition, "fn/"), 100_000)
        others = [orjson.loads(row.value) for row in found if row.key != rows.function(name)]
        reserved = sum(other["reserved"] or 0 for other in others)
        if limit - reserved - wanted < minimum:
            raise invalid(
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
    partition = f"{call.account}/{call.region}"
    functions = [
        orjson.loads(row.value) for row in room.store.range(*rows.span(partition, "fn/"), 100_000)
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
            "TotalCodeSize": sum(f["code"]["size"] for f in functions),
            "FunctionCount": len(functions),
        },
    }


# -- provisioned -------------------------------------------------------------------------------


async def put_provisioned(room: Room, targets: Targets, call: Call) -> dict[str, Any]:
    """Keep workers of a version or alias initialised."""
    wanted = call.params["ProvisionedConcurrentExecutions"]
    name = _published(call)
    room.version(name)
    if not 1 <= wanted <= room.config.function_concurrency_max:
        raise invalid(
            "Specified ConcurrentExecutions for ProvisionedConcurrency must be between 1 and"
            f" {room.config.function_concurrency_max}."
        )
    config = {
        "qualifier": name.qualifier,
        "wanted": wanted,
        "modified": room.clock.now_ms(),
    }
    key = rows.of_qualifier("pc", name, name.qualifier)
    await room.store.submit("write", [[key, orjson.dumps(config)]], call.invocation_id)
    await _tell_runtime(room, targets, name, wanted)
    return _describe(config)


def get_provisioned(room: Room, call: Call) -> dict[str, Any]:
    name = _published(call)
    room.version(name)
    config = room.store.get_json(rows.of_qualifier("pc", name, name.qualifier))
    if config is None:
        raise AwsError(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
            404,
            fields=USER,
        )
    return _describe(config)


async def delete_provisioned(room: Room, targets: Targets, call: Call) -> None:
    name = _published(call)
    room.version(name)
    key = rows.of_qualifier("pc", name, name.qualifier)
    await room.store.submit("write", [[key, None]], call.invocation_id)
    await _tell_runtime(room, targets, name, 0)


def list_provisioned(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    room.function(name)
    marker, size = page_of(call)
    found, more = rows.page(room.store, name.partition, f"pc/{name.name}/", marker, size)
    items = [
        {"FunctionArn": f"{name.arn}:{config['qualifier']}", **_describe(config)}
        for config in found
    ]
    return listed("ProvisionedConcurrencyConfigs", items, more)


async def provision_all(room: Room, targets: Targets) -> None:
    """After a start: tell the runtime of every provisioned configuration there is."""
    for name, config in targets.provisioned():
        await _tell_runtime(room, targets, name, config["wanted"])


async def _tell_runtime(room: Room, targets: Targets, name: FunctionName, count: int) -> None:
    spec = await targets.find(name).spec(room.roles)
    await room.runtime.set_provisioned(spec, count)


def _published(call: Call) -> FunctionName:
    name = called_function(call)
    if name.qualifier in ("", "$LATEST"):
        raise invalid("Provisioned Concurrency Configs cannot be applied to unpublished function"
                      " versions.")  # fmt: skip
    return name


def _describe(config: Record) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": config["wanted"],
        "AllocatedProvisionedConcurrentExecutions": config["wanted"],
        "AvailableProvisionedConcurrentExecutions": config["wanted"],
        "Status": "READY",
        "LastModified": stamp(config["modified"]),
    }
