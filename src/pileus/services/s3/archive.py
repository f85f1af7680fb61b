"""Archived versions: when their bytes can be read. Pure decisions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html
A restored copy is two moments in its version's row: from when and until when it can be read.
Nothing happens at either moment; whoever reads compares them with the clock.
"""

from __future__ import annotations

from pileus.errors import AwsError
from pileus.services.call import Headers
from pileus.services.s3 import storage_classes
from pileus.services.s3.headers import http_date, moment
from pileus.services.s3.locks import DAY_MS, LATEST_MS
from pileus.services.s3.rows import Meta

HEADER = "x-amz-restore"
# How long each way of retrieval takes, in units of a standard one from GLACIER (AWS tells 1-5
# minutes, 3-5 hours, 5-12 hours; from DEEP_ARCHIVE within 12 hours and within 48).
PACE = {
    "GLACIER": {"Expedited": 1 / 60, "Standard": 1.0, "Bulk": 2.0},
    "DEEP_ARCHIVE": {"Standard": 3.0, "Bulk": 12.0},
}


def readable(meta: Meta, now_ms: int) -> bool:
    """Whether the version's bytes can be read now."""
    if storage_classes.of(meta) not in storage_classes.ARCHIVES:
        return True
    return meta.restore is not None and meta.restore[0] <= now_ms < meta.restore[1]


def ongoing(meta: Meta, now_ms: int) -> bool:
    """Whether a restore was asked for and is not done."""
    return meta.restore is not None and now_ms < meta.restore[0]


def guard(meta: Meta, now_ms: int) -> None:
    """Refuse to read what is archived."""
    if not readable(meta, now_ms):
        raise invalid_state("The operation is not valid for the object's storage class", meta)


def invalid_state(message: str, meta: Meta) -> AwsError:
    name = storage_classes.of(meta)
    return AwsError("InvalidObjectState", message, 403, fields={"StorageClass": name})


def answer_headers(meta: Meta, now_ms: int) -> Headers:
    """x-amz-restore: of a restore under way or a copy that has not expired."""
    if meta.restore is None or now_ms >= meta.restore[1]:
        return []
    if ongoing(meta, now_ms):
        return [(HEADER, 'ongoing-request="true"')]
    until = http_date(meta.restore[1])
    return [(HEADER, f'ongoing-request="false", expiry-date="{until}"')]


def member(meta: Meta, now_ms: int) -> dict[str, object] | None:
    """RestoreStatus, as listings tell it where they are asked for it."""
    if meta.restore is None or now_ms >= meta.restore[1]:
        return None
    if ongoing(meta, now_ms):
        return {"IsRestoreInProgress": True}
    return {"IsRestoreInProgress": False, "RestoreExpiryDate": moment(meta.restore[1])}


def restored(meta: Meta, delay_ms: int, days: int, day_ms: int, now_ms: int) -> bool:
    """Note a restore in ``meta``; True when a copy was there already and now lasts longer (or
    shorter). A restore under way can only be hastened, by a faster tier."""
    if storage_classes.of(meta) not in storage_classes.ARCHIVES:
        raise invalid_state("Restore is not allowed for the object's current storage class", meta)
    there = readable(meta, now_ms)
    ready_ms = meta.restore[0] if there and meta.restore else now_ms + delay_ms
    if ongoing(meta, now_ms) and meta.restore and ready_ms >= meta.restore[0]:
        raise AwsError("RestoreAlreadyInProgress", "Object restore is already in progress", 409)
    until_ms = min(max(ready_ms, now_ms) + days * day_ms, LATEST_MS)
    if day_ms == DAY_MS:  # real days end at midnight UTC
        until_ms = -(-until_ms // DAY_MS) * DAY_MS
    meta.restore = [ready_ms, until_ms]
    return there
