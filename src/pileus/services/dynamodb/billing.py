"""Capacity in a description: billing mode, units, on-demand maxima, warm throughput.

``holder`` is a table's description or one of its global indexes'; ``index`` the index's name, ''
for the table. Texts and rules are those observed of the service.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pileus.services.dynamodb.faults import bad_parameter, invalid, limit_exceeded

Holder = dict[str, Any]
GLOBAL = "GlobalSecondaryIndexes"
DECREASES_FREE = 4  # in a UTC day; after them one in each hour without one
DECREASE_EVERY_S = 3600
SWITCHES_MAX = 4  # to on-demand, within 24 hours
DAY_S = 86400
WARM_ON_DEMAND = {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000}
UNITS = (("ReadCapacityUnits", "ReadUnitsPerSecond"), ("WriteCapacityUnits", "WriteUnitsPerSecond"))
MAXIMA = ("MaxReadRequestUnits", "MaxWriteRequestUnits")


def throughput(units: dict[str, Any] | None) -> dict[str, Any]:
    """A ProvisionedThroughputDescription."""
    given = units or {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    return {"NumberOfDecreasesToday": 0, **given}


def billing_of(row: Holder) -> str:
    """A table's billing mode."""
    mode: str = row.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    return mode


# -- provisioned units ------------------------------------------------------------------------


def set_units(
    holder: Holder, units: dict[str, int], at_ms: int, changed: bool, index: str = ""
) -> None:
    """New provisioned units. They must differ from the present ones, unless the billing mode
    changed; there is a limit to how often they may decrease."""
    now = holder.setdefault("ProvisionedThroughput", throughput(None))
    read, write = units["ReadCapacityUnits"], units["WriteCapacityUnits"]
    had_read, had_write = now.get("ReadCapacityUnits", 0), now.get("WriteCapacityUnits", 0)
    if (read, write) == (had_read, had_write) and not changed:
        raise _unchanged(read, write, index)
    if (read > had_read or write > had_write) and not changed:
        now["LastIncreaseDateTime"] = at_ms / 1000
    if read < had_read or write < had_write:
        now["NumberOfDecreasesToday"] = _one_decrease_more(now, at_ms / 1000)
        now["LastDecreaseDateTime"] = at_ms / 1000
    now["ReadCapacityUnits"], now["WriteCapacityUnits"] = read, write
    _warm_up(holder, {warm: units[name] for name, warm in UNITS})


def _unchanged(read: int, write: int, index: str) -> Exception:
    what, of = (f"the index {index}", f"index {index}") if index else ("the table", "the table")
    return invalid(
        f"The provisioned throughput for {what} will not change. The requested value equals the"
        f" current value. Current ReadCapacityUnits provisioned for {of}: {read}. Requested"
        f" ReadCapacityUnits: {read}. Current WriteCapacityUnits provisioned for {of}: {write}."
        f" Requested WriteCapacityUnits: {write}. Refer to the Amazon DynamoDB Developer Guide for"
        " current limits and how to request higher limits."
    )


def decreases_today(units: dict[str, Any], now_s: float) -> int:
    """How often the units were decreased since midnight, UTC."""
    last = units.get("LastDecreaseDateTime", 0)
    count: int = units.get("NumberOfDecreasesToday", 0)
    return count if int(last) // DAY_S == int(now_s) // DAY_S else 0


def _one_decrease_more(units: dict[str, Any], now_s: float) -> int:
    """Four decreases a day are free, then an hour must have passed since the last one (Developer
    Guide, "Quotas", "Decreasing provisioned throughput")."""
    done = decreases_today(units, now_s)
    last = units.get("LastDecreaseDateTime", 0)
    if done >= DECREASES_FREE and now_s < last + DECREASE_EVERY_S:
        raise limit_exceeded(
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given"
            " UTC day. After the first 4 decreases, each subsequent decrease in the same UTC day"
            f" can be performed at most once every {DECREASE_EVERY_S} seconds. Number of decreases"
            f" today: {done}. Last decrease at {_long(last)}. Next decrease can be made at"
            f" {_long(min(last + DECREASE_EVERY_S, (now_s // DAY_S + 1) * DAY_S))}"
        )
    return done + 1


