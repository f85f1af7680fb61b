"""A node to which something of its cluster is missing does not start, and says what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus import processes, start_node
from pileus.config import Config, load
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.places import PORTS, Files
from tests.conftest import pileus


def node(home: Path) -> Config:
    """The home of a node of two, as a start finds it; ``cluster/`` has all it needs."""
    start_node.init(load(home=home, **dict.fromkeys(PORTS, 0)))
    told = places.load(home)
    assert told is not None
    other = dataclasses.replace(told.here, name="n2", log_route_port=1)
    places.save(home, dataclasses.replace(told.knowing(other), engine=places.CLUSTER))
    return load(home=home)


@pytest.mark.parametrize(
    ("file", "word"),
    [
        (lambda files: files.key, "private key"),
        (lambda files: files.certificate, "certificate"),
        (lambda files: files.authority, "authority"),
        (lambda files: files.secrets, "credentials"),
    ],
    ids=["key", "certificate", "authority", "secrets"],
)
def test_what_is_missing_is_named_before_anything_is_started(
    tmp_path: Path, file: Callable[[Files], Path], word: str
) -> None:
    config = node(tmp_path)
    assert "log" in [part.name for part in processes.parts(config)]
    file(Files(tmp_path)).unlink()
    with pytest.raises(Unavailable, match=word):
        processes.parts(config)


def test_up_ends_and_says_so(tmp_path: Path) -> None:
    node(tmp_path)
    Files(tmp_path).key.unlink()
    done = pileus("up", "--home", str(tmp_path), "--apps", "none", "--detach")
    assert done.returncode == 1
    assert "the node's private key" in done.stderr and "pileus leave NODE" in done.stderr
    assert not (tmp_path / "state.db").exists()
