"""A lost node's log lines are told from the copy its neighbour keeps (L1, S6)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.nodes.handing import TAKE, Handing
from tests.services.logs.conftest import LogsAlone
from tests.services.logs.test_across import messages, spread, three
from tests.telemetry.neighbours import Neighbours


def handing(node: LogsAlone, others: Neighbours) -> Handing:
    return Handing(others, node.copies)  # type: ignore[arg-type]


def now_ms() -> int:
    return int(time.time() * 1000)


def lose(others: Neighbours, at_ms: int) -> None:
    """``at_ms``: before it handed over at last, so that nothing can be missing."""
    others.down, others.since_ms = True, at_ms


async def _lines(node: LogsAlone) -> tuple[list[str], str]:
    told: Any = await node("FilterLogEvents", logGroupName="g")
    return messages(told), getattr(told, "missing", "")


def test_a_lost_nodes_lines_are_told_by_every_other(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 9)
        at_ms = now_ms()
        await handing(nodes[1], others[1]).turn()
        lose(others[1], at_ms)
        for node in (nodes[0], nodes[2]):  # the neighbour is n3; n1 asks it
            assert await _lines(node) == (told, "")
            page = await node("GetLogEvents", logGroupName="g", logStreamName="s", limit=4)
            assert messages(page) == told[-4:]
            (stream,) = (await node("DescribeLogStreams", logGroupName="g"))["logStreams"]
            assert stream["lastEventTimestamp"] - stream["firstEventTimestamp"] == 8
        others[1].down = False  # it is back: nothing is told twice
        assert await _lines(nodes[0]) == (told, "")

    three(tmp_path, body)


def test_what_was_not_handed_over_is_said_to_be_missing(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 9)
        at_ms = now_ms()
        await handing(nodes[1], others[1]).turn()
        lose(others[1], at_ms)
        others[1].since_ms += 60_000  # it lived on for a minute and handed nothing over
        assert await _lines(nodes[0]) == (told, "n2")
        lose(others[2], now_ms())
        assert await _lines(nodes[0]) == (told[::3], "n2, n3")

    three(tmp_path, body)


def test_pieces_sent_again_add_nothing(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 9)
        source = nodes[1].copies.sources["logs"]
        rows, new = await asyncio.to_thread(source.fresh, 0)
        piece = ["n2", "logs", 0, rows, new]
        answers = await asyncio.gather(*(others[0].ask_one("n3", TAKE, piece) for _ in range(4)))
        assert answers == [new] * 4
        at_ms = now_ms()
        await handing(nodes[1], others[1]).turn()
        lose(others[1], at_ms)
        assert (await _lines(nodes[0]))[0] == told
        (group,) = (await nodes[0]("DescribeLogGroups"))["logGroups"]
        assert group["storedBytes"] == 9 * (len("line 000") + 26)

    three(tmp_path, body)


def test_another_neighbour_takes_over_and_the_last_one_passes_to_the_first(
    tmp_path: Path,
) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 6)
        mine = handing(nodes[1], others[1])
        await mine.turn()
        others[2].late = True
        with pytest.raises(Unavailable):
            await mine.turn()
        others[2].late, others[2].down = False, True
        await nodes[1].put("after", stream="s")
        at_ms = now_ms()
        await mine.turn()  # to n1 now: n2 hands to the next that is alive
        lose(others[1], at_ms)
        found, missing = await _lines(nodes[0])
        assert missing == "n3"
        kept = [line for i, line in enumerate(told) if i % 3 != 2]
        assert sorted(found) == ["after", *kept]

    three(tmp_path, body)


def test_copies_go_with_their_group(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        await spread(nodes, 9)
        await handing(nodes[1], others[1]).turn()
        assert nodes[2].copies.held() == ["n2"]
        await nodes[0]("DeleteLogGroup", logGroupName="g")
        await nodes[2].sweep()
        copy = nodes[2].copies.of("n2")
        assert copy is not None
        copy.flush()
        assert copy.query("SELECT count(*) FROM log_events") == [(0,)]

    three(tmp_path, body)


def test_a_name_that_is_none_makes_no_file(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        await nodes[0].made()
        with pytest.raises(ValueError, match="no name"):
            nodes[2].copies.take(["../../n2", "logs", 0, [[1, 1, 1, 1, 1, "x"]], 1])
        assert nodes[2].copies.held() == []

    three(tmp_path, body)
