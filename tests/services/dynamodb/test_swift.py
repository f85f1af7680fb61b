"""Requests answered from their bytes get the answers of the usual way, or go it (T2, T3, T5)."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.hot import Sink
from bench.load import signed
from lab.tables import keyed
from pileus import assembly
from pileus.config import Config
from pileus.wire.connection import Connection
from pileus.wire.http import Server
from pileus.wire.limits import Limits

TABLE = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "ps"],
    "KeySchema": [
        {"AttributeName": "p", "KeyType": "HASH"},
        {"AttributeName": "s", "KeyType": "RANGE"},
    ],
}
HASH_ONLY = {
    **keyed(p="S"),
}
VARIES = re.compile(rb"(?i)(x-amzn-requestid|date): [^\r]*\r\n")
RETRY = "11111111-2222-4333-8444-555555555555"


class Doors:
    """A front process's parts, a door that learns and one that does not."""

    def __init__(self, front: Any, keys: dict[str, str]) -> None:
        self.front = front
        self.key, self.secret = keys["access_key_id"], keys["secret_access_key"]
        self.asked = 0  # how many requests went the usual way
        api = front.api

        def counted(request: Any) -> Any:
            self.asked += 1
            return api.handle(request)

        meters = front.parts.meters
        self.swift = Server(
            counted, Limits(), api.heads.read, meters=meters, learn=api.swifts.learn
        )
        self.usual = Server(api.handle, Limits(), meters=meters, name="usual")
        self.doors = []
        for server in (self.swift, self.usual):
            server._sweep()
            self.doors.append(fresh(server))

    def request(
        self, operation: str, params: Any, compact: bool = False, retry: str = "", **more: str
    ) -> bytes:
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
        }
        body = params
        if not isinstance(params, bytes):
            style = (",", ":") if compact else (", ", ": ")
            body = json.dumps(params, separators=style).encode()
        made = signed("h:1", "dynamodb", self.key, self.secret, headers=headers, body=body)
        told = {n.replace("_", "-"): v for n, v in more.items()}
        if retry:
            told["amz-sdk-invocation-id"] = retry
        lines = "".join(f"{n}: {v}\r\n" for n, v in told.items()).encode()
        return made.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n", 1)

    async def send(self, data: bytes, swift: bool = True) -> bytes:
        door, sink = self.doors[0 if swift else 1]
        sink.answer = b""
        door.data_received(data)
        for _ in range(30_000):  # a write may wait for the disk
            door.server.outbox.flush()
            if sink.answer:
                break
            await asyncio.sleep(0.001)
        return VARIES.sub(b"", sink.answer)

    async def same(self, data: bytes) -> bytes:
        """The answer both doors give."""
        first, second = await self.send(data), await self.send(data, swift=False)
        assert first == second, data
        return first

    async def call(self, operation: str, **params: Any) -> Any:
        answer = await self.send(self.request(operation, params), swift=False)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head, answer
        return json.loads(body)

    async def learn(self, data: bytes) -> None:
        """Send until it is answered from its bytes. (After many odd ones under one head, forms are
        looked for again a second later.)"""
        for turn in range(300):
            if await self.taken(data):
                return
            await asyncio.sleep(0.02 if turn > 8 else 0)
        raise AssertionError("it is never answered from its bytes")

    async def taken(self, data: bytes) -> bool:
        """Whether it is answered from its bytes; either way as it should be."""
        before = self.asked
        await self.same(data)
        return self.asked == before


