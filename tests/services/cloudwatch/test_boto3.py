"""CloudWatch as its clients use it: boto3, in each protocol, against a running cloud."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.conftest import Cloud
from tests.services.alarms import above, make_alarm, outcomes, set_alarm
from tests.services.listening import heard_by, let_call, make_listener


def _recent(seconds: int = 300) -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(seconds=seconds), "EndTime": now + timedelta(seconds=60)}


def _sum(told: dict[str, Any]) -> float:
    return float(sum(point["Sum"] for point in told["Datapoints"]))


def test_metrics_put_are_read_by_any_process(cloud: Cloud) -> None:
    writer, reader = cloud.client("cloudwatch"), cloud.client("cloudwatch")
    dimensions = [{"Name": "Shop", "Value": "Köln"}]
    data = [
        {"MetricName": "Sold", "Dimensions": dimensions, "Value": v, "Unit": "Count"}
        for v in (1, 2.5, 3)
    ]
    writer.put_metric_data(Namespace="Boto/Shop", MetricData=data * 300)  # long enough for gzip
    deadline = time.monotonic() + 60
    told: dict[str, Any] = {"Datapoints": []}
    while _sum(told) != 1950 and time.monotonic() < deadline:
        told = reader.get_metric_statistics(
            Namespace="Boto/Shop",
            MetricName="Sold",
            Dimensions=dimensions,
            Period=60,
            Statistics=["Sum", "Maximum"],
            **_recent(),
        )
    assert _sum(told) == 1950
    assert told["Datapoints"][0]["Unit"] == "Count" and told["Label"] == "Sold"
    listed = reader.get_paginator("list_metrics").paginate(Namespace="Boto/Shop")
    assert [m["Dimensions"] for page in listed for m in page["Metrics"]] == [dimensions]
    query = {
        "Id": "m1",
        "MetricStat": {
            "Metric": {"Namespace": "Boto/Shop", "MetricName": "Sold", "Dimensions": dimensions},
            "Period": 60,
            "Stat": "p50",
        },
    }
    twice = {"Id": "e1", "Expression": "m1 * 2", "Label": "twice"}
    answer = reader.get_metric_data(MetricDataQueries=[query, twice], **_recent())
    results = {r["Id"]: r for r in answer["MetricDataResults"]}
    assert results["m1"]["Values"][0] == 2.5 and results["e1"]["Values"][0] == 5
    assert results["e1"]["Label"] == "twice" and results["e1"]["Timestamps"][0].tzinfo is not None


def test_the_older_protocols(cloud: Cloud) -> None:
    keys = Credentials(cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"])

    def ask(body: bytes, headers: dict[str, str]) -> str:
        asked = AWSRequest("POST", cloud.endpoint + "/", headers=headers, data=body)
        SigV4Auth(keys, "monitoring", cloud.env["AWS_REGION"]).add_auth(asked)
        sent = urllib.request.Request(cloud.endpoint + "/", body, dict(asked.headers.items()))
        with urllib.request.urlopen(sent, timeout=60) as answer:
            return str(answer.read().decode())

    form = {
        "Action": "PutMetricData",
        "Version": "2010-08-01",
        "Namespace": "Boto/Old",
        "MetricData.member.1.MetricName": "Form",
        "MetricData.member.1.Value": "4",
    }
    content = {"content-type": "application/x-www-form-urlencoded"}
    assert "PutMetricDataResponse" in ask(urllib.parse.urlencode(form).encode(), content)
    content = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "GraniteServiceVersion20100801.PutMetricData",
    }
    body = {"Namespace": "Boto/Old", "MetricData": [{"MetricName": "Json", "Value": 5}]}
    ask(json.dumps(body).encode(), content)
    content["x-amz-target"] = "GraniteServiceVersion20100801.ListMetrics"
    deadline, found = time.monotonic() + 60, set[str]()
    while len(found) < 2 and time.monotonic() < deadline:
        told = json.loads(ask(json.dumps({"Namespace": "Boto/Old"}).encode(), content))
        found = {m["MetricName"] for m in told["Metrics"]}
    assert found == {"Form", "Json"}


def test_an_alarm_goes_off_by_itself(cloud: Cloud) -> None:
    client = cloud.client("cloudwatch")
    soon = {"Statistic": "Maximum", "Period": 10, "TreatMissingData": "ignore"}
    tagged = {"Tags": [{"Key": "team", "Value": "a"}]}
    client.put_metric_alarm(**above("boto-queue", "Boto/Alarm", "Waiting", 10, **soon, **tagged))
    try:
        deadline, state = time.monotonic() + 90, ""
        while state != "ALARM" and time.monotonic() < deadline:
            datum = {"MetricName": "Waiting", "Value": 11, "StorageResolution": 1}
            client.put_metric_data(Namespace="Boto/Alarm", MetricData=[datum])
            (alarm,) = client.describe_alarms(AlarmNames=["boto-queue"])["MetricAlarms"]
            state = alarm["StateValue"]
            time.sleep(1)
        assert state == "ALARM" and "Threshold Crossed: 1 out of the last 1" in alarm["StateReason"]
        assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [11.0]
        for_metric = client.describe_alarms_for_metric(Namespace="Boto/Alarm", MetricName="Waiting")
        assert [a["AlarmName"] for a in for_metric["MetricAlarms"]] == ["boto-queue"]
        tags = client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        gone = alarm["AlarmArn"] + "-gone"
        assert client.list_tags_for_resource(ResourceARN=gone)["Tags"] == []
        assert tags == [{"Key": "team", "Value": "a"}]
        history = client.describe_alarm_history(AlarmName="boto-queue")["AlarmHistoryItems"]
        kinds = [i["HistoryItemType"] for i in history]
        assert kinds[-1] == "ConfigurationUpdate" and "StateUpdate" in kinds
    finally:
        client.delete_alarms(AlarmNames=["boto-queue"])
    assert client.describe_alarms(AlarmNames=["boto-queue"])["MetricAlarms"] == []


def test_errors_have_the_codes_sdks_know(cloud: Cloud) -> None:
    client = cloud.client("cloudwatch")
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.delete_alarms(AlarmNames=["nosuch"])
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.put_metric_data(
            Namespace="AWS/Lambda", MetricData=[{"MetricName": "Errors", "Value": 1}]
        )
    with pytest.raises(client.exceptions.DashboardInvalidInputError):
        client.put_dashboard(DashboardName="d", DashboardBody="no json")


def test_dashboards_come_back_as_they_went(cloud: Cloud) -> None:
    client = cloud.client("cloudwatch")
    body = json.dumps({"widgets": [{"type": "text", "properties": {"markdown": "hé"}}]})
    told = client.put_dashboard(DashboardName="boto-one", DashboardBody=body)
    assert told["DashboardValidationMessages"] == []
    assert client.get_dashboard(DashboardName="boto-one")["DashboardBody"] == body
    entries = client.list_dashboards(DashboardNamePrefix="boto-")["DashboardEntries"]
    assert [(e["DashboardName"], e["Size"]) for e in entries] == [("boto-one", len(body.encode()))]
    client.delete_dashboards(DashboardNames=["boto-one"])
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.get_dashboard(DashboardName="boto-one")


def test_rights_are_asked_for(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="cloudwatch-writer")
    key = iam.create_access_key(UserName="cloudwatch-writer")["AccessKey"]
    statement = {
        "Effect": "Allow",
        "Action": "cloudwatch:PutMetricData",
        "Resource": "*",
        "Condition": {"StringEquals": {"cloudwatch:namespace": "Boto/Mine"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="cloudwatch-writer", PolicyName="p", PolicyDocument=policy)
    own = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    client = cloud.client("cloudwatch", **own)
    data = [{"MetricName": "m", "Value": 1}]
    client.put_metric_data(Namespace="Boto/Mine", MetricData=data)
    for ask in (
        lambda: client.put_metric_data(Namespace="Boto/Other", MetricData=data),
        lambda: client.list_metrics(),
    ):
        with pytest.raises(client.exceptions.ClientError) as refused:
            ask()
        assert refused.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


def test_an_alarm_calls_a_function_that_lets_it(cloud: Cloud) -> None:
    function = make_listener(cloud, "alarm-page")
    nobody = "arn:aws:sns:us-east-1:000000000000:later"
    make_alarm(cloud, "boto-page", AlarmActions=[function, nobody])
    set_alarm(cloud, "boto-page", "ALARM")
    refused = outcomes(cloud, "boto-page", 2)
    assert len(refused) == 2
    assert all(summary.startswith("Failed to execute action") for summary in refused)
    service = "lambda.alarms.cloudwatch.amazonaws.com"
    let_call(cloud, function, service, SourceAccount="000000000000")
    for state in ("OK", "ALARM"):
        set_alarm(cloud, "boto-page", state)
    assert f"Successfully executed action {function}" in outcomes(cloud, "boto-page", 4)
    event = heard_by(cloud, function)[0]
    assert event["alarmData"]["alarmName"] == "boto-page"
    assert event["alarmData"]["state"]["value"] == "ALARM"
    cloud.client("cloudwatch").delete_alarms(AlarmNames=["boto-page"])


def test_answers_as_recorded_of_aws(cloud: Cloud) -> None:
    cloudwatch, name = cloud.client("cloudwatch"), f"recorded-{uuid.uuid4().hex[:8]}"
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=name,
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=30,
        ComparisonOperator="GreaterThanThreshold",
    )
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert (alarm["Dimensions"], type(alarm["Threshold"])) == ([], float)
    state = {"StateValue": "OK", "StateReason": "none"}
    with pytest.raises(ClientError) as caught:
        cloudwatch.set_alarm_state(AlarmName=f"{name}-never", **state)
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ResourceNotFound", "")
    assert "message" not in caught.value.response
    with pytest.raises(ClientError, match="at 'stateValue' failed to satisfy constraint"):
        cloudwatch.set_alarm_state(AlarmName=name, **{**state, "StateValue": "GOOD"})
    with pytest.raises(ClientError) as caught:
        cloudwatch.put_dashboard(DashboardName="a b", DashboardBody='{"widgets": []}')
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
    start = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)  # within a minute
    asked = {"Namespace": name, "MetricName": "m", "Period": 60, "Statistics": ["Sum"]}
    day = {"StartTime": start, "EndTime": start + timedelta(days=1)}
    assert cloudwatch.get_metric_statistics(**asked, **day)["Datapoints"] == []


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        ([("Sum", 60)], ["m"]),
        ([("Sum", 60), ("Sum", 60)], ["m", "m"]),
        ([("Sum", 60), ("Minimum", 60)], ["m Sum", "m Minimum"]),
        ([("Sum", 60), ("Sum", 30)], ["m 60", "m 30"]),
        ([("Sum", 60), ("Minimum", 30)], ["m Sum 60", "m Minimum 30"]),
    ],
)
def test_labels_tell_what_differs(
    cloud: Cloud, asked: list[tuple[str, int]], labels: list[str]
) -> None:
    metric = {"Namespace": "labels", "MetricName": "m"}
    queries = [
        {"Id": f"q{i}", "MetricStat": {"Metric": metric, "Stat": stat, "Period": period}}
        for i, (stat, period) in enumerate(asked)
    ]
    now = datetime.now(UTC)
    told = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(minutes=5), EndTime=now
    )
    assert [r["Label"] for r in told["MetricDataResults"]] == labels
