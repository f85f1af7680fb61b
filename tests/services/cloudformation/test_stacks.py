"""CloudFormation through boto3: create, update, replace, roll back, delete, change sets, SAM
(H8)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.conftest import Cloud
from tests.waiting import wait

TEMPLATE = """
Parameters:
  Days: {Type: Number, Default: 7, MinValue: 1}
  WithGroup: {Type: String, Default: "yes", AllowedValues: ["yes", "no"]}
Conditions:
  Group: !Equals [!Ref WithGroup, "yes"]
Mappings:
  Names: {table: {key: PK}}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: !FindInMap [Names, table, key], AttributeType: S}]
      KeySchema: [{AttributeName: PK, KeyType: HASH}]
  Log:
    Type: AWS::Logs::LogGroup
    Condition: Group
    Properties:
      LogGroupName: !Sub "/stack/${AWS::StackName}/${Table}"
      RetentionInDays: !Ref Days
Outputs:
  TableArn: {Value: !GetAtt Table.Arn, Export: {Name: !Sub "${AWS::StackName}-table"}}
  Joined: {Value: !Join ["-", [!Ref AWS::Region, !Select [1, !Split ["/", "a/b/c"]]]]}
"""


def outputs(cfn: Any, name: str) -> dict[str, str]:
    stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}


def settle(cfn: Any, name: str, kind: str) -> None:
    wait(cfn, f"stack_{kind}_complete", StackName=name)


def create(cfn: Any, name: str, body: str = TEMPLATE, **more: Any) -> str:
    stack_id = cfn.create_stack(StackName=name, TemplateBody=body, **more)["StackId"]
    settle(cfn, name, "create")
    return str(stack_id)


@pytest.mark.parametrize("padding", [0, 600_000], ids=["short", "long"])
def test_a_template_lies_in_a_bucket(cloud: Cloud, cfn: Any, padding: int) -> None:
    name = f"url-{padding}"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name)
    body = json.dumps({"Resources": {"B": {"Type": "AWS::Logs::LogGroup"}}}) + " " * padding
    s3.put_object(Bucket=name, Key="folder/template.json", Body=body)
    url = f"https://{name}.s3.us-east-1.amazonaws.com/folder/template.json"
    cfn.create_stack(StackName=name, TemplateURL=url)
    settle(cfn, name, "create")
    with pytest.raises(ClientError, match="NoSuchKey"):
        cfn.create_stack(StackName="url-none", TemplateURL=url + ".none")
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_create_update_and_delete(cloud: Cloud, cfn: Any) -> None:
    create(cfn, "cud")
    told = outputs(cfn, "cud")
    table = told["TableArn"].rpartition("/")[2]
    assert told["Joined"] == "us-east-1-b"
    dynamodb, logs = cloud.client("dynamodb"), cloud.client("logs")
    assert dynamodb.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"
    group = logs.describe_log_groups(logGroupNamePrefix="/stack/cud/")["logGroups"][0]
    assert group["retentionInDays"] == 7
    exports = {e["Name"]: e["Value"] for e in cfn.list_exports()["Exports"]}
    assert exports["cud-table"] == told["TableArn"]

    days = [{"ParameterKey": "Days", "ParameterValue": "14"}]
    cfn.update_stack(StackName="cud", UsePreviousTemplate=True, Parameters=days)
    settle(cfn, "cud", "update")
    group = logs.describe_log_groups(logGroupNamePrefix="/stack/cud/")["logGroups"][0]
    assert group["retentionInDays"] == 14
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cfn.update_stack(StackName="cud", UsePreviousTemplate=True, Parameters=days)

    cfn.delete_stack(StackName="cud")
    settle(cfn, "cud", "delete")
    with pytest.raises(ClientError, match="does not exist"):
        cfn.describe_stacks(StackName="cud")
    assert table not in dynamodb.list_tables()["TableNames"]
    assert logs.describe_log_groups(logGroupNamePrefix="/stack/cud/")["logGroups"] == []


def test_a_condition_that_turns_false_removes_its_resource(cloud: Cloud, cfn: Any) -> None:
    create(cfn, "cond")
    off = [{"ParameterKey": "WithGroup", "ParameterValue": "no"}]
    cfn.update_stack(StackName="cond", UsePreviousTemplate=True, Parameters=off)
    settle(cfn, "cond", "update")
    kinds = [r["LogicalResourceId"] for r in resources(cfn, "cond")]
    assert kinds == ["Table"]


def resources(cfn: Any, name: str) -> list[dict[str, Any]]:
    return list(cfn.describe_stack_resources(StackName=name)["StackResources"])


def test_a_failed_create_is_rolled_back(cloud: Cloud, cfn: Any) -> None:
    bad = json.dumps(
        {
            "Resources": {
                "Log": {
                    "Type": "AWS::Logs::LogGroup",
                    "Properties": {"LogGroupName": "/rolled/back"},
                },
                "Nonsense": {"Type": "AWS::Nothing::AtAll", "DependsOn": "Log"},
            }
        }
    )
    cfn.create_stack(StackName="rolled", TemplateBody=bad)
    with pytest.raises(WaiterError):
        settle(cfn, "rolled", "create")
    stack = cfn.describe_stacks(StackName="rolled")["Stacks"][0]
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "AWS::Nothing::AtAll is not offered" in stack["StackStatusReason"]
    assert (
        cloud.client("logs").describe_log_groups(logGroupNamePrefix="/rolled/")["logGroups"] == []
    )


def test_what_was_made_and_could_not_be_set_up_is_taken_away(cloud: Cloud, cfn: Any) -> None:
    body = """
