"""Event source mappings: CreateEventSourceMapping, Get, List, Update, Delete.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
A mapping reads a stream of DynamoDB and hands its records to a function (``sources.py``). Other
sources, tumbling windows and several batches of one shard at a time are refused by name.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.batches import Rules
from pileus.services.lambda_.event_filter import compiled
from pileus.services.lambda_.functions import page_of
from pileus.services.lambda_.names import (
    FunctionName,
    conflict,
    function_name,
    invalid,
    not_found,
)
from pileus.services.lambda_.room import Record, Room
from pileus.services.lambda_.tags import checked
from pileus.services.owned import parted
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TABLE, PLACES = "lambdaesm", "lambdaesmplace"
CHANGEABLE = (
    "BatchSize", "FilterCriteria", "MaximumBatchingWindowInSeconds", "DestinationConfig",
    "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError", "MaximumRetryAttempts",
    "FunctionResponseTypes", "ParallelizationFactor", "TumblingWindowInSeconds",
)  # fmt: skip
DEFAULTS: Record = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}
LIMITS = {
    "BatchSize": (1, 10_000),
    "MaximumBatchingWindowInSeconds": (0, 300),
    "MaximumRecordAgeInSeconds": (-1, 604_800),
    "MaximumRetryAttempts": (-1, 10_000),
    "ParallelizationFactor": (1, 10),
    "TumblingWindowInSeconds": (0, 900),
}
# What is asked for one value only: any other is not built.
ONLY = {"ParallelizationFactor": 1, "TumblingWindowInSeconds": 0}
OTHERS = (
    "SelfManagedEventSource", "SourceAccessConfigurations", "Topics", "Queues", "ScalingConfig",
    "AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig", "KMSKeyArn", "MetricsConfig", "ProvisionedPollerConfig",
)  # fmt: skip
POSITIONS = ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")
UNTOUCHED, WELL = "No records processed", "OK"
_STREAM = re.compile(r"arn:aws[a-zA-Z-]*:dynamodb:([a-z0-9-]+):(\d{12}):table/[^/]+/stream/.+")
_TARGET = re.compile(r"arn:aws[a-zA-Z-]*:(sqs|sns|s3):.*")


def mapping_key(partition: str, uuid: str) -> bytes:
    return keys.key(TABLE, partition, uuid)


def place_key(uuid: str) -> bytes:
    """How far a mapping has read; apart, for it changes with every batch."""
    return keys.key(PLACES, "", uuid)


def mapping_arn(partition: str, uuid: str) -> str:
    account, region = parted(partition)
    return f"arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}"


def every(store: Store) -> list[tuple[str, Record]]:
    """(``account/region``, mapping) of all accounts."""
    start = keys.table_prefix(TABLE)
    found = store.range(start, keys.after_prefix(start), 100_000)
    return [(keys.split(row.key)[1].decode(), orjson.loads(row.value)) for row in found]


def function_of(record: Record) -> FunctionName:
    return FunctionName(*record["function"])


def rules_of(settings: Record) -> Rules:
    return Rules(
        settings["MaximumRetryAttempts"],
        settings["MaximumRecordAgeInSeconds"],
        settings["BisectBatchOnFunctionError"],
        "ReportBatchItemFailures" in settings["FunctionResponseTypes"],
    )


# -- operations --------------------------------------------------------------------------------


async def create(room: Room, call: Call) -> dict[str, Any]:
    """The stream must be there, and the function's role able to read it."""
    params = call.params
    source = _source(params)
    name = function_name(call, params["FunctionName"])
    settings = {**DEFAULTS, **_settings(params)}
    position = _position(params, source)
    iterator = await _begin(room, name, source, position)
    record: Record = {
        "uuid": rows.new_id(room.clock),
        "function": [name.account, name.region, name.name, name.qualifier],
        "source": source,
        "position": position,
        "iterator": iterator,
        "enabled": params.get("Enabled", True),
        "created_ms": room.clock.now_ms(),
        "modified": room.clock.now_ms(),
        "tags": checked(params.get("Tags") or {}),
        "settings": settings,
    }

    def change(draft: Draft) -> Record:
        prefix = keys.partition_prefix(TABLE, name.place)
        for row in draft.range(prefix, keys.after_prefix(prefix)):
            other = orjson.loads(row.value)
            if (other["source"], other["function"]) == (source, record["function"]):
                raise conflict(
                    f'The event source arn (" {source} ") and function (" {name.name} ") provided'
                    " mapping already exists. Please update or delete the existing mapping with"
                    f" UUID {other['uuid']}"
                )
        draft.put_json(mapping_key(name.place, record["uuid"]), record)
        return record

    made = await room.store.transact(change, call.invocation_id)
    return _described(room, name.place, made, "Creating")


