"""A node whose rows two others contradict begins anew; nobody does for less."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from pileus.nodes import distrust
from pileus.nodes.compare import Comparison
from pileus.nodes.distrust import AGAIN_S, MARK, Distrust, contradicted


@pytest.mark.parametrize(
    ("digests", "why"),
    [
        ({"n1": "a", "n2": "a", "n3": "a"}, ""),
        ({"n1": "b", "n2": "a", "n3": "a"}, "2 nodes have other rows than n1 after entry 7"),
        ({"n1": "a", "n2": "b", "n3": "a"}, ""),
        ({"n1": "a", "n2": "b"}, ""),
        ({"n1": "a", "n2": "b", "n3": "c"}, ""),
        ({"n1": "a", "n2": "a", "n3": "a", "n4": "b", "n5": "b"}, ""),
        ({"n2": "a", "n3": "a"}, ""),
    ],
)
def test_two_that_agree_outvote_one(digests: dict[str, str], why: str) -> None:
    assert contradicted(Comparison(7, digests), "n1") == why


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was distrusted; of three shards the rows of shards 0 and 2 differ."""

    async def compared(home: Path, say: object) -> list[Comparison]:
        whole = Comparison(9, {"n1": "c", "n2": "c", "n3": "c"}, shard=1)
        differs = {"n1": "b", "n2": "a", "n3": "a"}
        return [Comparison(7, differs), whole, Comparison(5, differs, shard=2)]

    monkeypatch.setattr(distrust, "compare_home", compared)
    return []


def distrusting(home: Path, said: list[tuple[str, int]]) -> Distrust:
    for number in (1, 2):
        (home / "shards" / str(number)).mkdir(parents=True)
    return Distrust(home, "n1", lambda why, shard: said.append((why, shard)))


def test_only_the_shard_that_differs_is_distrusted(
    tmp_path: Path, said: list[tuple[str, int]]
) -> None:
    assert "; " in asyncio.run(distrusting(tmp_path, said).look())
    assert [shard for _, shard in said] == [0, 2]
    assert "of shard 2 than n1 after entry 5" in said[1][0]


def test_a_state_is_distrusted_once_in_an_hour(tmp_path: Path, said: list[tuple[str, int]]) -> None:
    checking = distrusting(tmp_path, said)
    for _ in range(2):
        assert asyncio.run(checking.look())
    assert len(said) == 2 and "n1" in said[0][0]
    long_ago = time.time() - AGAIN_S - 1
    os.utime(tmp_path / "shards" / "2" / MARK, (long_ago, long_ago))
    asyncio.run(checking.look())
    assert [shard for _, shard in said] == [0, 2, 2]
