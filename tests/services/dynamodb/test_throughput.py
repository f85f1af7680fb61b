"""Provisioned throughput: who is let in, what is charged, in which words it is refused."""

from __future__ import annotations

import inspect
from typing import Any

import orjson
import pytest

from pileus.errors import AwsError
from pileus.services.call import Call, HttpRequest
from pileus.services.dynamodb.buckets import BURST_S
from tests.services.dynamodb.desk import ACCOUNT, ROOT, Desk, at_desk, index

TABLE_TEXT = (
    "The level of configured provisioned throughput for the table was exceeded. Consider"
    " increasing your provisioning level with the UpdateTable API."
)
INDEX_TEXT = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the"
    " table was exceeded. Consider increasing your provisioning level for the under-provisioned"
    " global secondary indexes with the UpdateTable API"
)
BURST = int(BURST_S)


def units(read: int, write: int) -> dict[str, int]:
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def item(key: str, size: int = 10, **more: Any) -> dict[str, Any]:
    return {"p": {"S": key}, "v": {"S": "x" * size}, **more}


def still(desk: Desk) -> list[float]:
    """Stop the clock of throughput; the list's number is the time."""
    now = [5000.0]
    desk.clock.monotonic = lambda: now[0]  # type: ignore[method-assign]
    return now


async def provisioned(desk: Desk, name: str, read: int, write: int, **more: Any) -> str:
    more.setdefault("BillingMode", "PROVISIONED")
    return await desk.table(name, "p:S", ProvisionedThroughput=units(read, write), **more)


async def until_refused(desk: Desk, operation: str, **params: Any) -> tuple[int, AwsError]:
    for done in range(5000):
        try:
            await getattr(desk, operation)(**params)
        except AwsError as error:
            return done, error
    raise AssertionError("never refused")


def test_writes_use_the_burst_then_the_rate() -> None:
    async def main(desk: Desk) -> None:
        now = still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        done, error = await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        assert done == BURST and error.status == 400
        assert (error.code, error.message) == (
            "ProvisionedThroughputExceededException",
            TABLE_TEXT,
        )
        assert error.fields["ThrottlingReasons"] == [
            {
                "reason": "TableWriteProvisionedThroughputExceeded",
                "resource": f"arn:aws:dynamodb:us-east-1:{'0' * 12}:table/tab",
            }
        ]
        now[0] += 5
        done, _ = await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        assert done == 5
        key = {"p": {"S": "a"}}
        assert (await desk.GetItem(TableName=t, Key=key))["Item"] == item("a")  # reads are apart
        assert (await desk.refused("DeleteItem", TableName=t, Key=key)).message == TABLE_TEXT
        now[0] += 3
        await desk.UpdateItem(TableName=t, Key=key)
        error = await desk.refused("UpdateItem", TableName=t, Key=key, ConditionExpression="p = p")
        assert error.code == "ValidationException"

    at_desk(main)


def test_reads_are_charged_by_size_and_consistency() -> None:
    async def main(desk: Desk) -> None:
        now = still(desk)
        t = await provisioned(desk, "tab", 1, 1000)
        key = {"p": {"S": "a"}}
        await desk.PutItem(TableName=t, Item=item("a", 9000))  # 3 units
        done, error = await until_refused(
            desk, "GetItem", TableName=t, Key=key, ConsistentRead=True
        )
        assert done == BURST // 3
        assert error.fields["ThrottlingReasons"][0]["reason"].startswith("TableRead")
        now[0] += 30
        done, _ = await until_refused(desk, "GetItem", TableName=t, Key=key)
        assert done == 20
        now[0] += 1000
        await until_refused(desk, "Scan", TableName=t)
        refused = await desk.refused("Query", TableName=t, KeyConditionExpression="p = :p",
                                     ExpressionAttributeValues={":p": {"S": "a"}})  # fmt: skip
        assert refused.message == TABLE_TEXT
        assert (await desk.refused("Scan", TableName=t)).message == TABLE_TEXT

    at_desk(main)


def test_a_failed_condition_costs_the_larger_item() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        await desk.PutItem(TableName=t, Item=item("a", 10_000))  # 10 units
        refused = 0
        while True:
            error = await desk.refused(
                "PutItem", TableName=t, Item=item("a"), ConditionExpression="attribute_exists(q)"
            )
            if error.code != "ConditionalCheckFailedException":
                break
            assert "units" not in error.fields
            refused += 1
        assert refused == (BURST - 10) // 10

    at_desk(main)