Resources:
  Half:
    Type: AWS::S3::Bucket
    Properties: {BucketName: half-set-up, VersioningConfiguration: {Status: Maybe}}
"""
    cfn.create_stack(StackName="half", TemplateBody=body)
    with pytest.raises(WaiterError):
        settle(cfn, "half", "create")
    assert "half-set-up" not in [b["Name"] for b in cloud.client("s3").list_buckets()["Buckets"]]
    cfn.delete_stack(StackName="half")


def test_a_stacks_tags_go_to_its_resources_and_theirs_count(cloud: Cloud, cfn: Any) -> None:
    body = """
Resources:
  Own:
    Type: AWS::S3::Bucket
    Properties: {BucketName: tags-of-its-own, Tags: [{Key: team, Value: blue}]}
  None:
    Type: AWS::S3::Bucket
    Properties: {BucketName: tags-of-the-stack}
"""
    tags = [{"Key": "team", "Value": "red"}, {"Key": "stage", "Value": "test"}]
    create(cfn, "tagged", body, Tags=tags)
    s3 = cloud.client("s3")

    def told(bucket: str) -> dict[str, str]:
        return {t["Key"]: t["Value"] for t in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}

    assert told("tags-of-its-own") == {"team": "blue", "stage": "test"}
    assert told("tags-of-the-stack") == {"team": "red", "stage": "test"}
    cfn.delete_stack(StackName="tagged")


def test_a_stacks_history_begins_with_who_asked(cfn: Any) -> None:
    """``sam deploy`` reads the newest event of a stack that has only a change set."""
    change = {"StackName": "asked", "ChangeSetName": "first", "ChangeSetType": "CREATE"}
    cfn.create_change_set(TemplateBody=TEMPLATE, **change)

    def told() -> list[tuple[str, str]]:
        events = cfn.describe_stack_events(StackName="asked")["StackEvents"]
        own = [e for e in events if e["ResourceType"] == "AWS::CloudFormation::Stack"]
        return [(e["ResourceStatus"], e.get("ResourceStatusReason", "")) for e in own]

    assert told() == [("REVIEW_IN_PROGRESS", "User Initiated")]
    cfn.execute_change_set(StackName="asked", ChangeSetName="first")
    settle(cfn, "asked", "create")
    assert told()[:2] == [("CREATE_COMPLETE", ""), ("CREATE_IN_PROGRESS", "User Initiated")]
    cfn.delete_stack(StackName="asked")


def test_a_failed_update_brings_the_old_template_back(cloud: Cloud, cfn: Any) -> None:
    good = {
        "Resources": {
            "Log": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": "/back/log", "RetentionInDays": 7},
            }
        }
    }
    create(cfn, "back", json.dumps(good))
    bad = json.loads(json.dumps(good))
    bad["Resources"]["Log"]["Properties"]["RetentionInDays"] = 30
    bad["Resources"]["Wrong"] = {
        "Type": "AWS::Logs::LogGroup",
        "DependsOn": "Log",
        "Properties": {"LogGroupName": "bad name with spaces"},
    }
    cfn.update_stack(StackName="back", TemplateBody=json.dumps(bad))
    deadline = time.monotonic() + 80
    while True:
        status = cfn.describe_stacks(StackName="back")["Stacks"][0]["StackStatus"]
        if not status.endswith("IN_PROGRESS"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    group = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/back/")["logGroups"]
    assert [g["retentionInDays"] for g in group] == [7]
    assert [r["LogicalResourceId"] for r in resources(cfn, "back")] == ["Log"]


def test_change_sets_tell_before_they_do(cfn: Any) -> None:
    one = {"Resources": {"A": {"Type": "AWS::Logs::LogGroup", "Properties": {}}}}
    made = cfn.create_change_set(
        StackName="cs", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=json.dumps(one)
    )
    told = cfn.describe_change_set(ChangeSetName=made["Id"])
    with pytest.raises(ClientError, match=r"\(ValidationError\).*Stack \[nowhere\] does not exist"):
        cfn.describe_change_set(StackName="nowhere", ChangeSetName="cs")
    assert [c["ResourceChange"]["Action"] for c in told["Changes"]] == ["Add"]
    assert cfn.describe_stacks(StackName="cs")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    cfn.execute_change_set(ChangeSetName=made["Id"])
    settle(cfn, "cs", "create")
    same = cfn.create_change_set(StackName="cs", ChangeSetName="same", TemplateBody=json.dumps(one))
    told = cfn.describe_change_set(ChangeSetName=same["Id"])
    assert told["Status"] == "FAILED" and "didn't contain changes" in told["StatusReason"]


def test_templates_that_cannot_be(cfn: Any) -> None:
    circle = {
        "Resources": {
            "A": {"Type": "AWS::Logs::LogGroup", "DependsOn": "B"},
            "B": {"Type": "AWS::Logs::LogGroup", "DependsOn": "A"},
        }
    }
    for body, why in (
        (json.dumps(circle), "Circular dependency"),
        ("{}", "At least one Resources member"),
        ("Resources: [", "Template format error"),
        ("{" * 5000, "Template format error"),
        (TEMPLATE.replace("!Ref Days", "!Ref Nobody"), "Nobody"),
    ):
        with pytest.raises((ClientError, WaiterError), match=why):
            create(cfn, "cannot", body)
            pytest.fail("it was accepted")


def test_iam_needs_a_capability(cfn: Any) -> None:
    body = {"Resources": {"U": {"Type": "AWS::IAM::User"}}}
    with pytest.raises(ClientError, match="CAPABILITY_IAM"):
        cfn.create_stack(StackName="cap", TemplateBody=json.dumps(body))


def test_a_sam_function_runs(cloud: Cloud, cfn: Any) -> None:
    body = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Timeout: 30
      InlineCode: |
        def handler(event, context):
            return {"hello": event["name"]}
"""
    caps = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    create(cfn, "sam", body, Capabilities=caps)
    found = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources(cfn, "sam")}
    assert set(found) == {"Hello", "HelloRole"}
    answer = cloud.client("lambda").invoke(FunctionName=found["Hello"], Payload=b'{"name": "sam"}')
    assert json.load(answer["Payload"]) == {"hello": "sam"}


