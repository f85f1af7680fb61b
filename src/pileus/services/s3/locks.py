"""What a lock on a version forbids: pure decisions, made in ``apply`` by the entry's time.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.s3 import faults
from pileus.services.s3.rows import Lock, Meta

MODES = ("GOVERNANCE", "COMPLIANCE")
DAY_MS = 24 * 3600 * 1000
LATEST_MS = 253_402_214_400_000  # 9999-12-31: no later moment can be written
YEAR_DAYS = 365


def protected() -> AwsError:
    return faults.access_denied("Access Denied because object protected by object lock.")


def no_configuration() -> AwsError:
    return faults.invalid_request("Bucket is missing Object Lock Configuration")


def invalid_bucket_state(message: str) -> AwsError:
    return AwsError("InvalidBucketState", message, 409)


def holds(lock: Lock | None, now_ms: int, bypass: bool = False) -> bool:
    """Whether the version may not be deleted. ``bypass`` lifts governance, nothing else."""
    if lock is None:
        return False
    if lock.hold == "ON":
        return True
    return lock.until_ms > now_ms and not (bypass and lock.mode == "GOVERNANCE")


def guard(meta: Meta, now_ms: int, conditions: dict[str, Any]) -> None:
    """Refuse to delete a locked version."""
    if holds(meta.lock, now_ms, bool(conditions.get("bypass"))):
        raise protected()


def default(meta: Meta, retention: dict[str, Any], now_ms: int) -> None:
    """Give a new version the bucket's default retention, unless it brings its own."""
    if not retention or (meta.lock is not None and meta.lock.mode):
        return
    days = retention.get("Days") or retention["Years"] * YEAR_DAYS
    hold = meta.lock.hold if meta.lock is not None else ""
    meta.lock = Lock(retention["Mode"], now_ms + days * DAY_MS, hold)


def changed(old: Lock | None, told: dict[str, Any], now_ms: int, bypass: bool) -> Lock:
    """The lock after PutObjectLegalHold (``hold``) or PutObjectRetention (``mode``, ``until_ms``).

    A retention in force may grow; to shorten, weaken or remove it takes a bypass under governance
    and is not possible under compliance.
    """
    lock = old or Lock()
    if "hold" in told:
        return Lock(lock.mode, lock.until_ms, told["hold"])
    mode, until_ms = told["mode"], told["until_ms"]
    grows = mode == lock.mode and until_ms >= lock.until_ms
    if lock.until_ms > now_ms and not grows and not (bypass and lock.mode == "GOVERNANCE"):
        raise protected()
    return Lock(mode, until_ms, lock.hold)
