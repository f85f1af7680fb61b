"""Alarms: what they are, when they go off, what they do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.runtime.egress import Allowed
from pileus.services.call import HttpRequest, HttpResponse
from pileus.services.cloudwatch.evaluation import decide
from pileus.services.outbound import Outbound
from pileus.wire.http import serve
from tests.beds import Run
from tests.services.alarms import above
from tests.services.cloudwatch.conftest import CloudWatchAlone

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:page-me"


async def _alarm(cloud: CloudWatchAlone, name: str = "hot", **more: Any) -> None:
    usual = {"Statistic": "Average", "EvaluationPeriods": 2}
    await cloud("PutMetricAlarm", **above(name, "Test", "Load", 5.0, **usual | more))


# The tables of "Configuring how CloudWatch alarms treat missing data": the newest point last.
THREE_OF_THREE = [
    ("0-X-X", "OK", "OK", "OK", "OK"),
    ("0----", "OK", "OK", "OK", "OK"),
    ("-----", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
    ("0XX-X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("--X--", "ALARM", None, "ALARM", "OK"),
]
TWO_OF_THREE = [
    ("0-X-X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("00X0X", "ALARM", "ALARM", "ALARM", "ALARM"),
    ("0-X--", "OK", "OK", "ALARM", "OK"),
    ("----0", "OK", "OK", "ALARM", "OK"),
    ("---X-", "ALARM", None, "ALARM", "OK"),
    ("----X", None, None, "ALARM", "OK"),
]


@pytest.mark.parametrize(
    ("needed", "row"),
    [*((3, row) for row in THREE_OF_THREE), *((2, row) for row in TWO_OF_THREE)],
)
def test_m_of_n_and_missing_data(needed: int, row: tuple[str | None, ...]) -> None:
    assert row[0] is not None
    dots = [{"0": False, "X": True, "-": None}[c] for c in reversed(row[0])]
    for treatment, told in zip(
        ("missing", "ignore", "breaching", "notBreaching"), row[1:], strict=True
    ):
        assert decide(dots, needed, 3, treatment) == told, treatment


def test_an_alarm_goes_off_after_m_of_n_and_back(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        await _alarm(cloud, AlarmActions=[FUNCTION], OKActions=["https://127.0.0.1:9/hook"])
        await cloud.watching.turn()
        assert await cloud.state("hot") == "INSUFFICIENT_DATA"
        for value, state in ((9.0, "INSUFFICIENT_DATA"), (9.0, "ALARM"), (1.0, "OK")):
            await cloud.value(value)
            cloud.clock.ms += 62_000
            await cloud.watching.turn()
            assert await cloud.state("hot") == state
        await cloud.act()
        ((service, operation, params, how),) = cloud.dispatched
        assert (service, operation, params["FunctionName"]) == ("lambda", "Invoke", FUNCTION)
        event = json.loads(params["Payload"])
        assert event["alarmData"]["state"]["value"] == "ALARM"
        assert event["alarmData"]["previousState"]["value"] == "INSUFFICIENT_DATA"
        assert how["principal"].name == "lambda.alarms.cloudwatch.amazonaws.com"
        assert how["context"]["aws:SourceArn"].endswith(":alarm:hot")

    run(body)


def test_what_an_action_came_to_is_in_the_history(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        other = "arn:aws:automate:us-east-1:ec2:stop"
        await _alarm(cloud, AlarmActions=[FUNCTION, other, "https://127.0.0.1:9/hook"])
        await cloud("SetAlarmState", AlarmName="hot", StateValue="ALARM", StateReason="a drill")
        for _ in range(4):
            await cloud.act()
            cloud.clock.ms += 20_000
        told = await cloud("DescribeAlarmHistory", AlarmName="hot", HistoryItemType="Action")
        summaries = {i["HistorySummary"]: i["HistoryData"] for i in told["AlarmHistoryItems"]}
        assert f"Successfully executed action {FUNCTION}" in summaries
        assert "automate are not offered" in summaries[f"Failed to execute action {other}"]
        hook = summaries["Failed to execute action https://127.0.0.1:9/hook"]
        assert "egress_allow" in hook  # no inner port is reached on an alarm's word
        states = await cloud("DescribeAlarmHistory", HistoryItemType="StateUpdate")
        (item,) = states["AlarmHistoryItems"]
        assert item["HistorySummary"] == "Alarm updated from INSUFFICIENT_DATA to ALARM"

    run(body)


def test_a_webhook_and_a_topic_are_told(run: Run[CloudWatchAlone]) -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:pager"

    async def body(cloud: CloudWatchAlone) -> None:
        heard: list[tuple[str, str, Any]] = []

        async def hook(request: HttpRequest) -> HttpResponse:
            heard.append((request.method, request.path, json.loads(await request.read(100_000))))
            return HttpResponse(503 if len(heard) == 1 else 204, [], b"")

        server = await serve(hook, ("127.0.0.1", 0))
        place = f"127.0.0.1:{server.port}"
        cloud.parts.outbound = Outbound(Allowed.parse([place]))
        url = f"http://{place}/pager"
        await _alarm(cloud, AlarmActions=[url, topic])
        await cloud("SetAlarmState", AlarmName="hot", StateValue="ALARM", StateReason="a drill")
        for _ in range(3):
            await cloud.act()
            cloud.clock.ms += 20_000
        await cloud.parts.outbound.close()
        await server.stop()
        assert [place[:2] for place in heard] == [("POST", "/pager")] * 2, "tried again, then done"
        told = heard[-1][2]["alarmData"]
        assert (told["alarmName"], told["state"]["value"]) == ("hot", "ALARM")
        ((service, operation, params, how),) = cloud.dispatched
        assert (service, operation, params["TopicArn"]) == ("sns", "Publish", topic)
        assert params["Subject"] == 'ALARM: "hot" in us-east-1'
        message = json.loads(params["Message"])
        assert (message["AlarmName"], message["NewStateValue"]) == ("hot", "ALARM")
        assert how["principal"].name == "cloudwatch.amazonaws.com"
        history = await cloud("DescribeAlarmHistory", AlarmName="hot", HistoryItemType="Action")
        summaries = {i["HistorySummary"] for i in history["AlarmHistoryItems"]}
        assert summaries == {f"Successfully executed action {a}" for a in (url, topic)}

    run(body)


def test_disabled_actions_do_nothing_and_are_enabled_again(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        await _alarm(cloud, AlarmActions=[FUNCTION])
        await cloud("DisableAlarmActions", AlarmNames=["hot", "unknown"])
        await cloud("SetAlarmState", AlarmName="hot", StateValue="ALARM", StateReason="r")
        await cloud.act()
        assert cloud.dispatched == []
        await cloud("EnableAlarmActions", AlarmNames=["hot"])
        await cloud("SetAlarmState", AlarmName="hot", StateValue="OK", StateReason="r")
        await cloud("SetAlarmState", AlarmName="hot", StateValue="ALARM", StateReason="r")
        await cloud.act()
        assert len(cloud.dispatched) == 1

    run(body)


def test_an_alarm_over_an_expression(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        def metric(name: str) -> dict[str, Any]:
            told = {"Namespace": "Test", "MetricName": name}
            stat = {"Metric": told, "Period": 60, "Stat": "Sum"}
            return {"Id": name.lower(), "MetricStat": stat, "ReturnData": False}

        ratio = {"Id": "ratio", "Expression": "100 * errors / calls", "ReturnData": True}
        await cloud(
            "PutMetricAlarm",
            AlarmName="ratio",
            Metrics=[metric("Errors"), metric("Calls"), ratio],
            EvaluationPeriods=1,
            Threshold=10.0,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        await cloud.value(1.0, "Errors")
        await cloud.value(10.0, "Calls")
        cloud.clock.ms += 62_000
        await cloud.watching.turn()
        assert await cloud.state("ratio") == "ALARM"

    run(body)


def test_composite_alarms_follow_the_states_they_name(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        await _alarm(cloud, "a")
        await _alarm(cloud, "b")
        rule = 'ALARM("a") AND NOT (OK(b) OR FALSE)'
        await cloud("PutCompositeAlarm", AlarmName="both", AlarmRule=rule)
        await cloud("PutCompositeAlarm", AlarmName="top", AlarmRule="ALARM(both)")
        for name, state, both in (("a", "ALARM", "ALARM"), ("b", "OK", "OK")):
            await cloud("SetAlarmState", AlarmName=name, StateValue=state, StateReason="r")
            await cloud.watching.turn(whole=False)
            assert await cloud.state("both") == await cloud.state("top") == both
        children = await cloud("DescribeAlarms", ChildrenOfAlarmName="both")
        assert [a["AlarmName"] for a in children["MetricAlarms"]] == ["a", "b"]
        with pytest.raises(AwsError, match="depends on"):
            await cloud("DeleteAlarms", AlarmNames=["a"])
        with pytest.raises(AwsError, match="leads back"):
            await cloud("PutCompositeAlarm", AlarmName="both", AlarmRule="OK(top)")
        with pytest.raises(AwsError, match="AlarmRule"):
            await cloud("PutCompositeAlarm", AlarmName="x", AlarmRule="ALARM(a) ALARM(b)")
        await cloud("DeleteAlarms", AlarmNames=["top", "both", "a", "b"])
        assert (await cloud("DescribeAlarms"))["MetricAlarms"] == []

    run(body)


@pytest.mark.parametrize(
    "change",
    [
        {"Period": 7},
        {"Period": 5},
        {"Statistic": "Most"},
        {"ExtendedStatistic": "p99"},
        {"DatapointsToAlarm": 3},
        {"ComparisonOperator": "GreaterThanUpperThreshold"},
        {"TreatMissingData": "whatever"},
        {"AlarmActions": ["page the boss"]},
        {"ThresholdMetricId": "e1"},
        {"EvaluationPeriods": 20_000},
        {"AlarmName": ""},
    ],
)
def test_alarms_that_are_refused(run: Run[CloudWatchAlone], change: dict[str, Any]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        with pytest.raises(AwsError) as refused:
            await _alarm(cloud, **change)
        assert refused.value.status == 400
        assert (await cloud("DescribeAlarms"))["MetricAlarms"] == []

    run(body)