STREAMED = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Reader:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Timeout: 30
      InlineCode: |
        def handler(event, context):
            for record in event["Records"]:
                print("seen", record["dynamodb"]["Keys"]["id"]["S"])
      Events:
        Changes:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Orders.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: SIZE
            MaximumRetryAttempts: 2
            FilterCriteria:
              Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]
"""


def test_a_sam_function_reads_a_tables_stream(cloud: Cloud, cfn: Any) -> None:
    caps = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    create(cfn, "streamed", STREAMED.replace("SIZE", "5"), Capabilities=caps)
    found = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources(cfn, "streamed")}
    lambdas = cloud.client("lambda")
    told = lambdas.get_event_source_mapping(UUID=found["ReaderChanges"])
    assert (told["State"], told["BatchSize"], told["MaximumRetryAttempts"]) == ("Enabled", 5, 2)
    cloud.client("dynamodb").put_item(TableName=found["Orders"], Item={"id": {"S": "o-17"}})
    group = f"/aws/lambda/{found['Reader']}"
    deadline = time.monotonic() + 90
    while True:
        try:
            lines = cloud.client("logs").filter_log_events(logGroupName=group)["events"]
        except ClientError:
            lines = []
        if any("seen o-17" in line["message"] for line in lines):
            break
        assert time.monotonic() < deadline, "the record did not come"
        time.sleep(0.2)
    body = STREAMED.replace("SIZE", "7").replace("            MaximumRetryAttempts: 2\n", "")
    cfn.update_stack(StackName="streamed", TemplateBody=body, Capabilities=caps)
    settle(cfn, "streamed", "update")
    told = lambdas.get_event_source_mapping(UUID=found["ReaderChanges"])
    assert (told["BatchSize"], told["MaximumRetryAttempts"]) == (7, -1)
    cfn.delete_stack(StackName="streamed")
    settle(cfn, "streamed", "delete")
    assert (
        lambdas.list_event_source_mappings(EventSourceArn=told["EventSourceArn"])[
            "EventSourceMappings"
        ]
        == []
    )


def test_a_bucket_with_a_key_of_its_own(cloud: Cloud, cfn: Any) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]}}
    rule = {"ServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    encryption = {"ServerSideEncryptionConfiguration": [rule]}
    key = {"Description": "a stack's", "EnableKeyRotation": True, "PendingWindowInDays": 7}
    template = {
        "Resources": {
            "Key": {"Type": "AWS::KMS::Key", "Properties": key},
            "Alias": {
                "Type": "AWS::KMS::Alias",
                "Properties": {"AliasName": "alias/stack/own", "TargetKeyId": {"Ref": "Key"}},
            },
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"BucketName": "stack-encrypted", "BucketEncryption": encryption},
            },
        }
    }
    create(cfn, "sealed", json.dumps(template))
    s3, kms = cloud.client("s3"), cloud.client("kms")
    told = kms.describe_key(KeyId="alias/stack/own")["KeyMetadata"]
    assert told["Description"] == "a stack's"
    assert kms.get_key_rotation_status(KeyId=told["KeyId"])["KeyRotationEnabled"]
    made = s3.put_object(Bucket="stack-encrypted", Key="k", Body=b"x")
    assert (made["SSEKMSKeyId"], made["BucketKeyEnabled"]) == (told["Arn"], True)
    s3.delete_object(Bucket="stack-encrypted", Key="k")
    cfn.delete_stack(StackName="sealed")
    settle(cfn, "sealed", "delete")
    assert kms.describe_key(KeyId=told["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_alarms_and_a_dashboard(cloud: Cloud, cfn: Any) -> None:
    alarm = {
        **{"Namespace": "Stack", "MetricName": "Load", "Statistic": "Sum", "Period": "60"},
        **{"EvaluationPeriods": 1, "Threshold": "2.5", "AlarmName": "stack-load"},
        "ComparisonOperator": "GreaterThanThreshold",
    }
    rule = {"Fn::Sub": "ALARM(${Load})"}
    body = {"Fn::Sub": '{"widgets": [{"type": "alarm", "properties": {"alarms": ["${Load}"]}}]}'}
    template = {
        "Resources": {
            "Load": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
            "Top": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": rule}},
            "Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": body}},
        }
    }
    create(cfn, "watched", json.dumps(template))
    watch = cloud.client("cloudwatch")
    (load,) = watch.describe_alarms(AlarmNamePrefix="stack-load")["MetricAlarms"]
    assert (load["Threshold"], load["Period"]) == (2.5, 60)
    found = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources(cfn, "watched")}
    assert "stack-load" in watch.get_dashboard(DashboardName=found["Board"])["DashboardBody"]
    parents = watch.describe_alarms(ParentsOfAlarmName="stack-load")["CompositeAlarms"]
    assert [a["AlarmName"] for a in parents] == [found["Top"]]
    cfn.delete_stack(StackName="watched")
    settle(cfn, "watched", "delete")
    assert watch.describe_alarms(AlarmNamePrefix="stack-load")["MetricAlarms"] == []


HALF = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions:
        - {AttributeName: k, AttributeType: S}
        - {AttributeName: g, AttributeType: S}
      KeySchema: [{AttributeName: k, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
      TableProperties
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {Service: lambda.amazonaws.com}
            Action: sts:AssumeRole
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Role: !GetAtt Role.Arn
      Code: {ZipFile: "def handler(event, context): return VALUE"}
      FunctionProperties
"""