def test_a_starved_index_holds_back_writes_that_change_it() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        gsi = index("gee", "g", projection="KEYS_ONLY") | {"ProvisionedThroughput": units(1, 1)}
        t = await provisioned(desk, "tab", 5, 5, also=("g:S",), GlobalSecondaryIndexes=[gsi])
        done, error = -1, None
        for done in range(5000):
            try:
                await desk.PutItem(TableName=t, Item=item(str(done), g={"S": "g"}))
            except AwsError as refusal:
                error = refusal
                break
        assert error is not None and done == BURST
        assert error.message == INDEX_TEXT
        assert error.fields["ThrottlingReasons"] == [
            {
                "reason": "IndexWriteProvisionedThroughputExceeded",
                "resource": f"arn:aws:dynamodb:us-east-1:{'0' * 12}:table/tab/index/gee",
            }
        ]
        await desk.PutItem(TableName=t, Item=item("sparse"))  # not in the index
        await desk.UpdateItem(
            TableName=t, Key={"p": {"S": "1"}}, UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": {"S": "not projected"}},
        )  # fmt: skip
        await desk.PutItem(TableName=t, Item=item("2", g={"S": "g"}))  # the index stays the same
        for operation in (
            {"UpdateExpression": "REMOVE g"},
            {"UpdateExpression": "SET g = :v", "ExpressionAttributeValues": {":v": {"S": "h"}}},
        ):
            key = {"p": {"S": "1"}}
            error = await desk.refused("UpdateItem", TableName=t, Key=key, **operation)
            assert error.message == INDEX_TEXT
        await desk.DeleteItem(TableName=t, Key={"p": {"S": "sparse"}})
        error = await desk.refused("DeleteItem", TableName=t, Key={"p": {"S": "1"}})
        assert error.message == INDEX_TEXT
        assert (await desk.Scan(TableName=t, IndexName="gee", Select="COUNT"))["Count"] == BURST

    at_desk(main)


def test_an_indexs_reads_are_its_own() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        gsi = index("gee", "g") | {"ProvisionedThroughput": units(1, 100)}
        t = await provisioned(desk, "tab", 5, 100, also=("g:S",), GlobalSecondaryIndexes=[gsi])
        await desk.PutItem(TableName=t, Item=item("a", g={"S": "g"}))
        done, error = await until_refused(desk, "Scan", TableName=t, IndexName="gee")
        assert done == 2 * BURST
        assert error.fields["ThrottlingReasons"][0]["reason"].startswith("IndexRead")
        await desk.Scan(TableName=t)

    at_desk(main)


def test_batches_hand_back_what_found_no_room() -> None:
    async def main(desk: Desk) -> None:
        now = still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        free = await desk.table("free", "p:S")
        await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        now[0] += 7
        puts = [{"PutRequest": {"Item": item(str(n))}} for n in range(10)]
        answer = await desk.BatchWriteItem(RequestItems={t: puts})
        assert answer["UnprocessedItems"] == {t: puts[7:]}
        error = await desk.refused("BatchWriteItem", RequestItems={t: puts})
        assert error.message == TABLE_TEXT
        answer = await desk.BatchWriteItem(RequestItems={t: puts, free: puts})
        assert answer["UnprocessedItems"] == {t: puts}
        await until_refused(desk, "GetItem", TableName=t, Key={"p": {"S": "a"}})
        now[0] += 2
        wanted = {t: {"Keys": [{"p": {"S": str(n)}} for n in range(10)], "ConsistentRead": True}}
        found = await desk.BatchGetItem(RequestItems=wanted, ReturnConsumedCapacity="TOTAL")
        assert len(found["Responses"][t]) == 2
        left = found["UnprocessedKeys"][t]
        assert left == {"Keys": wanted[t]["Keys"][2:], "ConsistentRead": True}
        assert found["ConsumedCapacity"] == [{"TableName": t, "CapacityUnits": 2.0}]
        assert (await desk.refused("BatchGetItem", RequestItems=wanted)).message == TABLE_TEXT

    at_desk(main)


def test_transactions_are_canceled_with_the_reason() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        free = await desk.table("free", "p:S")
        puts = [{"Put": {"TableName": name, "Item": item("a")}} for name in (free, t)]
        done, error = await until_refused(desk, "TransactWriteItems", TransactItems=puts)
        assert done == BURST // 2
        assert error.code == "TransactionCanceledException"
        assert error.fields["CancellationReasons"] == [
            {"Code": "None"},
            {"Code": "ProvisionedThroughputExceeded", "Message": TABLE_TEXT},
        ]
        gets = [{"Get": {"TableName": name, "Key": {"p": {"S": "a"}}}} for name in (free, t)]
        done, error = await until_refused(desk, "TransactGetItems", TransactItems=gets)
        assert done == BURST // 2
        assert error.fields["CancellationReasons"][1]["Code"] == "ProvisionedThroughputExceeded"

    at_desk(main)


