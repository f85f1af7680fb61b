"""BatchExecuteStatement and ExecuteTransaction, as the service was seen to answer."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from tests.services.dynamodb.desk import Desk, at_desk, index
from tests.services.dynamodb.test_partiql import put, rows, seeded, stored

OTHER = "SELECT * FROM tab WHERE pk = 'o' AND sk = '2'"
READ = "SELECT * FROM tab WHERE pk = 'o' AND sk = '1'"
WRITE = "UPDATE tab SET x = 1 WHERE pk = 'o' AND sk = '1'"
MISMATCH = "The provided key element does not match the schema"


def members(*texts: str) -> list[dict[str, Any]]:
    return [{"Statement": text} for text in texts]


async def transact(desk: Desk, *texts: str, **more: Any) -> Any:
    answer = await desk.ExecuteTransaction(TransactStatements=members(*texts), **more)
    return answer["Responses"]


async def cancelled(desk: Desk, *texts: str) -> AwsError:
    return await desk.refused("ExecuteTransaction", TransactStatements=members(*texts))


async def batch(desk: Desk, *texts: str) -> Any:
    return (await desk.BatchExecuteStatement(Statements=members(*texts)))["Responses"]


def codes(error: AwsError) -> list[str]:
    assert error.code == "TransactionCanceledException"
    return [r["Code"] for r in error.fields["CancellationReasons"]]


def test_a_transaction_of_writes_is_all_or_nothing() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        insert = "INSERT INTO tab VALUE {'pk': 'new', 'sk': '1'}"
        assert await transact(desk, insert, WRITE, "DELETE FROM tab WHERE pk='p' AND sk='1'") == []
        assert (await stored(desk, "o"))["x"] == {"N": "1"} and await stored(desk, "p") is None
        again = await cancelled(desk, insert, "DELETE FROM tab WHERE pk = 'p' AND sk = '2'")
        assert codes(again) == ["DuplicateItem", "None"]
        assert again.message.endswith("specific reasons [DuplicateItem, None]")
        assert await stored(desk, "p", "2") is not None
        missing = await cancelled(desk, "UPDATE tab SET x = 1 WHERE pk = 'z' AND sk = '1'", WRITE)
        assert codes(missing) == ["ConditionalCheckFailed", "None"]

    at_desk(main)


def test_exists_checks_a_condition() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        check = "EXISTS(SELECT * FROM tab WHERE pk = 'p' AND sk = '1' AND {})"
        await transact(desk, check.format("x IS MISSING"), WRITE)
        failed = await cancelled(desk, check.format("n = 5"), WRITE)
        assert codes(failed) == ["ConditionalCheckFailed", "None"]
        assert failed.fields["CancellationReasons"][1] == {"Code": "None"}
        # Two values of a key: the first is the key, the second a condition.
        failed = await cancelled(desk, check.format("pk = 'o' AND n = 1"), WRITE)
        assert codes(failed) == ["ConditionalCheckFailed", "None"]
        for where in ("pk = 'p' AND sk = '1'", "pk IN ['p'] AND sk = '1' AND n = 1", "n = 1"):
            text = f"EXISTS(SELECT * FROM tab WHERE {where})"
            assert (await cancelled(desk, text, WRITE)).message == (
                "Validation failed in TransactStatements[0]: EXISTS() must contain a single item"
                " read with additional condition"
            )

    at_desk(main)


def test_a_transaction_of_reads() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        found = await transact(
            desk,
            "SELECT n FROM tab WHERE pk = 'o' AND sk = '1'",
            "SELECT * FROM tab WHERE (sk = '2') AND pk IN ['o'] AND pk = 'o'",
            "SELECT * FROM tab WHERE pk = 'none' AND sk = '1'",
        )
        assert found[0] == {"Item": {"n": {"N": "1"}}}
        assert rows([found[1]["Item"]]) == ["o/2"] and found[2] == {}
        refused = (
            "Validation failed in TransactStatements[1]: Select statements within"
            " ExecuteTransaction must specify the primary key in the where clause."
        )
        for where in (
            "pk = 'o'",
            "pk = 'o' AND sk = '1' AND n = 1",
            "pk = 'o' AND sk = '1' AND pk = 'p'",
            "pk IN ['p'] AND pk = 'o' AND sk = '1'",
            "attribute_exists(n)",
        ):
            error = await cancelled(desk, OTHER, f"SELECT * FROM tab WHERE {where}")
            assert error.message == refused, where
        twice = await cancelled(desk, READ, "SELECT n FROM tab WHERE sk = '1' AND pk = 'o'")
        assert twice.message == (
            "Transaction request cannot include multiple operations on one item"
        )
        typed = await cancelled(desk, READ, READ, "SELECT * FROM tab WHERE pk = 1 AND sk = '1'")
        assert codes(typed) == ["None", "None", "ValidationError"]
        assert typed.fields["CancellationReasons"][2]["Message"] == MISMATCH

    at_desk(main)


def test_what_transactions_refuse() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        first = "Validation failed in TransactStatements[0]: "
        for texts, message in {
            (READ, WRITE): "ExecuteTransaction API does not support both read and write operations"
            " in the same request.",
            (f"{WRITE} RETURNING ALL NEW *",): first
            + "RETURNING clause is not supported in ExecuteTransaction.",
            ("SELECT * FROM tab.idx WHERE pk = 'o' AND sk = '1'",): first
            + "Reads on indices are not supported within transactions.",
            ("UPDATE tab.idx SET x = 1 WHERE pk = 'o'",): first
            + "This operation is not supported on an index",
            ("SELECT * FROM tab WHERE",): first
            + "Statement wasn't well formed, can't be processed: Unexpected term",
            ("SELECT * FROM tab WHERE pk IN ['o', 'o'] AND sk = '1'",): first
            + "Overlapping conditions with range keys are not supported in where clause",
            ("UPDATE tab SET n = n + [1] WHERE pk = 'o' AND sk = '1'",): first
            + "Incorrect operand type for operator or function; operator or function: +,"
            " operand type: L",
            (WRITE, WRITE): "Transaction request cannot include multiple operations on one item",
        }.items():
            assert (await cancelled(desk, *texts)).message == message
        many = [f"DELETE FROM tab WHERE pk = 'x{n}' AND sk = '1'" for n in range(101)]
        assert "100" in (await cancelled(desk, *many)).message
        assert (await cancelled(desk)).code == "ValidationException"

    at_desk(main)


def test_missing_tables_and_keys_cancel_a_transaction() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        nobody = "UPDATE nobody SET x = 1 WHERE pk = 'x' AND sk = '1'"
        gone = await cancelled(desk, f"{nobody} RETURNING ALL NEW *", WRITE)
        assert codes(gone) == ["ResourceNotFound", "None"]
        gone = await cancelled(desk, READ, "SELECT * FROM nobody.idx WHERE pk = 'x'")
        assert codes(gone) == ["None", "ResourceNotFound"]
        refused = await cancelled(desk, nobody, f"{WRITE} RETURNING ALL NEW *")
        assert refused.message.startswith("Validation failed in TransactStatements[1]: RETURNING")
        update = "UPDATE tab SET x = 1 WHERE "
        bad = await cancelled(
            desk,
            update + "pk = 'o'",
            update + "pk IN ['o'] AND sk = '1'",
            update + "pk = 'o' AND sk = '1' AND pk = 'p'",
            update + "pk = 'o' AND sk = 1",
            "INSERT INTO tab VALUE {'pk': 'x'}",
            update + "pk = 'o' AND sk = '1'",
        )
        assert codes(bad) == ["ValidationError"] * 5 + ["None"]
        reasons = bad.fields["CancellationReasons"]
        assert reasons[0]["Message"] == reasons[3]["Message"] == MISMATCH
        assert reasons[4]["Message"].endswith("Missing the key sk in the item")
        assert "x" not in await stored(desk, "o")

    at_desk(main)


def test_a_token_makes_a_transaction_run_once() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        text = "UPDATE tab SET n = n + 1 WHERE pk = 'o' AND sk = '1'"
        for _ in range(2):
            await transact(desk, text, ClientRequestToken="once")
        assert (await stored(desk, "o"))["n"] == {"N": "2"}
        other = await desk.refused(
            "ExecuteTransaction",
            TransactStatements=members(text.replace("+ 1", "+ 2")),
            ClientRequestToken="once",
        )
        assert other.code == "IdempotentParameterMismatchException"

    at_desk(main)


def test_prices_come_by_statement() -> None:
    async def main(desk: Desk) -> None:
        await desk.table(
            "tab", "pk:S", "sk:S", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g")]
        )
        await put(desk, "o", "1", g={"S": "x"})
        await put(desk, "o", "2")
        change = "UPDATE tab SET g = 'y' WHERE pk = 'o' AND sk = '1'"
        plain = "UPDATE tab SET x = 'y' WHERE pk = 'o' AND sk = '2'"
        answer = await desk.ExecuteTransaction(
            TransactStatements=members(change, plain), ReturnConsumedCapacity="TOTAL"
        )
        units = [c["CapacityUnits"] for c in answer["ConsumedCapacity"]]
        assert answer["Responses"] == [] and units == [4.0, 2.0]
        answer = await desk.BatchExecuteStatement(
            Statements=[{"Statement": READ, "ConsistentRead": True}, {"Statement": OTHER}],
            ReturnConsumedCapacity="TOTAL",
        )
        assert [c["CapacityUnits"] for c in answer["ConsumedCapacity"]] == [1.0, 0.5]

    at_desk(main)


def test_each_statement_of_a_batch_succeeds_or_fails_alone() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        found = await batch(
            desk,
            "SLECT * FROM tab WHERE pk = 'o'",
            "INSERT INTO tab VALUE {'pk': 'o', 'sk': '1'}",
            "UPDATE tab SET x = 1 WHERE pk = 'o' AND sk = '3' AND n = 9",
            "UPDATE nobody SET x = 1 WHERE pk = 'o' AND sk = '1'",
            "DELETE FROM tab WHERE pk = 'p' AND sk = '1' RETURNING ALL OLD *",
            "UPDATE tab REMOVE n WHERE pk = 'o' AND sk = '2' RETURNING MODIFIED NEW *",
            "INSERT INTO tab VALUE {'pk': 'new', 'sk': '1'}",
        )
        assert [r.get("Error", {}).get("Code") for r in found] == [
            *("ValidationError", "DuplicateItem", "ConditionalCheckFailed", "ResourceNotFound"),
            *(None, None, None),
        ]
        assert "TableName" not in found[0] and found[2]["TableName"] == "tab"
        assert rows([found[4]["Item"]]) == ["p/1"]
        assert found[5] == found[6] == {"TableName": "tab"}
        assert await stored(desk, "new") is not None

    at_desk(main)


def test_reads_of_a_batch_are_by_key() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        found = await batch(
            desk,
            "SELECT n FROM tab WHERE pk IN ['o'] AND sk = '1'",
            "SELECT * FROM tab WHERE pk = 'none' AND sk = '1'",
            "SELECT * FROM tab WHERE pk = 'o' AND sk = '1' AND n = 1",
            "SELECT * FROM tab WHERE pk = 'o'",
            "SELECT * FROM tab.idx WHERE pk = 'o'",
        )
        assert found[:2] == [{"TableName": "tab", "Item": {"n": {"N": "1"}}}, {"TableName": "tab"}]
        for slot in found[2:]:
            assert "TableName" not in slot  # nothing was carried out there
            assert slot["Error"] == {
                "Code": "ValidationError",
                "Message": "Select statements within BatchExecuteStatement must specify the"
                " primary key in the where clause.",
            }
        mixed = await desk.refused("BatchExecuteStatement", Statements=members(READ, WRITE))
        assert mixed.message == (
            "Read and write requests together in the same batch is not supported."
        )
        for twice in (READ, "DELETE FROM tab WHERE pk = 'o' AND sk = '1'"):
            error = await desk.refused(
                "BatchExecuteStatement", Statements=members(twice, "SLECT", twice)
            )
            assert error.message == "Provided list of item keys contains duplicates"
        assert await stored(desk, "o") is not None
        many = await desk.refused("BatchExecuteStatement", Statements=members(*[READ] * 26))
        assert "less than or equal to 25" in many.message

    at_desk(main)


def test_a_failed_condition_shows_the_item_when_asked() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        wanted = {
            "Statement": "UPDATE tab SET x = 1 WHERE pk = 'o' AND sk = '1' AND n = 9",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        error = await desk.refused("ExecuteTransaction", TransactStatements=[wanted])
        assert error.fields["CancellationReasons"][0]["Item"]["n"] == {"N": "1"}
        answer = await desk.BatchExecuteStatement(Statements=[wanted])
        assert answer["Responses"][0]["Error"]["Item"]["n"] == {"N": "1"}

    at_desk(main)


def test_an_item_too_deep_is_refused_everywhere_alike() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        deep: dict[str, Any] = {"S": "x"}
        for _ in range(31):
            deep = {"M": {"a": deep}}
        await put(desk, "o", "1", m={"M": {}})
        request = {
            "Statement": "UPDATE tab SET m.deep = ? WHERE pk = 'o' AND sk = '1'",
            "Parameters": [deep],
        }
        message = "Nesting Levels have exceeded supported limits"
        error = await desk.refused("ExecuteStatement", **request)
        assert error.message == message
        error = await desk.refused("ExecuteTransaction", TransactStatements=[request])
        assert error.fields["CancellationReasons"][0]["Message"] == message
        answer = await desk.BatchExecuteStatement(Statements=[request])
        assert answer["Responses"][0]["Error"]["Message"] == message

    at_desk(main)
