"""Identity as a user of boto3 meets it: keys, roles, permission missing, added."""

from __future__ import annotations

import json
import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole"}


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def signed(cloud: Any, service: str, key: dict[str, Any]) -> Any:
    return boto3.client(
        service,
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
    )


def test_user_assumes_a_role_and_needs_its_permission(cloud: Any) -> None:
    iam, name = cloud.client("iam"), f"u{uuid.uuid4().hex[:12]}"
    user = iam.create_user(UserName=name)["User"]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    me = signed(cloud, "sts", key)
    assert me.get_caller_identity()["Arn"] == user["Arn"]
    trust = document(TRUST | {"Principal": {"AWS": user["Arn"]}})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == "sts:AssumeRole"
    got = me.assume_role(RoleArn=role["Arn"], RoleSessionName="door")
    tables = signed(cloud, "dynamodb", got["Credentials"])
    with pytest.raises(ClientError) as error:
        tables.list_tables()
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert got["AssumedRoleUser"]["Arn"] in str(error.value)
    read = "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess"
    iam.attach_role_policy(RoleName=name, PolicyArn=read)
    assert "TableNames" in tables.list_tables()
    iam.detach_role_policy(RoleName=name, PolicyArn=read)
    with pytest.raises(ClientError):
        tables.list_tables()


def test_pages_documents_and_errors_by_the_model(cloud: Any) -> None:
    iam, stem = cloud.client("iam"), f"g{uuid.uuid4().hex[:10]}"
    for at in range(3):
        iam.create_group(GroupName=f"{stem}{at}", Path=f"/{stem}/")
    pages = iam.get_paginator("list_groups").paginate(
        PathPrefix=f"/{stem}/", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["Groups"]) for page in pages] == [2, 1]
    with pytest.raises(iam.exceptions.NoSuchEntityException) as error:
        iam.get_group(GroupName=f"{stem}none")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_group_policy(GroupName=f"{stem}0", PolicyName="p", PolicyDocument=document(allow))
    kept = iam.get_group_policy(GroupName=f"{stem}0", PolicyName="p")["PolicyDocument"]
    assert kept["Statement"] == [allow]
    details = iam.get_account_authorization_details(Filter=["Group"], MaxItems=1000)
    mine = [g for g in details["GroupDetailList"] if g["GroupName"] == f"{stem}0"]
    assert mine[0]["GroupPolicyList"][0]["PolicyDocument"]["Statement"] == [allow]


def test_wrong_secret_and_unknown_key(cloud: Any) -> None:
    iam, name = cloud.client("iam"), f"u{uuid.uuid4().hex[:12]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    with pytest.raises(ClientError) as error:
        signed(cloud, "sts", key | {"SecretAccessKey": "x" * 40}).get_caller_identity()
    assert error.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    with pytest.raises(ClientError) as error:
        signed(cloud, "sts", key | {"AccessKeyId": "AKIAUNKNOWNUNKNOWN00"}).get_caller_identity()
    assert error.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_there_are_no_web_identity_providers(cloud: Any) -> None:
    told = cloud.client("iam").list_open_id_connect_providers()
    assert told["OpenIDConnectProviderList"] == []
