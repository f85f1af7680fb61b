"""Who calls for an election of the log's leader, when, and what the call says."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from pileus.engine.cluster import election
from pileus.engine.cluster.nats_client import Msg
from pileus.engine.cluster.streams import StreamInfo
from pileus.nodes.electing import Electing
from tests.nodes.test_beats import NAMES, Net

STREAM = StreamInfo("LOG_0", 0, 0, "", 3, 1, 9, 9, "n3", (), group="S-R3F-log")


class Servers:
    """What a node's clients reach: leaders that answer or do not, servers that tell their term."""

    def __init__(self) -> None:
        self.mute: set[str] = set()
        self.asked: list[str] = []
        self.called: list[tuple[str, int]] = []
        self._heard: Any = None

    async def request(self, subject: str, data: bytes = b"", timeout: float = 5.0) -> Msg:
        self.asked.append(subject)
        if any(subject.endswith(word) for word in self.mute):
            raise TimeoutError
        return Msg(subject, "", json.dumps({"error": {"err_code": 1}}).encode(), None)

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, subject: str, *, cb: Any) -> Any:
        self._heard = cb
        return self

    async def unsubscribe(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def send(self, subject: str, data: bytes, reply: str = "") -> None:
        term, last_term, last_index, _ = struct.unpack("<QQQ8s", data)
        assert last_term == last_index == 0, "such a candidate is given no vote"
        if term:
            self.called.append((subject.removeprefix("$NRG.V."), term))
        else:
            for known in (6, 7):
                answer = struct.pack("<Q", known) + b"server00" + b"\0"
                self._heard(Msg(reply, "", answer, None))


class Bed:
    def __init__(self) -> None:
        self.net, self.servers = Net(), Servers()
        self.leaderless = False
        self.hurried = 0
        self.parts = {name: self._part(name) for name in ("n1", "n2")}
        self.net.run(5)

    def _part(self, name: str) -> Electing:
        async def operator() -> Any:
            return self.servers

        def hurry() -> None:
            self.hurried += 1

        client: Any = self.servers
        beats, clock = self.net.nodes[name], self.net.clock
        told = lambda: self.leaderless  # noqa: E731
        part = Electing(name, clock, beats, lambda: NAMES, client, operator, told, hurry)
        part.seen(STREAM)
        return part

    async def run(self, seconds: float, who: str = "n1") -> list[tuple[str, int]]:
        """Turns of one node; answers the calls made meanwhile."""
        before = len(self.servers.called)
        for _ in range(int(seconds * 2)):
            self.net.run(0.5)
            await self.parts[who].turn()
        return self.servers.called[before:]


def test_a_leader_that_most_miss_and_that_does_not_answer_is_replaced() -> None:
    async def body() -> None:
        bed = Bed()
        assert await bed.run(5) == [] and not bed.servers.asked
        bed.net.frozen.add("n3")
        bed.servers.mute.add("STREAM.INFO.LOG_0")
        assert await bed.run(1) == [], "a moment's silence is none"
        assert await bed.run(2) == [("S-R3F-log", 8)]  # one more than the highest told
        assert bed.hurried
        assert await bed.run(3) == [("S-R3F-log", 8)], "again, when it did not help"

    asyncio.run(body())


def test_who_answers_is_not_replaced_whoever_is_silent() -> None:
    async def body() -> None:
        bed = Bed()
        bed.net.frozen.add("n3")
        assert await bed.run(5) == [] and bed.servers.asked
        bed.servers.mute.add("STREAM.NAMES")
        assert await bed.run(3) == [(election.META, 8)]

    asyncio.run(body())


def test_a_silence_that_only_one_notices_is_nothing() -> None:
    async def body() -> None:
        bed = Bed()
        bed.servers.mute.add("STREAM.INFO.LOG_0")
        bed.net.cut |= {("n3", "n1"), ("n1", "n3")}
        assert await bed.run(5) == []
        bed.net.cut |= {("n2", "n1"), ("n1", "n2")}  # n1 alone: it is the one to be quiet
        assert await bed.run(5) == []

    asyncio.run(body())


def test_a_leader_that_is_heard_but_hears_nobody_is_replaced() -> None:
    async def body() -> None:
        bed = Bed()
        bed.net.cut |= {("n1", "n3"), ("n2", "n3")}
        bed.servers.mute.add("STREAM.INFO.LOG_0")
        assert await bed.run(5)

    asyncio.run(body())


def test_the_next_node_calls_when_the_first_does_not() -> None:
    async def body() -> None:
        bed = Bed()
        bed.net.frozen.add("n3")
        bed.servers.mute.add("STREAM.INFO.LOG_0")
        bed.net.run(1.5)
        await bed.parts["n2"].turn()
        assert bed.servers.called == []
        assert await bed.run(2.5, "n2") == [("S-R3F-log", 8)]

    asyncio.run(body())


def test_what_has_no_taker_for_a_while_calls_though_all_beat() -> None:
    async def body() -> None:
        bed = Bed()
        bed.leaderless = True
        bed.servers.mute.add("STREAM.INFO.LOG_0")
        await bed.parts["n1"].turn()
        assert bed.servers.called == [], "a leader may just be handing over"
        assert await bed.run(1) == [("S-R3F-log", 8)]

    asyncio.run(body())