def at_doors(test: Callable[[Doors], Awaitable[None]], home: Path) -> None:
    async def run() -> None:
        front = await assembly.assemble(Config(home=home, port=0), 0)
        await front.services["dynamodb"].start() if front.services["dynamodb"].start else None
        doors = Doors(front, json.loads((home / "credentials.json").read_text()))
        try:
            await doors.call("CreateTable", TableName="two", **TABLE)
            await doors.call("CreateTable", TableName="one", **HASH_ONLY)
            for s in ("a", "b", "c"):
                item = {"p": {"S": "x"}, "s": {"S": s}, "n": {"N": "1"}}
                await doors.call("PutItem", TableName="two", Item=item)
            await doors.call("PutItem", TableName="one", Item={"p": {"S": "x"}})
            await test(doors)
        finally:
            for server in (doors.swift, doors.usual):
                await server.stop(0)
            await front.parts.store.close()

    asyncio.run(run())


def get(table: str = "two", **key: str) -> dict[str, Any]:
    return {"TableName": table, "Key": {n: {"S": v} for n, v in key.items()}}


def query(condition: str, **values: str) -> dict[str, Any]:
    told = {f":{n}": {"S": v} for n, v in values.items()}
    return {
        "TableName": "two",
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": told,
    }


FORMS: list[tuple[str, Any]] = [
    ("GetItem", get(p="x", s="a")),
    ("GetItem", get(s="none", p="x")),
    ("GetItem", get("one", p="x")),
    ("GetItem", {"Key": {"p": {"S": "none"}}, "TableName": "one"}),
    ("Query", query("p = :p", p="x")),
    ("Query", query("p = :p AND s > :s", p="x", s="a")),
    ("Query", query("p = :p AND s = :s", s="a", p="x")),
    ("Query", query("p = :p AND begins_with(s, :s)", p="x", s="b")),
    ("Query", {**query("p = :p", p="x"), "Limit": 2, "ScanIndexForward": False}),
    ("Query", {**query("p = :p", p="none"), "Limit": 1}),
    ("Query", {**query("#p = :p", p="x"), "ExpressionAttributeNames": {"#p": "p"}}),
    ("GetItem", {**get(p="x", s="a"), "ConsistentRead": True}),
    ("GetItem", {**get("one", p="x"), "ConsistentRead": False}),
    ("Query", {**query("p = :p", p="x"), "ConsistentRead": True}),
]


def test_every_form_is_answered_as_on_the_usual_way(tmp_path):
    async def run(doors: Doors) -> None:
        for operation, params in FORMS:
            for compact in (False, True):
                for retry in ("", RETRY):
                    await doors.learn(doors.request(operation, params, compact, retry))

    at_doors(run, tmp_path)


STRANGE = [
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": ""}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "\\ud83d"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "\\x"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "\\u00e"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "\xc3"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "\xff"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "\x00"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "' + b"a" * 257 + b'"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"N": "1"}}}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "a"}}, "ConsistentRead": true}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "a"}}} ',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "a"}}}{}',
    b'{"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "a", "S": "b"}}}',
    b'{"TableName": "one", "Key": {"p": {"S": "x"}}}',
    b'{"TableName": "two"}',
    b"",
]


def test_a_body_may_come_after_its_head(tmp_path):
    """As boto3 sends it; however it is cut, it is answered from its bytes."""

    async def run(doors: Doors) -> None:
        door, sink = doors.doors[0]
        for retry in ("", RETRY):
            data = doors.request("GetItem", get(p="x", s="a"), retry=retry)
            usual = await doors.send(data, swift=False)
            at = data.index(b"\r\n\r\n") + 4
            for cut in (at, at + 5, len(data) - 1):
                await doors.learn(data)
                taken = 0
                for _ in range(200):
                    asked, sink.answer = doors.asked, b""
                    door.data_received(data[:at])
                    for piece in (data[at:cut], data[cut:]):
                        assert not sink.answer
                        if piece:
                            door.data_received(piece)
                    door.server.outbox.flush()
                    assert VARIES.sub(b"", sink.answer) == usual
                    taken += doors.asked == asked
                    if taken > 9:
                        break
                assert taken

    at_doors(run, tmp_path)


TEXTS = [
    "ä",
    "\N{EURO SIGN}uro",
    "\N{GRINNING FACE}",
    'a"b',
    "a\\b",
    "\n",
    "\x00a\x00",
    "a/b",
    "\x7f",
]


