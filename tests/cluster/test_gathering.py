"""Which entries share a message of the log: a publisher, and a stream played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pileus.engine import Outcome
from pileus.engine.cluster import log_gathering, log_messages
from pileus.engine.cluster.log_apply import Applied
from pileus.engine.cluster.log_publish import Publisher

SESSION = b"12345678"


class Stream:
    """Notes what is sent to it; ``take`` has the oldest of it applied."""

    def __init__(self) -> None:
        self.moved: list[Callable[[], None]] = []
        self.taken = 0
        self.sent: list[log_messages.Message] = []
        self.answers: list[Outcome | Exception] = []
        self.publisher = Publisher(self, "log", SESSION, lambda: 0, lambda at: None)  # type: ignore[arg-type]

    def new_inbox(self) -> str:
        return "inbox"

    def send(self, subject: str, body: bytes, *rest: Any) -> None:
        self.sent.append(log_messages.unpack(body))

    def add(self, *entries: bytes) -> None:
        self.publisher.add([(entry, self.answers.append) for entry in entries])

    def take(self) -> None:
        message = self.sent[self.taken]
        self.taken += 1
        self.publisher.applied(Applied(message, 1, [b""] * len(message.entries), True))

    @property
    def entries(self) -> list[list[bytes]]:
        return [message.entries for message in self.sent]


def played(body: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        await body(Stream())

    asyncio.run(play())


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


def test_a_lone_entry_goes_at_once_and_what_comes_behind_it_goes_together() -> None:
    async def body(stream: Stream) -> None:
        stream.add(b"a")
        await turn()
        assert stream.entries == [[b"a"]]
        for entry in (b"b", b"c", b"d"):
            stream.add(entry)
            await turn()
        assert stream.entries == [[b"a"]]
        stream.take()
        await until(lambda: len(stream.sent) == 2)
        assert stream.entries[1] == [b"b", b"c", b"d"] and len(stream.answers) == 1

    played(body)


def test_many_or_long_entries_do_not_wait_for_the_message_before_them() -> None:
    async def body(stream: Stream) -> None:
        stream.add(b"a")
        await turn()
        many = [b"%d" % n for n in range(log_gathering.ENOUGH)]
        stream.add(*many)
        await turn()
        stream.add(long := bytes(log_gathering.ENOUGH_BYTES))
        await turn()
        assert stream.entries == [[b"a"], many, [long]]

    played(body)


def test_who_was_answered_together_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(stream: Stream) -> None:
        stream.add(b"a")
        await turn()
        stream.add(b"b", b"c")
        monkeypatch.setattr(log_gathering, "RETURN_S", 3600.0)
        stream.take()
        await turn()
        assert len(stream.sent) == 1  # the first may come again
        stream.add(b"A")
        await turn()
        assert stream.entries[1] == [b"b", b"c", b"A"]

    played(body)


def test_who_does_not_come_again_is_not_waited_for_long() -> None:
    async def body(stream: Stream) -> None:
        stream.add(b"a", b"b", b"c")
        await turn()
        stream.take()
        stream.add(b"A")
        await until(lambda: len(stream.sent) == 2)
        assert stream.entries[1] == [b"A"]
        stream.take()
        stream.add(b"B")
        await turn()
        assert stream.entries[2] == [b"B"]  # alone from now on

    played(body)


def test_a_barrier_takes_along_what_waits() -> None:
    async def body(stream: Stream) -> None:
        stream.add(b"a")
        await turn()
        stream.add(b"b")
        reached: list[int | Exception] = []
        stream.publisher.barrier(reached.append)
        await turn()
        assert stream.entries == [[b"a"], [b"b"]]
        stream.take()
        stream.take()
        assert reached == [1]

    played(body)
