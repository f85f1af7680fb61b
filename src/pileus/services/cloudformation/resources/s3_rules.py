"""A bucket's lifecycle rules, notifications, access log and inventories in S3's words.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-rule.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pileus.services.cloudformation.resources.kind import whole

Told = dict[str, Any]
SIZES = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")


def lifecycle(value: Told) -> Told:
    """Parameters of PutBucketLifecycleConfiguration."""
    rules = [_rule(whole(rule)) for rule in value["Rules"]]
    out: Told = {"LifecycleConfiguration": {"Rules": rules}}
    if "TransitionDefaultMinimumObjectSize" in value:
        name = "TransitionDefaultMinimumObjectSize"
        out[name] = value[name]
    return out


def _rule(told: Told) -> Told:
    rule: Told = {"Status": told["Status"], "Filter": _filter(told)}
    if "Id" in told:
        rule["ID"] = str(told["Id"])
    expiration = {
        "Days": told.get("ExpirationInDays"),
        "Date": _date(told.get("ExpirationDate")),
        "ExpiredObjectDeleteMarker": told.get("ExpiredObjectDeleteMarker"),
    }
    if given := {k: v for k, v in expiration.items() if v is not None}:
        rule["Expiration"] = given
    if moves := _all(told, "Transition"):
        rule["Transitions"] = [_transition(t, "Days") for t in moves]
    if moves := _all(told, "NoncurrentVersionTransition"):
        rule["NoncurrentVersionTransitions"] = [_transition(t, "NoncurrentDays") for t in moves]
    if "NoncurrentVersionExpiration" in told:
        rule["NoncurrentVersionExpiration"] = told["NoncurrentVersionExpiration"]
    elif "NoncurrentVersionExpirationInDays" in told:
        days = told["NoncurrentVersionExpirationInDays"]
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in told:
        rule["AbortIncompleteMultipartUpload"] = told["AbortIncompleteMultipartUpload"]
    return rule


def _filter(told: Told) -> Told:
    """One condition stands by itself, several in an ``And``."""
    tags = [{"Key": str(t["Key"]), "Value": str(t["Value"])} for t in told.get("TagFilters", [])]
    parts: Told = {"Prefix": str(told["Prefix"])} if "Prefix" in told else {}
    parts |= {name: told[name] for name in SIZES if name in told}
    if len(parts) + len(tags) > 1:
        return {"And": parts | ({"Tags": tags} if tags else {})}
    return {"Tag": tags[0]} if tags else parts


def _all(told: Told, name: str) -> list[Told]:
    """Both the older single form and the list."""
    return [*([told[name]] if name in told else []), *told.get(f"{name}s", [])]


def _transition(told: Told, days: str) -> Told:
    move = {
        days: told.get("TransitionInDays"),
        "Date": _date(told.get("TransitionDate")),
        "StorageClass": told["StorageClass"],
        "NewerNoncurrentVersions": told.get("NewerNoncurrentVersions"),
    }
    return {k: v for k, v in move.items() if v is not None}


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


TARGETS = {
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
}


def notification(value: Told) -> Told:
    """Parameters of PutBucketNotificationConfiguration; nothing told: none."""
    out: Told = {}
    for name, (theirs, target, arn) in TARGETS.items():
        if value.get(name):
            out[theirs] = [_told(one, target, arn) for one in value[name]]
    if "EventBridgeConfiguration" in value:
        out["EventBridgeConfiguration"] = {}
    return {"NotificationConfiguration": out}


def _told(one: Told, target: str, arn: str) -> Told:
    events = one["Event"] if isinstance(one["Event"], list) else [one["Event"]]
    told: Told = {arn: one[target], "Events": events}
    if "Filter" in one:
        rules = [
            {"Name": r["Name"], "Value": str(r["Value"])} for r in one["Filter"]["S3Key"]["Rules"]
        ]
        told["Filter"] = {"Key": {"FilterRules": rules}}
    return told


def logging(value: Told) -> Told:
    """Parameters of PutBucketLogging; nothing told: no log."""
    if not value:
        return {"BucketLoggingStatus": {}}
    log = {"TargetBucket": value.get("DestinationBucketName")}
    log |= {"TargetPrefix": value.get("LogFilePrefix", "")}
    if "TargetObjectKeyFormat" in value:
        log["TargetObjectKeyFormat"] = value["TargetObjectKeyFormat"]
    return {"BucketLoggingStatus": {"LoggingEnabled": log}}


def inventory(told: Told) -> Told:
    """Parameters of PutBucketInventoryConfiguration, without the bucket."""
    number, place = str(told.get("Id", "")), told.get("Destination", {})
    target = {
        "Bucket": place.get("BucketArn"),
        "Format": place.get("Format"),
        "Prefix": place.get("Prefix"),
        "AccountId": place.get("BucketAccountId"),
    }
    made: Told = {
        "Id": number,
        "IsEnabled": whole(told.get("Enabled")),
        "Destination": {"S3BucketDestination": {k: v for k, v in target.items() if v is not None}},
        "IncludedObjectVersions": told.get("IncludedObjectVersions"),
        "Schedule": {"Frequency": told.get("ScheduleFrequency")},
    }
    if "Prefix" in told:
        made["Filter"] = {"Prefix": str(told["Prefix"])}
    if "OptionalFields" in told:
        made["OptionalFields"] = told["OptionalFields"]
    return {"Id": number, "InventoryConfiguration": made}