def test_keys_of_any_text_are_found_however_they_are_spelt(tmp_path):
    async def run(doors: Doors) -> None:
        for text in TEXTS:
            item = {"p": {"S": text}, "s": {"S": text}, "n": {"N": "7"}}
            await doors.call("PutItem", TableName="two", Item=item)
        for ascii_only in (True, False):
            for operation, params in (
                ("GetItem", get(p="x", s="a")),
                ("Query", query("p = :p AND begins_with(s, :s)", p="x", s="a")),
            ):
                plain = json.dumps(params)
                data = doors.request(operation, plain.encode())
                for text in TEXTS:
                    spelt = json.dumps(text, ensure_ascii=ascii_only)
                    body = plain.replace('"x"', spelt).replace('"a"', spelt)
                    asked = doors.request(operation, body.encode())
                    assert b'"7"' in await doors.same(asked)
                    if "\x7f" in body:
                        continue  # not of a form
                    for _ in range(20):  # a second may end between the two
                        await doors.learn(data)
                        if await doors.taken(asked):
                            break
                    else:
                        raise AssertionError(body)

    at_doors(run, tmp_path)


NUMBERED = {
    **keyed(p="S", n="N"),
}


def test_keys_that_are_numbers(tmp_path):
    async def run(doors: Doors) -> None:
        await doors.call("CreateTable", TableName="three", **NUMBERED)
        numbers = ["0", "1", "-1", "100", "12345678901234567890", "-70", "1.5", "1e2", "-0", "01"]
        for number in numbers[:7]:
            item = {"p": {"S": "x"}, "n": {"N": number}, "v": {"S": number}}
            await doors.call("PutItem", TableName="three", Item=item)
        for number in numbers:
            key = {"p": {"S": "x"}, "n": {"N": number}}
            data = doors.request("GetItem", {"TableName": "three", "Key": key})
            if number in numbers[:6]:
                await doors.learn(data)
                assert number.encode() in await doors.same(data)
            else:  # written otherwise than it is stored, maybe
                assert not await doors.taken(data)
        asked = {
            "TableName": "three",
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": "x"}},
            "Limit": 2,
        }
        data = doors.request("Query", asked)
        await doors.learn(data)
        assert b'"LastEvaluatedKey"' in await doors.same(data)
        wrong = {"TableName": "three", "Key": {"p": {"S": "x"}, "n": {"S": "1"}}}
        assert b"ValidationException" in await doors.same(doors.request("GetItem", wrong))

    at_doors(run, tmp_path)


@pytest.mark.parametrize("retry", ["", RETRY])
def test_what_is_not_of_the_form_goes_the_usual_way(tmp_path, retry):
    async def run(doors: Doors) -> None:
        await doors.learn(doors.request("GetItem", get(p="x", s="a"), retry=retry))
        for body in STRANGE:
            assert not await doors.taken(doors.request("GetItem", body, retry=retry)), body

    at_doors(run, tmp_path)


def test_any_byte_changed_is_answered_as_on_the_usual_way(tmp_path):
    """Whatever is changed in a request, by others (its signature is broken) or by its author (it is
    signed anew)."""

    async def run(doors: Doors) -> None:
        chance = random.Random(3)
        for operation, params in (FORMS[0], FORMS[2], FORMS[5]):
            data = doors.request(operation, params, retry=RETRY)
            await doors.learn(data)
            for _ in range(100):
                other = bytearray(data)
                at = chance.randrange(len(other))
                other[at] = chance.choice(b' "{}\\:,aAx0\r\n\x00\xff')
                first = await once(doors, doors.swift, bytes(other), data)
                second = await once(doors, doors.usual, bytes(other), data)
                assert first == second, bytes(other)
            body = json.dumps(params).encode()
            for _ in range(100):
                changed = bytearray(body)
                at = chance.randrange(len(changed))
                new = chance.choice((b'"', b"\\", b"x", b"", b"\xc3\xa4", b"\\u0041", b" ", b"}"))
                changed[at : at + 1] = new
                await doors.same(doors.request(operation, bytes(changed), retry=RETRY))

    at_doors(run, tmp_path)


