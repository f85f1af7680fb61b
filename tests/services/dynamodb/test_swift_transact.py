"""Transactions submitted from their bytes are the entries of the usual way (T2, T5)."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import msgspec

from tests.services.dynamodb.test_swift import ODD, RETRY, TABLE, Doors, at_doors

TOKEN = "11111111-aaaa-4333-8444-555555555555"


def put(s: str, table: str = "two", guard: dict[str, Any] | None = None, **more: Any) -> Any:
    item = {"p": {"S": "w"}, **({"s": {"S": s}} if table == "two" else {}), **more}
    return {"Put": {"TableName": table, "Item": item, **(guard or {})}}


def key(s: str, kind: str, **more: Any) -> Any:
    return {kind: {"TableName": "two", "Key": {"s": {"S": s}, "p": {"S": "w"}}, **more}}


def got(s: str) -> dict[str, Any]:
    return {"TableName": "two", "Key": {"p": {"S": "w"}, "s": {"S": s}}}


NEW = {"ConditionExpression": "attribute_not_exists(p) OR n < :n"}
GUARD = {**NEW, "ExpressionAttributeValues": {":n": {"N": "70"}}}
SHOWN = {**GUARD, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
SET = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "7"}}}
BOTH = {
    "UpdateExpression": "SET #t = :t",
    "ConditionExpression": "n = :n",
    "ExpressionAttributeNames": {"#t": "t"},
    "ExpressionAttributeValues": {":t": {"S": "some"}, ":n": {"N": "7"}},
}
FORMS: list[list[Any]] = [
    [put("1", n={"N": "7"}, t={"S": "some % text"}), put("2"), put("", "one", t={"S": "x"})],
    [put("1", n={"N": "7"}, m={"M": {"a": {"L": [{"N": "+3"}]}}}), key("2", "Delete")],
    [put("1", guard=GUARD, n={"N": "7"}), put("2", guard=SHOWN)],
    [key("1", "Update", **SET), key("2", "Update", **SET), key("3", "Update", **BOTH)],
    [key("1", "Update", **SET), key("2", "ConditionCheck", **GUARD), put("3", n={"N": "7"})],
    [key("1", "Delete", **SHOWN), put("2", n={"S": "x"})],
    [key("1", "ConditionCheck", ConditionExpression="attribute_exists(p)")],
]


class Entries:
    """Every entry submitted by a front process's parts."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self.told: list[tuple[str, bytes]] = []
        store = doors.front.parts.store
        submit = store.submit_soon

        def watched(rule: str, args: Any, request_id: bytes, done: Any) -> None:
            self.told.append((rule, msgspec.msgpack.encode(args)))
            submit(rule, args, request_id, done)

        store.submit_soon = watched

    async def both(self, data: bytes) -> tuple[bool, bytes]:
        """Whether it was submitted from its bytes, and the answer; the entries must be alike. What
        is changed by the first is as it was for the second, or answered the same."""
        doors = self._doors
        await self.before()
        asked, at = doors.asked, len(self.told)
        first = await doors.send(data)
        taken, made = doors.asked == asked, self.told[at:]
        await self.before()
        at = len(self.told)
        assert first == await doors.send(data, swift=False), data
        assert made == self.told[at:], data
        return taken, first

    async def learn(self, data: bytes) -> bytes:
        """The answer once it is submitted from its bytes (forms are looked for so often a
        second)."""
        for turn in range(100):
            taken, answer = await self.both(data)
            if taken:
                return answer
            await asyncio.sleep(0.05 if turn > 8 else 0)
        raise AssertionError(f"it is never submitted from its bytes: {data!r}")

    async def before(self) -> None:
        items = [{"p": {"S": "w"}, "s": {"S": s}, "n": {"N": "5"}} for s in "123"]
        puts = [{"PutRequest": {"Item": item}} for item in items]
        await self._doors.call("BatchWriteItem", RequestItems={"two": puts})


def body(operations: list[Any], token: str = "", first: bool = False) -> dict[str, Any]:
    told = {"ClientRequestToken": token} if token else {}
    return {**told, "TransactItems": operations} if first else {"TransactItems": operations, **told}


def test_entries_are_those_of_the_usual_way(tmp_path):
    async def run(doors: Doors) -> None:
        entries = Entries(doors)
        for at, form in enumerate(FORMS):
            for compact in (False, True):
                data = doors.request("TransactWriteItems", body(form), compact)
                await entries.learn(data)
                # By a token: of the form, whichever token it is.
                for turn in range(100):
                    token = f"{TOKEN[:-4]}{at}{compact:d}{turn:02}"
                    params = body(form, token, first=compact)
                    data = doors.request("TransactWriteItems", params, compact)
                    taken, _ = await entries.both(data)
                    if taken and turn > 5:
                        break
                    await asyncio.sleep(0.05 if turn > 8 else 0)
                assert taken, form

    at_doors(run, tmp_path)


