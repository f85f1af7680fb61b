"""AWS::CloudWatch::Alarm, CompositeAlarm and Dashboard."""

from __future__ import annotations

import json
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


class Alarm:
    replacing = frozenset({"AlarmName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        return await self._put(site, wish.get("AlarmName") or site.name(255), wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self._put(site, made.physical_id, wish)

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

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(
            "cloudwatch", "DeleteAlarms", "ResourceNotFound", AlarmNames=[made.physical_id]
        )


def _query(told: dict[str, Any]) -> dict[str, Any]:
    """Template values may be texts."""
    query = dict(told)
    if "ReturnData" in query:
        query["ReturnData"] = whole(query["ReturnData"])
    if "MetricStat" in query:
        stat = query["MetricStat"]
        query["MetricStat"] = {**stat, "Period": whole(stat["Period"])}
    return query


class CompositeAlarm:
    replacing = frozenset({"AlarmName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        return await self._put(site, wish.get("AlarmName") or site.name(255), wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self._put(site, made.physical_id, wish)

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

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(
            "cloudwatch", "DeleteAlarms", "ResourceNotFound", AlarmNames=[made.physical_id]
        )


class Dashboard:
    replacing = frozenset({"DashboardName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        return await self._put(site, wish.get("DashboardName") or site.name(255), wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self._put(site, made.physical_id, wish)

    async def _put(self, site: Site, name: str, wish: Properties) -> Made:
        (body,) = need(wish, "DashboardBody")
        text = body if isinstance(body, str) else json.dumps(body)
        await site.call("cloudwatch", "PutDashboard", DashboardName=name, DashboardBody=text)
        return Made(name, {})

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        names = [made.physical_id]
        await site.gone("cloudwatch", "DeleteDashboards", "ResourceNotFound", DashboardNames=names)


KINDS: dict[str, Any] = {
    "AWS::CloudWatch::Alarm": Alarm(),
    "AWS::CloudWatch::CompositeAlarm": CompositeAlarm(),
    "AWS::CloudWatch::Dashboard": Dashboard(),
}