def test_resources_are_put_back_as_they_were(cloud: Cloud, cfn: Any) -> None:
    """Of an update that fails: the table, of whose two changes the second is refused, the function,
    whose code was changed before its settings were refused, and in a second update settings that
    nobody had told before."""
    name = "putback"

    def body(value: int, table: str, function: str) -> str:
        told = HALF.replace("VALUE", str(value)).replace("TableProperties", table)
        return told.replace("FunctionProperties", function)

    index = "{IndexName: index, KeySchema: [{AttributeName: g, KeyType: HASH}], Projection: P}"
    indexes = f"GlobalSecondaryIndexes: [{index}]".replace("P}", "{ProjectionType: ALL}}")
    more_of = index.replace("IndexName: index", "IndexName: more").replace(
        "P}", "{ProjectionType: ALL}}"
    )
    wrong = (
        indexes[:-1] + ", " + more_of.replace("AttributeName: g", "AttributeName: undefined") + "]"
    )
    create(cfn, name, body(1, indexes, ""), Capabilities=["CAPABILITY_IAM"])
    told = cfn.describe_stack_resources(StackName=name)["StackResources"]
    there = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in told}
    dynamodb, functions = cloud.client("dynamodb"), cloud.client("lambda")

    def state() -> tuple[Any, ...]:
        table = dynamodb.describe_table(TableName=there["Table"])["Table"]
        config = functions.get_function_configuration(FunctionName=there["Function"])
        seen = [i["KeySchema"] for i in table["GlobalSecondaryIndexes"]]
        names = ("CodeSha256", "Timeout", "MemorySize", "Description")
        variables = config.get("Environment", {}).get("Variables", {})
        told = [config[n] for n in names]
        return table["DeletionProtectionEnabled"], seen, told, variables

    before = state()
    more = "Timeout: 9\n      Description: more\n      Environment: {Variables: {A: b}}"
    for table, function in (
        (f"DeletionProtectionEnabled: true\n      {wrong}", more),
        (indexes, "MemorySize: 1"),
    ):
        new = body(2, table, function)
        cfn.update_stack(StackName=name, TemplateBody=new, Capabilities=["CAPABILITY_IAM"])
        with pytest.raises(WaiterError):
            settle(cfn, name, "update")
        status = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        assert status == "UPDATE_ROLLBACK_COMPLETE"
        assert state() == before
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_a_resource_keeps_its_type(cfn: Any) -> None:
    body = "Resources: {It: {Type: 'AWS::Logs::LogGroup'}}"
    create(cfn, "keepstype", body)
    with pytest.raises(ClientError, match=r"type is not permitted.*resources: \[It\]"):
        cfn.update_stack(
            StackName="keepstype", TemplateBody=body.replace("Logs::LogGroup", "S3::Bucket")
        )
    cfn.delete_stack(StackName="keepstype")