def test_an_on_demand_maximum_is_kept() -> None:
    async def main(desk: Desk) -> None:
        now = still(desk)
        most = {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 4}
        t = await desk.table("tab", "p:S", OnDemandThroughput=most)
        done, error = await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        assert (done, error.code) == (4, "ThrottlingException")
        assert error.fields["throttlingReasons"][0]["reason"] == (
            "TableWriteMaxOnDemandThroughputExceeded"
        )
        now[0] += 0.5
        done, _ = await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        assert done == 2
        error = await desk.refused(
            "TransactWriteItems",
            TransactItems=[{"Delete": {"TableName": t, "Key": {"p": {"S": "a"}}}}],
        )
        assert error.fields["CancellationReasons"][0]["Code"] == "ThrottlingError"
        await desk.UpdateTable(TableName=t, OnDemandThroughput={"MaxWriteRequestUnits": -1})
        for _ in range(50):
            await desk.PutItem(TableName=t, Item=item("a"))

    at_desk(main)


def test_more_units_take_effect_at_once() -> None:
    async def main(desk: Desk) -> None:
        now = still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        await desk.UpdateTable(TableName=t, ProvisionedThroughput=units(1, 20))
        now[0] += 1
        done, _ = await until_refused(desk, "PutItem", TableName=t, Item=item("a"))
        assert done == 20
        await desk.UpdateTable(TableName=t, BillingMode="PAY_PER_REQUEST")
        for _ in range(50):
            await desk.PutItem(TableName=t, Item=item("a"))

    at_desk(main)


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("GetItem", {"Key": {"p": {"S": "a"}}, "ConsistentRead": True}),
        ("PutItem", {"Item": item("a")}),
        ("UpdateItem", {"Key": {"p": {"S": "a"}}, "UpdateExpression": "REMOVE w"}),
        (
            "Query",
            {
                "KeyConditionExpression": "p = :p",
                "ExpressionAttributeValues": {":p": {"S": "a"}},
                "ConsistentRead": True,
            },
        ),
    ],
)
def test_no_quick_way_around_the_limit(operation: str, more: dict[str, Any]) -> None:
    """As the door calls: the quick look first (``Service.single``), then the operation."""

    async def main(desk: Desk) -> None:
        still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        body = orjson.dumps({"TableName": t, **more})
        done = -1
        with pytest.raises(AwsError) as refused:
            while done < BURST:
                done += 1
                request = HttpRequest("POST", "/", "", {}, body)
                call = Call("dynamodb", operation, ROOT, "us-east-1", {}, request=request)
                assert desk.service.single(call) is not None
                answer: Any = desk.service.direct[operation](call)
                if inspect.isawaitable(answer):
                    await answer
        assert (done, refused.value.message) == (BURST, TABLE_TEXT)

    at_desk(main)


SELECT = """SELECT * FROM "tab" WHERE p = 'a'"""
INSERT = """INSERT INTO "tab" VALUE {'p': 'a'}"""
UPDATE = """UPDATE "tab" SET g = 'h' WHERE p = 'a'"""


