"""Put, Get and DeleteBucketLifecycleConfiguration: rules checked as S3 checks them.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pileus.services.call import Call, Headers
from pileus.services.s3 import faults, storage_classes
from pileus.services.s3.headers import http_date
from pileus.services.s3.lifecycle_terms import ALL_128K, VARIES, Terms, terms_of
from pileus.services.s3.locks import DAY_MS, LATEST_MS
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import Meta

KIND = "lifecycle"
RULES_MAX, ID_CHARS_MAX, KEEP_MAX = 1000, 255, 100
DAYS_MAX = 2**31 - 1
DAY_S = DAY_MS // 1000
INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
INFREQUENT_DAYS_MIN = 30
_FILTERS = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")
_ACTIONS = (
    *("Expiration", "Transitions", "NoncurrentVersionExpiration"),
    *("NoncurrentVersionTransitions", "AbortIncompleteMultipartUpload"),
)
Rule = dict[str, Any]


def get_lifecycle(room: Room, call: Call) -> dict[str, Any]:
    absent = ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
    setting = room.setting(call, KIND, *absent)
    rules = [_shown(rule) for rule in setting["rules"]]
    return {"Rules": rules, "TransitionDefaultMinimumObjectSize": setting["least"]}


def _shown(rule: Rule) -> Rule:
    """A rule with its dates as timestamps."""
    out = dict(rule)
    if "Date" in (rule.get("Expiration") or {}):
        out["Expiration"] = _dated(rule["Expiration"])
    if rule.get("Transitions"):
        out["Transitions"] = [_dated(t) if "Date" in t else t for t in rule["Transitions"]]
    return out


def _dated(action: Rule) -> Rule:
    return {**action, "Date": datetime.fromtimestamp(action["Date"], UTC)}


async def put_lifecycle(room: Room, call: Call) -> dict[str, Any]:
    """Replace the bucket's rules."""
    params = call.params
    rules = (params.get("LifecycleConfiguration") or {}).get("Rules")
    if not rules:
        raise faults.malformed_xml()
    if len(rules) > RULES_MAX:
        raise faults.invalid_request(
            f"The number of lifecycle rules must not exceed the allowed limit of {RULES_MAX} rules"
        )
    least = params.get("TransitionDefaultMinimumObjectSize") or ALL_128K
    if least not in (ALL_128K, VARIES):
        raise faults.invalid_request(f"Invalid TransitionDefaultMinimumObjectSize found: {least}")
    for rule in rules:
        _check(rule)
        if not rule.get("ID"):
            rule["ID"] = room.clock.random_bytes(18).hex()
    if len({rule["ID"] for rule in rules}) < len(rules):
        raise faults.invalid_argument(
            "Rule ID must be unique. Found same ID for more than one rule", "ID"
        )
    await room.configure(call, params["Bucket"], KIND, {"rules": rules, "least": least})
    return {"TransitionDefaultMinimumObjectSize": least}


async def delete_lifecycle(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], KIND, None)


# -- what else tells of rules ------------------------------------------------------------------


def terms(room: Room, bucket: Bucket) -> Terms | None:
    """The bucket's rules, None where it has none."""
    setting = bucket.settings.get(KIND)
    if setting is None:
        return None
    config = room.config
    return terms_of(setting, config.s3_day_s * 1000, config.s3_transition_bytes_min)


def expiration_headers(bucket: Bucket, key: str, meta: Meta) -> Headers:
    """x-amz-expiration of a current version. It speaks of calendar days, however long a day lasts
    for this cloud's rules."""
    told = expiration(bucket, key, meta)
    return [("x-amz-expiration", told)] if told else []


def expiration(bucket: Bucket, key: str, meta: Meta) -> str | None:
    """The header's text."""
    found = _expiry(bucket, key, meta)
    return f'expiry-date="{http_date(found[0])}", rule-id="{found[1]}"' if found else None


def expiry_ms(bucket: Bucket, key: str, meta: Meta) -> int | None:
    """The midnight at which a current version expires."""
    found = _expiry(bucket, key, meta)
    return found[0] if found else None


def _expiry(bucket: Bucket, key: str, meta: Meta) -> tuple[int, str] | None:
    calendar = _calendar(bucket)
    return calendar.expiry(key, meta) if calendar is not None else None