def _long(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    hour = (moment.hour - 1) % 12 + 1
    return (
        f"{moment:%A, %B} {moment.day}, {moment.year} at {hour}:{moment:%M:%S %p}"
        " Coordinated Universal Time"
    )


# -- billing mode -----------------------------------------------------------------------------


def set_on_demand(row: Holder, at_ms: int) -> None:
    """Mark a table as pay per request since ``at_ms``."""
    since = {"LastUpdateToPayPerRequestDateTime": at_ms / 1000}
    row["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST", **since}
    row["TableThroughputModeSummary"] = {"TableThroughputMode": "PAY_PER_REQUEST", **since}


def set_billing(row: Holder, mode: str | None, at_ms: int) -> None:
    """Switch a table, with its indexes, to another billing mode. On-demand maxima end with it."""
    if mode is None or mode == billing_of(row):
        return
    holders = (row, *row.get(GLOBAL, ()))
    if mode == "PAY_PER_REQUEST":
        _note_switch(row, at_ms / 1000)
        set_on_demand(row, at_ms)
        for holder in holders:
            kept = holder.get("ProvisionedThroughput") or throughput(None)
            zero = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
            holder["ProvisionedThroughput"] = {**kept, **zero}
            _warm_up(holder, WARM_ON_DEMAND)
        return
    for holder in holders:
        holder.pop("OnDemandThroughput", None)
    row["BillingModeSummary"] = {**row["BillingModeSummary"], "BillingMode": "PROVISIONED"}
    row["TableThroughputModeSummary"] = {
        **row["TableThroughputModeSummary"],
        "TableThroughputMode": "PROVISIONED",
    }


def _note_switch(row: Holder, now_s: float) -> None:
    """A table may be switched to on-demand four times in 24 hours (Developer Guide,
    "Considerations when switching capacity modes")."""
    recent = [s for s in row.get("switches", ()) if s > now_s - DAY_S]
    if len(recent) >= SWITCHES_MAX:
        raise limit_exceeded(
            f"Subscriber limit exceeded: Update to PayPerRequest mode are limited to {SWITCHES_MAX}"
            f" times in 1 day(s). Last update at {_short(recent[-1])}. Next update can be made at"
            f" {_short(recent[0] + DAY_S)}"
        )
    row["switches"] = [*recent, now_s]


def _short(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%a %b %d %H:%M:%S UTC %Y}"


# -- on-demand maxima -------------------------------------------------------------------------


def set_maxima(
    holder: Holder, given: dict[str, int], on_demand: bool, index: str = "", new: bool = False
) -> None:
    """OnDemandThroughput: each member given is set, -1 clears it."""
    where = f"index : {index}" if index else "table"
    for name in MAXIMA:
        if name not in given:
            continue
        if not on_demand:
            what = f" for index : {index}" if index else ""
            which, end = ("", ".") if new and not index else ("the ", "")
            raise bad_parameter(
                f"{name} for OnDemandThroughput{what} cannot be specified when {which}table"
                f" BillingMode is PROVISIONED{end}"
            )
        if given[name] < 1 and (new or given[name] != -1):
            raise bad_parameter(
                f"Requested {name} for OnDemandThroughput for {where} is outside of valid range"
            )
    kept = {**holder.get("OnDemandThroughput", {}), **given}
    kept = {n: v for n, v in kept.items() if v != -1}
    holder.pop("OnDemandThroughput", None)
    if kept:
        holder["OnDemandThroughput"] = kept


# -- warm throughput --------------------------------------------------------------------------


def warm_of(holder: Holder) -> dict[str, int]:
    """What a table or index is warm for: what was ever provisioned or asked, for on-demand at least
    the service's initial throughput."""
    units = holder.get("ProvisionedThroughput") or {}
    provisioned = {warm: units.get(name, 0) for name, warm in UNITS}
    return holder.get("WarmThroughput") or (
        provisioned if any(provisioned.values()) else dict(WARM_ON_DEMAND)
    )


def _warm_up(holder: Holder, least: dict[str, int]) -> None:
    now = warm_of(holder)
    holder["WarmThroughput"] = {n: max(now[n], least[n]) for n in now}


def set_warm(holder: Holder, given: dict[str, int], index: str = "", new: bool = False) -> None:
    """WarmThroughput: it may only grow. It is kept and shown; this machine is always warm."""
    now, where = warm_of(holder), f"index {index}" if index else "table"
    units = holder.get("ProvisionedThroughput") or {}
    for name, warm in UNITS:
        if warm not in given or given[warm] >= now[warm]:
            continue
        if not new:
            raise bad_parameter(
                f"Requested {warm} for WarmThroughput for {where} is lower than current"
                " WarmThroughput, decreasing WarmThroughput is not supported"
            )
        if units.get(name):
            raise bad_parameter(
                f"Requested {warm} for WarmThroughput for {where} is lower than {name} of"
                " ProvisionedThroughput"
            )
        raise bad_parameter(
            f"Requested {warm} for WarmThroughput for {where} is lower than initial throughput for"
            " OnDemand. See: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
            "on-demand-capacity-mode.html#on-demand-capacity-mode-initial"
        )
    holder["WarmThroughput"] = {**now, **given}


# -- showing ----------------------------------------------------------------------------------


def show_capacity(holder: Holder, now_s: float) -> None:
    """Complete a copy of a description as DescribeTable shows it."""
    holder["WarmThroughput"] = {**warm_of(holder), "Status": "ACTIVE"}
    units = holder.get("ProvisionedThroughput")
    if units is not None:
        units["NumberOfDecreasesToday"] = decreases_today(units, now_s)
