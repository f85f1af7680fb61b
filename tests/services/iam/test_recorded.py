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


def test_session_tags(cloud: Any) -> None:
    iam, sts, name = cloud.client("iam"), cloud.client("sts"), f"tags-{uuid.uuid4().hex[:8]}"
    account = sts.get_caller_identity()["Account"]
    statement = {"Effect": "Allow", "Principal": {"AWS": account}}
    statement["Action"] = ["sts:AssumeRole", "sts:TagSession"]
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    mine = cloud.client("sts", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    with pytest.raises(ClientError, match="Duplicate tag keys found"):
        twice = [{"Key": "A", "Value": "1"}, {"Key": "a", "Value": "2"}]
        mine.assume_role(RoleArn=arn, RoleSessionName="session", Tags=twice)
    with pytest.raises(ClientError, match="must be included in the requested tags"):
        asked = {"Tags": twice[:1], "TransitiveTagKeys": ["A", "b"]}
        mine.assume_role(RoleArn=arn, RoleSessionName="session", **asked)
    mine.assume_role(
        RoleArn=arn, RoleSessionName="session", Tags=twice[:1], TransitiveTagKeys=["a"]
    )


def test_roles_of_services(cloud: Any) -> None:
    iam = cloud.client("iam")
    made = iam.create_service_linked_role(AWSServiceName="eks.amazonaws.com")["Role"]
    assert made["RoleName"] == "AWSServiceRoleForAmazonEKS"
    statement = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}}
    statement["Action"] = "sts:AssumeRole"
    assert made["AssumeRolePolicyDocument"]["Statement"] == [statement]
    task = iam.delete_service_linked_role(RoleName=made["RoleName"])["DeletionTaskId"]
    assert uuid.UUID(task.rpartition("/")[2])
    status = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)
    assert status["Status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="Custom suffix is not allowed for eks"):
        iam.create_service_linked_role(AWSServiceName="eks.amazonaws.com", CustomSuffix="x")
    service, suffix = "autoscaling.amazonaws.com", uuid.uuid4().hex[:8]
    made = iam.create_service_linked_role(AWSServiceName=service, CustomSuffix=suffix)["Role"]
    assert made["RoleName"] == f"AWSServiceRoleForAutoScaling_{suffix}"


def test_a_groups_policies_are_simulated(cloud: Any) -> None:
    iam, name = cloud.client("iam"), f"group-{uuid.uuid4().hex[:8]}"
    arn = iam.create_group(GroupName=name)["Group"]["Arn"]
    iam.attach_group_policy(
        GroupName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    )
    told = iam.simulate_principal_policy(
        PolicySourceArn=arn,
        ActionNames=["s3:GetObject", "s3:PutObject"],
        ResourceArns=["arn:aws:s3:::some"],
    )["EvaluationResults"]
    assert [r["EvalDecision"] for r in told] == ["allowed", "implicitDeny"]
    each = [r["ResourceSpecificResults"] for r in told]
    assert [(one["EvalResourceName"], one["EvalResourceDecision"]) for [one] in each] == [
        ("arn:aws:s3:::some", "allowed"),
        ("arn:aws:s3:::some", "implicitDeny"),
    ]
