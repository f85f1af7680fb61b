"""Tables: settings, new indexes, deletion, expiry, tags, in this process."""

from __future__ import annotations

import asyncio
import time

from lab.tables import keyed
from pileus.services.call import Parts
from pileus.services.dynamodb.chores import Chores
from pileus.services.dynamodb.room import Room
from pileus.state import keys
from tests.services.dynamodb.desk import Desk, TestClock, at_desk, index


def chores(desk: Desk) -> Chores:
    return Chores(Room(Parts(desk.store, None, desk.clock, None, None)))  # type: ignore[arg-type]


def test_describe_list_delete() -> None:
    async def main(desk: Desk) -> None:
        for name in ("bbb", "aaa", "ccc"):
            await desk.table(name, "p:S")
        await desk.PutItem(TableName="aaa", Item={"p": {"S": "x"}, "v": {"S": "yy"}})
        table = (await desk.DescribeTable(TableName="aaa"))["Table"]
        assert (table["TableStatus"], table["ItemCount"], table["TableSizeBytes"]) == (
            "ACTIVE",
            1,
            5,
        )
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert not [m for m in table if not m[0].isupper()]
        page = await desk.ListTables(Limit=2)
        assert page == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
        rest = await desk.ListTables(ExclusiveStartTableName="bbb")
        assert rest == {"TableNames": ["ccc"]}
        again = await desk.refused(
            "CreateTable",
            TableName="aaa",
            **keyed(p="S"),
        )
        assert (again.code, again.message) == (
            "ResourceInUseException",
            "Table already exists: aaa",
        )
        gone = await desk.DeleteTable(TableName="aaa")
        assert gone["TableDescription"]["TableStatus"] == "DELETING"
        error = await desk.refused("GetItem", TableName="aaa", Key={"p": {"S": "x"}})
        assert (error.code, error.message) == (
            "ResourceNotFoundException",
            "Requested resource not found",
        )

    at_desk(main)


def test_a_table_made_again_is_empty_and_old_rows_go() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", also=("g:S",), GlobalSecondaryIndexes=[index("g-x", "g")])
        for i in range(20):
            await desk.PutItem(TableName="tab", Item={"p": {"S": str(i)}, "g": {"S": "x"}})
        await desk.DeleteTable(TableName="tab")
        await desk.table("tab", "p:S")
        assert (await desk.Scan(TableName="tab"))["Count"] == 0
        await chores(desk).settle()
        rows = desk.store.range(b"d:", b"d;", 100)
        assert rows == []
        assert desk.store.partition("dynamodb.gone", "gone") == []

    at_desk(main)


def test_a_new_index_is_filled_then_ready() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        for i in range(450):
            item = {"p": {"S": str(i)}} | ({"g": {"S": "x"}} if i % 3 else {"g": {"N": "1"}})
            await desk.PutItem(TableName="tab", Item=item)
        await desk.UpdateTable(
            TableName="tab",
            AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
            GlobalSecondaryIndexUpdates=[{"Create": index("by-g", "g")}],
        )
        early = await desk.refused("Scan", TableName="tab", IndexName="by-g")
        assert early.message == "Cannot read from backfilling global secondary index: by-g"
        # What is written while it fills is kept by the writes themselves.
        await desk.PutItem(TableName="tab", Item={"p": {"S": "new"}, "g": {"S": "x"}})
        await desk.DeleteItem(TableName="tab", Key={"p": {"S": "1"}})
        await chores(desk).settle()
        described = (await desk.DescribeTable(TableName="tab"))["Table"]
        (made,) = described["GlobalSecondaryIndexes"]
        assert made["IndexStatus"] == "ACTIVE" and "Backfilling" not in made
        assert (await desk.Scan(TableName="tab", IndexName="by-g"))["Count"] == 300
        await desk.UpdateTable(
            TableName="tab", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}]
        )
        error = await desk.refused("Scan", TableName="tab", IndexName="by-g")
        assert error.message == "The table does not have the specified index: by-g"

    at_desk(main)


def test_a_repeated_delete_of_an_index_has_one_effect() -> None:
    async def run(desk: Desk) -> None:
        await desk.table("tab", "p:S", GlobalSecondaryIndexes=[index("late", "p")])
        taken = [{"Delete": {"IndexName": "late"}}]
        desk.retry_id = b"0123456789abcdef"
        for _ in range(2):
            told = await desk.UpdateTable(TableName="tab", GlobalSecondaryIndexUpdates=taken)
            assert told["TableDescription"]["TableStatus"] == "UPDATING"
        desk.retry_id = b"another----------"[:16]
        error = await desk.refused(
            "UpdateTable", TableName="tab", GlobalSecondaryIndexUpdates=taken
        )
        assert error.code == "ResourceNotFoundException"

    at_desk(run)


