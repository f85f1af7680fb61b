"""Backups and restores: a table as of one moment, made while it goes on changing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.services.dynamodb.desk import Desk, at_desk, index

Items = dict[str, dict[str, Any]]


async def scan(desk: Desk, table: str, **more: Any) -> Items:
    """Every item by its key ``p``."""
    found: Items = {}
    start: dict[str, Any] = {}
    while True:
        page = await desk.Scan(TableName=table, **start, **more)
        found |= {i["p"]["S"]: i for i in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


async def put(desk: Desk, table: str, key: str, value: str) -> None:
    item = {"p": {"S": key}, "g": {"S": "g" + value[:1]}, "v": {"S": value}}
    await desk.PutItem(TableName=table, Item=item)


def test_a_backup_is_the_table_at_the_moment_it_was_asked_for() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table(
            "shop", "p:S", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g")]
        )
        for i in range(450):
            await put(desk, table, f"k{i}", f"{i}")
        made = (await desk.CreateBackup(TableName=table, BackupName="one"))["BackupDetails"]
        assert made["BackupStatus"] == "CREATING"
        desk.clock.ahead_ms += 5000
        before = await scan(desk, table)
        refused = await desk.refused("DeleteBackup", BackupArn=made["BackupArn"])
        assert refused.code == "BackupInUseException"
        work = asyncio.create_task(desk.chores.jobs.finish())
        for i in range(0, 450, 2):  # while it is being made
            await put(desk, table, f"k{i}", "changed")
            await desk.DeleteItem(TableName=table, Key={"p": {"S": f"k{i + 1}"}})
            await put(desk, table, f"new{i}", "new")
        await work
        told = (await desk.DescribeBackup(BackupArn=made["BackupArn"]))["BackupDescription"]
        assert told["BackupDetails"]["BackupStatus"] == "AVAILABLE"
        assert told["SourceTableDetails"]["ItemCount"] == 450
        assert told["BackupDetails"]["BackupSizeBytes"] > 450 * 5
        (gsi,) = told["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"]
        assert gsi["IndexName"] == "by-g"

        back = await desk.RestoreTableFromBackup(
            TargetTableName="back", BackupArn=made["BackupArn"]
        )
        assert back["TableDescription"]["TableStatus"] == "CREATING"
        assert back["TableDescription"]["RestoreSummary"]["RestoreInProgress"]
        for operation in ("Scan", "DeleteTable"):
            refused = await desk.refused(operation, TableName="back")
            assert refused.code in ("ResourceNotFoundException", "ResourceInUseException")
        await desk.chores.jobs.finish()
        assert await scan(desk, "back") == before
        assert await scan(desk, "back", IndexName="by-g") == before
        told = (await desk.DescribeTable(TableName="back"))["Table"]
        assert told["TableStatus"] == "ACTIVE"
        assert told["RestoreSummary"]["SourceBackupArn"] == made["BackupArn"]
        # Point in time or source backup time (API reference, RestoreSummary)
        assert told["RestoreSummary"]["RestoreDateTime"] == made["BackupCreationDateTime"]
        since = told["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"]
        assert since == told["CreationDateTime"] > made["BackupCreationDateTime"]
        assert not told["RestoreSummary"]["RestoreInProgress"]
        assert len(await scan(desk, table)) == 450  # the source went on

    at_desk(test)


def test_nothing_is_recorded_once_the_copies_are_made() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table("quiet", "p:S")
        await desk.CreateBackup(TableName=table, BackupName="one")
        await put(desk, table, "a", "1")
        await desk.chores.jobs.finish()
        await desk.chores.settle()
        await put(desk, table, "b", "1")
        left = [r for r in desk.store.range(b"d:", b"d;") if b":" in r.key[2 : r.key.index(b"\0")]]
        assert left == []

    at_desk(test)


def test_lists_page_and_choose() -> None:
    async def test(desk: Desk) -> None:
        for name in ("a-table", "b-table"):
            await desk.table(name, "p:S")
        arns = []
        for i in range(5):
            desk.clock.ahead_ms += 1000
            name = "a-table" if i % 2 else "b-table"
            made = await desk.CreateBackup(TableName=name, BackupName=f"copy{i}")
            arns.append(made["BackupDetails"]["BackupArn"])
        page = await desk.ListBackups(Limit=2)
        found = [s["BackupArn"] for s in page["BackupSummaries"]]
        while "LastEvaluatedBackupArn" in page:
            page = await desk.ListBackups(
                Limit=2, ExclusiveStartBackupArn=page["LastEvaluatedBackupArn"]
            )
            found += [s["BackupArn"] for s in page["BackupSummaries"]]
        assert found == arns
        page = await desk.ListBackups(TableName="a-table")
        assert [s["BackupArn"] for s in page["BackupSummaries"]] == arns[1::2]
        assert (await desk.ListBackups(BackupType="SYSTEM"))["BackupSummaries"] == []
        await desk.chores.jobs.finish()
        gone = await desk.DeleteBackup(BackupArn=arns[0])
        assert gone["BackupDescription"]["BackupDetails"]["BackupStatus"] == "DELETED"
        await desk.chores.jobs.finish()
        assert (await desk.refused("DescribeBackup", BackupArn=arns[0])).code == (
            "BackupNotFoundException"
        )

    at_desk(test)


def test_a_deleted_backup_leaves_no_blob_named() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table("big", "p:S")
        await put(desk, table, "a", "x")
        made = await desk.CreateBackup(TableName=table, BackupName="one")
        await desk.chores.jobs.finish()
        assert desk.store.range(b"blobrefs\0", b"blobrefs\1")
        await desk.DeleteBackup(BackupArn=made["BackupDetails"]["BackupArn"])
        await desk.chores.jobs.finish()
        assert not desk.store.range(b"blobrefs\0", b"blobrefs\1")
        assert not desk.store.range(b"dynamodb.chunks\0", b"dynamodb.chunks\1")

    at_desk(test)


def test_what_a_restore_leaves_behind_and_what_may_be_overridden() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table(
            "rich",
            *("p:S", "r:S"),
            also=("g:S", "h:S"),
            GlobalSecondaryIndexes=[index("by-g", "g"), index("by-h", "h")],
            LocalSecondaryIndexes=[index("by-l", "p", "g")],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            Tags=[{"Key": "a", "Value": "b"}],
            DeletionProtectionEnabled=True,
        )
        await desk.UpdateTimeToLive(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "t"}
        )
        made = (await desk.CreateBackup(TableName=table, BackupName="one"))["BackupDetails"]
        await desk.chores.jobs.finish()
        told = (await desk.DescribeBackup(BackupArn=made["BackupArn"]))["BackupDescription"]
        features = told["SourceTableFeatureDetails"]
        assert features["TimeToLiveDescription"]["AttributeName"] == "t"
        assert features["StreamDescription"]["StreamViewType"] == "NEW_IMAGE"
        units = {"ReadCapacityUnits": 7, "WriteCapacityUnits": 3}
        await desk.RestoreTableFromBackup(
            TargetTableName="poor",
            BackupArn=made["BackupArn"],
            BillingModeOverride="PROVISIONED",
            ProvisionedThroughputOverride=units,
            GlobalSecondaryIndexOverride=[{**index("by-h", "h"), "ProvisionedThroughput": units}],
            LocalSecondaryIndexOverride=[],
        )
        await desk.chores.jobs.finish()
        told = (await desk.DescribeTable(TableName="poor"))["Table"]
        assert told["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
        assert [i["IndexName"] for i in told["GlobalSecondaryIndexes"]] == ["by-h"]
        assert "LocalSecondaryIndexes" not in told and "StreamSpecification" not in told
        assert not told["DeletionProtectionEnabled"]
        assert {a["AttributeName"] for a in told["AttributeDefinitions"]} == {"p", "r", "h"}
        assert (await desk.ListTagsOfResource(ResourceArn=told["TableArn"]))["Tags"] == []
        ttl = await desk.DescribeTimeToLive(TableName="poor")
        assert ttl["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"

        async def code(**more: Any) -> str:
            given = {"TargetTableName": "third", "BackupArn": made["BackupArn"], **more}
            return (await desk.refused("RestoreTableFromBackup", **given)).code

        assert await code(TargetTableName="poor") == "TableAlreadyExistsException"
        assert await code(BackupArn=made["BackupArn"][:-1] + "x") == "BackupNotFoundException"
        assert await code(GlobalSecondaryIndexOverride=[index("other", "g")]) == (
            "ValidationException"
        )
        assert await code(BillingModeOverride="PROVISIONED") == "ValidationException"

    at_desk(test)


def test_a_deleted_table_with_recovery_leaves_a_backup() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table("kept", "p:S")
        await desk.UpdateContinuousBackups(
            TableName=table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
        )
        await put(desk, table, "a", "1")
        before = await scan(desk, table)
        await desk.DeleteTable(TableName=table)
        await desk.chores.settle()
        await desk.chores.jobs.finish()
        await desk.chores.settle()
        (found,) = (await desk.ListBackups(BackupType="SYSTEM"))["BackupSummaries"]
        assert found["BackupName"] == "kept$DeletedTableBackup"
        assert found["BackupStatus"] == "AVAILABLE"
        assert not desk.store.range(b"d:", b"d;")  # the table's own rows are gone
        await desk.RestoreTableFromBackup(TargetTableName=table, BackupArn=found["BackupArn"])
        await desk.chores.jobs.finish()
        assert await scan(desk, table) == before
        desk.clock.ahead_ms += 36 * 86_400_000
        await desk.chores.keep_history()
        assert (await desk.ListBackups())["BackupSummaries"] == []

    at_desk(test)


@pytest.mark.parametrize("operation", ["CreateBackup", "UpdateContinuousBackups"])
def test_a_table_that_is_not_there(operation: str) -> None:
    more: dict[str, Any] = {"BackupName": "one"}
    if operation == "UpdateContinuousBackups":
        more = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}

    async def test(desk: Desk) -> None:
        refused = await desk.refused(operation, TableName="nothing", **more)
        assert refused.code == "TableNotFoundException"

    at_desk(test)
