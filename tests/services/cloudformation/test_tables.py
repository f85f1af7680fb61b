"""Tables that follow their template, update by update, and go back with it (H8)."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import WaiterError

from lab.tables import keyed
from pileus.services.call import Principal
from pileus.services.cloudformation.resources.dynamodb import Table
from pileus.services.cloudformation.resources.kind import Made, Site
from tests.conftest import Cloud
from tests.services.cloudformation.test_stacks import create, settle

PLAIN: dict[str, Any] = {
    **keyed(k="S"),
}
MORE: dict[str, Any] = {
    "StreamSpecification": {"StreamViewType": "KEYS_ONLY"},
    "Tags": [{"Key": "colour", "Value": "red"}, {"Key": "kind", "Value": "own"}],
    "TimeToLiveSpecification": {"AttributeName": "until", "Enabled": True},
    "PointInTimeRecoverySpecification": {
        "PointInTimeRecoveryEnabled": True,
        "RecoveryPeriodInDays": 7,
    },
    "DeletionProtectionEnabled": True,
    "BillingMode": "PROVISIONED",
    "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
}
OTHER: dict[str, Any] = MORE | {
    "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
    "Tags": [{"Key": "colour", "Value": "blue"}],
    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 4},
}
FAILING = {"Type": "AWS::Nothing::AtAll", "DependsOn": "Table"}


@pytest.fixture
def cfn(cloud: Cloud) -> Any:
    return cloud.client("cloudformation")


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


def body(table: dict[str, Any], **more: Any) -> str:
    resources = {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}, **more}
    outputs = {"Name": {"Value": {"Ref": "Table"}}}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def index(name: str, **more: Any) -> dict[str, Any]:
    schema = [{"AttributeName": "g", "KeyType": "HASH"}]
    return {"IndexName": name, "KeySchema": schema, "Projection": {"ProjectionType": "ALL"}, **more}


def indexed(*indexes: dict[str, Any], **more: Any) -> dict[str, Any]:
    defined = [*PLAIN["AttributeDefinitions"], {"AttributeName": "g", "AttributeType": "S"}]
    told = {"AttributeDefinitions": defined, "GlobalSecondaryIndexes": list(indexes)}
    return PLAIN | (told if indexes else {}) | more


class Settings:
    """What can be seen of the one table of a stack."""

    def __init__(self, cloud: Cloud, cfn: Any, stack: str) -> None:
        self.dynamodb = cloud.client("dynamodb")
        told = cfn.describe_stack_resource(StackName=stack, LogicalResourceId="Table")
        self.name = told["StackResourceDetail"]["PhysicalResourceId"]

    def now(self) -> dict[str, Any]:
        told, name = self.dynamodb, self.name
        table = told.describe_table(TableName=name)["Table"]
        tags = told.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
        backups = told.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        recovery = backups["PointInTimeRecoveryDescription"]
        units = table.get("ProvisionedThroughput", {})
        return {
            "stream": table.get("StreamSpecification", {}).get("StreamViewType"),
            "tags": {t["Key"]: t["Value"] for t in tags},
            "until": told.describe_time_to_live(TableName=name)["TimeToLiveDescription"].get(
                "AttributeName"
            ),
            "recovery": recovery.get("RecoveryPeriodInDays"),
            "protected": table["DeletionProtectionEnabled"],
            "billing": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
            "units": (units.get("ReadCapacityUnits", 0), units.get("WriteCapacityUnits", 0)),
            "indexes": sorted(i["IndexName"] for i in table.get("GlobalSecondaryIndexes", [])),
        }


def refused(cfn: Any, stack: str, template: str) -> str:
    """Why the update failed, in the events of its table; it is rolled back whole."""
    cfn.update_stack(StackName=stack, TemplateBody=template)
    with pytest.raises(WaiterError):
        settle(cfn, stack, "update")
    status = cfn.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    events = cfn.describe_stack_events(StackName=stack)["StackEvents"]
    return next(e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "UPDATE_FAILED")


def test_settings_follow_the_template_and_go_back(cloud: Cloud, cfn: Any, name: str) -> None:
    create(cfn, name, body(PLAIN))
    table = Settings(cloud, cfn, name)
    plain = {"stream": None, "tags": {}, "until": None, "recovery": None, "protected": False}
    plain |= {"billing": "PAY_PER_REQUEST", "units": (0, 0), "indexes": []}
    assert table.now() == plain

    def brought(properties: dict[str, Any]) -> dict[str, Any]:
        cfn.update_stack(StackName=name, TemplateBody=body(properties))
        settle(cfn, name, "update")
        return table.now()

    more = {"stream": "KEYS_ONLY", "tags": {"colour": "red", "kind": "own"}, "until": "until"}
    more |= {"recovery": 7, "protected": True, "billing": "PROVISIONED", "units": (3, 4)}
    assert brought(PLAIN | MORE) == plain | more
    # What fails after the table was changed puts it back, from there to other settings and to none.
    for properties in (PLAIN | OTHER, PLAIN):
        cfn.update_stack(StackName=name, TemplateBody=body(properties, Wrong=FAILING))
        with pytest.raises(WaiterError):
            settle(cfn, name, "update")
        assert table.now() == plain | more
    other = {"stream": "NEW_IMAGE", "tags": {"colour": "blue"}, "recovery": 35, "units": (5, 4)}
    assert brought(PLAIN | OTHER) == plain | more | other
    assert brought(PLAIN) == plain
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_one_index_an_update(cloud: Cloud, cfn: Any, name: str) -> None:
    create(cfn, name, body(PLAIN))
    table = Settings(cloud, cfn, name)
    for indexes in (["one"], ["one", "two"], ["two"]):
        new = indexed(*(index(n) for n in indexes))
        cfn.update_stack(StackName=name, TemplateBody=body(new))
        settle(cfn, name, "update")
        assert table.now()["indexes"] == indexes
    one = "Cannot perform more than one GSI creation or deletion in a single update"
    assert refused(cfn, name, body(indexed(index("two"), index("three"), index("four")))) == one
    assert refused(cfn, name, body(indexed(index("three")))) == one
    changed = index("two") | {"Projection": {"ProjectionType": "KEYS_ONLY"}}
    assert "Cannot update GSI's properties other" in refused(cfn, name, body(indexed(changed)))
    assert table.now()["indexes"] == ["two"]
    # One that was added, and one that was taken away, by an update that fails.
    for indexes in (["two", "three"], []):
        new = indexed(*(index(n) for n in indexes))
        cfn.update_stack(StackName=name, TemplateBody=body(new, Wrong=FAILING))
        with pytest.raises(WaiterError):
            settle(cfn, name, "update")
        assert table.now()["indexes"] == ["two"]
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_what_cannot_be_changed_is_refused_in_words(cloud: Cloud, cfn: Any, name: str) -> None:
    """A table with a name of its own cannot be replaced, an attribute of expiry not be changed."""
    until = {"AttributeName": "until", "Enabled": True}
    properties = PLAIN | {"TableName": name, "TimeToLiveSpecification": until}
    create(cfn, name, body(properties))
    keyed = {"KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}]}
    keyed["AttributeDefinitions"] = [{"AttributeName": "g", "AttributeType": "S"}]
    told = refused(cfn, name, body(properties | keyed))
    assert f"custom-named resource requires replacing. Rename {name} and update" in told
    other = {"TimeToLiveSpecification": until | {"AttributeName": "other"}}
    told = refused(cfn, name, body(properties | other))
    assert "TimeToLive is active on a different AttributeName" in told
    kinesis = {"KinesisStreamSpecification": {"StreamArn": "arn:aws:kinesis:::s"}}
    told = refused(cfn, name, body(properties | kinesis))
    assert told == "KinesisStreamSpecification is not offered by Pileus"
    assert Settings(cloud, cfn, name).now()["until"] == "until"
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_what_a_template_forgets_is_refused(cloud: Cloud, cfn: Any, name: str) -> None:
    """A required property inside another: the update fails, and does not hang."""
    create(cfn, name, body(PLAIN))
    for wrong in (
        indexed({"IndexName": "shapeless"}),
        indexed({k: v for k, v in index("nameless").items() if k != "IndexName"}),
        PLAIN | {"StreamSpecification": {}, "TimeToLiveSpecification": {"AttributeName": "until"}},
        PLAIN | {"ResourcePolicy": {}, "TimeToLiveSpecification": {"AttributeName": "until"}},
    ):
        assert refused(cfn, name, body(wrong))
    cfn.create_stack(StackName=f"{name}2", TemplateBody=body(PLAIN | {"StreamSpecification": {}}))
    with pytest.raises(WaiterError):
        settle(cfn, f"{name}2", "create")
    for stack in (name, f"{name}2"):
        cfn.delete_stack(StackName=stack)
        settle(cfn, stack, "delete")


def test_policies_come_and_go_with_the_template(cloud: Cloud, cfn: Any, name: str) -> None:
    def policy(action: str) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        statement["Principal"] = {"AWS": "arn:aws:iam::000000000000:root"}
        return {"PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}

    stream = {"StreamViewType": "KEYS_ONLY", "ResourcePolicy": policy("dynamodb:GetRecords")}
    with_policy = {"ResourcePolicy": policy("dynamodb:GetItem"), "StreamSpecification": stream}
    create(cfn, name, body(PLAIN | with_policy))
    dynamodb = cloud.client("dynamodb")
    table = dynamodb.describe_table(TableName=Settings(cloud, cfn, name).name)["Table"]

    def actions() -> list[str]:
        found = []
        for arn in (table["TableArn"], table["LatestStreamArn"]):
            try:
                told = json.loads(dynamodb.get_resource_policy(ResourceArn=arn)["Policy"])
            except dynamodb.exceptions.PolicyNotFoundException:
                continue
            found.append(told["Statement"][0]["Action"])
        return found

    assert actions() == ["dynamodb:GetItem", "dynamodb:GetRecords"]
    without = {"StreamSpecification": {"StreamViewType": "KEYS_ONLY"}}
    cfn.update_stack(StackName=name, TemplateBody=body(PLAIN | without))
    settle(cfn, name, "update")
    assert actions() == []
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


class Wire:
    """One provisioned table behind a dispatch that answers a request's id once, as Pileus does."""

    def __init__(self, **table: Any) -> None:
        self.table = {"TableName": "t", "TableArn": "arn", "TableStatus": "ACTIVE", **table}
        self.asked: list[dict[str, Any]] = []
        self.ids: dict[bytes, dict[str, Any]] = {}
        self.cut = 0  # after so many changes the process is gone

    async def __call__(
        self, service: str, operation: str, params: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        if operation == "UpdateTable":
            assert self.ids.setdefault(more["invocation_id"], params) == params
            self.asked.append({k: v for k, v in params.items() if k != "TableName"})
            self.table |= {
                k: v for k, v in params.items() if k in ("StreamSpecification", "TableClass")
            }
            if len(self.asked) == self.cut:
                raise asyncio.CancelledError
        return {"Table": self.table}

    def site(self) -> Site:
        author = Principal("user", "0", "arn:aws:iam::0:user/author", "author")
        config: Any = SimpleNamespace(home=Path())
        return Site(
            *(cast(Any, self), author, "us-east-1", "0", "stack", "id", "Table"),
            *("AWS::DynamoDB::Table", "step", config, None, asyncio.Event()),
        )

    def update(self, old: dict[str, Any], wish: dict[str, Any]) -> None:
        asyncio.run(Table().update(self.site(), Made("t"), old, wish))


def test_an_indexs_throughput_is_changed_in_place() -> None:
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    provisioned = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}
    now = index("one", ProvisionedThroughput=units | {"NumberOfDecreasesToday": 0})
    wire = Wire(GlobalSecondaryIndexes=[now], ProvisionedThroughput=units)
    old = indexed(index("one", ProvisionedThroughput=units), **provisioned)
    more = {"ReadCapacityUnits": "9", "WriteCapacityUnits": 1}
    wire.update(old, indexed(index("one", ProvisionedThroughput=more), **provisioned))
    update = {"IndexName": "one", "ProvisionedThroughput": more | {"ReadCapacityUnits": 9}}
    assert wire.asked == [{"GlobalSecondaryIndexUpdates": [{"Update": update}]}]


def test_a_step_that_runs_again_asks_for_what_is_left() -> None:
    """The class was changed, then the process was gone: the same step changes the stream only, by
    a request that is not taken for the one before."""
    wire = Wire()
    provisioned = {"BillingMode": "PROVISIONED"}
    wish = PLAIN | provisioned | {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
    wish |= {"StreamSpecification": {"StreamViewType": "KEYS_ONLY"}}
    wire.cut = 1
    with pytest.raises(asyncio.CancelledError):
        wire.update(PLAIN | provisioned, wish)
    wire.table["TableClassSummary"] = {"TableClass": wire.table["TableClass"]}
    wire.update(PLAIN | provisioned, wish)
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    classed = {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
    assert wire.asked == [classed, {"StreamSpecification": stream}]
