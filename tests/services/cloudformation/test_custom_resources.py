"""Custom resources: a function makes, changes and removes what no resource type does (H8).

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from lab.tables import keyed
from tests.conftest import Cloud
from tests.services.cloudformation.test_for_tools import allow
from tests.services.cloudformation.test_stacks import create, outputs, settle

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
# Writes down each request, then answers as its properties say: Id (physical id), Data, Fail and
# Silent (kinds of requests), Raw (the whole body).
CODE = """
import json, os, time, urllib.request
import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])

def handler(event, context):
    item = {"stack": event["StackId"], "at": time.time_ns(), "event": json.dumps(event)}
    table.put_item(Item=item)
    told, kind = event["ResourceProperties"], event["RequestType"]
    if kind in told.get("Silent", []):
        return
    answer = {n: event[n] for n in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"PhysicalResourceId": told.get("Id", "it"), "Data": told.get("Data", {})}
    if kind == "Delete":
        answer |= {"PhysicalResourceId": event["PhysicalResourceId"], "Data": {}}
    answer["Status"] = "FAILED" if kind in told.get("Fail", []) else "SUCCESS"
    answer["Reason"] = "as asked"
    body = told.get("Raw") if kind != "Delete" and "Raw" in told else json.dumps(answer)
    address, head = event["ResponseURL"], {"content-type": ""}
    urllib.request.urlopen(urllib.request.Request(address, body.encode(), head, method="PUT"))
"""


class Provider:
    """The function of the tests' custom resources, and what it was asked."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self.name = name
        self._dynamodb, self._lambda = cloud.client("dynamodb"), cloud.client("lambda")
        self._iam = cloud.client("iam")
        role = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        rights = allow("dynamodb:*", "logs:*")
        self._iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=rights)
        self._dynamodb.create_table(
            TableName=name,
            **keyed(stack="S", at="N"),
        )
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as z:
            z.writestr("index.py", CODE)
        self.arn = self._lambda.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="index.handler",
            Role=role,
            Timeout=60,
            Code={"ZipFile": buffer.getvalue()},
            Environment={"Variables": {"TABLE": name}},
        )["FunctionArn"]

    def remove(self) -> None:
        self._lambda.delete_function(FunctionName=self.name)
        self._dynamodb.delete_table(TableName=self.name)

    def asked(self, stack_id: str, least: int = 0) -> list[dict[str, Any]]:
        """The requests about a stack, in order, once there are ``least``."""
        while True:
            found = self._dynamodb.query(
                TableName=self.name,
                KeyConditionExpression="stack = :s",
                ExpressionAttributeValues={":s": {"S": stack_id}},
            )["Items"]
            if len(found) >= least:
                return [json.loads(item["event"]["S"]) for item in found]
            time.sleep(0.1)

    def template(self, type_: str = "Custom::Thing", **properties: Any) -> str:
        it = {"Type": type_, "Properties": {"ServiceToken": self.arn} | properties}
        shown = {"Ref": {"Value": {"Ref": "It"}}}
        if "Data" in properties:
            shown["Got"] = {"Value": {"Fn::GetAtt": ["It", "Deep.Key"]}}
        return json.dumps({"Resources": {"It": it}, "Outputs": shown})


@pytest.fixture(scope="module")
def provider(cloud: Cloud) -> Iterator[Provider]:
    made = Provider(cloud, f"p{uuid.uuid4().hex[:10]}")
    yield made
    made.remove()


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["RequestType"], e.get("PhysicalResourceId", "")) for e in events]


def fails(cfn: Any, name: str, step: str, status: str) -> str:
    """Wait for the step's failure, that ends in ``status``; its reason."""
    with pytest.raises(WaiterError):
        settle(cfn, name, step)
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    assert cfn.describe_stacks(StackName=events[0]["StackId"])["Stacks"][0]["StackStatus"] == status
    return next(
        e["ResourceStatusReason"]
        for e in reversed(events)
        if e["LogicalResourceId"] == "It" and e["ResourceStatus"].endswith("FAILED")
    )


