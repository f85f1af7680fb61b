"""Valid requests that carry a document with a grammar of its own: policies, templates, patterns."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import orjson

from tests.fuzz.buckets import POLICY
from tests.fuzz.sent import Sent

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                   "Action": "sts:AssumeRole"}],
}  # fmt: skip
OWN = {
    "Version": "2012-10-17",
    "Statement": [{
        "Effect": "Deny", "NotAction": ["s3:Get*", "dynamodb:?etItem"],
        "Resource": "arn:aws:s3:::${aws:username}/*",
        "Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": ["a*"]},
                      "NumericLessThan": {"s3:max-keys": 10}, "Null": {"aws:TokenIssueTime": True},
                      "DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
    }],
}  # fmt: skip
TEMPLATE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {"P": {"Type": "String", "Default": "a", "AllowedPattern": "[a-z]+"}},
    "Conditions": {"C": {"Fn::Equals": [{"Ref": "P"}, "a"]}},
    "Mappings": {"M": {"us-east-1": {"k": "v"}}},
    "Resources": {"R": {
        "Type": "AWS::IAM::Role", "Condition": "C", "DependsOn": [],
        "Properties": {"AssumeRolePolicyDocument": TRUST, "RoleName": {"Fn::Sub": ["${P}-${x}", {
            "x": {"Fn::FindInMap": ["M", {"Ref": "AWS::Region"}, "k"]}}]}},
    }},
    "Outputs": {"O": {"Value": {"Fn::Join": ["", [{"Fn::GetAtt": ["R", "Arn"]}, "x"]]}}},
}  # fmt: skip
YAML = """
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {Handler: a.b, Runtime: python3.11, InlineCode: "def b(): pass", Events: {
      A: {Type: HttpApi, Properties: {Path: /a, Method: get}}}}
Outputs: {O: {Value: !Sub "${F.Arn}-${AWS::Region}"}, Q: {Value: !If [C, !Ref F, !GetAtt F.Arn]}}
"""
PATTERNS = (
    '{ ($.a.b[0] = "x*") && ($.n >= 1.5 || $.t IS TRUE) }', '[ip, user=*x*, ..., code=4*, size>1]',
    '?ERROR ?"a b" -no', '"one" two',
)  # fmt: skip
CODE = "function handler(event) { return event.request; }"


def forms(service: str, version: str, *asked: tuple[str, dict[str, str]]) -> list[Sent]:
    """Query requests."""
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return [
        Sent(action, service, "POST", "/", "", dict(kind),
             urlencode({"Action": action, "Version": version, **params}).encode())
        for action, params in asked
    ]  # fmt: skip


def requests(name: str) -> list[Sent]:
    """Each names things after ``name``."""
    own, trust = json.dumps(OWN), json.dumps(TRUST)
    made = forms(
        "iam", "2010-05-08",
        ("CreatePolicy", {"PolicyName": name, "PolicyDocument": own}),
        ("CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": trust,
                        "Tags.member.1.Key": "a", "Tags.member.1.Value": "b"}),
        ("PutUserPolicy", {"UserName": name, "PolicyName": "p", "PolicyDocument": own}),
    )  # fmt: skip
    made += forms(
        "sts", "2011-06-15",
        ("AssumeRole", {"RoleArn": f"arn:aws:iam::000000000000:role/{name}", "Policy": own,
                        "RoleSessionName": "s", "DurationSeconds": "900"}),
        ("GetCallerIdentity", {}),
    )  # fmt: skip
    for text in (json.dumps(TEMPLATE), YAML):
        parameters = {
            "Parameters.member.1.ParameterKey": "P",
            "Parameters.member.1.ParameterValue": "b",
        }
        params = {
            "TemplateBody": text,
            "StackName": name,
            "Capabilities.member.1": "CAPABILITY_IAM",
        }
        asked = [("ValidateTemplate", {"TemplateBody": text}), ("CreateStack", params | parameters)]
        made += forms("cloudformation", "2010-05-15", *asked)
    for pattern in PATTERNS:
        params = {"logGroupName": name, "filterPattern": pattern}
        headers = {"content-type": "application/x-amz-json-1.1"}
        headers["x-amz-target"] = "Logs_20140328.FilterLogEvents"
        made.append(Sent("FilterLogEvents", "logs", "POST", "/", "", headers, orjson.dumps(params)))
    resource = json.dumps(POLICY).replace("s3:", "dynamodb:").replace("BUCKET", name)
    body = orjson.dumps({"ResourceArn": f"arn:aws:dynamodb:us-east-1:000000000000:table/{name}",
                         "Policy": resource})  # fmt: skip
    headers = {"content-type": "application/x-amz-json-1.0"}
    headers["x-amz-target"] = "DynamoDB_20120810.PutResourcePolicy"
    made.append(Sent("PutResourcePolicy", "dynamodb", "POST", "/", "", headers, body))
    return made
