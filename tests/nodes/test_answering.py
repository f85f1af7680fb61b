"""Whom a strong read has to ask."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.nodes import answering
from pileus.nodes.answering import REMOVED_S, Answering
from pileus.state import removed
from tests.nodes.test_copies import Shard


class World:
    """Rows of nodes, who is heard, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[dict[str, Any]] = []
        self.changes, self.now_s, self.heard = 0, 0.0, True
        self.shards = [Shard(), Shard()]
        monkeypatch.setattr(answering.membership, "rows", lambda store: self.rows)
        self.asked = Answering(self, lambda: self.now_s, self)  # type: ignore[arg-type]

    def generation(self, table: str) -> int:
        return self.changes

    def hears_all(self, names: list[str]) -> bool:
        return self.heard

    def tell(self, **states: str) -> None:
        self.rows = [{"name": name, "state": state} for name, state in states.items()]
        self.changes += 1

    def fence(self, *names: str) -> None:
        self.shards[1].written |= {removed.key(name): removed.GONE for name in names}


def test_all_who_take_part_or_soon_will(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.tell(n1="member", n2="draining", n3="joining")
    assert world.asked.members() == ["n1", "n2", "n3"]
    world.heard = False
    assert world.asked.members() is None


def test_a_removed_node_may_not_know_it_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known since this process learned of it, whatever clocks say."""
    world = World(monkeypatch)
    world.fence("n2", "n3")
    world.tell(n1="member", n2="member", n3="gone")
    assert world.asked.members() is None
    world.now_s += REMOVED_S
    assert world.asked.members() == ["n1", "n2"]
    world.tell(n1="member", n2="member", n3="gone", n4="joining")
    assert world.asked.members() == ["n1", "n2", "n4"]
    world.tell(n1="member", n2="gone", n3="gone", n4="member")
    assert world.asked.members() is None


def test_a_node_that_is_gone_may_answer_until_every_shard_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was let in and never came: the first shard's word is the first, not the last."""
    world = World(monkeypatch)
    world.tell(n1="member", n2="member", n3="gone")
    world.now_s += 10 * REMOVED_S
    assert world.asked.members() is None
    world.now_s += 10 * REMOVED_S
    assert world.asked.members() is None
    world.fence("n3")
    assert world.asked.members() == ["n1", "n2"]
