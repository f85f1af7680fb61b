"""An alarm changes its state: the row, its history and what is to be done, in one entry."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from pileus import hub
from pileus.services.cloudwatch.rows import ACTIONS, Alarm, alarm_key, note
from pileus.state.draft import Draft

QUEUE = "cloudwatch.actions"


def stamp(at_ms: int) -> str:
    return (
        datetime.fromtimestamp(at_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "+0000")
    )


def change(
    draft: Draft, alarm: Alarm, state: str, reason: str, data: Any, at_ms: int, act: bool = True
) -> None:
    """Put ``alarm`` (as read in this transaction) into ``state``; actions are queued when that is
    another one."""
    old = {n: alarm.get(n) for n in ("StateValue", "StateReason", "StateReasonData")}
    told = {"StateValue": state, "StateReason": reason, "StateReasonData": data}
    new = {**alarm, **told, "StateUpdatedTimestamp": at_ms / 1000}
    changed = state != alarm["StateValue"]
    if changed:
        new["StateTransitionedTimestamp"] = at_ms / 1000
    draft.put_json(alarm_key(alarm["place"], alarm["AlarmName"]), new)
    if not changed:
        return
    summary = f"Alarm updated from {alarm['StateValue']} to {state}"
    words = {"version": "1.0", "oldState": _state(old), "newState": _state(told)}
    note(draft, new, at_ms, "StateUpdate", summary, words)
    if not (act and alarm["ActionsEnabled"]):
        return
    for action in alarm.get(ACTIONS[state]) or ():
        body = {
            "place": alarm["place"],
            "alarm": alarm["AlarmName"],
            "action": action,
            "state": {**told, "at_ms": at_ms},
            "previous": {**old, "at_ms": int(1000 * alarm["StateUpdatedTimestamp"])},
            "attempts": 0,
        }
        hub.put(draft, QUEUE, at_ms, secrets.token_hex(8), body)


def _state(told: dict[str, Any]) -> dict[str, Any]:
    state = {"stateValue": told["StateValue"], "stateReason": told["StateReason"]}
    return state | ({"stateReasonData": told["StateReasonData"]} if told["StateReasonData"] else {})
