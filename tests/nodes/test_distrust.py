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


def test_a_state_is_distrusted_once_in_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def compared(home: Path, say: object) -> Comparison:
        return Comparison(7, {"n1": "b", "n2": "a", "n3": "a"})

    monkeypatch.setattr(distrust, "compare_home", compared)
    said: list[str] = []
    checking = Distrust(tmp_path, "n1", said.append)
    for _ in range(2):
        assert asyncio.run(checking.look())
    assert len(said) == 1 and "n1" in said[0]
    long_ago = time.time() - AGAIN_S - 1
    os.utime(tmp_path / MARK, (long_ago, long_ago))
    asyncio.run(checking.look())
    assert len(said) == 2