def fresh(server: Server) -> tuple[Connection, Sink]:
    door, sink = Connection(server), Sink()
    door.connection_made(sink)  # type: ignore[arg-type]
    return door, sink


async def once(doors: Doors, server: Server, data: bytes, known: bytes) -> bytes:
    """The answer on a connection of its own, which knows the form if its door learns; b"" where
    more is waited for."""
    door, sink = fresh(server)
    for _ in range(2):
        door.data_received(known)
        server.outbox.flush()
    sink.answer = b""
    door.data_received(data)
    server.outbox.flush()
    server.leave(door, door.remote)
    return VARIES.sub(b"", sink.answer)


def test_it_ends_with_the_table(tmp_path):
    async def run(doors: Doors) -> None:
        data = doors.request("GetItem", get(p="x", s="a"))
        await doors.learn(data)
        await doors.call("DeleteTable", TableName="two")
        assert b"ResourceNotFound" in await doors.same(data)
        await doors.call("CreateTable", TableName="two", **TABLE)
        assert (await doors.same(data)).endswith(b"{}")
        await doors.call("PutItem", TableName="two", Item={"p": {"S": "x"}, "s": {"S": "a"}})
        assert b'"Item"' in await doors.same(data)
        await asyncio.sleep(0.11)  # a form that was not answered so is looked at again
        await doors.learn(data)
        limits = {"MaxReadRequestUnits": 1}
        await doors.call("UpdateTable", TableName="two", OnDemandThroughput=limits)
        assert not await doors.taken(data)

    at_doors(run, tmp_path)


def test_it_ends_with_the_permission_and_with_the_key(tmp_path):
    async def run(doors: Doors) -> None:
        front = doors.front
        owner = doors.key

        async def iam(operation: str, **params: Any) -> Any:
            principal = doors.front.api.directory.lookup(owner, None).principal
            return await front.parts.dispatch("iam", operation, params, principal=principal)

        await iam("CreateUser", UserName="u")
        made = (await iam("CreateAccessKey", UserName="u"))["AccessKey"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}],
        }
        text = json.dumps(policy)
        await iam("PutUserPolicy", UserName="u", PolicyName="p", PolicyDocument=text)
        doors.key, doors.secret = made["AccessKeyId"], made["SecretAccessKey"]
        data = doors.request("GetItem", get(p="x", s="a"))
        await doors.learn(data)
        await iam("DeleteUserPolicy", UserName="u", PolicyName="p")
        assert b"AccessDenied" in await doors.same(data)
        await iam("PutUserPolicy", UserName="u", PolicyName="p", PolicyDocument=text)
        await asyncio.sleep(0.11)
        await doors.learn(data)
        told = {"UserName": "u", "AccessKeyId": doors.key}
        await iam("UpdateAccessKey", Status="Inactive", **told)
        assert b" 400 " in (await doors.same(data))[:20]
        # A policy that looks at the request is asked each time.
        await iam("UpdateAccessKey", Status="Active", **told)
        policy["Statement"][0]["Condition"] = {  # type: ignore[index]
            "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["x"]}
        }
        text = json.dumps(policy)
        await iam("PutUserPolicy", UserName="u", PolicyName="p", PolicyDocument=text)
        await asyncio.sleep(0.11)
        for _ in range(8):
            assert not await doors.taken(data)

    at_doors(run, tmp_path)