def test_a_resource_lives(cfn: Any, provider: Provider, name: str) -> None:
    """What each request says, and what of the answers the template sees."""
    old = {"Id": "one", "Data": {"Deep.Key": "first"}, "N": 7, "B": True, "L": [1.5, {"f": False}]}
    stack = create(cfn, name, provider.template(**old, ServiceTimeout=300))
    assert outputs(cfn, name) == {"Ref": "one", "Got": "first"}
    new = old | {"Data": {"Deep.Key": "second"}, "N": 8}
    cfn.update_stack(StackName=name, TemplateBody=provider.template(**new, ServiceTimeout="300"))
    settle(cfn, name, "update")
    assert outputs(cfn, name)["Got"] == "second"
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
    made, changed, removed = provider.asked(stack)
    about = {"StackId": stack, "LogicalResourceId": "It", "ResourceType": "Custom::Thing"}
    for event in (made, changed, removed):
        assert about.items() <= event.items()
        assert event["ResponseURL"].startswith("https://")
    assert len({e["RequestId"] for e in (made, changed, removed)}) == 3
    told = {
        "ServiceToken": provider.arn,
        "ServiceTimeout": "300",
        "Id": "one",
        "Data": {"Deep.Key": "first"},
        "N": "7",
        "B": "true",
        "L": ["1.5", {"f": "false"}],
    }
    assert made["RequestType"] == "Create" and made["ResourceProperties"] == told
    assert "PhysicalResourceId" not in made and "OldResourceProperties" not in made
    assert kinds([changed, removed]) == [("Update", "one"), ("Delete", "one")]
    assert changed["OldResourceProperties"] == told
    assert changed["ResourceProperties"] == told | {"N": "8", "Data": {"Deep.Key": "second"}}
    assert removed["ResourceProperties"] == changed["ResourceProperties"]


def test_another_id_is_a_replacement(cfn: Any, provider: Provider, name: str) -> None:
    """What was before is deleted in the clean-up, with the properties it had; where the update is
    taken back, what was to replace it is."""
    stack = create(
        cfn, name, provider.template(Id="one", type_="AWS::CloudFormation::CustomResource")
    )

    def update(properties: dict[str, Any], **more: Any) -> None:
        body = json.loads(provider.template("AWS::CloudFormation::CustomResource", **properties))
        body["Resources"] |= more
        cfn.update_stack(StackName=name, TemplateBody=json.dumps(body))

    update({"Id": "two"})
    settle(cfn, name, "update")
    assert outputs(cfn, name) == {"Ref": "two"}
    update({"Id": "three"}, Bad={"Type": "AWS::Nothing::AtAll", "DependsOn": "It"})
    with pytest.raises(WaiterError):
        settle(cfn, name, "update")
    resource = cfn.describe_stack_resource(StackName=name, LogicalResourceId="It")
    assert resource["StackResourceDetail"]["PhysicalResourceId"] == "two"
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
    events = provider.asked(stack)
    assert kinds(events) == [
        ("Create", ""),
        *(("Update", "one"), ("Delete", "one")),
        *(("Update", "two"), ("Delete", "three")),
        ("Delete", "two"),
    ]
    assert [e["ResourceProperties"]["Id"] for e in events] == [
        *("one", "two", "one", "three", "three", "two")
    ]


def test_a_failed_creation_is_rolled_back(cfn: Any, provider: Provider, name: str) -> None:
    body = provider.template(Id="half", Fail=["Create"])
    stack = cfn.create_stack(StackName=name, TemplateBody=body)["StackId"]
    reason = fails(cfn, name, "create", "ROLLBACK_COMPLETE")
    made, removed = provider.asked(stack)
    assert reason == (
        "Received response status [FAILED] from custom resource. Message returned: as asked"
        f" (RequestId: {made['RequestId']})"
    )
    assert kinds([made, removed]) == [("Create", ""), ("Delete", "half")]


