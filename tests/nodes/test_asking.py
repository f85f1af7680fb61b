"""One question to all nodes: joined answers, and who is missing named within a second."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.nodes.asking import PATH, Asking
from pileus.nodes.beats import Judgement
from pileus.telemetry.others import Heard, Unreached
from tests.nodes.rig import Node, Nodes, run


class Known:
    """The members as a node of the rig knows them."""

    def __init__(self, node: Node) -> None:
        self.name = node.name
        self._node = node

    def present(self) -> list[Any]:
        class Member:
            def __init__(self, place: Any) -> None:
                self.name, self.address, self.node_port = place
                self.state = "joining" if self.name == "n9" else "member"

        return [Member(place) for place in self._node.places.values()]


def asking(node: Node) -> Asking:
    made = Asking(Known(node), node.home / "cluster", node.home / "nodes.json")  # type: ignore[arg-type]
    node.door.mount(PATH, made.serve)
    return made


async def heard_from(one: Asking, what: str, question: Any, *names: str) -> Heard:
    """What is heard once these have answered: on a busy machine a second may be too short."""
    async with asyncio.timeout(80):
        while not set(names) <= set((heard := await one.ask(what, question)).answers):
            pass
    return heard


def three(tmp_path: Path, body: Callable[[list[Node], list[Asking]], Any]) -> None:
    async def inner() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            all_asking = [asking(node) for node in nodes]
            try:
                await body(nodes, all_asking)
            finally:
                for each in all_asking:
                    each.close()

    run(inner())


def test_each_other_node_answers_for_itself(tmp_path: Path) -> None:
    async def body(nodes: list[Node], each: list[Asking]) -> None:
        for one in each:
            one.offer("double", lambda n, name=one.name: [name, 2 * n])
        heard = await heard_from(each[0], "double", 21, "n2", "n3")
        assert heard.answers == {"n2": ["n2", 42], "n3": ["n3", 42]}
        assert heard.missing == {}
        assert [one.number for one in each] == [1, 2, 3]

    three(tmp_path, body)


def test_who_does_not_answer_is_named_in_time(tmp_path: Path) -> None:
    async def body(nodes: list[Node], each: list[Asking]) -> None:
        asked_no_more = threading.Event()
        each[1].offer("slow", lambda n: asked_no_more.wait(60))
        each[2].offer("slow", lambda n: n)
        heard = await heard_from(each[0], "slow", 1, "n3")  # ends while the second has not answered
        asked_no_more.set()
        assert heard.answers == {"n3": 1}
        assert "within 1 s" in heard.missing["n2"]
        await nodes[2].down()
        async with asyncio.timeout(80):
            while "cannot be reached" not in (await each[0].ask("slow", 1)).missing["n3"]:
                pass

    three(tmp_path, body)


def test_a_node_known_to_be_down_costs_nothing(tmp_path: Path) -> None:
    async def body(nodes: list[Node], each: list[Asking]) -> None:
        each[2].offer("any", lambda n: n)
        told = {"n2": asdict(Judgement("down", 0, 0)), "n3": asdict(Judgement("alive", 0, 0))}
        (nodes[0].home / "nodes.json").write_text(json.dumps(told))
        heard = await heard_from(each[0], "any", "x", "n3")
        assert heard.answers == {"n3": "x"}
        assert heard.missing == {"n2": "it is down"}

    three(tmp_path, body)


def test_what_nobody_offers_and_what_fails_is_missing(tmp_path: Path) -> None:
    def full(_: Any) -> Any:
        raise Unavailable("the disk is full", "free some")

    async def body(nodes: list[Node], each: list[Asking]) -> None:
        each[2].offer("some", full)
        async with asyncio.timeout(80):
            heard = await each[0].ask("some", None)
            while any("within 1 s" in why for why in heard.missing.values()):
                heard = await each[0].ask("some", None)
        assert heard.answers == {}
        assert "404" in heard.missing["n2"]
        assert "the disk is full" in heard.missing["n3"]

    three(tmp_path, body)


def test_a_node_that_joins_is_not_asked_yet(tmp_path: Path) -> None:
    async def body(nodes: list[Node], each: list[Asking]) -> None:
        each[1].offer("any", lambda n: n)
        each[2].offer("any", lambda n: n)
        nodes[0].places["n9"] = nodes[0].places["n2"]._replace(name="n9")
        heard = await heard_from(each[0], "any", 1, "n2", "n3")
        assert sorted(heard.answers) == ["n2", "n3"]
        assert not heard.missing
        await asyncio.sleep(0)

    three(tmp_path, body)


PART = bytes(64 * 1024)


class Telling:
    """Answers in parts, ``count`` of them, and then waits; tells how many were taken from it."""

    def __init__(self, count: int) -> None:
        self.count, self.told = count, 0
        self.closed = asyncio.Event()

    async def answer(self, question: Any) -> AsyncGenerator[Any, None]:
        try:
            yield [question]
            for _ in range(self.count):
                self.told += 1
                yield PART
            await asyncio.Event().wait()
        finally:
            self.closed.set()


def test_an_answer_in_parts_comes_as_it_is_told(tmp_path: Path) -> None:
    async def body(nodes: list[Node], each: list[Asking]) -> None:
        telling = Telling(3)
        each[1].offer("parts", telling.answer)
        parts = each[0].ask_parts("n2", "parts", "x")
        async with asyncio.timeout(80):
            assert [await anext(parts) for _ in range(4)] == [["x"], PART, PART, PART]
            waiting = asyncio.ensure_future(anext(parts))
            await asyncio.sleep(0.01)
            waiting.cancel()  # who asked is gone: the other end hears of it
            await telling.closed.wait()

    three(tmp_path, body)


def test_a_reader_that_is_slow_slows_the_other_node(tmp_path: Path) -> None:
    """What is under way is bounded, whatever is to be told (64 MB)."""

    async def body(nodes: list[Node], each: list[Asking]) -> None:
        telling = Telling(1000)
        each[1].offer("parts", telling.answer)
        parts = each[0].ask_parts("n2", "parts", "x")
        async with asyncio.timeout(80):
            await anext(parts)
            before, same = 0, 0
            while same < 20:  # until it tells no more
                await asyncio.sleep(0.02)
                same = same + 1 if telling.told == before else 0
                before = telling.told
            assert before < 500
            for _ in range(1000):
                assert await anext(parts) == PART
            assert telling.told == 1000
            await parts.aclose()
            await telling.closed.wait()

    three(tmp_path, body)


def test_a_node_that_dies_amid_its_answer_and_one_that_cannot_be_reached(tmp_path: Path) -> None:
    async def body(nodes: list[Node], each: list[Asking]) -> None:
        each[1].offer("parts", Telling(1).answer)
        parts = each[0].ask_parts("n2", "parts", "x")
        async with asyncio.timeout(80):
            await anext(parts)
            await nodes[1].down()
            with pytest.raises(Unavailable) as broken:
                while True:
                    await anext(parts)
            assert not isinstance(broken.value, Unreached)
            with pytest.raises(Unreached):
                await anext(each[0].ask_parts("n2", "parts", "x"))
            with pytest.raises(Unreached, match="404"):  # it offers no such answer
                await anext(each[0].ask_parts("n3", "parts", "x"))
            with pytest.raises(Unreached, match="404"):
                await each[0].ask_one("n3", "parts", "x", 60)

    three(tmp_path, body)