def abort_members(bucket: Bucket, key: str, begun_ms: int) -> dict[str, Any]:
    """AbortDate and AbortRuleId of an unfinished upload."""
    calendar = _calendar(bucket)
    found = calendar.abortion(key, begun_ms) if calendar is not None else None
    if found is None:
        return {}
    return {"AbortDate": datetime.fromtimestamp(found[0] // 1000, UTC), "AbortRuleId": found[1]}


def _calendar(bucket: Bucket) -> Terms | None:
    """The rules by calendar days, parsed once."""
    setting = bucket.settings.get(KIND)
    if setting is None:
        return None
    found: Terms | None = bucket.parsed.get(KIND)
    if found is None:
        found = bucket.parsed[KIND] = terms_of(setting, DAY_MS, 0)
    return found


# -- checks ------------------------------------------------------------------------------------


def _check(rule: Rule) -> None:
    """One rule, in S3's words."""
    if len(rule.get("ID") or "") > ID_CHARS_MAX:
        raise faults.invalid_argument("ID length should not exceed allowed limit of 255", "ID")
    if rule.get("Status") not in ("Enabled", "Disabled"):
        raise faults.malformed_xml()
    if ("Prefix" in rule) == ("Filter" in rule):
        raise faults.malformed_xml()
    for old, new in (
        ("Transition", "Transitions"),
        ("NoncurrentVersionTransition", "NoncurrentVersionTransitions"),
    ):
        if rule.get(old) is not None:
            rule[new] = [*(rule.get(new) or []), rule.pop(old)]
    tagged, sized = _check_filter(rule)
    if not any(rule.get(action) for action in _ACTIONS):
        raise faults.invalid_request("At least one action needs to be specified in a rule.")
    _check_expiration(rule, tagged)
    _check_transitions(rule)
    _check_noncurrent(rule)
    abort = rule.get("AbortIncompleteMultipartUpload")
    if abort is not None:
        _positive(abort, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
        if tagged or sized:
            what = "Tags" if tagged else "Object Size"
            raise faults.invalid_request(
                f"AbortIncompleteMultipartUpload cannot be specified with {what}."
            )


def _check_filter(rule: Rule) -> tuple[bool, bool]:
    """(by tags, by size)."""
    told = rule.get("Filter") or {}
    if sum(name in told for name in _FILTERS) > 1:
        raise faults.malformed_xml()
    joined = told.get("And") or told
    tags = list(joined.get("Tags") or []) + ([told["Tag"]] if told.get("Tag") else [])
    if any(not t.get("Key") or t.get("Value") is None for t in tags):
        raise faults.malformed_xml()
    if len({t["Key"] for t in tags}) < len(tags):
        raise faults.invalid_request("Duplicate Tag Keys are not allowed.")
    if len((joined.get("Prefix") or rule.get("Prefix") or "").encode()) > 1024:
        raise faults.invalid_request("The maximum size of a prefix is 1024.")
    over, under = joined.get("ObjectSizeGreaterThan"), joined.get("ObjectSizeLessThan")
    if (over is not None and over < 0) or (under is not None and under < 1):
        raise faults.invalid_request("Object size in a filter must not be negative or zero.")
    if over is not None and under is not None and under <= over:
        raise faults.invalid_request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
        )
    return bool(tags), over is not None or under is not None


def _check_expiration(rule: Rule, tagged: bool) -> None:
    told = rule.get("Expiration")
    if told is None:
        return
    if sum(name in told for name in ("Days", "Date", "ExpiredObjectDeleteMarker")) != 1:
        raise faults.malformed_xml()
    if "Days" in told:
        _positive(told, "Days", "Expiration")
    _midnight(told)
    if tagged and told.get("ExpiredObjectDeleteMarker"):
        raise faults.invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags.")
    units = {
        u for t in [told, *(rule.get("Transitions") or [])] for u in ("Days", "Date") if u in t
    }
    if len(units) > 1:
        raise faults.invalid_request(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle"
            f" rule for {_of(rule)}"
        )


def _check_transitions(rule: Rule) -> None:
    moves = rule.get("Transitions") or []
    for move in moves:
        if ("Days" in move) == ("Date" in move):
            raise faults.malformed_xml()
        _midnight(move)
    _check_moves(rule, moves, "Days", "Transition")
    days = (rule.get("Expiration") or {}).get("Days")
    late = [m for m in moves if days is not None and m.get("Days", 0) >= days]
    if late:
        raise faults.invalid_argument(
            f"'Days' in the Expiration action for {_of(rule)} must be greater than 'Days' in the"
            " Transition action",
            "Days",
            days,
        )


def _check_noncurrent(rule: Rule) -> None:
    ending = rule.get("NoncurrentVersionExpiration")
    moves = rule.get("NoncurrentVersionTransitions") or []
    for action in [*moves, *([ending] if ending is not None else [])]:
        if "NoncurrentDays" not in action:
            raise faults.malformed_xml()
        keep = action.get("NewerNoncurrentVersions")
        if keep is not None and not 1 <= keep <= KEEP_MAX:
            raise faults.invalid_argument(
                f"'NewerNoncurrentVersions' must be between 1 and {KEEP_MAX}",
                "NewerNoncurrentVersions",
                keep,
            )
    _check_moves(rule, moves, "NoncurrentDays", "NoncurrentVersionTransition")
    if ending is None:
        return
    days = _positive(ending, "NoncurrentDays", "NoncurrentVersionExpiration")
    if any(m["NoncurrentDays"] >= days for m in moves):
        raise faults.invalid_argument(
            f"'NoncurrentDays' in the NoncurrentVersionExpiration action for {_of(rule)} must be"
            " greater than 'NoncurrentDays' in the NoncurrentVersionTransition action",
            "NoncurrentDays",
            days,
        )


def _check_moves(rule: Rule, moves: list[Rule], unit: str, action: str) -> None:
    """Transitions among themselves: known classes, each once, ever colder, IA for a month."""
    for move in moves:
        name = move.get("StorageClass")
        if name not in storage_classes.RANKS or storage_classes.RANKS[name] == 0:
            raise faults.malformed_xml()
        days = move.get(unit, INFREQUENT_DAYS_MIN)
        if days > DAYS_MAX:
            raise faults.malformed_xml()
        if days < 0:
            raise faults.invalid_argument(
                f"'{unit}' in {action} action must be nonnegative", unit, days
            )
        if name in INFREQUENT and days < INFREQUENT_DAYS_MIN:
            raise faults.invalid_argument(
                f"'{unit}' in {action} action must be greater than or equal to"
                f" {INFREQUENT_DAYS_MIN} for storageClass '{name}'",
                unit,
                days,
            )
    ordered = sorted(moves, key=lambda m: storage_classes.RANKS[m["StorageClass"]])
    for warm, cold in pairwise(ordered):
        if warm["StorageClass"] == cold["StorageClass"]:
            raise faults.invalid_request(
                f"'StorageClass' must be different for '{action}' actions in same 'Rule' with"
                f" {_of(rule)}"
            )
        stay = INFREQUENT_DAYS_MIN if warm["StorageClass"] in INFREQUENT else 1
        if unit in warm and unit in cold and cold[unit] - warm[unit] < stay:
            raise faults.invalid_argument(
                f"'{unit}' in the '{action}' action with StorageClass '{cold['StorageClass']}' for"
                f" {_of(rule)} must be {stay} days more than '{unit}' in the '{action}' action with"
                f" StorageClass '{warm['StorageClass']}'",
                unit,
                cold[unit],
            )


def _of(rule: Rule) -> str:
    prefix = rule.get("Prefix")
    told = rule.get("Filter") or {}
    if prefix is None:
        prefix = (told.get("And") or told).get("Prefix") or ""
    return f"filter '(prefix={prefix})'" if "Filter" in rule else f"prefix '{prefix}'"


def _positive(action: Rule, unit: str, name: str) -> int:
    days = action.get(unit)
    if days is None or days > DAYS_MAX:
        raise faults.malformed_xml()
    if days <= 0:
        raise faults.invalid_argument(
            f"'{unit}' for {name} action must be a positive integer", unit, days
        )
    return int(days)


def _midnight(action: Rule) -> None:
    date = action.get("Date")
    if date is not None and (date % DAY_S or not 0 <= date <= LATEST_MS // 1000):
        raise faults.invalid_argument("'Date' must be at midnight GMT", "Date", date)
