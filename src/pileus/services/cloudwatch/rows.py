"""State rows of alarms, their history, and dashboards.

``cloudwatch`` / account/region / ``alarm/NAME`` → alarm, ``dashboard/NAME`` → dashboard.
``cloudwatchlog`` / account/region/NAME / (time, number) → an item of the alarm's history.
An alarm is what PutMetricAlarm or PutCompositeAlarm was given, and its state; ``kind`` tells which.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import orjson

from pileus.services.cloudwatch import faults
from pileus.services.owned import parted
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TABLE, HISTORY = "cloudwatch", "cloudwatchlog"
METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"
OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
STATES = (OK, ALARM, INSUFFICIENT)
ACTIONS = {OK: "OKActions", ALARM: "AlarmActions", INSUFFICIENT: "InsufficientDataActions"}
Alarm = dict[str, Any]


def alarm_key(place: str, name: str) -> bytes:
    return keys.key(TABLE, place, f"alarm/{name}")


def dashboard_key(place: str, name: str) -> bytes:
    return keys.key(TABLE, place, f"dashboard/{name}")


def history_prefix(place: str, name: str) -> bytes:
    return keys.partition_prefix(HISTORY, f"{place}/{name}")


def alarm_arn(place: str, name: str) -> str:
    account, region = parted(place)
    return f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"


def dashboard_arn(place: str, name: str) -> str:
    return f"arn:aws:cloudwatch::{parted(place)[0]}:dashboard/{name}"


def alarms(store: Store, place: str, prefix: str = "") -> Iterator[Alarm]:
    """In order of their names."""
    start = keys.partition_prefix(TABLE, place) + b"alarm/" + prefix.encode()
    for row in store.range(start, keys.after_prefix(start), 1_000_000):
        yield orjson.loads(row.value)


def all_alarms(store: Store) -> Iterator[Alarm]:
    """Of every account and region."""
    prefix = keys.table_prefix(TABLE)
    for row in store.range(prefix, keys.after_prefix(prefix), 1_000_000):
        if keys.split(row.key)[2].startswith(b"alarm/"):
            yield orjson.loads(row.value)


def need_alarm(reader: Store | Draft, place: str, name: str) -> Alarm:
    found: Alarm | None = reader.get_json(alarm_key(place, name))
    if found is None:
        raise faults.not_found(f"Unknown alarm: {name}")
    return found


def note(draft: Draft, alarm: Alarm, at_ms: int, kind: str, summary: str, data: Any) -> None:
    """Add to the alarm's history: ConfigurationUpdate, StateUpdate or Action."""
    item = {
        "AlarmName": alarm["AlarmName"],
        "AlarmType": alarm["kind"],
        "Timestamp": at_ms / 1000,
        "HistoryItemType": kind,
        "HistorySummary": summary,
        "HistoryData": orjson.dumps(data).decode(),
    }
    sort = at_ms.to_bytes(8, "big") + secrets.token_bytes(4)
    partition = f"{alarm['place']}/{alarm['AlarmName']}"
    draft.put_json(keys.key(HISTORY, partition, sort), item)