def test_what_failed_half_way_is_deleted_before_it_is_made_again(
    cfn: Any, provider: Provider, name: str
) -> None:
    """The stack is left as it failed; then what its replacement took the place of is not lost."""
    body, left = provider.template(Id="half", Fail=["Create"]), {"DisableRollback": True}
    stack = cfn.create_stack(StackName=name, TemplateBody=body, **left)["StackId"]
    fails(cfn, name, "create", "CREATE_FAILED")

    def update(properties: dict[str, Any], **more: Any) -> None:
        body = json.loads(provider.template(**properties))
        body["Resources"] |= more
        cfn.update_stack(StackName=name, TemplateBody=json.dumps(body), **left)

    update({"Id": "one"})
    settle(cfn, name, "update")
    update({"Id": "two"}, Bad={"Type": "AWS::Nothing::AtAll", "DependsOn": "It"})
    with pytest.raises(WaiterError):
        settle(cfn, name, "update")
    update({"Id": "two", "Size": 2})
    settle(cfn, name, "update")
    assert kinds(provider.asked(stack)) == [
        *(("Create", ""), ("Delete", "half"), ("Create", "")),
        *(("Update", "one"), ("Update", "two"), ("Delete", "one")),
    ]
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")


def test_a_failed_update_is_updated_back(cfn: Any, provider: Provider, name: str) -> None:
    stack = create(cfn, name, provider.template(Id="one", Size=1))
    body = provider.template(Id="one", Size=2, Fail=["Update"])
    cfn.update_stack(StackName=name, TemplateBody=body)
    assert "as asked" in fails(cfn, name, "update", "UPDATE_ROLLBACK_COMPLETE")
    _, there, back = provider.asked(stack)
    assert kinds([there, back]) == [("Update", "one"), ("Update", "one")]
    assert there["ResourceProperties"] == back["OldResourceProperties"]
    assert there["OldResourceProperties"] == back["ResourceProperties"]
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")


def test_a_failed_deletion_is_told_and_may_be_repeated(
    cfn: Any, provider: Provider, name: str
) -> None:
    stack = create(cfn, name, provider.template(Fail=["Delete"]))
    cfn.delete_stack(StackName=name)
    assert "as asked" in fails(cfn, name, "delete", "DELETE_FAILED")
    cfn.delete_stack(StackName=name)
    fails(cfn, name, "delete", "DELETE_FAILED")
    assert len(provider.asked(stack)) == 3
    cfn.delete_stack(StackName=name, RetainResources=["It"])
    settle(cfn, stack, "delete")
    assert len(provider.asked(stack)) == 3


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Silent": ["Create"], "ServiceTimeout": "1"}, "did not receive a response"),
        ({"Raw": "x"}, "Invalid Response object"),
        ({"Raw": '{"Status": "SUCCESS"}'}, "Invalid PhysicalResourceId"),
        ({"Raw": '{"Status": "SUCCESS", "PhysicalResourceId": "x"}'}, "property StackId"),
        ({"Data": {"Deep.Key": "x" * 4096}}, "Response object is too long"),
    ],
    ids=["silent", "no JSON", "no id", "another's", "long"],
)
def test_what_is_no_answer(
    cfn: Any, provider: Provider, name: str, properties: dict[str, Any], reason: str
) -> None:
    """It fails the resource; what may have been made all the same is deleted by the rollback."""
    body = provider.template(**properties)
    stack = cfn.create_stack(StackName=name, TemplateBody=body)["StackId"]
    assert reason in fails(cfn, name, "create", "ROLLBACK_COMPLETE")
    made, removed = provider.asked(stack)
    assert made["RequestType"] == "Create"
    assert removed["RequestType"] == "Delete" and removed["PhysicalResourceId"]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"ServiceToken": "arn:aws:sns:us-east-1:000000000000:topic"}, "SNS topic is not offered"),
        ({"ServiceToken": "arn:aws:lambda:eu-west-1:000000000000:function:f"}, "not reachable"),
        ({"ServiceToken": "a function"}, "Invalid service token"),
        ({"ServiceTimeout": 3601}, "ServiceTimeout is 1 to 3600"),
        (
            {"ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:none"},
            "Function not found",
        ),
    ],
    ids=["topic", "region", "text", "timeout", "none"],
)
def test_what_cannot_be_asked(
    cfn: Any, provider: Provider, name: str, properties: dict[str, Any], reason: str
) -> None:
    body = provider.template(**properties)
    stack = cfn.create_stack(StackName=name, TemplateBody=body)["StackId"]
    assert reason in fails(cfn, name, "create", "ROLLBACK_COMPLETE")
    assert provider.asked(stack) == []


