"""Users, groups, roles, policies, profiles: limits and conflicts as IAM answers them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from pileus.errors import AwsError
from pileus.policy.document import compile_document
from pileus.services.call import Call
from pileus.services.iam import managed
from tests.services.iam.conftest import ACCOUNT, ROOT, Cloud, allow, text

READ = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


async def code(awaited: Any) -> str:
    with pytest.raises(AwsError) as error:
        await awaited
    return str(error.value.code)


def test_user_until_nothing_holds_it(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        made = (await cloud("CreateUser", UserName="Bob", Path="/dev/"))["User"]
        assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/dev/Bob"
        assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
        assert await code(cloud("CreateUser", UserName="bob")) == "EntityAlreadyExists"
        assert await code(cloud("CreateUser", UserName="b b")) == "ValidationError"
        key = (await cloud("CreateAccessKey", UserName="Bob"))["AccessKey"]["AccessKeyId"]
        await cloud("CreateAccessKey", UserName="Bob")
        assert await code(cloud("CreateAccessKey", UserName="Bob")) == "LimitExceeded"
        await cloud("CreateGroup", GroupName="g")
        await cloud("AddUserToGroup", GroupName="g", UserName="Bob")
        await cloud("AttachUserPolicy", UserName="Bob", PolicyArn=READ)
        for undo in (
            ("RemoveUserFromGroup", {"GroupName": "g"}),
            ("DetachUserPolicy", {"PolicyArn": READ}),
            ("DeleteAccessKey", {"AccessKeyId": key}),
        ):
            assert await code(cloud("DeleteUser", UserName="Bob")) == "DeleteConflict"
            await cloud(undo[0], UserName="Bob", **undo[1])
        rest = (await cloud("ListAccessKeys", UserName="Bob"))["AccessKeyMetadata"]
        await cloud("DeleteAccessKey", UserName="Bob", AccessKeyId=rest[0]["AccessKeyId"])
        await cloud("DeleteUser", UserName="Bob")
        assert await code(cloud("GetUser", UserName="Bob")) == "NoSuchEntity"

    run(body)


def test_groups_grant_and_follow_their_name(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob")
        await cloud("CreateGroup", GroupName="g")
        await cloud("AddUserToGroup", GroupName="g", UserName="bob")
        await cloud("AttachGroupPolicy", GroupName="g", PolicyArn=READ)
        cloud.ask(bob, "s3:GetObject")
        await cloud("UpdateGroup", GroupName="g", NewGroupName="h")
        cloud.ask(bob, "s3:GetObject")
        listed = (await cloud("ListGroupsForUser", UserName="bob"))["Groups"]
        assert [g["GroupName"] for g in listed] == ["h"]
        assert await code(cloud("DeleteGroup", GroupName="h")) == "DeleteConflict"
        await cloud("RemoveUserFromGroup", GroupName="h", UserName="bob")
        with pytest.raises(AwsError):
            cloud.ask(bob, "s3:GetObject")

    run(body)


def test_renamed_user_keeps_keys_and_policies(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("s3:*"))
        await cloud("UpdateUser", UserName="bob", NewUserName="rob", NewPath="/x/")
        held = cloud.identities.lookup(bob.access_key_id, None)
        assert held is not None and held.principal.arn.endswith("user/x/rob")
        cloud.ask(held.principal, "s3:GetObject")
        assert (await cloud("GetUser", ROOT, UserName="rob"))["User"]["UserId"] == bob.id

    run(body)


def test_what_is_told_of_a_policy_depends_on_who_asks(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        given = {"PolicyDocument": text(allow("s3:*")), "Description": "d", "Path": "/told/"}
        for name, tags in (("bare", []), ("tagged", [{"Key": "k", "Value": "v"}])):
            made = (await cloud("CreatePolicy", PolicyName=name, Tags=tags, **given))["Policy"]
            assert "Description" not in made
            assert made.get("Tags", []) == tags and ("Tags" in made) == bool(tags)
            got = (await cloud("GetPolicy", PolicyArn=made["Arn"]))["Policy"]
            assert (got["Description"], got["Tags"]) == ("d", tags)
        for listed in (await cloud("ListPolicies", PathPrefix="/told/"))["Policies"]:
            assert not {"Description", "Tags"} & listed.keys()

    run(body)


def test_policy_versions(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        document = text(allow("s3:*"))
        made = await cloud("CreatePolicy", PolicyName="p", PolicyDocument=document)
        arn = made["Policy"]["Arn"]
        bob = await cloud.user("bob")
        await cloud("AttachUserPolicy", UserName="bob", PolicyArn=arn)
        cloud.ask(bob, "s3:GetObject")
        new = text(allow("sqs:*"))
        for number in range(2, 6):
            given = {"PolicyArn": arn, "PolicyDocument": new, "SetAsDefault": number == 2}
            version = (await cloud("CreatePolicyVersion", **given))["PolicyVersion"]
            assert version["VersionId"] == f"v{number}"
        full = cloud("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=new)
        assert await code(full) == "LimitExceeded"
        cloud.ask(bob, "sqs:SendMessage")
        with pytest.raises(AwsError):
            cloud.ask(bob, "s3:GetObject")
        await cloud("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
        cloud.ask(bob, "s3:GetObject")
        kept = await cloud("GetPolicyVersion", PolicyArn=arn, VersionId="v1")
        assert unquote(kept["PolicyVersion"]["Document"]) == document
        default = cloud("DeletePolicyVersion", PolicyArn=arn, VersionId="v1")
        assert await code(default) == "DeleteConflict"
        assert await code(cloud("DeletePolicy", PolicyArn=arn)) == "DeleteConflict"
        users = (await cloud("ListEntitiesForPolicy", PolicyArn=arn))["PolicyUsers"]
        assert [u["UserName"] for u in users] == ["bob"]

    run(body)


def test_malformed_policies_are_refused(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        for bad in ("{", "{}", text(), text({"Effect": "Allow", "Action": "s3:*"}),
                    text({**allow("s3:*"), "Principal": "*"})):  # fmt: skip
            made = cloud("CreatePolicy", PolicyName="p", PolicyDocument=bad)
            assert await code(made) == "MalformedPolicyDocument"
        anybody = {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}
        for change in ({"Action": "s3:GetObject"}, {"Resource": "*"}, {"Principal": "bob"}):
            trust = text(anybody | change)
            made = cloud("CreateRole", RoleName="r", AssumeRolePolicyDocument=trust)
            assert await code(made) == "MalformedPolicyDocument"
        long = text(allow("s3:" + "x" * 7000))
        too_long = cloud("CreatePolicy", PolicyName="p", PolicyDocument=long)
        assert await code(too_long) == "LimitExceeded"

    run(body)


def test_aws_policies_by_arn(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        for about in managed.documents().values():
            compile_document(about["document"], identity=True)
        await cloud.role("f", {"Service": "lambda.amazonaws.com"})
        await cloud("AttachRolePolicy", RoleName="f", PolicyArn=BASIC)
        held = (await cloud("ListAttachedRolePolicies", RoleName="f"))["AttachedPolicies"]
        assert held == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
        version = await cloud("GetPolicyVersion", PolicyArn=BASIC, VersionId="v1")
        document = json.loads(unquote(version["PolicyVersion"]["Document"]))
        assert "logs:PutLogEvents" in document["Statement"][0]["Action"]
        wrong = "arn:aws:iam::aws:policy/AWSLambdaBasicExecutionRole"  # the path is missing
        attach = cloud("AttachRolePolicy", RoleName="f", PolicyArn=wrong)
        assert await code(attach) == "NoSuchEntity"
        assert await code(cloud("DeletePolicy", PolicyArn=BASIC)) == "AccessDenied"

    run(body)


def test_roles_profiles_and_service_linked_roles(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        await cloud.role("r", {"Service": "ec2.amazonaws.com"}, allow("s3:*"))
        await cloud("CreateInstanceProfile", InstanceProfileName="p")
        both = {"InstanceProfileName": "p", "RoleName": "r"}
        await cloud("AddRoleToInstanceProfile", **both)
        assert await code(cloud("AddRoleToInstanceProfile", **both)) == "LimitExceeded"
        got = (await cloud("GetInstanceProfile", InstanceProfileName="p"))["InstanceProfile"]
        assert [r["RoleName"] for r in got["Roles"]] == ["r"]
        await cloud("DeleteRolePolicy", RoleName="r", PolicyName="p")
        assert await code(cloud("DeleteRole", RoleName="r")) == "DeleteConflict"
        profile = cloud("DeleteInstanceProfile", InstanceProfileName="p")
        assert await code(profile) == "DeleteConflict"
        await cloud("RemoveRoleFromInstanceProfile", **both)
        await cloud("DeleteRole", RoleName="r")
        linked = await cloud("CreateServiceLinkedRole", AWSServiceName="lambda.amazonaws.com")
        name = linked["Role"]["RoleName"]
        assert name == "AWSServiceRoleForLambda"
        attach = cloud("AttachRolePolicy", RoleName=name, PolicyArn=READ)
        assert await code(attach) == "UnmodifiableEntity"
        assert await code(cloud("DeleteRole", RoleName=name)) == "UnmodifiableEntity"
        task = (await cloud("DeleteServiceLinkedRole", RoleName=name))["DeletionTaskId"]
        done = await cloud("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task)
        assert done == {"Status": "SUCCEEDED"}

    run(body)


def test_account_details_and_simulation(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        bob = await cloud.user("bob", allow("s3:Get*"))
        await cloud.role("r", {"AWS": bob.arn})
        await cloud("AttachRolePolicy", RoleName="r", PolicyArn=BASIC)
        found = await cloud("GetAccountAuthorizationDetails")
        assert [u["UserName"] for u in found["UserDetailList"]] == ["bob"]
        assert [p["Arn"] for p in found["Policies"]] == [BASIC]
        users = await cloud("GetAccountAuthorizationDetails", Filter=["User"])
        assert users["UserDetailList"] and not users["RoleDetailList"]
        told = await cloud(
            "SimulatePrincipalPolicy", PolicySourceArn=bob.arn,
            ActionNames=["s3:GetObject", "s3:PutObject"],
        )  # fmt: skip
        decisions = [r["EvalDecision"] for r in told["EvaluationResults"]]
        assert decisions == ["allowed", "implicitDeny"]
        home = allow("s3:*", resource="arn:aws:s3:::home/${aws:username}")
        given: dict[str, Any] = {
            "PolicyInputList": [text(home)], "ActionNames": ["s3:GetObject"],
            "ResourceArns": ["arn:aws:s3:::home/bob"],
            "ContextEntries": [{"ContextKeyName": "aws:username", "ContextKeyType": "string",
                                "ContextKeyValues": ["bob"]}],
        }  # fmt: skip
        deny = text({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"})
        for more, word in (
            ({}, "allowed"),
            ({"ResourcePolicy": deny}, "explicitDeny"),
            ({"PermissionsBoundaryPolicyInputList": [text(allow("sqs:*"))]}, "implicitDeny"),
        ):
            told = await cloud("SimulateCustomPolicy", **given, **more)
            assert told["EvaluationResults"][0]["EvalDecision"] == word

    run(body)


def test_permissions_of_iam_itself(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        own = f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
        bob = await cloud.user("bob", allow("iam:*AccessKey*", "iam:GetUser", resource=own))
        assert (await cloud("GetUser", bob))["User"]["UserName"] == "bob"
        await cloud("ListAccessKeys", bob)
        await cloud("CreateUser", UserName="eve")
        with pytest.raises(AwsError) as error:
            await cloud("CreateAccessKey", bob, UserName="eve")
        assert f"iam:CreateAccessKey on resource: arn:aws:iam::{ACCOUNT}:user/eve" in str(
            error.value.message
        )
        assert await code(cloud("ListUsers", bob)) == "AccessDenied"

    run(body)


def test_a_repeated_request_makes_one_key(run: Any) -> None:
    async def body(cloud: Cloud) -> None:
        await cloud("CreateUser", UserName="bob")
        made = []
        for _ in range(2):
            call = Call("iam", "CreateAccessKey", ROOT, "us-east-1", {"UserName": "bob"})
            call.invocation_id = b"0123456789abcdef"
            made.append(await cloud.services["iam"].operations["CreateAccessKey"](call))
        assert made[0]["AccessKey"]["SecretAccessKey"] == made[1]["AccessKey"]["SecretAccessKey"]
        assert len((await cloud("ListAccessKeys", UserName="bob"))["AccessKeyMetadata"]) == 1

    run(body)
