"""Where a function's failed events go, by a template: a topic whose subscription is filtered."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from lab.policies import TRUST
from tests.conftest import Cloud
from tests.services.cloudformation.test_stacks import create, outputs, settle
from tests.services.listening import heard_by

FAILING = """
def handler(event, context):
    raise ValueError("as asked")
"""
# What it hears, and the certificate that what it hears names.
LISTENING = """
import json, urllib.request

def handler(event, context):
    with urllib.request.urlopen(event["Records"][0]["Sns"]["SigningCertUrl"]) as answer:
        print("HEARD " + json.dumps({**event, "certificate": answer.read().decode()}))
"""
LOGGING = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def ref(name: str, attribute: str = "") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]} if attribute else {"Ref": name}


def function(code: str) -> dict[str, Any]:
    told = {"Runtime": "python3.11", "Handler": "index.handler", "Role": ref("Role", "Arn")}
    code = textwrap.dedent(code)
    return {"Type": "AWS::Lambda::Function", "Properties": {**told, "Code": {"ZipFile": code}}}


def template(config: dict[str, Any] | None) -> str:
    """``config``: of the failing function's events; None: it has none."""
    publish = {"Effect": "Allow", "Action": "sns:Publish", "Resource": ref("Topic")}
    policy = {"Version": "2012-10-17", "Statement": [publish]}
    role = {
        "AssumeRolePolicyDocument": TRUST,
        "ManagedPolicyArns": [LOGGING],
        "Policies": [{"PolicyName": "tell", "PolicyDocument": policy}],
    }
    permission = {
        "FunctionName": ref("Listener"),
        "Action": "lambda:InvokeFunction",
        "Principal": "sns.amazonaws.com",
        "SourceArn": ref("Topic"),
    }
    subscription = {
        "TopicArn": ref("Topic"),
        "Protocol": "lambda",
        "Endpoint": ref("Listener", "Arn"),
        "FilterPolicyScope": "MessageBody",
        "FilterPolicy": {
            "requestContext": {"condition": ["RetriesExhausted"]},
            "requestPayload": {"kind": [{"prefix": "or"}]},
        },
    }
    resources: dict[str, Any] = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "Failing": function(FAILING),
        "Listener": function(LISTENING),
        "MayCall": {"Type": "AWS::Lambda::Permission", "Properties": permission},
        "Subscription": {"Type": "AWS::SNS::Subscription", "Properties": subscription},
    }
    if config is not None:
        told = {"FunctionName": ref("Failing"), "Qualifier": "$LATEST", **config}
        resources["Events"] = {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": told}
    shown = {"Failing": ref("Failing"), "Listener": ref("Listener", "Arn")}
    return json.dumps(
        {"Resources": resources, "Outputs": {n: {"Value": v} for n, v in shown.items()}}
    )


def test_failed_events_reach_who_listens_for_them(cloud: Cloud, cfn: Any, name: str) -> None:
    functions, able = cloud.client("lambda"), {"Capabilities": ["CAPABILITY_IAM"]}
    to_topic = {"DestinationConfig": {"OnFailure": {"Destination": ref("Topic")}}}
    create(cfn, name, template({"MaximumRetryAttempts": "0", **to_topic}), **able)
    told = outputs(cfn, name)
    failing = told["Failing"]
    for kind in ("other", "order"):
        payload = json.dumps({"kind": kind})
        functions.invoke(FunctionName=failing, InvocationType="Event", Payload=payload)
    for event in heard_by(cloud, told["Listener"]):
        letter = json.loads(event["Records"][0]["Sns"]["Message"])
        assert letter["requestPayload"] == {"kind": "order"}
        assert letter["responsePayload"]["errorMessage"] == "as asked"
        assert event["certificate"].startswith("-----BEGIN CERTIFICATE-----")

    cfn.update_stack(StackName=name, TemplateBody=template({"MaximumRetryAttempts": 1}), **able)
    settle(cfn, name, "update")
    found = functions.get_function_event_invoke_config(FunctionName=failing)
    assert found["MaximumRetryAttempts"] == 1
    assert found["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    cfn.update_stack(StackName=name, TemplateBody=template(None), **able)
    settle(cfn, name, "update")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_function_event_invoke_config(FunctionName=failing)
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