def test_a_failure_elsewhere_ends_the_wait(cfn: Any, provider: Provider, name: str) -> None:
    """Who does not answer holds up no rollback, and is asked to delete what he may have made."""
    body = json.loads(provider.template(Silent=["Create"]))
    body["Resources"]["Bad"] = json.loads(provider.template(Fail=["Create"]))["Resources"]["It"]
    stack = cfn.create_stack(StackName=name, TemplateBody=json.dumps(body))["StackId"]
    assert fails(cfn, name, "create", "ROLLBACK_COMPLETE") == "Resource creation cancelled"
    about = sorted((e["LogicalResourceId"], e["RequestType"]) for e in provider.asked(stack, 4))
    assert about == [("Bad", "Create"), ("Bad", "Delete"), ("It", "Create"), ("It", "Delete")]


def put(cloud: Cloud, address: str, body: str) -> int:
    """Send an answer from outside, by the API's own port; the HTTP status."""
    path = address.removeprefix("https://127.0.0.1")
    asked = urllib.request.Request(f"{cloud.endpoint}{path}", body.encode(), method="PUT")
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_address_takes_one_answer(cloud: Cloud, cfn: Any, provider: Provider, name: str) -> None:
    """The same again is taken (its sender may not have heard), another is not, nor one that was
    not asked for, nor one after the operation's end."""
    body = json.loads(provider.template(Silent=["Create"]))
    body["Resources"]["Late"] = body["Resources"]["It"]  # while it is waited for, nothing ends
    stack = cfn.create_stack(StackName=name, TemplateBody=json.dumps(body))["StackId"]
    asked = {e["LogicalResourceId"]: e for e in provider.asked(stack, 2)}

    def answer(logical: str, physical_id: str) -> str:
        told = {n: asked[logical][n] for n in ("StackId", "RequestId", "LogicalResourceId")}
        return json.dumps(told | {"Status": "SUCCESS", "PhysicalResourceId": physical_id})

    address, text = asked["It"]["ResponseURL"], answer("It", "by hand")
    head, _, signature = address.rpartition("=")
    wrong = "0" if signature[-1] != "0" else "1"
    later = head.replace("Expires=", "Expires=9")
    other = address.replace(asked["It"]["RequestId"], asked["Late"]["RequestId"])
    for strange in (head, f"{head}={signature[:-1]}{wrong}", f"{later}={signature}", other):
        assert put(cloud, strange, text) == 403
    assert put(cloud, address, text) == 200
    assert put(cloud, address, text) == 200
    assert put(cloud, address, answer("It", "another")) == 403
    assert put(cloud, asked["Late"]["ResponseURL"], answer("Late", "late")) == 200
    settle(cfn, name, "create")
    assert outputs(cfn, name) == {"Ref": "by hand"}
    assert put(cloud, address, text) == 403
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")


