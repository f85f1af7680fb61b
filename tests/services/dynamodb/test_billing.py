"""Billing mode, units, maxima and warmth as UpdateTable and DescribeTable treat them (T7)."""

from __future__ import annotations

from typing import Any

from tests.services.dynamodb.desk import Desk, at_desk, index

HOUR_MS = 3600 * 1000
INVALID = "One or more parameter values were invalid: "


def units(read: int, write: int) -> dict[str, int]:
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def warm(read: int, write: int) -> dict[str, Any]:
    return {"ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write}


async def described(desk: Desk) -> dict[str, Any]:
    table: dict[str, Any] = (await desk.DescribeTable(TableName="tab"))["Table"]
    return table


async def provisioned(desk: Desk, read: int, write: int, **more: Any) -> None:
    await desk.table(
        "tab", "p:S", BillingMode="PROVISIONED", ProvisionedThroughput=units(read, write), **more
    )


async def change(desk: Desk, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await desk.UpdateTable(TableName="tab", **more)
    return answer["TableDescription"]


async def refusal(desk: Desk, **more: Any) -> str:
    error = await desk.refused("UpdateTable", TableName="tab", **more)
    return error.message.removeprefix(INVALID)


def noon(desk: Desk) -> None:
    """Move the clock to the next noon, UTC."""
    day_ms = 24 * HOUR_MS
    desk.clock.ahead_ms += (day_ms * 3 // 2 - desk.clock.now_ms() % day_ms) % day_ms


def test_four_decreases_a_day_then_one_an_hour() -> None:
    async def main(desk: Desk) -> None:
        noon(desk)
        await provisioned(desk, 20, 20)
        for n in range(1, 5):
            shown = await change(desk, ProvisionedThroughput=units(20 - n, 20 - n))
            assert shown["ProvisionedThroughput"]["ReadCapacityUnits"] == 21 - n  # still as it was
            now = (await described(desk))["ProvisionedThroughput"]
            assert (now["ReadCapacityUnits"], now["NumberOfDecreasesToday"]) == (20 - n, n)
        desk.clock.ahead_ms += HOUR_MS - 60_000
        error = await desk.refused(
            "UpdateTable", TableName="tab", ProvisionedThroughput=units(1, 30)
        )
        assert error.code == "LimitExceededException"
        assert error.message.startswith(
            "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given"
            " UTC day. After the first 4 decreases, each subsequent decrease in the same UTC day"
            " can be performed at most once every 3600 seconds. Number of decreases today: 4. Last"
            " decrease at "
        )
        assert (
            " at 12:0" in error.message and " PM Coordinated Universal Time. Next" in error.message
        )
        await change(desk, ProvisionedThroughput=units(30, 30))  # increases are free
        desk.clock.ahead_ms += 120_000
        await change(desk, ProvisionedThroughput=units(29, 29))
        assert await refusal(desk, ProvisionedThroughput=units(28, 28))
        desk.clock.ahead_ms += 12 * HOUR_MS  # another day
        assert (await described(desk))["ProvisionedThroughput"]["NumberOfDecreasesToday"] == 0
        for n in range(4):
            await change(desk, ProvisionedThroughput=units(20 - n, 20 - n))
        assert await refusal(desk, ProvisionedThroughput=units(1, 1))

    at_desk(main)


def test_an_index_has_decreases_of_its_own() -> None:
    async def main(desk: Desk) -> None:
        noon(desk)
        gsi = index("gee", "g") | {"ProvisionedThroughput": units(9, 9)}
        await provisioned(desk, 9, 9, also=("g:S",), GlobalSecondaryIndexes=[gsi])

        def to(n: int) -> list[dict[str, Any]]:
            update = {"IndexName": "gee", "ProvisionedThroughput": units(n, n)}
            return [{"Update": update}]

        for n in (8, 7, 6, 5):
            shown = await change(desk, GlobalSecondaryIndexUpdates=to(n))
            assert shown["TableStatus"] == "ACTIVE"
            (old,) = shown["GlobalSecondaryIndexes"]
            assert old["IndexStatus"] == "UPDATING"
            assert old["ProvisionedThroughput"]["ReadCapacityUnits"] == n + 1
        # Both or neither: the table has decreases left, the index has none.
        told = await refusal(
            desk, ProvisionedThroughput=units(5, 5), GlobalSecondaryIndexUpdates=to(4)
        )
        assert "decreases are limited" in told
        assert (await described(desk))["ProvisionedThroughput"]["ReadCapacityUnits"] == 9
        assert await refusal(desk, GlobalSecondaryIndexUpdates=to(5)) == (
            "The provisioned throughput for the index gee will not change. The requested value"
            " equals the current value. Current ReadCapacityUnits provisioned for index gee: 5."
            " Requested ReadCapacityUnits: 5. Current WriteCapacityUnits provisioned for index gee:"
            " 5. Requested WriteCapacityUnits: 5. Refer to the Amazon DynamoDB Developer Guide for"
            " current limits and how to request higher limits."
        )
        missing = [{"Update": {"IndexName": "none", "ProvisionedThroughput": units(1, 1)}}]
        error = await desk.refused(
            "UpdateTable", TableName="tab", GlobalSecondaryIndexUpdates=missing
        )
        assert error.message == "Requested resource not found: Index none for table tab"

    at_desk(main)


def test_the_mode_is_switched_with_all_indexes() -> None:
    async def main(desk: Desk) -> None:
        maxima = {"MaxReadRequestUnits": 50}
        await desk.table(
            "tab",
            "p:S",
            also=("g:S",),
            GlobalSecondaryIndexes=[index("gee", "g")],
            OnDemandThroughput=maxima,
        )
        to = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(3, 2)}
        told = "ProvisionedThroughput must be specified for index: gee"
        assert await refusal(desk, **to) == told
        update = [{"Update": {"IndexName": "gee", "ProvisionedThroughput": units(4, 5)}}]
        assert await refusal(desk, GlobalSecondaryIndexUpdates=update) == (
            "The only Updates for index: gee when TableThroughputMode is PAY_PER_REQUEST can be to"
            " OnDemandThroughput, WarmThroughput"
        )
        shown = await change(desk, **to, GlobalSecondaryIndexUpdates=update)
        assert shown["TableStatus"] == "UPDATING"
        assert shown["BillingModeSummary"] == {"BillingMode": "PROVISIONED"}
        table = await described(desk)
        assert table["TableStatus"] == "ACTIVE" and "OnDemandThroughput" not in table
        assert table["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(3, 2)}
        (gee,) = table["GlobalSecondaryIndexes"]
        assert gee["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(4, 5)}
        told = await refusal(desk, OnDemandThroughput=maxima)
        assert told == (
            "MaxReadRequestUnits for OnDemandThroughput cannot be specified when the table"
            " BillingMode is PROVISIONED"
        )
        assert await refusal(desk, BillingMode="PROVISIONED") == (
            "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
        )
        assert (await refusal(desk, **to)).startswith("The provisioned throughput for the table")
        await change(desk, BillingMode="PAY_PER_REQUEST")
        table = await described(desk)
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        (gee,) = table["GlobalSecondaryIndexes"]
        assert gee["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(0, 0)}

    at_desk(main)


def test_four_switches_to_on_demand_in_a_day() -> None:
    async def main(desk: Desk) -> None:
        to = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(3, 2)}
        await provisioned(desk, 3, 2)
        for _ in range(4):
            desk.clock.ahead_ms += HOUR_MS
            await change(desk, BillingMode="PAY_PER_REQUEST")
            await change(desk, **to)
        error = await desk.refused("UpdateTable", TableName="tab", BillingMode="PAY_PER_REQUEST")
        assert error.code == "LimitExceededException"
        assert error.message.startswith("Subscriber limit exceeded: Update to PayPerRequest mode")
        desk.clock.ahead_ms += 21 * HOUR_MS  # 24 hours after the first
        await change(desk, BillingMode="PAY_PER_REQUEST")

    at_desk(main)


def test_maxima_are_merged_and_cleared() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", also=("g:S",), GlobalSecondaryIndexes=[index("gee", "g")])

        async def to(**given: int) -> Any:
            await change(desk, OnDemandThroughput=given)
            return (await described(desk)).get("OnDemandThroughput")

        assert await to(MaxReadRequestUnits=10, MaxWriteRequestUnits=5) == {
            "MaxReadRequestUnits": 10,
            "MaxWriteRequestUnits": 5,
        }
        assert await to(MaxReadRequestUnits=20) == {
            "MaxReadRequestUnits": 20,
            "MaxWriteRequestUnits": 5,
        }
        assert await to(MaxWriteRequestUnits=-1) == {"MaxReadRequestUnits": 20}
        assert await to(MaxReadRequestUnits=-1) is None
        for wrong in (0, -2):
            assert await refusal(desk, OnDemandThroughput={"MaxReadRequestUnits": wrong}) == (
                "Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid"
                " range"
            )
        update = {"IndexName": "gee", "OnDemandThroughput": {"MaxReadRequestUnits": 7}}
        shown = await change(desk, GlobalSecondaryIndexUpdates=[{"Update": update}])
        assert shown["TableStatus"] == "ACTIVE"
        (gee,) = (await described(desk))["GlobalSecondaryIndexes"]
        assert gee["OnDemandThroughput"] == {"MaxReadRequestUnits": 7}

    at_desk(main)


def test_warmth_is_always_shown_and_only_grows() -> None:
    async def main(desk: Desk) -> None:
        await provisioned(desk, 5, 4)

        async def now() -> Any:
            return (await described(desk))["WarmThroughput"]

        assert await now() == {**warm(5, 4), "Status": "ACTIVE"}
        await change(desk, ProvisionedThroughput=units(9, 2))
        await change(desk, ProvisionedThroughput=units(1, 1))
        assert await now() == {**warm(9, 4), "Status": "ACTIVE"}
        assert await refusal(desk, WarmThroughput=warm(8, 8)) == (
            "Requested ReadUnitsPerSecond for WarmThroughput for table is lower than current"
            " WarmThroughput, decreasing WarmThroughput is not supported"
        )
        shown = await change(desk, WarmThroughput={"WriteUnitsPerSecond": 50})
        assert shown["TableStatus"] == "ACTIVE"
        assert shown["WarmThroughput"] == {**warm(9, 4), "Status": "UPDATING"}
        assert await now() == {**warm(9, 50), "Status": "ACTIVE"}
        await change(desk, BillingMode="PAY_PER_REQUEST")
        assert await now() == {**warm(12000, 4000), "Status": "ACTIVE"}
        made = await desk.CreateTable(
            TableName="warm",
            AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        assert "WarmThroughput" not in made["TableDescription"]
        error = await desk.refused(
            "CreateTable",
            TableName="cold",
            AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            WarmThroughput=warm(1, 1),
        )
        assert "is lower than initial throughput for OnDemand" in error.message

    at_desk(main)


def test_a_class_changes_twice_a_month() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        for wanted in ("STANDARD_INFREQUENT_ACCESS", "STANDARD"):
            await change(desk, TableClass=wanted)
            assert (await described(desk))["TableClassSummary"]["TableClass"] == wanted
        assert await refusal(desk, TableClass="STANDARD_INFREQUENT_ACCESS") == (
            "Subscriber limit exceeded: Updates to TableClass are limited to 2 times in 30 day(s)."
        )
        desk.clock.ahead_ms += 30 * 24 * HOUR_MS + 1000
        await change(desk, TableClass="STANDARD_INFREQUENT_ACCESS")

    at_desk(main)
