"""The quick way of transactions submits the entries of the exact way, and answers like it (T3)."""

from __future__ import annotations

import random
from typing import Any

import orjson

from pileus.services.dynamodb import quick_transact
from pileus.state import entry
from tests.services.dynamodb.desk import Desk, at_desk, index
from tests.services.dynamodb.test_quick import KEYS, VALUES, one, text

NAMES = ["two", "two", "two", "one", "indexed", "numbers", "metered", "absent", 7, None]
TOKENS = ["", "t", "t" * 36, "t" * 37, 5]
GUARDS: list[dict[str, Any]] = [
    {},
    {"ConditionExpression": "attribute_not_exists(p)"},
    {"ConditionExpression": "attribute_exists(p)", "ReturnValuesOnConditionCheckFailure": "x"},
    {"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"N": "01.0"}}},
    {"ConditionExpression": "#v = :v", "ExpressionAttributeNames": {"#v": "v"}},
    {"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":w": text("x")}},
    {"ConditionExpression": "m.a = :v", "ExpressionAttributeValues": {":v": text("x")}},
    {"ConditionExpression": "v =", "ExpressionAttributeValues": {":v": text("x")}},
    {"ConditionExpression": ""},
    {"ExpressionAttributeNames": {"#v": "v"}},
    {"ExpressionAttributeValues": {}},
    {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
]
UPDATES: list[dict[str, Any]] = [
    {"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"N": "1e1"}}},
    {"UpdateExpression": "REMOVE v"},
    {"UpdateExpression": "REMOVE #v", "ExpressionAttributeNames": {"#v": "v"}},
    {
        "UpdateExpression": "SET v = :v",
        "ConditionExpression": "attribute_exists(p) AND v < :w",
        "ExpressionAttributeValues": {":v": text("x"), ":w": {"N": "7"}},
    },
    {"UpdateExpression": "SET p = :v", "ExpressionAttributeValues": {":v": text("x")}},
    {"UpdateExpression": "SET m.a = :v", "ExpressionAttributeValues": {":v": text("x")}},
    {"UpdateExpression": "SET v"},
    {"UpdateExpression": 3},
    {},
]


def plain_part(dice: random.Random) -> dict[str, Any]:
    """An operation as applications send it."""
    key = {"p": text(dice.choice("abc")), "s": text(dice.choice("abcdef"))}
    kind = dice.choice(["Put", "Put", "Put", "Update", "Delete", "ConditionCheck"])
    part: dict[str, Any] = {"TableName": "two"}
    if kind == "Put":
        part["Item"] = key | {"v": dice.choice([text("x"), {"N": "+1.50"}, {"B": "AA=="}])}
        return {kind: part | dice.choice(GUARDS[:4])}
    part["Key"] = key
    if kind == "Update":
        return {kind: part | dice.choice(UPDATES[:4])}
    return {kind: part | dice.choice(GUARDS[1 if kind == "ConditionCheck" else 0 : 4])}


def odd_part(dice: random.Random) -> Any:
    """An operation with anything in it."""
    kind = dice.choice(["Put", "Update", "Delete", "ConditionCheck", "Get"])
    part: dict[str, Any] = {"TableName": dice.choice(NAMES)}
    if kind == "Put":
        item = {"p": text("a"), "s": text(dice.choice("bcd"))}
        part["Item"] = dice.choice([*KEYS, item | {dice.choice("vgä"): dice.choice(VALUES)}])
    else:
        part["Key"] = dice.choice(KEYS)
    part |= dice.choice(GUARDS)
    if kind == "Update" or dice.random() < 0.05:
        part |= dice.choice(UPDATES)
    if dice.random() < 0.05:
        part[dice.choice(["Item", "Key", "X", "ReturnValues"])] = dice.choice(VALUES)
    if dice.random() < 0.05:
        return dice.choice([{}, None, {kind: None}, {kind: part, "Put": part}, [], "Put"])
    return {kind: part}


class Told(Exception):
    """The entry, instead of its effect."""


async def told(desk: Desk, body: bytes, look: bool) -> Any:
    """The entry a request makes, packed, or its refusal."""
    try:
        return await one(desk, "TransactWriteItems", body, look)
    except Told as found:
        return found.args[0]


def test_random_transactions_make_the_same_entries(monkeypatch):
    quick_ones = 0

    def counted(*args: Any) -> Any:
        nonlocal quick_ones
        made = quick_transact.transact_plain(*args)
        quick_ones += made is not None
        return made

    monkeypatch.setattr("pileus.services.dynamodb.transact_plain", counted)

    async def run(desk: Desk) -> None:
        await desk.table("two", "p:S", "s:S")
        await desk.table("one", "p:S")
        await desk.table("numbers", "p:N")
        by_g = [index("by_g", "g")]
        await desk.table("indexed", "p:S", also=["g:S"], GlobalSecondaryIndexes=by_g)
        limits = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
        both = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": limits}
        await desk.table("metered", "p:S", "s:S", **both)

        async def tell(rule: str, args: Any, request_id: bytes) -> Any:
            raise Told(entry.pack(0, rule, 0, request_id, args))

        monkeypatch.setattr(desk.store, "submit", tell)
        dice = random.Random(4)
        entries = 0
        for round in range(3000):
            odd = round % 3 == 0
            parts = [plain_part(dice) for _ in range(dice.randint(1, 4))]
            if odd:
                parts[dice.randrange(len(parts))] = odd_part(dice)
            params: dict[str, Any] = {"TransactItems": parts}
            if dice.random() < 0.5:
                params["ClientRequestToken"] = dice.choice(TOKENS if odd else TOKENS[1:3])
            if dice.random() < 0.1:
                params[dice.choice(["ReturnConsumedCapacity", "X", "TableName"])] = "TOTAL"
            body = orjson.dumps(params)
            quick, exact = await told(desk, body, True), await told(desk, body, False)
            assert quick == exact, body
            entries += type(exact) is bytes
        assert entries > quick_ones > entries * 2 // 3 > 500

    at_desk(run)


def test_limits_of_a_transaction():
    """A hundred operations, no item twice, 64 KB: the exact way has its say beyond them."""

    async def run(desk: Desk) -> None:
        await desk.table("two", "p:S", "s:S")

        def put(i: int, size: int = 1) -> dict[str, Any]:
            item = {"p": text("a"), "s": text(str(i)), "v": text("x" * size)}
            return {"Put": {"TableName": "two", "Item": item}}

        for parts in (
            *([], [put(i) for i in range(100)], [put(i) for i in range(101)]),
            *([put(1), put(1)], [put(1, 70_000)], [put(1, 500_000)]),
        ):
            body = orjson.dumps({"TransactItems": parts})
            exact, quick = [await one(desk, "TransactWriteItems", body, b) for b in (False, True)]
            assert quick == exact, len(parts)

    at_desk(run)


def test_a_plain_put_of_a_transaction_writes_what_any_put_writes():
    """All or nothing, over what was there; a repeat by token answers and writes nothing more."""

    async def run(desk: Desk) -> None:
        await desk.table("two", "p:S", "s:S")
        await desk.PutItem(TableName="two", Item={"p": text("a"), "s": text("1"), "v": text("o")})
        new = {"p": text("a"), "s": text("1"), "v": {"N": "02"}}
        check = {"TableName": "two", "Key": {"p": text("a"), "s": text("2")}}
        parts = [
            {"Put": {"TableName": "two", "Item": new}},
            {"ConditionCheck": check | {"ConditionExpression": "attribute_exists(p)"}},
        ]
        body = orjson.dumps({"TransactItems": parts})
        code, message, _ = await one(desk, "TransactWriteItems", body, True)
        assert code == "TransactionCanceledException"
        assert message.endswith("[None, ConditionalCheckFailed]")
        key = {"p": text("a"), "s": text("1")}
        assert (await desk.GetItem(TableName="two", Key=key))["Item"]["v"] == text("o")
        parts[1] = {"Put": {"TableName": "two", "Item": new | {"s": text("3")}}}
        body = orjson.dumps({"TransactItems": parts, "ClientRequestToken": "once"})
        for value in ({"N": "2"}, {"N": "9"}):
            assert await one(desk, "TransactWriteItems", body, True) == {}
            assert (await desk.GetItem(TableName="two", Key=key))["Item"]["v"] == value
            await desk.PutItem(TableName="two", Item=new | {"v": {"N": "9"}})

    at_desk(run)