def test_an_access_key_is_made_as_its_status_says(cloud: Cloud, cfn: Any) -> None:
    def body(**more: str) -> str:
        key = {"UserName": {"Ref": "User"}, **more}
        resources = {
            "User": {"Type": "AWS::IAM::User", "Properties": {"UserName": "key-holder"}},
            "Key": {"Type": "AWS::IAM::AccessKey", "Properties": key},
        }
        return json.dumps({"Resources": resources, "Outputs": {"Key": {"Value": {"Ref": "Key"}}}})

    def statuses() -> dict[str, str]:
        found = cloud.client("iam").list_access_keys(UserName="key-holder")["AccessKeyMetadata"]
        return {k["AccessKeyId"]: k["Status"] for k in found}

    may = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    create(cfn, "keys", body(Status="Inactive"), **may)
    first = outputs(cfn, "keys")["Key"]
    assert statuses() == {first: "Inactive"}
    cfn.update_stack(StackName="keys", TemplateBody=body(), **may)
    settle(cfn, "keys", "update")
    assert statuses() == {first: "Active"}
    cfn.update_stack(StackName="keys", TemplateBody=body(Status="Inactive", Serial="2"), **may)
    settle(cfn, "keys", "update")
    second = outputs(cfn, "keys")["Key"]
    assert second != first and statuses()[second] == "Inactive"
    cfn.delete_stack(StackName="keys")
    settle(cfn, "keys", "delete")