def test_it_ends_with_its_time(tmp_path, monkeypatch):
    async def run(doors: Doors) -> None:
        data = doors.request("GetItem", get(p="x", s="a"))
        await doors.learn(data)
        clock = doors.front.parts.clock
        now = clock.now_ms
        later_ms = 301_000
        for holder in (doors.front.api.heads, doors.front.api.swifts, doors.front.api._verifier):
            monkeypatch.setattr(holder, "_now_ms", lambda: now() + later_ms)
        await asyncio.sleep(1.05)  # it is looked at again after a second
        assert b" 400 " in (await doors.same(data))[:20]

    at_doors(run, tmp_path)


def test_what_it_answers_is_counted(tmp_path):
    async def run(doors: Doors) -> None:
        data = doors.request("GetItem", get(p="x", s="a"))
        await doors.learn(data)
        meters = doors.front.parts.meters
        labels = {"table": "two", "account": doors.front.config.account, "region": "us-east-1"}
        block = meters.requests("pileus_request", service="dynamodb", operation="GetItem", **labels)
        before, requests = meters.cells[block : block + 128], doors.swift.requests
        answers = [await doors.send(data) for _ in range(10)]
        after = meters.cells[block : block + 128]
        assert doors.swift.requests == requests + 10
        assert after[3] - before[3] == 10
        assert sum(after[12:]) - sum(before[12:]) == 10
        assert after[0] > before[0]
        assert after[1] - before[1] >= sum(map(len, answers))

    at_doors(run, tmp_path)


def put(table: str = "two", **more: Any) -> dict[str, Any]:
    return {"TableName": table, "Item": {"p": {"S": "w"}, "s": {"S": "1"}, **more}}


def update(expression: str, condition: str = "", **values: Any) -> dict[str, Any]:
    told: dict[str, Any] = {**get(p="w", s="1"), "UpdateExpression": expression}
    if values:
        told["ExpressionAttributeValues"] = {f":{n}": v for n, v in values.items()}
    return {**told, "ConditionExpression": condition} if condition else told


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("PutItem", put(n={"N": "7"}, t={"S": "some text %b, 100 %"}, **{"ä%": {"S": ""}})),
    ("PutItem", put(m={"M": {"a": {"N": "01.50"}}}, f={"BOOL": True}, n={"N": "-12"})),
    ("PutItem", {"Item": {"n": {"N": "0"}, "p": {"S": "w"}}, "TableName": "one"}),
    ("UpdateItem", update("SET n = :n", n={"N": "7"})),
    ("UpdateItem", update("ADD n :one SET t = :t", one={"N": "1"}, t={"S": "x"})),
    ("UpdateItem", update("SET t = :t REMOVE n", t={"S": "x"})),
    ("UpdateItem", update("REMOVE n")),
    (
        "UpdateItem",
        update("SET n = :n", "p = :p AND n <> :o", n={"N": "1"}, p={"S": "w"}, o={"N": "3"}),
    ),
    (
        "UpdateItem",
        {**update("SET #n = :n", n={"S": "x"}), "ExpressionAttributeNames": {"#n": "n"}},
    ),
]


async def item(doors: Doors, table: str = "two") -> Any:
    key = get(table, p="w", s="1") if table == "two" else get(table, p="w")
    return await doors.call("GetItem", **key)


async def written(doors: Doors, data: bytes, swift: bool, table: str) -> tuple[bytes, Any]:
    """What a write answers, and the item it leaves of the same one before."""
    before = {"p": {"S": "w"}, "n": {"N": "5"}}
    if table == "two":
        before["s"] = {"S": "1"}
    await doors.call("PutItem", TableName=table, Item=before)
    answer = await doors.send(data, swift)
    return answer, await item(doors, table)


async def write_both(doors: Doors, data: bytes, table: str = "two") -> bool:
    """Whether a write was submitted from its bytes; either way it does what it should."""
    asked = doors.asked
    first = await written(doors, data, True, table)
    taken = doors.asked == asked
    assert first == await written(doors, data, False, table), data
    return taken


