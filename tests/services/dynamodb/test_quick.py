"""The quick ways answer what the exact ways answer (T2, T3)."""

from __future__ import annotations

import inspect
import random
from typing import Any

import orjson
import pytest

from pileus.errors import AwsError
from pileus.services.call import Call, HttpRequest
from tests.services.dynamodb.desk import ROOT, Desk, at_desk, index


async def one(desk: Desk, operation: str, body: bytes, look: bool) -> Any:
    """What an operation answers, by the quick way where it may be taken, or by the exact one."""
    request = HttpRequest("POST", "/", "", {}, body)
    call = Call("dynamodb", operation, ROOT, "us-east-1", {}, request=request)
    try:
        service = desk.service
        if not look or (service.single(call) is None and service.several(call) is None):
            service.access(call)
        answer: Any = desk.service.direct[operation](call)
        if inspect.isawaitable(answer):
            answer = await answer
        return orjson.loads(answer.body)
    except AwsError as error:
        return error.code, error.message, error.status


async def both(desk: Desk, operation: str, body: bytes) -> tuple[Any, Any]:
    """What the quick way and the exact one answer."""
    return await one(desk, operation, body, True), await one(desk, operation, body, False)


def text(value: str) -> dict[str, str]:
    return {"S": value}


KEYS: list[Any] = [
    {"p": text("a"), "s": text("b")},
    {"p": text("a"), "s": text("none")},
    {"p": text(""), "s": text("b")},
    {"p": text("a")},
    {"p": text("a"), "s": text("b"), "x": text("c")},
    {"p": text("a"), "s": {"N": "1"}},
    {"p": text("a"), "s": {"S": "b", "N": "1"}},
    {"p": text("a" * 2049), "s": text("b")},
    {"p": text("ä" * 1025), "s": text("b" * 1025)},
    {"p": text("nul\0"), "s": text("\0")},
    {"p": {"S": 1}, "s": text("b")},
    {"p": {"S": ["x"]}, "s": text("b")},
    {"p": "ab", "s": text("b")},
    {"p": None, "s": text("b")},
    "Key",
    [],
    None,
]


@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_keys(operation):
    async def run(desk: Desk) -> None:
        await desk.table("two", "p:S", "s:S")
        await desk.table("one", "p:S")
        await desk.PutItem(
            TableName="two", Item={"p": text("a"), "s": text("b"), "n": {"N": "1.0"}}
        )
        await desk.PutItem(TableName="one", Item={"p": text("a")})
        member = "Key" if operation == "GetItem" else "Item"
        for name in ("two", "one", "absent"):
            for key in KEYS:
                for more in ({}, {"ConsistentRead": True}, {"ConsistentRead": 1}, {"X": 1}):
                    body = orjson.dumps({"TableName": name, member: key} | more)
                    quick, exact = await both(desk, operation, body)
                    assert quick == exact, body
        for body in (
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"TableName":{}}',
            b'{"TableName":7}',
            b'{"TableName":"two"}',
        ):
            quick, exact = await both(desk, operation, body)
            assert quick == exact, body

    at_desk(run)


VALUES: list[Any] = [
    text("x"), text(""), {"N": "+01.50"}, {"N": "x"}, {"B": "AA=="}, {"B": "!"}, {"BOOL": True},
    {"NULL": False}, {"SS": ["a", "a"]}, {"L": [{"N": "1e2"}, {}]}, {"M": {"a": text("b")}}, {},
    {"S": "a", "N": "1"}, {"X": 1}, 5, None, [], {"S": None}, {"S": {"a": 1}},
]  # fmt: skip


def test_items_of_every_shape():
    async def run(desk: Desk) -> None:
        await desk.table("two", "p:S", "s:S")
        await desk.table(
            "indexed", "p:S", also=["g:S"], GlobalSecondaryIndexes=[index("by_g", "g")]
        )
        for name in ("two", "indexed"):
            for value in VALUES:
                for attribute in ("v", "g", "ä"):
                    item = {"p": text("a"), "s": text("b"), attribute: value}
                    body = orjson.dumps({"TableName": name, "Item": item})
                    quick, exact = await both(desk, "PutItem", body)
                    assert quick == exact, body
                    read = orjson.dumps(
                        {
                            "TableName": name,
                            "Key": {k: item[k] for k in (("p", "s") if name == "two" else ("p",))},
                        }
                    )
                    quick, exact = await both(desk, "GetItem", read)
                    assert quick == exact, body

    at_desk(run)


