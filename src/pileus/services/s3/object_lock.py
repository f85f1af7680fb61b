"""Object Lock: the bucket's configuration, retention and legal hold of versions, headers.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Headers
from pileus.services.s3 import faults, locks
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import Lock, Meta

MODE = "x-amz-object-lock-mode"
UNTIL = "x-amz-object-lock-retain-until-date"
HOLD = "x-amz-object-lock-legal-hold"
BYPASS = "x-amz-bypass-governance-retention"
DAYS_MAX, YEARS_MAX = 36_500, 100


# -- the bucket's configuration ----------------------------------------------------------------


def get_configuration(room: Room, call: Call) -> dict[str, Any]:
    """Whether versions can be locked, and the default retention."""
    name = call.params["Bucket"]
    default = room.bucket(name).lock
    if default is None:
        raise AwsError(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
            404,
            fields={"BucketName": name},
        )
    answer: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
    if default:
        answer["Rule"] = {"DefaultRetention": default}
    return {"ObjectLockConfiguration": answer}


async def put_configuration(room: Room, call: Call) -> None:
    """Switch locking on (for ever) and set or remove the default retention."""
    told = call.params.get("ObjectLockConfiguration")
    if told is None:
        raise faults.missing_body()
    if told.get("ObjectLockEnabled") != "Enabled":
        raise faults.malformed_xml()
    rule = told.get("Rule")
    default = {} if rule is None else _default(rule.get("DefaultRetention") or {})
    await room.submit("s3.lock_bucket", [call.params["Bucket"], default], call)


def _default(told: dict[str, Any]) -> dict[str, Any]:
    days, years = told.get("Days"), told.get("Years")
    if told.get("Mode") not in locks.MODES or (days is None) == (years is None):
        raise faults.malformed_xml()
    if min(told[u] for u in ("Days", "Years") if told.get(u) is not None) <= 0:
        raise _period("Default retention period must be a positive integer value.")
    if (days or 0) > DAYS_MAX or (years or 0) > YEARS_MAX:
        raise _period("Default retention period is too large.")
    unit = "Days" if days is not None else "Years"
    return {"Mode": told["Mode"], unit: told[unit]}


def _period(message: str) -> AwsError:
    return AwsError("InvalidRetentionPeriod", message)


# -- versions ----------------------------------------------------------------------------------


def get_retention(room: Room, call: Call) -> dict[str, Any]:
    lock = _lock(room, call)
    if lock is None or not lock.mode:
        raise _unlocked()
    until = datetime.fromtimestamp(lock.until_ms / 1000, UTC)
    return {"Retention": {"Mode": lock.mode, "RetainUntilDate": until}}


def get_legal_hold(room: Room, call: Call) -> dict[str, Any]:
    lock = _lock(room, call)
    if lock is None or not lock.hold:
        raise _unlocked()
    return {"LegalHold": {"Status": lock.hold}}


def _lock(room: Room, call: Call) -> Lock | None:
    if room.bucket(call.params["Bucket"]).lock is None:
        raise locks.no_configuration()
    return room.version(call, "GET").lock


def _unlocked() -> AwsError:
    return AwsError(
        "NoSuchObjectLockConfiguration",
        "The specified object does not have a ObjectLock configuration",
        404,
    )


async def put_retention(room: Room, call: Call) -> dict[str, Any]:
    """Set, lengthen or (with a bypass) shorten and remove a version's retention."""
    told = call.params.get("Retention") or {}
    mode, until = told.get("Mode"), told.get("RetainUntilDate")
    if (mode is None) != (until is None) or mode not in (None, *locks.MODES):
        raise faults.malformed_xml()
    until_ms = round((until or 0) * 1000)
    if until is not None and until_ms <= room.clock.now_ms():
        raise _past(None, "RetainUntilDate")
    bypass = bool(call.params.get("BypassGovernanceRetention"))
    return await _change(room, call, {"mode": mode or "", "until_ms": until_ms}, bypass)


async def put_legal_hold(room: Room, call: Call) -> dict[str, Any]:
    status = (call.params.get("LegalHold") or {}).get("Status")
    if status not in ("ON", "OFF"):
        raise faults.malformed_xml()
    return await _change(room, call, {"hold": status}, False)


async def _change(room: Room, call: Call, told: dict[str, Any], bypass: bool) -> dict[str, Any]:
    params = call.params
    if room.bucket(params["Bucket"]).lock is not None:
        room.version(call, "PUT")
    args = [params["Bucket"], params["Key"], params.get("VersionId"), told, bypass]
    await room.submit("s3.lock_version", args, call)
    return {}


def _past(told: str | None, name: str = UNTIL) -> AwsError:
    return faults.invalid_argument("The retain until date must be in the future!", name, told)


# -- headers -----------------------------------------------------------------------------------


def asked(headers: Mapping[str, str]) -> bool:
    """Whether a write asks for a lock."""
    return MODE in headers or UNTIL in headers or HOLD in headers


def of_headers(headers: Mapping[str, str], bucket: Bucket, now_ms: int) -> Lock | None:
    """The lock a write asks for."""
    if not asked(headers):
        return None
    mode, until, hold = headers.get(MODE), headers.get(UNTIL), headers.get(HOLD)
    if (mode is None) != (until is None):
        lacking = MODE if mode is None else UNTIL
        raise faults.invalid_argument(f"{UNTIL} and {MODE} must both be supplied", lacking, None)
    if hold not in (None, "ON", "OFF"):
        raise faults.invalid_argument("Legal Hold must be either of 'ON' or 'OFF'", HOLD, hold)
    lock = (
        Lock(hold=hold or "") if mode is None or until is None else _retained(mode, until, now_ms)
    )
    if bucket.lock is None:  # said last, as S3 does: the headers are wrong anywhere
        raise locks.no_configuration()
    lock.hold = hold or ""
    return lock


def _retained(mode: str, until: str, now_ms: int) -> Lock:
    if mode not in locks.MODES:
        raise faults.invalid_argument("Unknown wormMode directive.", MODE, mode)
    until_ms = _moment_ms(until)
    if until_ms <= now_ms:
        raise _past(until)
    return Lock(mode, until_ms)


def _moment_ms(told: str) -> int:
    try:
        at = datetime.fromisoformat(told)
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise faults.invalid_argument(
            "The retain until date must be provided in ISO 8601 format", UNTIL, told
        ) from None


def require_digest(headers: Mapping[str, str]) -> None:
    """S3 wants to be sure of the bytes it must keep."""
    if not asked(headers) or "content-md5" in headers:
        return
    if not any(h.startswith(("x-amz-checksum-", "x-amz-trailer")) for h in headers):
        raise faults.invalid_request(
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with"
            " Object Lock parameters"
        )


def answer_headers(meta: Meta) -> Headers:
    """What Get and Head tell of a lock."""
    lock = meta.lock
    if lock is None:
        return []
    out: Headers = []
    if lock.mode:
        at = datetime.fromtimestamp(lock.until_ms / 1000, UTC)
        until = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        out += [(MODE, lock.mode), (UNTIL, until)]
    if lock.hold:
        out.append((HOLD, lock.hold))
    return out
