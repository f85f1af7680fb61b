"""A stack leaves alone what was there before it under a name its template gives (H8)."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from lab.tables import keyed
from pileus.errors import AwsError
from tests.conftest import Cloud
from tests.services.alarms import above
from tests.services.cloudformation.test_cut_off import Bed, with_bed
from tests.services.cloudformation.test_stacks import settle

TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
KEYS: dict[str, Any] = {
    **keyed(k="S"),
}
BOARD = json.dumps({"widgets": []})


@pytest.fixture
def cfn(cloud: Cloud) -> Any:
    return cloud.client("cloudformation")


@pytest.fixture
def name() -> str:
    return f"e{uuid.uuid4().hex[:10]}"


class There:
    """Something of each kind, made outside of any stack, all of one name."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self.client, self.name = cloud.client, name
        self.role = f"arn:aws:iam::000000000000:role/{name}"

    def make(self) -> None:
        name = self.name
        role = self.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), Description="mine"
        )["Role"]
        self.role = role["Arn"]
        self.client("dynamodb").create_table(TableName=name, **KEYS)
        self.client("s3").create_bucket(Bucket=name)
        self.client("sns").create_topic(Name=name, Attributes={"DisplayName": "mine"})
        self.client("logs").create_log_group(logGroupName=name)
        self.client("cloudwatch").put_metric_alarm(**above(name, "n", "m"))
        self.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=BOARD)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", "def handler(event, context): return 'mine'")
        self.client("lambda").create_function(
            FunctionName=name, Runtime="python3.12", Handler="index.handler", Role=self.role,
            Code={"ZipFile": packed.getvalue()}, Description="mine",
        )  # fmt: skip

    def resources(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """What a template that takes the names would ask for: (type, properties)."""
        name = self.name
        inline = {"ZipFile": "def handler(event, context): return 'the stack'"}
        return {
            "Table": ("DynamoDB::Table", {"TableName": name, **KEYS}),
            "Bucket": ("S3::Bucket", {"BucketName": name}),
            "Topic": ("SNS::Topic", {"TopicName": name}),
            "Group": ("Logs::LogGroup", {"LogGroupName": name, "RetentionInDays": 7}),
            "Alarm": ("CloudWatch::Alarm", above(name, "n", "m", 9)),
            "Board": ("CloudWatch::Dashboard", {"DashboardName": name, "DashboardBody": BOARD}),
            "Role": ("IAM::Role", {"RoleName": name, "AssumeRolePolicyDocument": TRUST}),
            "Function": (
                "Lambda::Function",
                {
                    **{"FunctionName": name, "Runtime": "python3.12", "Handler": "index.handler"},
                    **{"Role": self.role, "Code": inline},
                },
            ),
        }

    def seen(self) -> dict[str, Any]:
        name, client = self.name, self.client
        topics = client("sns").list_topics()["Topics"]
        arn = next(t["TopicArn"] for t in topics if t["TopicArn"].endswith(f":{name}"))
        (group,) = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        (alarm,) = client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        config = client("lambda").get_function_configuration(FunctionName=name)
        return {
            "Table": client("dynamodb").describe_table(TableName=name)["Table"]["TableId"],
            "Bucket": [b for b in client("s3").list_buckets()["Buckets"] if b["Name"] == name],
            "Topic": client("sns").get_topic_attributes(TopicArn=arn)["Attributes"],
            "Group": (group["creationTime"], group.get("retentionInDays")),
            "Alarm": alarm["Threshold"],
            "Board": client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"],
            "Role": client("iam").get_role(RoleName=name)["Role"],
            "Function": (config["CodeSha256"], config["Description"]),
        }

    def remove(self) -> None:
        name, client = self.name, self.client
        client("dynamodb").delete_table(TableName=name)
        client("s3").delete_bucket(Bucket=name)
        client("sns").delete_topic(TopicArn=self.seen_topic())
        client("logs").delete_log_group(logGroupName=name)
        client("cloudwatch").delete_alarms(AlarmNames=[name])
        client("cloudwatch").delete_dashboards(DashboardNames=[name])
        client("lambda").delete_function(FunctionName=name)
        client("iam").delete_role(RoleName=name)

    def seen_topic(self) -> str:
        topics = self.client("sns").list_topics()["Topics"]
        return next(str(t["TopicArn"]) for t in topics if t["TopicArn"].endswith(f":{self.name}"))


def test_what_was_there_before_is_left_alone(cloud: Cloud, cfn: Any, name: str) -> None:
    """By a stack that cannot be made, its rollback and its deletion."""
    there = There(cloud, name)
    there.make()
    before = there.seen()
    for number, (logical, (type_, properties)) in enumerate(there.resources().items()):
        stack = f"{name}-{number}"
        about = {"Type": f"AWS::{type_}", "Properties": properties}
        body = json.dumps({"Resources": {logical: about}})
        cfn.create_stack(StackName=stack, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
        with pytest.raises(WaiterError):
            settle(cfn, stack, "create")
        events = cfn.describe_stack_events(StackName=stack)["StackEvents"]
        told = [e for e in reversed(events) if e["LogicalResourceId"] == logical]
        assert told[0]["ResourceStatus"] == "CREATE_IN_PROGRESS", logical
        failed = next(e for e in told if e["ResourceStatus"] == "CREATE_FAILED")
        words = f"Resource of type 'AWS::{type_}' with identifier '{name}' already exists."
        assert words in failed["ResourceStatusReason"]
        assert "HandlerErrorCode: AlreadyExists" in failed["ResourceStatusReason"]
        cfn.delete_stack(StackName=stack)
        settle(cfn, stack, "delete")
        assert there.seen()[logical] == before[logical]
    assert there.seen() == before
    there.remove()


def test_an_update_takes_nothing_either(cloud: Cloud, cfn: Any, name: str) -> None:
    """Of a topic that is renamed to one that is there: the stack keeps its own."""
    sns = cloud.client("sns")
    other = sns.create_topic(Name=f"{name}-other")["TopicArn"]

    def body(topic: str) -> str:
        about = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": topic}}
        return json.dumps({"Resources": {"Topic": about}})

    cfn.create_stack(StackName=name, TemplateBody=body(f"{name}-own"))
    settle(cfn, name, "create")
    cfn.update_stack(StackName=name, TemplateBody=body(f"{name}-other"))
    with pytest.raises(WaiterError):
        settle(cfn, name, "update")
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
    arns = [t["TopicArn"] for t in sns.list_topics()["Topics"]]
    assert other in arns and not any(a.endswith(f"{name}-own") for a in arns)
    sns.delete_topic(TopicArn=other)


def test_what_a_step_made_before_it_was_cut_off_is_its_own(tmp_path: Path) -> None:
    topics: set[str] = set()

    async def test(bed: Bed) -> None:
        cut = [True]

        async def dispatch(service: str, operation: str, params: Any, **more: Any) -> Any:
            arn = params.get("TopicArn") or f"arn:aws:sns:us-east-1:0:{params['Name']}"
            if operation == "GetTopicAttributes" and arn not in topics:
                raise AwsError("NotFound", "no such topic", 404)
            if operation == "CreateTopic":
                topics.add(arn)
                if cut.pop():
                    raise asyncio.CancelledError
            return {"TopicArn": arn}

        bed.parts.dispatch = dispatch
        body = "Resources: {T: {Type: 'AWS::SNS::Topic', Properties: {TopicName: mine}}}"
        await bed.ask("CreateStack", TemplateBody=body)
        with pytest.raises(asyncio.CancelledError):
            await bed.carry_on()
        cut.append(False)
        assert await bed.carry_on() == "CREATE_COMPLETE"
        assert len(topics) == 1

    with_bed(tmp_path, test)