UPDATES: list[dict[str, Any]] = [
    {"UpdateExpression": "SET n = n + :one", "ExpressionAttributeValues": {":one": {"N": "1.0"}}},
    {"UpdateExpression": "SET n = :one, v = :one REMOVE w", "ReturnValues": "ALL_NEW"},
    {"UpdateExpression": "ADD n :one DELETE w :one", "ReturnValues": "UPDATED_NEW"},
    {"UpdateExpression": "SET #n = :one", "ExpressionAttributeNames": {"#n": "n"}},
    {"UpdateExpression": "SET #n = :one", "ExpressionAttributeNames": {"#n": "n", "#m": "m"}},
    {"UpdateExpression": "SET #n = :one", "ExpressionAttributeNames": {}},
    {"UpdateExpression": "SET n = :one", "ConditionExpression": "attribute_exists(p)"},
    {"UpdateExpression": "SET n = :one", "ConditionExpression": "n < :one"},
    {"UpdateExpression": "SET n = :one", "ConditionExpression": "n < :two"},
    {"UpdateExpression": "SET n = :one", "ConditionExpression": "m.a = :one"},
    {"UpdateExpression": "SET p = :one"},
    {"UpdateExpression": "SET m.a = :one"},
    {"UpdateExpression": "SET g = :one"},
    {"UpdateExpression": "SET n ="},
    {"UpdateExpression": "SET n = :one, n = :one"},
    {"UpdateExpression": "REMOVE n", "ExpressionAttributeValues": {}},
    {"UpdateExpression": "REMOVE n", "ReturnValues": "NEW"},
    {"UpdateExpression": "REMOVE n", "AttributeUpdates": {}},
    {"UpdateExpression": "REMOVE n", "ReturnConsumedCapacity": "TOTAL"},
    {"UpdateExpression": 5},
    {},
]


def test_updates():
    async def run(desk: Desk) -> None:
        by_g = [index("by_g", "g")]
        await desk.table("two", "p:S", also=["g:S"], GlobalSecondaryIndexes=by_g)
        for spec in UPDATES:
            uses = ":one" in str(spec.get("UpdateExpression"))
            for value in VALUES if uses else VALUES[:1]:
                params = {"TableName": "two", "Key": {"p": text("a")}} | spec
                if uses:
                    values = params.get("ExpressionAttributeValues", {})
                    params["ExpressionAttributeValues"] = {":one": value} | values
                answers = []
                for look in (True, False):
                    await desk.PutItem(
                        TableName="two",
                        Item={"p": text("a"), "n": {"N": "1"}, "m": {"M": {"a": {"N": "1"}}}},
                    )
                    answers.append(await one(desk, "UpdateItem", orjson.dumps(params), look))
                    answers.append(await desk.GetItem(TableName="two", Key={"p": text("a")}))
                assert answers[:2] == answers[2:], params

    at_desk(run)


CONDITIONS = [
    ("p = :p", [":p"]),
    (":p = p", [":p"]),
    ("#p = :p AND s > :s", [":p", ":s"]),
    ("p = :p AND s >= :s", [":p", ":s"]),
    ("p = :p AND :s < s", [":p", ":s"]),
    ("p = :p AND s <= :s", [":p", ":s"]),
    ("p = :p AND s = :s", [":p", ":s"]),
    ("p = :p AND begins_with(s, :s)", [":p", ":s"]),
    ("p = :p AND s BETWEEN :s AND :t", [":p", ":s", ":t"]),
    ("p = :p AND s = :p", [":p"]),
    ("p = :p AND p = :s", [":p", ":s"]),
    ("p = :p OR s = :s", [":p", ":s"]),
    ("p > :p", [":p"]),
    ("p = :p AND x = :s", [":p", ":s"]),
    ("s = :s", [":s"]),
    ("p = :p AND", [":p"]),
    ("p = :q", [":p"]),
    ("p = :p", [":p", ":unused"]),
]


def test_queries():
    async def run(desk: Desk) -> None:
        await desk.table("two", "p:S", "s:S")
        await desk.table("numbers", "p:S", "s:N")
        for i in range(12):
            await desk.PutItem(
                TableName="two", Item={"p": text("a"), "s": text(f"s{i:02}"), "v": text("x" * i)}
            )
            await desk.PutItem(TableName="numbers", Item={"p": text("a"), "s": {"N": str(i)}})
        dice = random.Random(7)
        taken = 0
        for name in ("two", "numbers"):
            for expression, names in CONDITIONS:
                for _ in range(25):
                    values = {n: dice.choice([text("a"), text("s05"), text("s")]) for n in names}
                    values[names[0]] = dice.choice([text("a"), text("b"), text(""), {"N": "1"}])
                    params: dict[str, Any] = {
                        "TableName": name,
                        "KeyConditionExpression": expression,
                        "ExpressionAttributeValues": values,
                    }
                    if "#p" in expression:
                        params["ExpressionAttributeNames"] = dice.choice(
                            [{"#p": "p"}, {}, {"#q": "p"}]
                        )
                    for option, choices in (
                        ("Limit", [1, 5, 12, 13, 0, "x"]),
                        ("ScanIndexForward", [True, False, 1]),
                        ("ConsistentRead", [True, None]),
                        ("Select", ["COUNT"]),
                    ):
                        if dice.random() < 0.3:
                            params[option] = dice.choice(choices)
                    quick, exact = await both(desk, "Query", orjson.dumps(params))
                    assert quick == exact, params
                    taken += "Items" in quick
        assert taken > 50  # or the comparison would compare nothing

    at_desk(run)
