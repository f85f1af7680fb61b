"""RestoreObject: a copy of an archived version that can be read for some days.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, HttpResponse
from pileus.services.s3 import archive, events, faults, lifecycle_apply, storage_classes
from pileus.services.s3.room import Room

DAYS_MAX = 2**31 - 1  # the schema's xs:int
TIERS = ("Standard", "Bulk", "Expedited")


async def restore_object(room: Room, call: Call) -> HttpResponse:
    """202: the restore has begun. 200: the copy was there, its expiry has changed."""
    params = call.params
    told = params.get("RestoreRequest") or {}
    if told.get("Type") or told.get("SelectParameters") or told.get("OutputLocation"):
        raise faults.not_built("a restore by Select")
    days = told.get("Days")
    if days is None or days > DAYS_MAX:
        raise faults.malformed_xml()
    if days < 1:
        raise faults.invalid_argument("Restoration days should be at least 1", "Days", days)
    version = params.get("VersionId")
    meta = room.find(params["Bucket"], params["Key"], version)[2]
    delay_ms = _delay_ms(room, told, storage_classes.of(meta))
    kinds = (lifecycle_apply.RESTORED, lifecycle_apply.LAPSED)
    told = events.by_service(room.bucket(params["Bucket"]), kinds, params["Key"], meta)
    day_ms = room.config.s3_day_s * 1000
    args = [params["Bucket"], params["Key"], version, delay_ms, days, day_ms, told]
    there = await room.submit("s3.restore", args, call)
    return HttpResponse(200 if there else 202)


def _delay_ms(room: Room, told: dict[str, Any], name: str) -> int:
    """How long the tier asked for takes; 0 where nothing is archived, which apply refuses."""
    tier = (told.get("GlacierJobParameters") or {}).get("Tier") or told.get("Tier") or "Standard"
    if tier not in TIERS:
        raise faults.malformed_xml()
    paces = archive.PACE.get(name, {})
    if paces and tier not in paces:
        raise faults.invalid_argument(
            f"The retrieval tier {tier} is not available for the storage class {name}", "Tier", tier
        )
    return int(room.config.s3_restore_s * 1000 * paces.get(tier, 0))