def get(room: Room, call: Call) -> dict[str, Any]:
    return _described(room, _partition(call), _found(room.store, call))


def list_mappings(room: Room, call: Call) -> dict[str, Any]:
    """Of the account, of a function or of a source."""
    params, partition = call.params, _partition(call)
    marker, size = page_of(call)
    source, wanted = params.get("EventSourceArn"), params.get("FunctionName")
    name = function_name(call, wanted) if wanted else None
    prefix = keys.partition_prefix(TABLE, partition)
    start = mapping_key(partition, marker) + b"\x00" if marker else prefix
    found: list[dict[str, Any]] = []
    for row in room.store.range(start, keys.after_prefix(prefix), 100_000):
        record = orjson.loads(row.value)
        mine = function_of(record)
        if source not in (None, record["source"]) or (name is not None and mine != name):
            continue
        if len(found) == size:
            return {"EventSourceMappings": found, "NextMarker": found[-1]["UUID"]}
        found.append(_described(room, partition, record))
    return {"EventSourceMappings": found}


async def update(room: Room, call: Call) -> dict[str, Any]:
    params, partition = call.params, _partition(call)
    chosen = _settings(params)
    name = function_name(call, params["FunctionName"]) if params.get("FunctionName") else None
    if name is not None:
        _existing(room, name)

    def change(draft: Draft) -> tuple[Record, str]:
        record = _found(draft, call)
        was = record["enabled"]
        record["enabled"] = params.get("Enabled", was)
        record["settings"] |= chosen
        if "FilterCriteria" in params and "FilterCriteria" not in chosen:
            record["settings"].pop("FilterCriteria", None)
        record["modified"] = room.clock.now_ms()
        if name is not None:
            record["function"] = [name.account, name.region, name.name, name.qualifier]
        draft.put_json(mapping_key(partition, record["uuid"]), record)
        if record["enabled"] == was:
            return record, "Updating"
        return record, "Enabling" if record["enabled"] else "Disabling"

    record, state = await room.store.transact(change, call.invocation_id)
    return _described(room, partition, record, state)


async def delete(room: Room, call: Call) -> dict[str, Any]:
    partition = _partition(call)

    def change(draft: Draft) -> Record:
        record = _found(draft, call)
        draft.delete(mapping_key(partition, record["uuid"]))
        draft.delete(place_key(record["uuid"]))
        return record

    record = await room.store.transact(change, call.invocation_id)
    return _described(room, partition, record, "Deleting")


def _partition(call: Call) -> str:
    return call.place


def _found(reader: Store | Draft, call: Call) -> Record:
    record: Record | None = reader.get_json(mapping_key(_partition(call), call.params["UUID"]))
    if record is None:
        raise not_found("The resource you requested does not exist.")
    return record


def _described(room: Room, partition: str, record: Record, state: str = "") -> dict[str, Any]:
    place = room.store.get_json(place_key(record["uuid"])) or {}
    return {
        "UUID": record["uuid"],
        "EventSourceMappingArn": mapping_arn(partition, record["uuid"]),
        "EventSourceArn": record["source"],
        "FunctionArn": function_of(record).qualified_arn,
        "StartingPosition": record["position"],
        "LastModified": record["modified"] / 1000,
        "LastProcessingResult": place.get("result", UNTOUCHED),
        "State": state or ("Enabled" if record["enabled"] else "Disabled"),
        "StateTransitionReason": "User action",
        **record["settings"],
    }


