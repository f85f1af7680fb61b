"""Which permissions a call asks for, and the condition keys it brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from pileus.services.call import Access, Call, HttpRequest
from tests.services.dynamodb.desk import ACCOUNT, ROOT, Desk, at_desk, index

TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/"
KEY = {"pk": {"S": "a"}, "sk": {"S": "1"}}


def asked(desk: Desk, operation: str, params: dict[str, Any]) -> Sequence[Access]:
    request = HttpRequest("POST", "/", "", {}, orjson.dumps(params))
    service = desk.streams if operation in desk.streams.direct else desk.service
    call = Call(service.name, operation, ROOT, "us-east-1", {}, request=request)
    return service.access(call)


@pytest.mark.parametrize(
    ("operation", "member", "value"),
    [
        ("BatchGetItem", "RequestItems", {"theirs": {"Keys": [KEY]}}),
        ("BatchWriteItem", "RequestItems", {"theirs": [{"PutRequest": {"Item": KEY}}]}),
        ("TransactGetItems", "TransactItems", [{"Get": {"TableName": "theirs", "Key": KEY}}]),
        ("TransactWriteItems", "TransactItems", [{"Put": {"TableName": "theirs", "Item": KEY}}]),
        ("ExecuteStatement", "Statement", "SELECT * FROM theirs"),
        ("BatchExecuteStatement", "Statements", [{"Statement": "SELECT * FROM theirs"}]),
        ("ExecuteTransaction", "TransactStatements", [{"Statement": "SELECT * FROM theirs"}]),
    ],
)
def test_a_stray_table_name_stands_for_nothing(operation: str, member: str, value: Any) -> None:
    async def main(desk: Desk) -> None:
        accesses = asked(desk, operation, {"TableName": "mine", member: value})
        assert [a.resource for a in accesses] == [TABLE + "theirs"]

    at_desk(main)


async def indexed(desk: Desk) -> None:
    await desk.table(
        "tab", "pk:S", "sk:S", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g")]
    )


def test_statements_ask_for_their_own_actions() -> None:
    async def main(desk: Desk) -> None:
        await indexed(desk)
        texts = {
            "SELECT * FROM tab": ("PartiQLSelect", "tab"),
            'SELECT * FROM tab."by-g"': ("PartiQLSelect", "tab/index/by-g"),
            "INSERT INTO tab VALUE {'pk': 'a', 'sk': '1'}": ("PartiQLInsert", "tab"),
            "UPDATE nobody SET a = 1 WHERE pk = 'a'": ("PartiQLUpdate", "nobody"),
            "DELETE FROM tab WHERE pk = 'a' AND sk = '1'": ("PartiQLDelete", "tab"),
            "EXISTS(SELECT * FROM tab WHERE pk = 'a')": ("PartiQLSelect", "tab"),
        }
        params = {"TransactStatements": [{"Statement": t} for t in texts]}
        accesses = asked(desk, "ExecuteTransaction", params)
        assert [(a.action, a.resource) for a in accesses] == [
            (f"dynamodb:{action}", TABLE + where) for action, where in texts.values()
        ]
        for access in accesses:
            assert access.context["dynamodb:EnclosingOperation"] == "ExecuteTransaction"

    at_desk(main)


def test_condition_keys_of_statements() -> None:
    async def main(desk: Desk) -> None:
        await indexed(desk)
        for text, scan, leading in (
            ("SELECT * FROM tab", "true", None),
            ("SELECT * FROM tab WHERE pk > 'a'", "true", None),
            ("SELECT * FROM tab WHERE pk = ? OR sk = '1'", "true", None),
            ("SELECT * FROM tab WHERE pk = ?", "false", ["a"]),
            ("SELECT sk FROM tab WHERE pk IN ['b', ?] AND sk > '1'", "false", ["a", "b"]),
            ('SELECT * FROM tab."by-g" WHERE pk = ?', "true", None),
            ('SELECT * FROM tab."by-g" WHERE g = ?', "false", ["a"]),
            ("SELECT * FROM tab WHERE pk = 1", "true", None),
            ("UPDATE tab SET a = 1 WHERE pk = ? AND sk = '1'", None, ["a"]),
            ("INSERT INTO tab VALUE {'pk': ?, 'sk': '1'}", None, ["a"]),
        ):
            params = {"Statement": text, "Parameters": [{"S": "a"}]}
            context = asked(desk, "ExecuteStatement", params)[0].context
            assert context.get("dynamodb:FullTableScan") == scan, text
            assert context.get("dynamodb:LeadingKeys") == leading, text
        text = "SELECT a.b FROM tab WHERE pk = 'x' AND c[0] = 1"
        context = asked(desk, "ExecuteStatement", {"Statement": text})[0].context
        assert context["dynamodb:Attributes"] == ["a", "c", "pk"]
        assert context["dynamodb:Select"] == "SPECIFIC_ATTRIBUTES"

    at_desk(main)


@pytest.mark.parametrize(
    "parameters", [None, 1, "x", {}, [1], [None], [{}], [{"S": 1}], [{"B": "?"}], [[]], []]
)
def test_bent_parameters_do_not_loosen_a_policy(parameters: Any) -> None:
    async def main(desk: Desk) -> None:
        await indexed(desk)
        params = {"Statement": "SELECT * FROM tab WHERE pk = ?", "Parameters": parameters}
        context = asked(desk, "ExecuteStatement", params)[0].context
        assert context["dynamodb:FullTableScan"] == "true"
        assert "dynamodb:LeadingKeys" not in context

    at_desk(main)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("ExecuteStatement", {}),
        ("ExecuteStatement", {"Statement": ["SELECT"]}),
        ("ExecuteStatement", {"Statement": "SELECT"}),
        ("BatchExecuteStatement", {"Statements": {"Statement": "x"}}),
        ("BatchExecuteStatement", {"Statements": [1, None, "x", {"Statement": 1}]}),
        ("ExecuteTransaction", {"TransactStatements": [["SELECT * FROM tab"]]}),
    ],
)
def test_what_asks_for_nothing_does_nothing(operation: str, params: dict[str, Any]) -> None:
    async def main(desk: Desk) -> None:
        assert asked(desk, operation, params) == []
        error = await desk.refused(operation, **params)
        assert error.code in ("ValidationException", "SerializationException")

    at_desk(main)
