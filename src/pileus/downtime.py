"""What ``pileus status`` tells of absences: of the cloud's parts and of its long-running services,
each beside the longest it is allowed (C8)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pileus import control
from pileus.outages import read_services


def measured(home: Path) -> list[dict[str, Any]]:
    """Of each part and service: ``name``, ``kind``, ``longest_allowed_s``, ``longest_s``,
    ``away_since`` (ISO 8601, None while it serves) and ``incidents``, newest first."""
    parts = [
        _entry("part", p.name, p.allowed_s, p.away_since, p.incidents)
        for p in control.read(home / "run")
    ]
    return parts + [
        _entry(
            "service",
            name,
            told.get("allowed_s", 0.0),
            told["down_since_ms"] / 1000,
            [(i["Since"] / 1000, i["Seconds"], i["Over"]) for i in told["incidents"]],
        )
        for name, told in sorted(read_services(home).items())
    ]


def _entry(
    kind: str, name: str, allowed_s: float, away: float, incidents: Iterable[Any]
) -> dict[str, Any]:
    told = [
        {"since": _moment(since), "seconds": seconds, "over": bool(over)}
        for since, seconds, over in incidents
    ]
    return {
        "kind": kind,
        "name": name,
        "longest_allowed_s": allowed_s,
        "longest_s": max((i["seconds"] for i in told), default=0.0),
        "away_since": _moment(away) if away else None,
        "incidents": told,
    }


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def table(told: list[dict[str, Any]]) -> list[str]:
    """The same in lines for people."""
    lines = [f"{'away':<24} {'allowed':>9} {'longest':>9}  incidents"]
    for each in told:
        state = "" if each["away_since"] is None else f"   AWAY since {each['away_since']}"
        over = sum(i["over"] for i in each["incidents"])
        count = f"{len(each['incidents'])}" + (f", {over} over the limit" if over else "")
        lines.append(
            f"{each['name']:<24} {each['longest_allowed_s']:>7g} s {each['longest_s']:>7g} s"
            f"  {count}{state}"
        )
    return lines
