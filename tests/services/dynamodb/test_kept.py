"""Kept answers are never older than a write that was acknowledged, in whatever process (T2, S1)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pileus.engine.embedded.clock import SystemClock
from pileus.services.dynamodb.kept import ANSWER_BYTES_MAX, BYTES_MAX, KeptAnswers, tail
from pileus.state import keys
from pileus.state.store import Store
from tests.services.dynamodb.test_swift import Doors, at_doors, get, query
from tests.state.elsewhere import WriterElsewhere

K = keys.key("d:1", "p", "s")
WRITES = 300


def test_no_answer_is_older_than_a_write_another_process_acknowledged(tmp_path: Path) -> None:
    reads = 0

    async def run(writer: WriterElsewhere) -> None:
        writer.opened()
        front = await Store.connect(tmp_path, SystemClock())

        def read(body: bytes) -> bytes | None:
            nonlocal reads
            reads += 1
            return front.get(K) or b"0"

        kept = KeptAnswers().keeping(read, front.stamp("dynamodb", "d:1"))

        def number() -> int:
            return int((kept(b"asked") or b"").rpartition(b"\n")[2])

        assert number() == number() == 0
        assert reads == 1
        for acknowledged in writer.begin():
            first, second = number(), number()
            assert acknowledged <= first <= second
        before = reads
        assert {number() for _ in range(100)} == {WRITES}
        assert reads == before
        await front.close()

    with WriterElsewhere(tmp_path, K, WRITES) as writer:
        asyncio.run(run(writer))


def test_what_is_kept_is_bounded() -> None:
    stamp: list[int] = [1]
    asked: list[bytes] = []
    answers = KeptAnswers()
    texts = {b"long": b"x" * ANSWER_BYTES_MAX, b"none": None}

    def read(body: bytes) -> bytes | None:
        asked.append(body)
        return texts.get(body, b"x" * 8192)

    forms = [answers.keeping(read, lambda: stamp[0]) for _ in range(2)]
    for _ in range(2):
        assert forms[0](b"long") == tail(b"x" * ANSWER_BYTES_MAX)
        assert forms[0](b"none") is None
    assert asked == [b"long", b"none"] * 2  # neither is kept
    many = BYTES_MAX // 8192 // 2
    for form in forms:
        for number in range(many):
            form(b"%d" % number)
    asked.clear()
    forms[0](b"0")
    assert asked == [b"0"]  # let go for the other form's
    stamp[0] += 1
    forms[0](b"0")
    assert asked == [b"0", b"0"]


WRITTEN: list[tuple[str, dict[str, Any]]] = [
    ("PutItem", {"TableName": "two", "Item": {"p": {"S": "x"}, "s": {"S": "a"}, "v": {"S": "1"}}}),
    (
        "UpdateItem",
        {
            "TableName": "two",
            "Key": {"p": {"S": "x"}, "s": {"S": "a"}},
            "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"S": "2"}},
        },
    ),
    ("DeleteItem", {"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "a"}}}),
    (
        "BatchWriteItem",
        {"RequestItems": {"two": [{"PutRequest": {"Item": {"p": {"S": "x"}, "s": {"S": "a"}}}}]}},
    ),
    (
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Delete": {"TableName": "two", "Key": {"p": {"S": "x"}, "s": {"S": "a"}}}},
                {"Put": {"TableName": "one", "Item": {"p": {"S": "x"}, "n": {"N": "5"}}}},
            ]
        },
    ),
    ("ExecuteStatement", {"Statement": "INSERT INTO two VALUE {'p': 'x', 's': 'a', 'v': 'q'}"}),
]


def test_every_way_to_write_ends_what_was_kept(tmp_path: Path) -> None:
    async def run(doors: Doors) -> None:
        asked = [
            doors.request("GetItem", get(p="x", s="a")),
            doors.request("Query", query("p = :p", p="x")),
        ]
        for data in asked:
            await doors.learn(data)
        for operation, params in WRITTEN:
            before = [await doors.send(data) for data in asked]
            assert before == [await doors.send(data) for data in asked]
            await doors.call(operation, **params)
            assert all([await doors.same(data) for data in asked])
            assert before[0] != await doors.send(asked[0]), operation
            assert before[1] != await doors.send(asked[1]), operation

    at_doors(run, tmp_path)