def test_odd_values_and_changed_bytes(tmp_path):
    async def run(doors: Doors) -> None:
        entries, chance, seen = Entries(doors), random.Random(5), 0
        for form in (FORMS[0], FORMS[2], FORMS[3], FORMS[4]):
            for token in ("", TOKEN):
                text = json.dumps(body(form, token))
                await entries.learn(doors.request("TransactWriteItems", text.encode()))
                for old in ('"7"', '"1"', "some", "4333"):
                    for odd in chance.sample(ODD, 5):
                        if old in text:
                            new = text.replace(old, old[:-1] + odd + old[-1:], 1).encode()
                            await entries.both(doors.request("TransactWriteItems", new))
                for _ in range(20):
                    changed = bytearray(text.encode())
                    place = chance.randrange(len(changed))
                    changed[place : place + 1] = chance.choice((b'"', b"\\", b"x", b"", b"2"))
                    taken, _ = await entries.both(
                        doors.request("TransactWriteItems", bytes(changed))
                    )
                    seen += taken
        assert seen  # some were still of the form

    at_doors(run, tmp_path)


def test_the_same_item_twice_is_refused(tmp_path):
    async def run(doors: Doors) -> None:
        entries = Entries(doors)
        data = doors.request("TransactWriteItems", body([put("1"), put("2")]))
        await entries.learn(data)
        twice = doors.request("TransactWriteItems", body([put("2"), put("2")]))
        taken, answer = await entries.both(twice)
        assert not taken and b"multiple operations on one item" in answer

    at_doors(run, tmp_path)


def test_a_token_is_good_for_one_request(tmp_path):
    async def run(doors: Doors) -> None:
        for turn in range(6):
            data = doors.request("TransactWriteItems", body([put("1")], f"{TOKEN[:-1]}{turn}"))
            assert (await doors.send(data)).endswith(b"{}")
        assert "Item" in await doors.call("GetItem", **got("1"))
        await doors.learn(data)  # again and again: it has had its effect
        assert (await doors.same(data)).endswith(b"{}")
        other = doors.request("TransactWriteItems", body([put("9")], f"{TOKEN[:-1]}5"))
        await doors.learn(other)
        assert b"IdempotentParameterMismatch" in await doors.same(other)
        assert (await doors.call("GetItem", **got("9"))) == {}
        cancelled = body([key("9", "ConditionCheck", ConditionExpression="attribute_exists(p)")])
        data = doors.request("TransactWriteItems", cancelled, retry=RETRY)
        await doors.learn(data)
        assert b"TransactionCanceled" in await doors.same(data)

    at_doors(run, tmp_path)


def test_it_ends_with_a_table_and_with_a_permission(tmp_path):
    async def run(doors: Doors) -> None:
        front, owner = doors.front, doors.key

        async def iam(operation: str, **params: Any) -> Any:
            principal = front.api.directory.lookup(owner, None).principal
            return await front.parts.dispatch("iam", operation, params, principal=principal)

        await iam("CreateUser", UserName="u")
        made = (await iam("CreateAccessKey", UserName="u"))["AccessKey"]
        actions = ["dynamodb:PutItem", "dynamodb:DeleteItem"]
        told = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy: dict[str, Any] = {"Version": "2012-10-17", "Statement": [told]}
        name = {"UserName": "u", "PolicyName": "p"}
        await iam("PutUserPolicy", **name, PolicyDocument=json.dumps(policy))
        doors.key, doors.secret = made["AccessKeyId"], made["SecretAccessKey"]
        data = doors.request("TransactWriteItems", body([put("1"), key("2", "Delete")]))
        await doors.learn(data)
        told["Action"] = actions[:1]
        await iam("PutUserPolicy", **name, PolicyDocument=json.dumps(policy))
        assert b"AccessDenied" in await doors.same(data)
        told["Action"] = actions
        await iam("PutUserPolicy", **name, PolicyDocument=json.dumps(policy))
        await doors.learn(data)
        both = doors.request("TransactWriteItems", body([put("1"), put("", "one")]))
        await doors.learn(both)
        doors.key, doors.secret = owner, front_secret(doors)
        await doors.call("DeleteTable", TableName="one")
        assert b"ResourceNotFound" in await doors.same(both)
        assert (await doors.same(data)).endswith(b"{}")
        await doors.call("DeleteTable", TableName="two")
        await doors.call("CreateTable", TableName="two", **TABLE)
        assert (await doors.same(data)).endswith(b"{}")

    at_doors(run, tmp_path)


def front_secret(doors: Doors) -> str:
    """The owner's secret."""
    file = doors.front.config.home / "credentials.json"
    return str(json.loads(file.read_text())["secret_access_key"])
