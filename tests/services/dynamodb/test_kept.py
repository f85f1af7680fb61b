"""Kept answers are never older than a write that was acknowledged, in whatever process (T2, S1)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pileus.engine.embedded.clock import SystemClock
from pileus.engine.embedded.generations import COUNTERS, row_slot
from pileus.services.dynamodb.kept import (
    ANSWER_BYTES_MAX,
    BYTES_MAX,
    KeptAnswers,
    Reading,
    Stretch,
    tail,
)
from pileus.state import keys
from pileus.state.store import Store
from tests.services.dynamodb.test_swift import Doors, at_doors, get, query
from tests.state.elsewhere import WriterElsewhere

PREFIX = keys.table_prefix("d:1")
KEYS = [keys.key("d:1", p, s) for p in ("p", "q", "r") for s in "ab"]
STILL = keys.key("d:1", "nobody writes here", "a")
BESIDE = keys.key("d:1", "p", "nor this row")
WRITES = 200


class Front:
    """A process that keeps what it read of keys, and of whole partitions."""

    def __init__(self, store: Store) -> None:
        self.reads: list[bytes] = []
        self._store = store
        answers, stamp = KeptAnswers(store), store.stamp("dynamodb")
        self._row = answers.keeping(Reading(lambda key: (key,), self._tell), stamp)
        self._page = answers.keeping(Reading(self._within, self._told), stamp)

    @staticmethod
    def _within(key: bytes) -> Stretch:
        start = keys.partition_prefix("d:1", keys.split(key)[1])
        return start, keys.after_prefix(start)

    def _tell(self, key: bytes) -> bytes | None:
        self.reads.append(key)
        return self._store.get(key) or b"0"

    def _told(self, start: bytes, end: bytes) -> bytes | None:
        self.reads.append(start)
        return b" ".join(self._store.contents(start, end, 10, False)) or b"0"

    def row(self, key: bytes) -> int:
        """The number written to ``key``."""
        return self._last(self._row(key))

    def page(self, key: bytes) -> int:
        """The greatest number written to its partition."""
        return self._last(self._page(key))

    @staticmethod
    def _last(told: bytes | None) -> int:
        return max(map(int, (told or b"").rpartition(b"\n")[2].split()))


def test_no_answer_is_older_than_a_write_another_process_acknowledged(tmp_path: Path) -> None:
    async def run(writer: WriterElsewhere) -> None:
        writer.opened()
        store = await Store.connect(tmp_path, SystemClock())
        front = Front(store)
        for _ in range(2):
            assert front.row(STILL) == front.page(STILL) == front.row(BESIDE) == 0
        assert front.reads == [STILL, front._within(STILL)[0], BESIDE]
        written = dict.fromkeys(KEYS, 0)
        for number in writer.begin():
            written[KEYS[number % len(KEYS)]] = number
            for key, acknowledged in written.items():
                first, second = front.row(key), front.row(key)
                assert acknowledged <= first <= second
                assert front.page(key) >= acknowledged
        front.reads.clear()
        for key, last in written.items():
            assert {front.row(key) for _ in range(9)} == {last}
        assert front.row(STILL) == front.page(STILL) == front.row(BESIDE) == 0
        assert front.reads == [], "nothing was written since it was read"
        await store.close()

    with WriterElsewhere(tmp_path, WRITES, *KEYS) as writer:
        asyncio.run(run(writer))


class Counters:
    """A store's counters, of a process alone."""

    def __init__(self) -> None:
        self.counts = [1] * COUNTERS
        self.at = self.counts.__getitem__

    row_slot = staticmethod(row_slot)


def test_what_is_kept_is_bounded() -> None:
    stamp: list[int] = [1]
    asked: list[bytes] = []
    counters = Counters()
    answers = KeptAnswers(counters)  # type: ignore[arg-type]
    texts = {b"long": b"x" * ANSWER_BYTES_MAX, b"none": None}

    def tell(key: bytes) -> bytes | None:
        body = keys.split(key)[1]
        asked.append(body)
        return texts.get(body, b"x" * 8192)

    reading = Reading(lambda body: (keys.under(PREFIX, body),), tell)
    forms = [answers.keeping(reading, lambda: stamp[0]) for _ in range(2)]
    for _ in range(2):
        assert forms[0](b"long") == tail(b"x" * ANSWER_BYTES_MAX)
        assert forms[0](b"none") is None
    assert asked == [b"long", b"none"] * 2  # neither is kept
    for _ in range(BYTES_MAX // 4096):  # read again and again, it does not crowd out the others
        forms[1](b"1")
        counters.counts[row_slot(keys.under(PREFIX, b"0"))] += 1
        forms[0](b"0")
    assert asked.count(b"1") == 1 and asked.count(b"0") == BYTES_MAX // 4096
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


def test_hundreds_of_pages_of_a_query_are_kept_together() -> None:
    asked: list[bytes] = []

    def tell(key: bytes) -> bytes:
        asked.append(key)
        return b"x" * 10_500  # ten items of a kilobyte

    answers = KeptAnswers(Counters())  # type: ignore[arg-type]
    form = answers.keeping(Reading(lambda body: (keys.under(PREFIX, body),), tell), lambda: 1)
    for _ in range(3):
        for number in range(600):
            form(b"%d" % number)
    assert len(asked) == 600  # each once


def test_what_changes_while_it_is_read_is_read_again() -> None:
    stamp: list[int] = [1]
    counters = Counters()
    answers = KeptAnswers(counters)  # type: ignore[arg-type]
    key = keys.under(PREFIX, b"p", b"s")
    slot, reads = row_slot(key), 0

    def tell(key: bytes) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 1:
            counters.counts[slot] += 1  # written after its row was read
        elif reads == 2:
            stamp[0] += 1
        return b"%d" % reads

    ask = answers.keeping(Reading(lambda body: (key,), tell), lambda: stamp[0])
    assert [ask(b"asked") for _ in range(5)] == [tail(b"%d" % n) for n in (1, 2, 3, 3, 3)]


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