INLINE = """
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: TRUST
  Python:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Timeout: 30
      Role: !GetAtt Role.Arn
      Code:
        ZipFile: |
          import cfnresponse
          def handler(event, context):
              told = {"By": "Python"}
              cfnresponse.send(event, context, cfnresponse.SUCCESS, told, "p", True)
  Node:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: nodejs22.x
      Handler: index.handler
      Timeout: 30
      Role: !GetAtt Role.Arn
      Code:
        ZipFile: |
          const response = require('cfn-response');
          exports.handler = (event, context) => {
            response.send(event, context, response.SUCCESS, {By: 'Node'}, 'n');
          };
  OfPython:
    Type: Custom::Inline
    Properties: {ServiceToken: !GetAtt Python.Arn}
  OfNode:
    Type: Custom::Inline
    Properties: {ServiceToken: !GetAtt Node.Arn, After: !GetAtt OfPython.By}
Outputs:
  Both: {Value: !Sub "${OfPython} ${OfPython.By} ${OfNode} ${OfNode.By}"}
"""


def test_code_in_the_template_has_the_module_that_answers(cfn: Any, name: str) -> None:
    """The functions go with the resources, which need them to be removed, and so are last."""
    body = INLINE.replace("TRUST", TRUST)
    create(cfn, name, body, Capabilities=["CAPABILITY_IAM"])
    assert outputs(cfn, name) == {"Both": "p Python n Node"}
    group = "Resources: {G: {Type: 'AWS::Logs::LogGroup'}}"
    cfn.update_stack(StackName=name, TemplateBody=group)
    settle(cfn, name, "update")
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    ended = [e["LogicalResourceId"] for e in reversed(events) if "DELETE_C" in e["ResourceStatus"]]
    assert ended[0] == "OfNode" and ended[1] == "OfPython" and ended[-1] == "Role"
    assert [e for e in events if e["ResourceStatus"] == "DELETE_FAILED"] == []
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_a_stack_is_deleted_while_it_is_created(cfn: Any, provider: Provider, name: str) -> None:
    """The wait ends, nothing more is made, and what was asked for is asked to be deleted."""
    body = json.loads(provider.template(Silent=["Create"]))
    body["Resources"]["Made"] = {"Type": "AWS::Logs::LogGroup"}
    body["Resources"]["Never"] = {"Type": "AWS::Logs::LogGroup", "DependsOn": "It"}
    stack = cfn.create_stack(StackName=name, TemplateBody=json.dumps(body))["StackId"]
    provider.asked(stack, 1)
    for _ in range(2):  # again while it is being deleted is success, too
        cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
    asked = provider.asked(stack)
    assert [e["RequestType"] for e in asked] == ["Create", "Delete"]
    events = cfn.describe_stack_events(StackName=stack)["StackEvents"]
    told = {(e["LogicalResourceId"], e["ResourceStatus"]) for e in events}
    assert ("Made", "DELETE_COMPLETE") in told
    assert not any(logical == "Never" for logical, _ in told)
    assert (name, "CREATE_COMPLETE") not in told and (name, "ROLLBACK_IN_PROGRESS") not in told
    create(cfn, name, provider.template())  # the name is free
    cfn.delete_stack(StackName=name)


def test_an_update_is_cancelled_and_taken_back(cfn: Any, provider: Provider, name: str) -> None:
    """What it waits for is asked to be as before; meanwhile the stack cannot be deleted."""
    stack = create(cfn, name, provider.template(Size=1))
    with pytest.raises(ClientError, match="cannot be called from current stack status"):
        cfn.cancel_update_stack(StackName=name)
    body = provider.template(Size=2, Silent=["Update"])
    cfn.update_stack(StackName=name, TemplateBody=body)
    provider.asked(stack, 2)
    refused = rf"Stack \[{name}\] cannot be deleted while in status UPDATE_IN_PROGRESS"
    with pytest.raises(ClientError, match=refused):
        cfn.delete_stack(StackName=name)
    cfn.cancel_update_stack(StackName=name)
    assert fails(cfn, name, "update", "UPDATE_ROLLBACK_COMPLETE") == "Resource update cancelled"
    _, there, back = provider.asked(stack)
    assert there["ResourceProperties"]["Size"] == back["OldResourceProperties"]["Size"] == "2"
    assert back["ResourceProperties"]["Size"] == "1"
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
