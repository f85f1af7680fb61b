"""The Parameter Store through boto3: texts, lists, secrets, versions, paths, who may."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Cloud


@pytest.fixture(scope="module")
def ssm(cloud: Cloud) -> Any:
    return cloud.client("ssm")


@pytest.fixture
def root() -> str:
    """A path that no other test uses."""
    return f"/p{uuid.uuid4().hex[:10]}"


def code(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_a_parameter_is_put_read_overwritten_and_deleted(ssm: Any, root: str) -> None:
    name = f"{root}/url"
    put = ssm.put_parameter(Name=name, Value="a", Type="String", Description="where")
    assert (put["Version"], put["Tier"]) == (1, "Standard")
    told = ssm.get_parameter(Name=name)["Parameter"]
    assert (told["Value"], told["Version"], told["Type"]) == ("a", 1, "String")
    assert (told["DataType"], told["ARN"].endswith(f":parameter{name}")) == ("text", True)
    assert ssm.get_parameter(Name=told["ARN"])["Parameter"]["Name"] == name
    assert code(ssm.put_parameter, Name=name, Value="b", Type="String") == "ParameterAlreadyExists"
    assert ssm.put_parameter(Name=name, Value="b", Overwrite=True)["Version"] == 2
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == "b"
    old = ssm.get_parameter(Name=f"{name}:1")["Parameter"]
    assert (old["Value"], old["Version"], old["Selector"]) == ("a", 1, ":1")
    assert code(ssm.get_parameter, Name=f"{name}:9") == "ParameterVersionNotFound"
    history = ssm.get_parameter_history(Name=name)["Parameters"]
    assert [(h["Version"], h["Value"], h["Description"]) for h in history] == [
        (1, "a", "where"),
        (2, "b", "where"),
    ]
    mismatch = {"Name": name, "Value": "c", "Type": "StringList", "Overwrite": True}
    assert code(ssm.put_parameter, **mismatch) == "HierarchyTypeMismatchException"
    gone = ssm.delete_parameters(Names=[name, f"{root}/never"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == ([name], [f"{root}/never"])
    assert code(ssm.get_parameter, Name=name) == "ParameterNotFound"
    assert code(ssm.delete_parameter, Name=name) == "ParameterNotFound"
    ssm.put_parameter(Name=name, Value="anew", Type="String")
    assert [h["Version"] for h in ssm.get_parameter_history(Name=name)["Parameters"]] == [1]


def test_many_are_read_by_name_and_by_path(ssm: Any, root: str) -> None:
    names = [f"{root}/a", f"{root}/b", f"{root}/deep/c"]
    for name in names:
        ssm.put_parameter(Name=name, Value=name, Type="String")
    ssm.put_parameter(Name=f"{root}x", Value="beside", Type="StringList")
    told = ssm.get_parameters(Names=[names[1], f"{root}/none", names[0]])
    assert sorted(p["Name"] for p in told["Parameters"]) == names[:2]
    assert told["InvalidParameters"] == [f"{root}/none"]

    def below(**more: Any) -> list[str]:
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=root, **more)
        return [p["Name"] for page in pages for p in page["Parameters"]]

    assert below() == names[:2]
    assert below(Recursive=True, PaginationConfig={"PageSize": 1}) == names

    def described(*filters: dict[str, Any]) -> list[str]:
        pages = ssm.get_paginator("describe_parameters").paginate(
            ParameterFilters=list(filters), PaginationConfig={"PageSize": 2}
        )
        found = [p for page in pages for p in page["Parameters"]]
        assert all("Value" not in p for p in found)
        return [p["Name"] for p in found]

    starts = {"Key": "Name", "Option": "BeginsWith", "Values": [root]}
    assert described(starts) == sorted([*names, f"{root}x"])
    assert described(starts, {"Key": "Type", "Values": ["StringList"]}) == [f"{root}x"]
    assert (
        described({"Key": "Path", "Option": "Recursive", "Values": [f"{root}/deep"]}) == names[2:]
    )


def test_a_secret_lies_encrypted_and_is_read_by_who_asks_for_it(
    cloud: Cloud, ssm: Any, root: str
) -> None:
    name = f"{root}/secret"
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    ssm.put_parameter(Name=name, Value="words", Type="SecureString")
    ssm.put_parameter(Name=f"{name}2", Value="other words", Type="SecureString", KeyId=key)
    for told, value in ((name, "words"), (f"{name}2", "other words")):
        assert value not in ssm.get_parameter(Name=told)["Parameter"]["Value"]
        opened = ssm.get_parameter(Name=told, WithDecryption=True)["Parameter"]
        assert (opened["Value"], opened["Type"]) == (value, "SecureString")
    found = ssm.describe_parameters(ParameterFilters=[{"Key": "KeyId", "Values": [key]}])
    assert [p["Name"] for p in found["Parameters"]] == [f"{name}2"]
    absent = {"Name": f"{name}3", "Value": "x", "Type": "SecureString"}
    assert code(ssm.put_parameter, KeyId=str(uuid.uuid4()), **absent) == "InvalidKeyId"


def test_what_cannot_be_is_refused(ssm: Any, root: str) -> None:
    put = ssm.put_parameter
    assert code(put, Name=f"{root}/v", Value="x") == "ValidationException"  # no type
    for name in ("aws-mine", "/ssm/x", f"{root}/", "a b", f"{root}//x", "a/b"):
        assert code(put, Name=name, Value="x", Type="String") == "ValidationException"
    deep = root + "/x" * 15
    refused = code(put, Name=deep, Value="x", Type="String")
    assert refused == "HierarchyLevelLimitExceededException"
    long = {"Name": f"{root}/v", "Value": "x" * 4097, "Type": "String"}
    assert code(put, **long) == "ValidationException"
    assert put(**long, Tier="Intelligent-Tiering")["Tier"] == "Advanced"
    only = {"Name": f"{root}/n", "Type": "String", "AllowedPattern": r"^\d+$"}
    assert code(put, Value="x", **only) == "ParameterPatternMismatchException"
    put(Value="12", **only)
    again = {"Name": f"{root}/n", "Overwrite": True}
    assert code(put, Value="x", **again) == "ParameterPatternMismatchException"
    assert code(put, **{**only, "AllowedPattern": "("}, Value="1") == (
        "InvalidAllowedPatternException"
    )


def test_tags_and_policies_decide_who_may(cloud: Cloud, ssm: Any, root: str) -> None:
    open_, closed = f"{root}/open", f"{root}/closed"
    ssm.put_parameter(Name=open_, Value="1", Type="String", Tags=[{"Key": "who", "Value": "all"}])
    ssm.put_parameter(Name=closed, Value="2", Type="String")
    iam, user = cloud.client("iam"), f"u-{uuid.uuid4().hex[:10]}"
    iam.create_user(UserName=user)
    statement = {
        "Effect": "Allow",
        "Action": ["ssm:GetParameter", "ssm:GetParameters"],
        "Resource": f"arn:aws:ssm:*:*:parameter{root}/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/who": "all"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    theirs = cloud.client("ssm", access_key=made["AccessKeyId"], secret_key=made["SecretAccessKey"])
    assert theirs.get_parameter(Name=open_)["Parameter"]["Value"] == "1"
    assert code(theirs.get_parameter, Name=closed) == "AccessDeniedException"
    assert code(theirs.get_parameters, Names=[open_, closed]) == "AccessDeniedException"
    place = {"ResourceType": "Parameter", "ResourceId": closed}
    ssm.add_tags_to_resource(**place, Tags=[{"Key": "who", "Value": "all"}])
    assert theirs.get_parameter(Name=closed)["Parameter"]["Value"] == "2"
    assert ssm.list_tags_for_resource(**place)["TagList"] == [{"Key": "who", "Value": "all"}]
    ssm.remove_tags_from_resource(**place, TagKeys=["who"])
    assert code(theirs.get_parameter, Name=closed) == "AccessDeniedException"


def test_a_name_of_one_level_is_the_same_with_a_slash(ssm: Any, root: str) -> None:
    bare = root.removeprefix("/")
    ssm.put_parameter(Name=bare, Value="a", Type="String")
    told = ssm.get_parameter(Name=root)["Parameter"]
    assert (told["Name"], told["Value"]) == (root, "a")
    assert [p["Name"] for p in ssm.get_parameters(Names=[root])["Parameters"]] == [root]
    assert code(ssm.put_parameter, Name=root, Value="b", Type="String") == "ParameterAlreadyExists"
    ssm.delete_parameter(Name=root)
    assert code(ssm.get_parameter, Name=bare) == "ParameterNotFound"


@pytest.mark.parametrize("form", ["{0}//b", "{0}/b/c"])
def test_what_can_be_no_name_is_refused_by_reads(ssm: Any, root: str, form: str) -> None:
    bare = root.removeprefix("/")
    with pytest.raises(ClientError, match="sub-paths divided by slash symbol") as caught:
        ssm.get_parameter(Name=form.format(root if "//" in form else bare))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
