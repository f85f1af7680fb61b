"""PutBucketNotificationConfiguration and GetBucketNotificationConfiguration.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
Functions are told; topics, queues and the event bus are refused by name until they exist.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts, Principal
from pileus.services.s3 import faults
from pileus.services.s3.names import bucket_arn
from pileus.services.s3.room import Bucket, Room

KIND = "notification"
CONFIGURATIONS_MAX = 100
TELLER = "s3.amazonaws.com"
EVENTS = frozenset(
    (
        *("s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectCreated:Post"),
        *("s3:ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload"),
        *("s3:ObjectRemoved:*", "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated"),
        *("s3:ObjectRestore:*", "s3:ObjectRestore:Post", "s3:ObjectRestore:Completed"),
        *("s3:ObjectRestore:Delete", "s3:ReducedRedundancyLostObject"),
        *("s3:Replication:*", "s3:Replication:OperationFailedReplication"),
        *("s3:Replication:OperationNotTracked", "s3:Replication:OperationMissedThreshold"),
        *("s3:Replication:OperationReplicatedAfterThreshold", "s3:LifecycleTransition"),
        *("s3:LifecycleExpiration:*", "s3:LifecycleExpiration:Delete", "s3:IntelligentTiering"),
        *("s3:LifecycleExpiration:DeleteMarkerCreated", "s3:ObjectAcl:Put"),
        *("s3:ObjectTagging:*", "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete"),
    )
)
_LATER = {
    "TopicConfigurations": "Topics (SNS)",
    "QueueConfigurations": "Queues (SQS)",
    "EventBridgeConfiguration": "EventBridge",
}


def get_notification(room: Room, call: Call) -> dict[str, Any]:
    told = room.bucket(call.params["Bucket"]).settings.get(KIND) or []
    return {"LambdaFunctionConfigurations": told} if told else {}


async def put_notification(room: Room, call: Call) -> None:
    """Check every rule and that S3 may call its function, then keep them; none turns all off."""
    params = call.params
    bucket = room.bucket(params["Bucket"])
    told = params.get("NotificationConfiguration") or {}
    for member, what in _LATER.items():
        if told.get(member) or (member == "EventBridgeConfiguration" and member in told):
            raise AwsError(
                "NotImplemented",
                f"{what} as targets of bucket notifications are not offered by Pileus yet.",
                501,
            )
    for rule in told.get("LambdaFunctionConfigurations") or []:
        if not str(rule.get("LambdaFunctionArn", "arn:")).startswith("arn:"):
            raise faults.invalid_argument(
                "The ARN could not be parsed", "CloudFunction", rule["LambdaFunctionArn"]
            )
    rules = [_rule(room, rule) for rule in told.get("LambdaFunctionConfigurations") or []]
    if len(rules) > CONFIGURATIONS_MAX:
        raise faults.invalid_argument("The number of configurations is too large")
    _check_overlap(rules)
    if not params.get("SkipDestinationValidation"):
        for arn in dict.fromkeys(r["LambdaFunctionArn"] for r in rules):
            await _check_function(room, bucket, arn)
    await room.configure(call, bucket.name, KIND, rules or None)


def _rule(room: Room, told: dict[str, Any]) -> dict[str, Any]:
    events = told.get("Events") or []
    if not events or not told.get("LambdaFunctionArn"):
        raise faults.malformed_xml()
    for event in events:
        if event not in EVENTS:
            raise faults.invalid_argument(
                f"The event '{event}' is not supported for notifications", "Event", event
            )
    seen: set[str] = set()
    for part in ((told.get("Filter") or {}).get("Key") or {}).get("FilterRules") or []:
        name = str(part.get("Name", "")).lower()
        if name not in ("prefix", "suffix"):
            raise faults.invalid_argument(
                "filter rule name must be either prefix or suffix", "FilterRule.Name", name
            )
        if name in seen:
            raise faults.invalid_argument(
                f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", name
            )
        if len(str(part.get("Value") or "")) > 1024:
            raise faults.invalid_argument("The filter value is too long", "FilterRule.Value")
        seen.add(name)
    return {**told, "Id": told.get("Id") or room.clock.random_bytes(16).hex()}


def affixes(rule: dict[str, Any]) -> tuple[str, str]:
    """The (prefix, suffix) a rule's keys have."""
    found = {"prefix": "", "suffix": ""}
    for part in ((rule.get("Filter") or {}).get("Key") or {}).get("FilterRules") or []:
        found[str(part["Name"]).lower()] = str(part.get("Value") or "")
    return found["prefix"], found["suffix"]


def covers(wanted: list[str], event: str) -> bool:
    """Whether a rule's events name ``event`` (``s3:ObjectCreated:Put``), itself or by its kind."""
    return event in wanted or f"{event.rpartition(':')[0]}:*" in wanted


def _check_overlap(rules: list[dict[str, Any]]) -> None:
    """No key may fit two rules for the same event."""
    for at, one in enumerate(rules):
        for other in rules[at + 1 :]:
            events = [e for e in one["Events"] if covers(other["Events"], e)]
            events += [e for e in other["Events"] if covers(one["Events"], e)]
            (first, last), (first2, last2) = affixes(one), affixes(other)
            starts = first.startswith(first2) or first2.startswith(first)
            ends = last.endswith(last2) or last2.endswith(last)
            if events and starts and ends:
                raise faults.invalid_argument(
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two"
                    " rules if the prefixes are overlapping for the same event type."
                )


def teller(bucket: str, owner: str) -> tuple[Principal, dict[str, str]]:
    """Who calls the functions, and what their policies may ask about it."""
    context = {"aws:SourceArn": bucket_arn(bucket), "aws:SourceAccount": owner}
    return Principal("service", owner, TELLER, TELLER), context


async def _check_function(room: Room, bucket: Bucket, arn: str) -> None:
    principal, context = teller(bucket.name, bucket.owner)
    try:
        await call_function(room.parts, arn, b"", "DryRun", principal, context)
    except AwsError as error:
        raise AwsError(
            "InvalidArgument",
            "Unable to validate the following destination configurations",
            fields={
                "ArgumentName1": f"{arn}, null",
                "ArgumentValue1": f"Not authorized to invoke function [{arn}]",
            },
        ) from error


async def call_function(
    parts: Parts, arn: str, body: bytes, kind: str, principal: Principal, context: dict[str, str]
) -> None:
    """Invoke by ARN: ``Event`` queues it, ``DryRun`` only asks whether one may."""
    pieces = arn.split(":")
    if len(pieces) < 7 or pieces[2] != "lambda":
        raise faults.invalid_argument("The ARN could not be parsed", "LambdaFunctionArn", arn)
    params = {"FunctionName": arn, "InvocationType": kind, "Payload": body}
    await parts.dispatch(
        "lambda", "Invoke", params, principal=principal, region=pieces[3], context=context
    )
