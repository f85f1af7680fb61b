"""Key rotation: on demand, every so many days, and what has been.

New material encrypts from then on; the old stays for what it encrypted.
https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.kms import faults, rows
from pileus.services.kms.keyring import limit_of, own
from pileus.services.kms.room import DAY_MS, Key, Room, check_usable
from pileus.services.kms.sealing import named_material
from pileus.services.owned import parted
from pileus.state import keys

log = logging.getLogger("pileus.kms")
PERIOD_DAYS_MIN, PERIOD_DAYS_MAX = 90, 2560
ON_DEMAND_MAX = 25
SWEEP_S = 3600.0
STEP = 500


async def enable_rotation(room: Room, call: Call) -> None:
    key = own(room, call)
    check_usable(key)
    days = call.params.get("RotationPeriodInDays") or 365
    if not PERIOD_DAYS_MIN <= days <= PERIOD_DAYS_MAX:
        raise faults.invalid(
            f"1 validation error detected: Value '{days}' at 'rotationPeriodInDays' failed to"
            " satisfy constraint: Member must have value between"
            f" {PERIOD_DAYS_MIN} and {PERIOD_DAYS_MAX}"
        )
    told = {"enabled": True, "days": days, "from_ms": room.clock.now_ms()}
    await room.edit(call, key, lambda record: record.update(rotation=told))


async def disable_rotation(room: Room, call: Call) -> None:
    key = own(room, call)
    check_usable(key)
    await room.edit(call, key, lambda record: record["rotation"].update(enabled=False))


def rotation_status(room: Room, call: Call) -> dict[str, Any]:
    key = room.find(call, call.params["KeyId"], aliases=False)
    told = key.record["rotation"]
    # A key on its way out does not rotate; it would again if it were kept.
    on = told["enabled"] and key.state != "PendingDeletion"
    answer: dict[str, Any] = {"KeyId": key.arn, "KeyRotationEnabled": on}
    if on:
        answer |= {"RotationPeriodInDays": told["days"], "NextRotationDate": _due_ms(told) / 1000}
    return answer


def _due_ms(told: dict[str, Any]) -> int:
    return int(told["from_ms"] + told["days"] * DAY_MS)


async def rotate_on_demand(room: Room, call: Call) -> dict[str, Any]:
    key = own(room, call)
    check_usable(key)
    if sum(m["on_demand"] for m in key.record["materials"]) >= ON_DEMAND_MAX:
        raise AwsError(
            "LimitExceededException",
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand"
            f" rotations can be performed for this key: {key.arn}",
        )
    seen = len(key.record["materials"])
    fresh = {**room.new_material(key.id, seen), "on_demand": True}

    def change(record: dict[str, Any]) -> None:
        if len(record["materials"]) != seen:
            raise faults.invalid_state(f"{key.arn} is being rotated.")
        record["materials"].append(fresh)

    await room.edit(call, key, change)
    return {"KeyId": key.arn}


def list_rotations(room: Room, call: Call) -> dict[str, Any]:
    """Rotations done, the newest first."""
    key = room.find(call, call.params["KeyId"], aliases=False)
    limit, marker = limit_of(call.params, 1000), call.params.get("Marker") or ""
    if marker and not marker.isdigit():
        raise faults.invalid("The marker is not one this operation gave.")
    told = [
        _rotation(key, n, m) for n, m in reversed(list(enumerate(key.record["materials"]))) if n > 0
    ]
    start = int(marker or 0)
    page = told[start : start + limit]
    more = start + limit < len(told)
    answer = {"Rotations": page, "Truncated": more}
    return answer | ({"NextMarker": str(start + limit)} if more else {})


def _rotation(key: Key, number: int, material: dict[str, Any]) -> dict[str, Any]:
    return {
        "KeyId": key.arn,
        "KeyMaterialId": named_material(key, number),
        "RotationDate": material["made_ms"] / 1000,
        "RotationType": "ON_DEMAND" if material["on_demand"] else "AUTOMATIC",
    }


# -- what time brings --------------------------------------------------------------------------


async def sweep_forever(room: Room) -> None:
    """Once an hour; a failed round is told and tried again."""
    while True:
        try:
            await sweep(room)
        except Exception:
            log.exception("the sweep over keys failed; it runs again in an hour")
        await asyncio.sleep(SWEEP_S)


async def sweep(room: Room) -> None:
    """Destroy keys whose window is over, rotate those that are due."""
    start = rows.TABLE.encode() + b"\x00"
    end = keys.after_prefix(start)
    while True:
        page = room.store.range(start, end, STEP)
        for row in page:
            if keys.split(row.key)[2].startswith(rows.KEY.encode()):
                await _settle(room, row.key, orjson.loads(row.value))
        if len(page) < STEP:
            return
        start = page[-1].key + b"\x00"


async def _settle(room: Room, at: bytes, record: dict[str, Any]) -> None:
    now, told = room.clock.now_ms(), record["rotation"]
    place = keys.split(at)[1].decode()
    key_id = keys.split(at)[2].decode().removeprefix(rows.KEY)
    if record["deletion_ms"] is not None:
        if record["deletion_ms"] <= now:
            await room.store.transact(lambda draft: _destroy(draft, at, place, key_id, now))
        return
    if told["enabled"] and record["enabled"] and _due_ms(told) <= now:
        fresh = room.new_material(key_id, len(record["materials"]))
        await room.store.transact(lambda draft: _rotate(draft, at, record, fresh, now))


def _rotate(draft: Any, at: bytes, seen: dict[str, Any], fresh: dict[str, Any], now: int) -> None:
    record = draft.get_json(at)
    if record is not None and len(record["materials"]) == len(seen["materials"]):
        record["materials"].append(fresh)
        record["rotation"]["from_ms"] = now
        draft.put_json(at, record)


def _destroy(draft: Any, at: bytes, place: str, key_id: str, now: int) -> None:
    """The key, its aliases and its grants; not if somebody has taken it back."""
    record = draft.get_json(at)
    if record is None or record["deletion_ms"] is None or record["deletion_ms"] > now:
        return
    draft.delete(at)
    account, region = parted(place)
    for row in draft.range(*rows.span(account, region, rows.ALIAS), 10_000):
        if orjson.loads(row.value)["target"] == key_id:
            draft.delete(row.key)
    for row in draft.range(*rows.span(account, region, f"{rows.GRANT}{key_id}/"), 10_000):
        draft.delete(row.key)
