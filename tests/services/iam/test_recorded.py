"""Answers and refusals of IAM and STS as AWS gives them, seen through boto3."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.policies import TRUST


def test_what_was_not_given_is_not_told(cloud: Any) -> None:
    iam, name = cloud.client("iam"), f"bare-{uuid.uuid4().hex[:8]}"
    user = iam.create_user(UserName=name)["User"]
    assert "Tags" not in user and "Tags" not in iam.get_user(UserName=name)["User"]
    iam.tag_user(UserName=name, Tags=[{"Key": "a", "Value": "b"}])
    assert iam.get_user(UserName=name)["User"]["Tags"] == [{"Key": "a", "Value": "b"}]
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    assert not {"Tags", "RoleLastUsed", "MaxSessionDuration"} & set(made)
    role = iam.get_role(RoleName=name)["Role"]
    assert (role["MaxSessionDuration"], role["RoleLastUsed"], "Tags" in role) == (3600, {}, False)
    allowed = {"Version": "2012-10-17", "Statement": []}
    allowed["Statement"] = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
    policy = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(allowed))["Policy"]
    assert "Description" not in policy
    assert name in {p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"]}


def test_refusals(cloud: Any) -> None:
    iam, name = cloud.client("iam"), f"odd-{uuid.uuid4().hex[:8]}"
    with pytest.raises(ClientError, match="This policy contains invalid Json"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{")
    iam.create_user(UserName=name)
    with pytest.raises(ClientError, match="Invalid ARN:  Could not be parsed!"):
        iam.attach_user_policy(UserName=name, PolicyArn="notanarnbutlongenough")
    with pytest.raises(ClientError) as caught:
        cloud.client("sts").assume_role(
            RoleArn="arn:aws:iam::000000000000:role/none", RoleSessionName="Session1:2"
        )
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "Value 'Session1:2' at 'roleSessionName'" in str(caught.value)
