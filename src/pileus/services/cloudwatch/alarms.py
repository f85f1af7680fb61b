"""DescribeAlarms and its kin, DeleteAlarms, SetAlarmState, Enable- and DisableAlarmActions.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudwatch import composite, faults, paging, rows, shapes, states
from pileus.services.cloudwatch.room import Room
from pileus.services.cloudwatch.rows import Alarm
from pileus.state import keys
from pileus.state.draft import Draft

_PRIVATE = frozenset({"kind", "place", "tags"})
LISTS = {rows.METRIC: "MetricAlarms", rows.COMPOSITE: "CompositeAlarms"}


def shown(alarm: Alarm) -> dict[str, Any]:
    """As the API shows it. An alarm of one metric tells its dimensions, none too."""
    told = {n: v for n, v in alarm.items() if n not in _PRIVATE and v is not None}
    if "MetricName" in told:
        told.setdefault("Dimensions", [])
    if "Threshold" in told:
        told["Threshold"] = float(told["Threshold"])
    return told


def describe_alarms(room: Room, call: Call) -> dict[str, Any]:
    """Metric alarms, and composite ones where ``AlarmTypes`` asks for them."""
    params = call.params
    names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix") or ""
    if names and prefix:
        raise faults.combination("AlarmNames and AlarmNamePrefix are mutually exclusive.")
    found = list(rows.alarms(room.store, call.place, prefix))
    kinds = params.get("AlarmTypes") or [rows.METRIC]
    family = params.get("ChildrenOfAlarmName") or params.get("ParentsOfAlarmName")
    if family:
        rows.need_alarm(room.store, call.place, family)
        up = bool(params.get("ParentsOfAlarmName"))
        related = composite.parents(found, family) if up else composite.children(found, family)
        found, kinds = [a for a in found if a["AlarmName"] in related], list(LISTS)
    elif names:
        found = [a for a in found if a["AlarmName"] in names]
    state, action = params.get("StateValue"), params.get("ActionPrefix")
    found = [
        a
        for a in found
        if a["kind"] in kinds
        and state in (None, a["StateValue"])
        and (not action or any(x.startswith(action) for x in _actions(a)))
    ]
    page, token = paging.cut(
        found, params.get("NextToken"), paging.size_of(params, "MaxRecords", 50, 100)
    )
    answer: dict[str, Any] = {listed: [] for listed in LISTS.values()}
    for alarm in page:
        answer[LISTS[alarm["kind"]]].append(shown(alarm))
    return answer | ({"NextToken": token} if token else {})


def _actions(alarm: Alarm) -> list[str]:
    return [action for listed in rows.ACTIONS.values() for action in alarm.get(listed) or ()]


def describe_alarms_for_metric(room: Room, call: Call) -> dict[str, Any]:
    """Alarms of just this metric; statistic, period and unit narrow further where given."""
    params = call.params
    wanted = shapes.metric(call.place, params)
    found = []
    for alarm in rows.alarms(room.store, call.place):
        if alarm.get("MetricName") is None or shapes.metric(alarm["place"], alarm) != wanted:
            continue
        narrow = ("Statistic", "ExtendedStatistic", "Period", "Unit")
        if all(params.get(n) in (None, alarm.get(n)) for n in narrow):
            found.append(shown(alarm))
    return {"MetricAlarms": found}


def describe_alarm_history(room: Room, call: Call) -> dict[str, Any]:
    """Newest first, of one alarm or of all."""
    params, store, where = call.params, room.store, call.place
    name = params.get("AlarmName")
    prefix = keys.table_prefix(rows.HISTORY)
    if name:
        prefix = rows.history_prefix(where, name)
    items = []
    for row in store.range(prefix, keys.after_prefix(prefix), 1_000_000):
        if name or keys.split(row.key)[1].decode().startswith(where + "/"):
            items.append(orjson.loads(row.value))
    kind, kinds = params.get("HistoryItemType"), params.get("AlarmTypes")
    start, end = params.get("StartDate") or 0, params.get("EndDate") or float("inf")
    items = [
        i
        for i in items
        if kind in (None, i["HistoryItemType"])
        and start <= i["Timestamp"] <= end
        and (not kinds or i["AlarmType"] in kinds)
    ]
    newest_first = params.get("ScanBy") != "TimestampAscending"
    items.sort(key=lambda i: float(i["Timestamp"]), reverse=newest_first)
    page, token = paging.cut(
        items, params.get("NextToken"), paging.size_of(params, "MaxRecords", 100, 100)
    )
    return {"AlarmHistoryItems": page} | ({"NextToken": token} if token else {})


async def delete_alarms(room: Room, call: Call) -> None:
    """All of them or none. A composite one goes only with those that name it."""
    names, where = call.params["AlarmNames"], call.place
    now_ms = room.clock.now_ms()
    if not 1 <= len(names) <= 100:
        raise faults.validation("Between 1 and 100 AlarmNames are needed.")
    parents = composite.named_by(rows.alarms(room.store, where), set(names))
    if parents:
        raise faults.validation(
            f"Alarm {parents[0]} depends on an alarm to be deleted: delete or change it first."
        )

    def change(draft: Draft) -> None:
        for name in names:
            alarm = rows.need_alarm(draft, where, name)
            draft.delete(rows.alarm_key(where, name))
            told = f'Alarm "{name}" deleted'
            data = {"version": "1.0", "type": "Delete"}
            rows.note(draft, alarm, now_ms, "ConfigurationUpdate", told, data)

    await room.store.transact(change, call.invocation_id)


async def set_alarm_state(room: Room, call: Call) -> None:
    """Until the next evaluation says otherwise. Its actions run."""
    params, where = call.params, call.place
    state, data = params["StateValue"], params.get("StateReasonData")
    if state not in rows.STATES:
        raise faults.validation(
            f"1 validation error detected: Value '{state}' at 'stateValue' failed to satisfy"
            " constraint: Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
        )
    if data:
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            raise AwsError("InvalidFormat", "StateReasonData must be JSON.") from None
    now_ms = room.clock.now_ms()

    def change(draft: Draft) -> None:
        alarm: Alarm | None = draft.get_json(rows.alarm_key(where, params["AlarmName"]))
        if alarm is None:
            raise faults.not_found()  # AWS says no more
        states.change(draft, alarm, state, params["StateReason"], data, now_ms)

    await room.store.transact(change, call.invocation_id)


async def enable_alarm_actions(room: Room, call: Call) -> None:
    await _enable(room, call, True)


async def disable_alarm_actions(room: Room, call: Call) -> None:
    await _enable(room, call, False)


async def _enable(room: Room, call: Call, enabled: bool) -> None:
    where, now_ms = call.place, room.clock.now_ms()

    def change(draft: Draft) -> None:
        for name in call.params["AlarmNames"]:
            alarm: Alarm | None = draft.get_json(rows.alarm_key(where, name))
            if alarm is None or alarm["ActionsEnabled"] == enabled:
                continue  # AWS passes over names it does not know
            new = {**alarm, "ActionsEnabled": enabled}
            draft.put_json(rows.alarm_key(where, name), new)
            word = "enabled" if enabled else "disabled"
            told, data = f"Alarm actions {word}", {"version": "1.0", "type": "Update"}
            rows.note(draft, new, now_ms, "ConfigurationUpdate", told, data)

    await room.store.transact(change, call.invocation_id)
