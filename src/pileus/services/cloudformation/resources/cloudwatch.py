"""AWS::CloudWatch::Alarm, CompositeAlarm and Dashboard."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
    whole,
)

_TEXTS = (
    *("AlarmDescription", "ComparisonOperator", "EvaluateLowSampleCountPercentile"),
    *("ExtendedStatistic", "MetricName", "Namespace", "Statistic", "TreatMissingData", "Unit"),
    *("OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions", "ThresholdMetricId"),
)
_WHOLES = ("EvaluationPeriods", "DatapointsToAlarm", "Period", "ActionsEnabled")


class _Put(ABC):
    """What one operation makes and changes, under its own name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.replacing = frozenset({name})

    async def create(self, site: Site, wish: Properties) -> Made:
        return await self._put(site, wish.get(self._name) or site.name(255), wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self._put(site, made.physical_id, wish)

    @abstractmethod
    async def _put(self, site: Site, name: str, wish: Properties) -> Made: ...

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        names = {f"{self._name}s": [made.physical_id]}
        operation = f"Delete{self._name.removesuffix('Name')}s"
        await site.gone("cloudwatch", operation, "ResourceNotFound", **names)


class Alarm(_Put):
    async def _put(self, site: Site, name: str, wish: Properties) -> Made:
        settings: dict[str, Any] = {n: wish[n] for n in _TEXTS if n in wish}
        settings |= {n: whole(wish[n]) for n in _WHOLES if n in wish}
        if "Threshold" in wish:
            settings["Threshold"] = float(wish["Threshold"])
        if "Metrics" in wish:
            settings["Metrics"] = [_query(q) for q in wish["Metrics"]]
        await site.call(
            "cloudwatch",
            "PutMetricAlarm",
            AlarmName=name,
            Tags=tag_list(wish, site) or None,
            **settings,
        )
        return Made(name, {"Arn": site.arn("cloudwatch", f"alarm:{name}")})


def _query(told: dict[str, Any]) -> dict[str, Any]:
    """Template values may be texts."""
    query = dict(told)
    if "ReturnData" in query:
        query["ReturnData"] = whole(query["ReturnData"])
    if "MetricStat" in query:
        stat = query["MetricStat"]
        query["MetricStat"] = {**stat, "Period": whole(stat["Period"])}
    return query


class CompositeAlarm(_Put):
    async def _put(self, site: Site, name: str, wish: Properties) -> Made:
        (rule,) = need(wish, "AlarmRule")
        names = (*("AlarmDescription", "OKActions", "AlarmActions"), "InsufficientDataActions")
        settings = {n: wish[n] for n in names if n in wish}
        enabled = whole(wish.get("ActionsEnabled", True))
        await site.call(
            "cloudwatch",
            "PutCompositeAlarm",
            AlarmName=name,
            AlarmRule=rule,
            ActionsEnabled=enabled,
            Tags=tag_list(wish, site) or None,
            **settings,
        )
        return Made(name, {"Arn": site.arn("cloudwatch", f"alarm:{name}")})


class Dashboard(_Put):
    async def _put(self, site: Site, name: str, wish: Properties) -> Made:
        (body,) = need(wish, "DashboardBody")
        text = body if isinstance(body, str) else json.dumps(body)
        await site.call("cloudwatch", "PutDashboard", DashboardName=name, DashboardBody=text)
        return Made(name, {})


KINDS: dict[str, Any] = {
    "AWS::CloudWatch::Alarm": Alarm("AlarmName"),
    "AWS::CloudWatch::CompositeAlarm": CompositeAlarm("AlarmName"),
    "AWS::CloudWatch::Dashboard": Dashboard("DashboardName"),
}
