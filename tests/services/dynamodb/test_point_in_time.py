"""Point-in-time recovery: any moment of a random history, against a plain model of it."""

from __future__ import annotations

import asyncio
import bisect
import random
from typing import Any

import pytest

from pileus.services.dynamodb.copying import records
from tests.services.dynamodb.desk import Desk, at_desk, index
from tests.services.dynamodb.test_backups import Items, scan

DAY_MS = 86_400_000


async def recover(desk: Desk, table: str, **spec: Any) -> dict[str, Any]:
    given = {"PointInTimeRecoveryEnabled": True, **spec}
    answer = await desk.UpdateContinuousBackups(
        TableName=table, PointInTimeRecoverySpecification=given
    )
    told: dict[str, Any] = answer["ContinuousBackupsDescription"]
    return dict(told["PointInTimeRecoveryDescription"])


async def step(desk: Desk, table: str, chance: random.Random, model: Items) -> None:
    """One random write, on the table and on the model."""
    key = f"k{chance.randrange(12)}"
    value = {"S": f"v{chance.randrange(10**6)}"}
    name = chance.choice(["put", "update", "delete", "batch", "transact"])
    item = {"p": {"S": key}, "g": {"S": f"g{chance.randrange(3)}"}, "v": value}
    other = {**item, "p": {"S": f"k{12 + chance.randrange(4)}"}}
    if name == "put":
        await desk.PutItem(TableName=table, Item=item)
    elif name == "update":
        await desk.UpdateItem(
            TableName=table,
            Key={"p": item["p"]},
            UpdateExpression="SET v = :v, g = :g",
            ExpressionAttributeValues={":v": value, ":g": item["g"]},
        )
    elif name == "delete":
        await desk.DeleteItem(TableName=table, Key={"p": item["p"]})
        model.pop(key, None)
        return
    elif name == "batch":
        gone = {"DeleteRequest": {"Key": {"p": other["p"]}}}
        await desk.BatchWriteItem(RequestItems={table: [{"PutRequest": {"Item": item}}, gone]})
        model.pop(other["p"]["S"], None)
    else:
        puts = [{"Put": {"TableName": table, "Item": i}} for i in (item, other)]
        await desk.TransactWriteItems(TransactItems=puts)
        model[other["p"]["S"]] = other
    model[key] = item


@pytest.mark.parametrize("seed", range(4))
def test_any_moment_can_be_had_back(seed: int) -> None:
    chance = random.Random(seed)

    async def test(desk: Desk) -> None:
        table = await desk.table(
            "source", "p:S", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g")]
        )
        desk.clock.fixed_ms = desk.clock.now_ms()
        model: Items = {}
        for _ in range(5):  # before it is switched on
            await step(desk, table, chance, model)
        await recover(desk, table)
        times, states = [desk.clock.now_ms()], [dict(model)]
        for i in range(60):
            desk.clock.ahead_ms += chance.randrange(500, 5000)
            await step(desk, table, chance, model)
            times.append(desk.clock.now_ms())
            states.append(dict(model))
            if i % 15 == 14 and chance.random() < 0.8:
                history = desk.service_table(table).history
                await records.seal(room_of(desk), history, rows_max=chance.randrange(2, 9))
        desk.clock.ahead_ms += 3000
        moments = [times[0], times[-1] + 2000]
        moments += [chance.randrange(times[0], times[-1]) for _ in range(5)]
        for n, at_ms in enumerate(moments):
            await desk.RestoreTableToPointInTime(
                SourceTableName=table, TargetTableName=f"at-{n}", RestoreDateTime=at_ms / 1000
            )
        work = asyncio.create_task(desk.chores.jobs.finish())
        for _ in range(30):  # the source goes on meanwhile
            await step(desk, table, chance, model)
            await asyncio.sleep(0)
        await work
        for n, at_ms in enumerate(moments):
            expected = states[bisect.bisect_right(times, at_ms) - 1]
            assert await scan(desk, f"at-{n}") == expected, (n, at_ms)
            assert await scan(desk, f"at-{n}", IndexName="by-g") == expected

    at_desk(test)


def room_of(desk: Desk) -> Any:
    return desk.chores.room


def test_the_window_moves_on_and_history_is_forgotten() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table("source", "p:S")
        told = await recover(desk, table, RecoveryPeriodInDays=2)
        assert told["RecoveryPeriodInDays"] == 2
        began = told["EarliestRestorableDateTime"]
        model: Items = {}
        chance = random.Random(1)
        for _ in range(3):
            for _ in range(6):
                await step(desk, table, chance, model)
            await records.seal(room_of(desk), desk.service_table(table).history, rows_max=4)
            desk.clock.ahead_ms += DAY_MS
        before = dict(model)
        at = desk.clock.now_ms() / 1000
        desk.clock.ahead_ms += 1000
        await step(desk, table, chance, model)
        await desk.chores.keep_history()
        found = [
            r
            async for some in records.records(room_of(desk), desk.service_table(table).history, b"")
            for r in some
        ]
        # The first day is gone, but for a stretch that reaches into the second.
        assert len(found) >= 8
        assert min(r.at_ms for r in found) > (began + 43200) * 1000
        refused = await desk.refused(
            "RestoreTableToPointInTime",
            SourceTableName=table,
            TargetTableName="early",
            RestoreDateTime=began,
        )
        assert refused.code == "InvalidRestoreTimeException"
        await desk.RestoreTableToPointInTime(
            SourceTableName=table, TargetTableName="back", RestoreDateTime=at
        )
        await desk.RestoreTableToPointInTime(
            SourceTableArn=f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}",
            TargetTableName="latest",
            UseLatestRestorableTime=True,
        )
        await desk.chores.jobs.finish()
        assert await scan(desk, "back") == before
        assert await scan(desk, "latest") == model

    at_desk(test)


def test_recovery_off_forgets_and_refuses() -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table("source", "p:S")
        told = (await desk.DescribeContinuousBackups(TableName=table))[
            "ContinuousBackupsDescription"
        ]
        assert told["ContinuousBackupsStatus"] == "ENABLED"
        recovery = told["PointInTimeRecoveryDescription"]
        assert recovery == {"PointInTimeRecoveryStatus": "DISABLED"}
        refused = await desk.refused(
            "RestoreTableToPointInTime",
            SourceTableName=table,
            TargetTableName="other",
            UseLatestRestorableTime=True,
        )
        assert refused.code == "PointInTimeRecoveryUnavailableException"
        assert (await recover(desk, table))["RecoveryPeriodInDays"] == 35
        model: Items = {}
        for _ in range(20):
            await step(desk, table, random.Random(3), model)
        await records.seal(room_of(desk), desk.service_table(table).history, rows_max=4)
        await desk.UpdateContinuousBackups(
            TableName=table,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
        )
        await desk.chores.settle()
        left = [r for r in desk.store.range(b"d:", b"d;") if b":" in r.key[2 : r.key.index(b"\0")]]
        assert left == []
        assert not desk.store.range(b"blobrefs\0", b"blobrefs\1")
        assert await scan(desk, table) == model

    at_desk(test)