def test_statements_are_limited_too() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        gsi = index("gee", "g", projection="KEYS_ONLY") | {"ProvisionedThroughput": units(1, 1)}
        await provisioned(desk, "tab", 1, 2, also=("g:S",), GlobalSecondaryIndexes=[gsi])
        done, error = await until_refused(desk, "ExecuteStatement", Statement=SELECT)
        assert (done, error.message) == (2 * BURST, TABLE_TEXT)
        error = await desk.refused("ExecuteStatement", Statement='SELECT * FROM "tab"')
        assert error.code == "ProvisionedThroughputExceededException"
        await desk.ExecuteStatement(Statement='SELECT * FROM "tab"."gee"')
        await desk.ExecuteStatement(Statement=INSERT)
        await desk.ExecuteStatement(Statement=INSERT.replace("'a'", "'b'"))
        moved = BURST // 2 + 1  # the first puts an index row, each further one also deletes one
        for n in range(moved):
            await desk.ExecuteStatement(Statement=UPDATE.replace("'h'", f"'{n}'"))
        error = await desk.refused("ExecuteStatement", Statement=UPDATE)
        assert error.message == INDEX_TEXT
        repeat = """INSERT INTO "tab" VALUE {'p': 'b', 'v': '%s'}""" % ("x" * 3000)
        done = -1
        while done < 0 or error.code == "DuplicateItemException":
            error = await desk.refused("ExecuteStatement", Statement=repeat)
            done += 1
        left = 2 * BURST - 2 - moved
        assert done == -(-left // 3)  # a refused one costs what its item would have
        reads = await desk.BatchExecuteStatement(Statements=[{"Statement": SELECT}])
        writes = await desk.BatchExecuteStatement(Statements=[{"Statement": INSERT}])
        for answer in (reads, writes):
            assert answer["Responses"] == [
                {
                    "Error": {"Code": "ProvisionedThroughputExceeded", "Message": TABLE_TEXT},
                    "TableName": "tab",
                }
            ]

    at_desk(main)


def test_transactions_of_statements_are_canceled_with_the_reason() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        await provisioned(desk, "tab", 1, 1)
        await desk.table("free", "p:S")
        because = [
            {"Code": "None"},
            {"Code": "ProvisionedThroughputExceeded", "Message": TABLE_TEXT},
        ]
        await desk.PutItem(TableName="free", Item=item("a"))
        for statement, expected in ((SELECT, BURST // 2), (UPDATE, BURST // 2)):
            await desk.PutItem(TableName="free", Item=item("a"))
            if statement is UPDATE:
                await desk.PutItem(TableName="tab", Item=item("a"))
            both = [{"Statement": statement.replace('"tab"', n)} for n in ('"free"', '"tab"')]
            done, error = await until_refused(desk, "ExecuteTransaction", TransactStatements=both)
            assert done == expected and error.code == "TransactionCanceledException"
            assert error.fields["CancellationReasons"] == because

    at_desk(main)


def test_a_condition_check_needs_room_and_a_repeat_is_a_read() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        t = await provisioned(desk, "tab", 1, 1)
        await desk.PutItem(TableName=t, Item=item("a"))
        check = {
            "ConditionCheck": {
                "TableName": t,
                "Key": {"p": {"S": "a"}},
                "ConditionExpression": "attribute_exists(p)",
            }
        }
        for _ in range(10):
            await desk.TransactWriteItems(TransactItems=[check], ClientRequestToken="same")
        done, _ = await until_refused(
            desk, "GetItem", TableName=t, Key={"p": {"S": "a"}}, ConsistentRead=True
        )
        assert done == BURST - 9 * 2
        done, error = await until_refused(desk, "TransactWriteItems", TransactItems=[check])
        assert done == (BURST - 1 - 2 + 1) // 2
        assert error.fields["CancellationReasons"][0]["Code"] == "ProvisionedThroughputExceeded"

    at_desk(main)


def test_what_was_used_is_counted_for_the_metrics() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        t = await provisioned(desk, "counted", 10, 10)
        await desk.PutItem(TableName=t, Item=item("a", 1500))
        await desk.GetItem(TableName=t, Key={"p": {"S": "a"}}, ConsistentRead=True)
        await desk.GetItem(TableName=t, Key={"p": {"S": "a"}})
        meters = desk.parts.meters
        labels = {"table": t, "index": "", "account": ACCOUNT, "region": "us-east-1"}
        read = meters.cells[meters.counter("pileus_table_read_units_total", **labels)]
        write = meters.cells[meters.counter("pileus_table_write_units_total", **labels)]
        assert (read, write) == (1.5, 2)

    at_desk(main)


def test_a_transaction_writes_its_indexes_once() -> None:
    async def main(desk: Desk) -> None:
        still(desk)
        gsi = index("gee", "g", projection="KEYS_ONLY") | {"ProvisionedThroughput": units(9, 9)}
        t = await provisioned(desk, "twice", 9, 9, also=("g:S",), GlobalSecondaryIndexes=[gsi])
        put = {"Put": {"TableName": t, "Item": item("a", g={"S": "g"})}}
        answer = await desk.TransactWriteItems(
            TransactItems=[put], ReturnConsumedCapacity="INDEXES"
        )
        (told,) = answer["ConsumedCapacity"]
        shown = told["Table"], told["GlobalSecondaryIndexes"]["gee"], told
        assert [s["WriteCapacityUnits"] for s in shown] == [2.0, 1.0, 3.0]
        insert = f"INSERT INTO {t} VALUE {{'p': 'b', 'g': 'g'}}"
        statement = {"TransactStatements": [{"Statement": insert}], "ClientRequestToken": "same"}
        prices = [
            (await desk.ExecuteTransaction(**statement, ReturnConsumedCapacity="INDEXES"))
            for _ in range(2)
        ]
        first, again = (p["ConsumedCapacity"][0] for p in prices)
        assert (first["CapacityUnits"], first["WriteCapacityUnits"]) == (3.0, 3.0)
        assert (again["CapacityUnits"], again["ReadCapacityUnits"]) == (2.0, 2.0)
        meters, labels = desk.parts.meters, {"account": ACCOUNT, "region": "us-east-1", "table": t}
        counters = [
            meters.counter("pileus_table_write_units_total", index=name, **labels)
            for name in ("", "gee")
        ]
        assert [meters.cells[c] for c in counters] == [4.0, 2.0]

    at_desk(main)
