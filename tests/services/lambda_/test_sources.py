"""Streams of tables to functions, as a user meets them: boto3, real streams, real workers."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config

from lab.tables import keyed
from tests.services.lambda_.test_boto3 import TRUST, eventually, zipped
from tests.services.s3.test_objects import refused

READING = "arn:aws:iam::aws:policy/service-role/AWSLambdaDynamoDBExecutionRole"
# Writes down what it is given, then does as the items of the batch say.
CODE = """
import json, os, boto3
s3 = boto3.client("s3")
def handler(event, context):
    key = f"{context.function_name}/{context.aws_request_id}"
    s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=json.dumps(event))
    failed = []
    for record in event["Records"]:
        keys = record["dynamodb"]["Keys"]
        if keys["p"]["S"].startswith("poison"):
            raise ValueError("as asked")
        if keys["p"]["S"].startswith("flaky"):
            failed.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
    return {"batchItemFailures": failed}
"""


@pytest.fixture(scope="module")
def role(cloud: Any) -> str:
    return reader(cloud)


def reader(cloud: Any) -> str:
    """A role that may read streams, and write down what it saw."""
    iam, name = cloud.client("iam"), f"reader-{uuid.uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName=name, PolicyArn=READING)
    allow = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=name, PolicyName="write", PolicyDocument=document)
    return str(made["Role"]["Arn"])


class Stage:
    """A table with a stream, a function that writes down its batches in a bucket."""

    def __init__(self, cloud: Any, role: str) -> None:
        self.name = f"esm-{uuid.uuid4().hex[:8]}"
        self.connect(cloud)
        self.s3.create_bucket(Bucket=self.name)
        made = self.tables.create_table(
            TableName=self.name,
            **keyed(p="S"),
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.stream = made["TableDescription"]["LatestStreamArn"]
        self.lambdas.create_function(
            FunctionName=self.name, Runtime="python3.11", Role=role, Handler="app.handler",
            Code={"ZipFile": zipped(CODE)}, Environment={"Variables": {"BUCKET": self.name}},
            Timeout=60,
        )  # fmt: skip
        self.uuid = ""

    def connect(self, cloud: Any) -> None:
        self.lambdas, self.tables = cloud.client("lambda"), cloud.client("dynamodb")
        self.s3 = cloud.client("s3")

    def map(self, **settings: Any) -> Any:
        settings = {"StartingPosition": "TRIM_HORIZON", **settings}
        made = self.lambdas.create_event_source_mapping(
            FunctionName=self.name, EventSourceArn=self.stream, **settings
        )
        self.uuid = made["UUID"]
        return made

    def put(self, *names: str, **more: Any) -> None:
        for name in names:
            self.tables.put_item(TableName=self.name, Item={"p": {"S": name}, **more})

    def objects(self, prefix: str) -> list[Any]:
        found = self.s3.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        bodies = [self.s3.get_object(Bucket=self.name, Key=o["Key"])["Body"] for o in found]
        return [json.loads(body.read()) for body in bodies]

    def batches(self) -> list[list[str]]:
        """The keys of the items of each batch the function was given."""
        return [
            [r["dynamodb"]["Keys"]["p"]["S"] for r in event["Records"]]
            for event in self.objects(f"{self.name}/")
        ]

    def seen(self) -> set[str]:
        return {name for batch in self.batches() for name in batch}

    def told(self) -> Any:
        return self.lambdas.get_event_source_mapping(UUID=self.uuid)


@pytest.fixture
def stage(cloud: Any, role: str) -> Iterator[Stage]:
    made = Stage(cloud, role)
    yield made
    if made.uuid:
        made.lambdas.delete_event_source_mapping(UUID=made.uuid)


def test_records_reach_the_function(stage: Stage) -> None:
    stage.put("one", b={"B": b"\x00\xff"}, m={"M": {"l": {"L": [{"BS": [b"x"]}]}}})
    made = stage.map()
    assert (made["State"], made["BatchSize"]) == ("Creating", 100)
    assert made["LastProcessingResult"] == "No records processed"
    eventually(lambda: stage.seen() == {"one"}, 20)
    (event,) = stage.objects(f"{stage.name}/")
    (record,) = event["Records"]
    assert (record["eventName"], record["eventSource"]) == ("INSERT", "aws:dynamodb")
    assert record["eventSourceARN"] == stage.stream
    told = record["dynamodb"]
    assert told["NewImage"]["b"] == {"B": base64.b64encode(b"\x00\xff").decode()}
    assert told["NewImage"]["m"] == {"M": {"l": {"L": [{"BS": ["eA=="]}]}}}
    assert abs(told["ApproximateCreationDateTime"] - time.time()) < 60
    stage.put("two")
    eventually(lambda: "two" in stage.seen(), 20)
    eventually(lambda: stage.told()["LastProcessingResult"] == "OK")
    assert sorted(stage.batches()) == [["one"], ["two"]]  # each once


def test_latest_begins_with_the_mapping(stage: Stage) -> None:
    stage.put("before")
    stage.map(StartingPosition="LATEST")
    stage.put("after")
    eventually(lambda: stage.seen(), 20)
    assert stage.seen() == {"after"}


def test_filters_and_windows(stage: Stage) -> None:
    pattern = {"eventName": ["INSERT"], "dynamodb": {"Keys": {"p": {"S": [{"prefix": "a"}]}}}}
    stage.map(
        FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)}]},
        MaximumBatchingWindowInSeconds=300, BatchSize=3,
    )  # fmt: skip
    stage.put("a1", "b1", "a2", "b2", "a3", "a4")
    eventually(lambda: stage.batches() == [["a1", "a2", "a3"]], 20)  # however slowly they came
    stage.lambdas.update_event_source_mapping(UUID=stage.uuid, MaximumBatchingWindowInSeconds=2)
    eventually(lambda: len(stage.seen()) == 4, 20)  # what does not fill a batch, when it is over
    assert sorted(stage.batches()) == [["a1", "a2", "a3"], ["a4"]]


def test_a_poisonous_record_goes_to_the_bucket(stage: Stage) -> None:
    stage.put("a", "b", "poison", "c")
    stage.map(
        MaximumRetryAttempts=1, BisectBatchOnFunctionError=True,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{stage.name}"}},
    )  # fmt: skip
    letters = eventually(lambda: stage.objects(f"aws/lambda/{stage.uuid}/"), 30)
    (letter,) = letters
    assert letter["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert letter["requestContext"]["approximateInvokeCount"] == 2
    assert letter["responseContext"]["functionError"] == "Unhandled"
    info = letter["DDBStreamBatchInfo"]
    assert (info["batchSize"], info["streamArn"]) == (1, stage.stream)
    (record,) = json.loads(letter["payload"])["Records"]
    assert record["dynamodb"]["Keys"]["p"]["S"] == "poison"
    assert record["dynamodb"]["SequenceNumber"] == info["startSequenceNumber"]
    eventually(lambda: ["c"] in stage.batches())


def test_items_that_failed_come_again(stage: Stage) -> None:
    stage.put("a", "flaky", "b")
    stage.map(FunctionResponseTypes=["ReportBatchItemFailures"], MaximumRetryAttempts=1)
    eventually(lambda: len(stage.batches()) == 2, 20)
    assert sorted(stage.batches()) == [["a", "flaky", "b"], ["flaky", "b"]]


def test_switching_off_changing_and_deleting(stage: Stage) -> None:
    stage.map(BatchSize=1)
    stage.put("one")
    eventually(lambda: stage.seen() == {"one"}, 20)
    # Until its place is kept it is handed on again by whoever reads next: at least once.
    eventually(lambda: stage.told()["LastProcessingResult"] == "OK")
    update = stage.lambdas.update_event_source_mapping
    assert update(UUID=stage.uuid, Enabled=False)["State"] == "Disabling"
    assert stage.told()["State"] == "Disabled"
    stage.put("two", "three")
    time.sleep(1)
    assert stage.seen() == {"one"}
    assert update(UUID=stage.uuid, Enabled=True, BatchSize=10)["State"] == "Enabling"
    eventually(lambda: len(stage.seen()) == 3, 20)
    assert ["two", "three"] in stage.batches()
    listed = stage.lambdas.list_event_source_mappings(FunctionName=stage.name)
    (one,) = listed["EventSourceMappings"]
    assert (one["UUID"], one["BatchSize"], one["State"]) == (stage.uuid, 10, "Enabled")
    by_source = stage.lambdas.list_event_source_mappings(EventSourceArn=stage.stream)
    assert len(by_source["EventSourceMappings"]) == 1
    error = refused(
        stage.lambdas.create_event_source_mapping,
        FunctionName=stage.name, EventSourceArn=stage.stream, StartingPosition="LATEST",
    )  # fmt: skip
    assert error["Code"] == "ResourceConflictException" and stage.uuid in error["Message"]
    gone, stage.uuid = stage.uuid, ""
    delete = stage.lambdas.delete_event_source_mapping
    assert delete(UUID=gone)["State"] == "Deleting"
    assert refused(delete, UUID=gone)["Code"] == "ResourceNotFoundException"


def test_what_is_refused(cloud: Any, stage: Stage) -> None:
    create = cloud.client(
        "lambda", config=Config(parameter_validation=False)
    ).create_event_source_mapping
    good = {"FunctionName": stage.name, "EventSourceArn": stage.stream}
    good["StartingPosition"] = "LATEST"
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"FunctionName": "none"}, "InvalidParameterValueException", "Function does not exist"),
        ({"EventSourceArn": stage.stream + "x"}, "InvalidParameterValueException", "not found"),
        ({"EventSourceArn": "arn:aws:sqs:us-east-1:111122223333:q"}, "NotImplemented", "sqs"),
        ({"StartingPosition": "x"}, "ValidationException", "TRIM_HORIZON"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "InvalidParameterValueException", "Unsupported"),
        ({"BatchSize": 10_001}, "ValidationException", "batchSize"),
        ({"MaximumRecordAgeInSeconds": 59}, "InvalidParameterValueException", "between"),
        ({"ParallelizationFactor": 2}, "NotImplemented", "ParallelizationFactor 2"),
        ({"TumblingWindowInSeconds": 5}, "NotImplemented", "TumblingWindow"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "x"}]}}, "InvalidParameterValueException",
         "Invalid filter pattern"),
    ]  # fmt: skip
    for wrong, code, text in cases:
        error = refused(create, **{**good, **wrong})
        assert error["Code"] == code and text in error["Message"], wrong
    iam, name = cloud.client("iam"), f"blind-{uuid.uuid4().hex[:8]}"
    blind = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    stage.lambdas.update_function_configuration(FunctionName=stage.name, Role=blind["Arn"])
    assert "Cannot access stream" in refused(create, **good)["Message"]


def test_a_restart_goes_on_where_it_was(own_cloud: Any) -> None:
    stage = Stage(own_cloud, reader(own_cloud))
    stage.map()
    stage.put("one")
    eventually(lambda: stage.seen() == {"one"}, 20)
    eventually(lambda: stage.told()["LastProcessingResult"] == "OK")
    stage.lambdas.update_event_source_mapping(UUID=stage.uuid, Enabled=False)
    stage.put("two")
    own_cloud.down()
    own_cloud.up()
    stage.connect(own_cloud)
    stage.lambdas.update_event_source_mapping(UUID=stage.uuid, Enabled=True)
    stage.put("three")
    eventually(lambda: len(stage.seen()) == 3, 30)
    assert [name for batch in stage.batches() for name in batch].count("one") == 1