def test_expired_items_are_deleted_and_only_they() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        now = int(time.time())
        for name, at in (("past", now - 5), ("future", now + 500), ("ancient", 1)):
            await desk.PutItem(TableName="tab", Item={"p": {"S": name}, "ttl": {"N": str(at)}})
        await desk.PutItem(TableName="tab", Item={"p": {"S": "text"}, "ttl": {"S": "1"}})
        await desk.UpdateTimeToLive(
            TableName="tab",
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"},
        )
        await chores(desk).sweep()
        left = await desk.Scan(TableName="tab")
        assert sorted(i["p"]["S"] for i in left["Items"]) == ["ancient", "future", "text"]
        desk.clock.ahead_ms = 1000 * 1000
        await chores(desk).sweep()
        assert (await desk.Scan(TableName="tab"))["Count"] == 2
        described = await desk.DescribeTimeToLive(TableName="tab")
        assert described["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"

    at_desk(main)


def test_items_expire_where_every_process_dies_within_the_minute() -> None:
    class Short(TestClock):
        """A process's half minute: what waits for less comes at once, what waits for more never."""

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0.01 if seconds < 30 else 3600)

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.PutItem(
            TableName="tab", Item={"p": {"S": "x"}, "ttl": {"N": str(int(time.time()) - 5)}}
        )
        await desk.UpdateTimeToLive(
            TableName="tab", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ttl"}
        )
        desk.parts.clock = Short()
        begun = Chores(Room(desk.parts))
        await begun.start()
        try:
            for _ in range(3000):
                if (await desk.Scan(TableName="tab", ConsistentRead=True))["Count"] == 0:
                    return
                await asyncio.sleep(0.01)
            raise AssertionError("the item is still there")
        finally:
            await begun.stop()

    at_desk(main)


def test_deletion_protection_tags_and_billing() -> None:
    async def main(desk: Desk) -> None:
        await desk.table(
            "tab", "p:S", DeletionProtectionEnabled=True, Tags=[{"Key": "a", "Value": "1"}]
        )
        error = await desk.refused("DeleteTable", TableName="tab")
        assert "protected against deletion" in error.message
        arn = (await desk.DescribeTable(TableName="tab"))["Table"]["TableArn"]
        await desk.TagResource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
        await desk.UntagResource(ResourceArn=arn, TagKeys=["a"])
        assert (await desk.ListTagsOfResource(ResourceArn=arn))["Tags"] == [
            {"Key": "b", "Value": "2"}
        ]
        units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 2}
        await desk.UpdateTable(
            TableName="tab", BillingMode="PROVISIONED", ProvisionedThroughput=units
        )
        table = (await desk.DescribeTable(TableName="tab"))["Table"]
        assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
        assert table["BillingModeSummary"]["BillingMode"] == "PROVISIONED"
        await desk.UpdateTable(TableName="tab", DeletionProtectionEnabled=False)
        await desk.DeleteTable(TableName="tab")

    at_desk(main)


def test_settings_are_checked() -> None:
    async def main(desk: Desk) -> None:
        base = {
            "TableName": "tab",
            "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
        }
        cases = [
            ({}, "ReadCapacityUnits and WriteCapacityUnits must both be specified"),
            ({"TableName": "ab"}, "Value 'ab' at 'tableName' failed to satisfy constraint: Member"),
            ({"TableName": "a;b"}, "Member must satisfy regular expression pattern"),
            ({"BillingMode": "FREE"}, "Member must satisfy enum value set"),
            (
                {
                    "BillingMode": "PAY_PER_REQUEST",
                    "LocalSecondaryIndexes": [index("l-x", "p", "s")],
                },
                "Table KeySchema does not have a range key",
            ),
            (
                {"BillingMode": "PAY_PER_REQUEST", "GlobalSecondaryIndexes": [index("g-x", "g")]},
                "Some index key attributes are not defined in AttributeDefinitions",
            ),
        ]
        for change, words in cases:
            error = await desk.refused("CreateTable", **(base | change))
            assert error.code == "ValidationException" and words in error.message, error

    at_desk(main)


def test_metadata_rows_live_in_their_accounts_partition() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        (row,) = desk.store.partition("dynamodb", "000000000000/us-east-1")
        assert keys.split(row.key) == ("dynamodb", b"000000000000/us-east-1", b"tab")

    at_desk(main)
