"""With how many shards `pileus init` has a cluster begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus import start_node
from pileus.config import Config, load
from pileus.errors import Unavailable
from pileus.nodes.places import PORTS


def founded(home: Path, **said: int) -> Config:
    """As a start after ``pileus init`` finds it."""
    free = dict.fromkeys(PORTS, 0)  # any
    start_node.init(load(home=home, **said, **free))
    return load(home=home)


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILEUS_SHARDS", raising=False)


def test_a_new_cluster_has_eight_or_as_many_as_are_asked_for(tmp_path: Path) -> None:
    assert founded(tmp_path / "a").shards == 8
    assert founded(tmp_path / "b", shards=2).shards == 2
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "pileus.toml").write_text('region = "eu-west-1"\n')
    config = founded(tmp_path / "c")
    assert (config.shards, config.region) == (8, "eu-west-1")


def test_a_home_that_holds_a_cloud_keeps_the_shards_it_has(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    assert founded(tmp_path).shards == 0
    assert not (tmp_path / "pileus.toml").exists()


def test_two_numbers_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "pileus.toml").write_text("shards = 2\n")
    with pytest.raises(Unavailable, match="says shards = 2, not 3"):
        founded(tmp_path, shards=3)
    assert founded(tmp_path).shards == 2