# -- what is asked for -------------------------------------------------------------------------


def _source(params: Record) -> str:
    for member in OTHERS:
        if params.get(member):
            raise not_built(f"{member} of an event source mapping")
    source = params.get("EventSourceArn")
    if not source:
        raise invalid("Unrecognized event source.")
    service = source.split(":")[2] if source.count(":") >= 5 else ""
    if service != "dynamodb":
        if not service:
            raise invalid("Unrecognized event source.")
        raise not_built(f"The event source {service}")
    if not _STREAM.fullmatch(source):
        raise invalid(f"Stream not found: {source}")
    return str(source)


def not_built(what: str) -> AwsError:
    return AwsError("NotImplemented", f"{what} is not offered by Pileus yet (service lambda).", 501)


def _position(params: Record, source: str) -> str:
    told = params.get("StartingPosition")
    if told is None:
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy"
            " constraint: Member must not be null."
        )
    if told not in POSITIONS:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{told}' at 'startingPosition' failed to satisfy"
            f" constraint: Member must satisfy enum value set: [{', '.join(POSITIONS)}]",
        )
    if told == "AT_TIMESTAMP":
        raise invalid(f"Unsupported starting position for arn type: {source}")
    return str(told)


def _settings(params: Record) -> Record:
    chosen = {m: params[m] for m in CHANGEABLE if params.get(m) is not None}
    for member, (low, high) in LIMITS.items():
        told = chosen.get(member, low)
        between = member == "MaximumRecordAgeInSeconds" and -1 < told < 60
        if not low <= told <= high or between:
            raise invalid(
                f"1 validation error detected: Value '{told}' at '{member[0].lower()}{member[1:]}'"
                f" failed to satisfy constraint: Member must have value between {low} and {high}"
            )
        if told != ONLY.get(member, told):
            raise not_built(f"{member} {told}")
    if "FilterCriteria" in chosen:
        compiled(chosen["FilterCriteria"])
        if not chosen["FilterCriteria"].get("Filters"):
            del chosen["FilterCriteria"]
    if any(t != "ReportBatchItemFailures" for t in chosen.get("FunctionResponseTypes", ())):
        raise invalid("Invalid FunctionResponseTypes.")
    if "DestinationConfig" in chosen:
        chosen["DestinationConfig"] = _destination(chosen["DestinationConfig"])
    return chosen


def _destination(told: Record) -> Record:
    if (told.get("OnSuccess") or {}).get("Destination"):
        raise invalid(
            "Unsupported DestinationConfig parameter for given event source mapping type."
        )
    target = (told.get("OnFailure") or {}).get("Destination")
    if target and not _TARGET.fullmatch(target):
        raise invalid(f"The provided destination config DestinationConfig is invalid: {target}")
    return {"OnFailure": {"Destination": target} if target else {}}


def _existing(room: Room, name: FunctionName) -> Record:
    try:
        return room.version(name)
    except AwsError:
        raise invalid("Function does not exist") from None


async def _begin(room: Room, name: FunctionName, source: str, position: str) -> str:
    """Whether the function's role can read the stream; where LATEST is, as an iterator."""
    role = _existing(room, name)["config"]["Role"]
    principal = (await room.roles.session(role, name.name)).principal
    region = source.split(":")[3]

    async def ask(operation: str, **params: Any) -> dict[str, Any]:
        return await room.dispatch(
            "dynamodbstreams", operation, params, principal=principal, region=region
        )

    try:
        told = await ask("DescribeStream", StreamArn=source)
        shard = told["StreamDescription"]["Shards"][-1]["ShardId"]
        found = await ask(
            "GetShardIterator", StreamArn=source, ShardId=shard, ShardIteratorType=position
        )
    except AwsError as error:
        if error.status == 403 or "AccessDenied" in error.code:
            raise invalid(
                f"Cannot access stream {source}. Please ensure the role can perform the GetRecords,"
                " GetShardIterator, DescribeStream, and ListStreams Actions on your stream in IAM."
            ) from error
        raise invalid(f"Stream not found: {source}") from error
    return str(found["ShardIterator"])
