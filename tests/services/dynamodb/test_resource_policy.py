"""Policies of tables and streams: what is taken, what they decide, who may change them."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.conftest import Cloud
from tests.services.dynamodb import desk as desks
from tests.services.dynamodb.desk import ACCOUNT, Desk, at_desk
from tests.services.dynamodb.test_permissions import asked

USER = f"arn:aws:iam::{ACCOUNT}:user/u"
VIEW = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
OTHER: dict[str, Any] = {
    "TableName": "other",
    **keyed(p="S"),
    "StreamSpecification": VIEW,
}


def policy(effect: str = "Allow", action: Any = "dynamodb:GetItem", **more: Any) -> dict[str, Any]:
    statement = {"Effect": effect, "Principal": {"AWS": USER}, "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement | more]}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"Version": "2012-10-17", "Statement": []},
        {"Version": "1999-01-01", "Statement": policy()["Statement"]},
        policy(effect="Refuse"),
        policy(action=[]),
        policy(action="GetItem"),
        policy(Principal={"Nobody": "x"}),
        policy(Condition={"NoSuchOperator": {"aws:username": "u"}}),
        {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]},
    ],
)
def test_what_is_no_policy_is_refused(document: Any) -> None:
    """Kept, it would decide nothing: a table would stay open that its owner thinks is shut."""

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        arn = desk.service_table("tab").arn
        error = await desk.refused(
            "PutResourcePolicy", ResourceArn=arn, Policy=json.dumps(document)
        )
        assert error.code == "ValidationException"
        assert error.message.startswith("Invalid policy document: ")
        error = await desk.refused("GetResourcePolicy", ResourceArn=arn)
        assert error.code == "PolicyNotFoundException"

    at_desk(main)


def test_a_stream_has_a_policy_of_its_own() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", StreamSpecification=VIEW)
        table = desk.service_table("tab").arn
        stream = (await desk.DescribeTable(TableName="tab"))["Table"]["LatestStreamArn"]
        of_stream = policy(action="dynamodb:GetRecords")
        put = await desk.PutResourcePolicy(ResourceArn=stream, Policy=json.dumps(of_stream))
        got = await desk.GetResourcePolicy(ResourceArn=stream)
        assert json.loads(got["Policy"]) == of_stream and got["RevisionId"] == put["RevisionId"]
        error = await desk.refused("GetResourcePolicy", ResourceArn=table)
        assert error.code == "PolicyNotFoundException"
        await desk.PutResourcePolicy(ResourceArn=table, Policy=json.dumps(policy()))

        def policies(operation: str, **params: Any) -> list[Any]:
            return [a.resource_policy for a in asked(desk, operation, params)]

        for operation in ("PutResourcePolicy", "DeleteResourcePolicy", "GetResourcePolicy"):
            assert policies(operation, ResourceArn=stream) == [of_stream]
            assert policies(operation, ResourceArn=table) == [policy()]
        assert policies("TagResource", ResourceArn=table) == [policy()]
        assert policies("ExportTableToPointInTime", TableArn=table) == [policy()]
        assert policies("DescribeStream", StreamArn=stream) == [of_stream]
        shards = (await desk.DescribeStream(StreamArn=stream))["StreamDescription"]["Shards"]
        at = await desk.GetShardIterator(
            StreamArn=stream, ShardId=shards[0]["ShardId"], ShardIteratorType="LATEST"
        )
        assert policies("GetRecords", **at) == [of_stream]

        shut = policy("Deny", "*")
        again = (await desk.CreateTable(**OTHER))["TableDescription"]
        await desk.PutResourcePolicy(ResourceArn=again["LatestStreamArn"], Policy=json.dumps(shut))
        await desk.DeleteTable(TableName="other")  # its stream can be read for a day
        assert policies("DescribeStream", StreamArn=again["LatestStreamArn"]) == [shut]

        gone = await desk.DeleteResourcePolicy(ResourceArn=stream)
        assert gone == put
        assert await desk.DeleteResourcePolicy(ResourceArn=stream) == {}
        assert policies("DescribeStream", StreamArn=stream) == [None]
        for wrong in (stream + "0", table + "/index/by-g", table + "0"):
            error = await desk.refused("GetResourcePolicy", ResourceArn=wrong)
            assert error.code == "ResourceNotFoundException"

    at_desk(main)


def test_what_stands_is_told_to_who_expected_another_revision() -> None:
    absent = "Resource-based policy not found for the provided ResourceArn: "

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        arn = desk.service_table("tab").arn
        put = {"ResourceArn": arn, "Policy": json.dumps(policy())}

        async def said(operation: str, **params: Any) -> str:
            error = await desk.refused(operation, **params)
            assert error.code == "PolicyNotFoundException"
            return error.message.removeprefix(absent)

        assert await said("GetResourcePolicy", ResourceArn=arn) == arn
        assert await said("PutResourcePolicy", **put, ExpectedRevisionId="1") == arn
        is_there = (await desk.PutResourcePolicy(**put, ExpectedRevisionId="NO_POLICY"))[
            "RevisionId"
        ]
        named = {"ResourceArn": arn}
        for operation, given in (("PutResourcePolicy", put), ("DeleteResourcePolicy", named)):
            other = await said(operation, **given, ExpectedRevisionId="1")
            assert other == (
                "Requested update for policy with revision id 1, but the policy associated to"
                f" target table tab has revision id {is_there}."
            )
        assert await said("PutResourcePolicy", **put, ExpectedRevisionId="NO_POLICY") == (
            "Requested policy update expecting none to be present for table tab, but a policy"
            f" exists with revision id {is_there}."
        )
        error = await desk.refused("GetResourcePolicy", ResourceArn=arn + "0")
        assert error.message == "Requested resource not found: Table: tab0 not found"

    at_desk(main)


def test_shutting_oneself_out_must_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    user = dataclasses.replace(desks.ROOT, kind="user", arn=USER, name="u")

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        arn = desk.service_table("tab").arn
        text = json.dumps(policy("Deny", "dynamodb:*ResourcePolicy"))
        put = {"ResourceArn": arn, "Policy": text}
        monkeypatch.setattr(desks, "ROOT", user)
        error = await desk.refused("PutResourcePolicy", **put)
        assert error.code == "ValidationException"
        assert "ConfirmRemoveSelfResourceAccess" in error.message
        await desk.PutResourcePolicy(**put, ConfirmRemoveSelfResourceAccess=True)
        monkeypatch.undo()
        await desk.PutResourcePolicy(**put)  # the account's root can always take it back

    at_desk(main)


def test_a_policy_guards_itself_but_not_from_root(cloud: Cloud) -> None:
    client, iam = cloud.client("dynamodb"), cloud.client("iam")
    name = f"guarded-{uuid.uuid4().hex[:8]}"
    made = client.create_table(
        TableName=name,
        **keyed(p="S"),
    )
    arn = made["TableDescription"]["TableArn"]
    iam.create_user(UserName=name)
    everything = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    iam.put_user_policy(
        UserName=name,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    user = cloud.client(
        "dynamodb", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]
    )
    user.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    shut = policy("Deny", "dynamodb:*", Principal="*")
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(shut))
    for call in (
        lambda: user.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "c"}]),
        lambda: user.delete_resource_policy(ResourceArn=arn),
        lambda: client.describe_table(TableName=name),
    ):
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            call()
    assert json.loads(client.get_resource_policy(ResourceArn=arn)["Policy"]) == shut
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(policy()))
    client.delete_resource_policy(ResourceArn=arn)
    user.delete_table(TableName=name)