def test_writes_do_what_they_do_on_the_usual_way(tmp_path):
    async def run(doors: Doors) -> None:
        for operation, params in WRITES:
            for compact in (False, True):
                data = doors.request(operation, params, compact)
                # Forms are looked for again each second: a slow machine may meet that.
                for _ in range(60):
                    if await write_both(doors, data, params["TableName"]):
                        break
                else:
                    raise AssertionError(params)

    at_doors(run, tmp_path)


ODD = ["\\", '"', "\\u0041", "ä", "\x7f", "e1", ".0", "-", "00", "+1", "%b", "x" * 300, "", " "]


def test_writes_of_odd_values(tmp_path):
    """Values that need care in JSON or as numbers: stored, refused or counted as on the usual
    way."""

    async def run(doors: Doors) -> None:
        for operation, params in (WRITES[0], WRITES[4], WRITES[6]):
            text = json.dumps(params)
            for _ in range(6):
                await write_both(doors, doors.request(operation, text.encode()))
            for old in ('"7"', '"1"', "some"):
                for odd in ODD:
                    if old in text:
                        new = text.replace(old, old[:-1] + odd + old[-1:], 1).encode()
                        await write_both(doors, doors.request(operation, new))

    at_doors(run, tmp_path)


def test_refused_writes_and_repeats(tmp_path):
    async def run(doors: Doors) -> None:
        await doors.call("PutItem", TableName="two", Item={"p": {"S": "w"}, "s": {"S": "1"}})
        params = update("SET n = :n", "attribute_not_exists(p)", n={"N": "1"})
        data = doors.request("UpdateItem", params)
        for _ in range(6):
            assert b"ConditionalCheckFailed" in await doors.same(data)
        await doors.learn(data)
        add = update("ADD n :one", one={"N": "1"})
        for turn in range(6):
            retry = RETRY[:-1] + str(turn)
            data = doors.request("UpdateItem", add, retry=retry)
            for _ in range(3):  # sent again: one effect
                assert (await doors.send(data)).endswith(b"{}")
        assert (await item(doors))["Item"]["n"] == {"N": "6"}
        # The same id again, on the usual way: still the same request.
        assert (await doors.send(data, swift=False)).endswith(b"{}")
        assert (await item(doors))["Item"]["n"] == {"N": "6"}
        await doors.call("DeleteTable", TableName="two")
        assert b"ResourceNotFound" in await doors.same(data)

    at_doors(run, tmp_path)


def test_a_write_sees_the_index_and_the_stream_that_came_meanwhile(tmp_path):
    async def run(doors: Doors) -> None:
        data = doors.request("PutItem", put(n={"N": "7"}))
        for _ in range(6):
            await write_both(doors, data)
        told = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        await doors.call("UpdateTable", TableName="two", StreamSpecification=told)
        for _ in range(6):
            await write_both(doors, data)
        index = {
            "IndexName": "by-n",
            "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        await doors.call(
            "UpdateTable",
            TableName="two",
            AttributeDefinitions=[
                *TABLE["AttributeDefinitions"],  # type: ignore[misc]
                {"AttributeName": "n", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexUpdates=[{"Create": index}],
        )
        wrong = doors.request("PutItem", put(n={"S": "no number"}))
        assert b"ValidationException" in await doors.same(wrong)
        assert not await write_both(doors, data)

    at_doors(run, tmp_path)


def test_requests_behind_a_write_wait_for_it(tmp_path):
    async def run(doors: Doors) -> None:
        write = doors.request("PutItem", put(n={"N": "7"}))
        read = doors.request("GetItem", get(p="w", s="1"))
        for _ in range(6):
            await write_both(doors, write)
            await doors.same(read)
        door, sink = doors.doors[0]
        got: list[bytes] = []
        sink.write = got.append  # type: ignore[method-assign]
        door.data_received(write)
        door.data_received(read)
        door.data_received(write + read)
        for _ in range(6000):
            await asyncio.sleep(0.005)
            if len(got) == 4:
                break
        assert [b'"Item"' in raw for raw in got] == [False, True, False, True]

    at_doors(run, tmp_path)
