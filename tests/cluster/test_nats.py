"""A node's log server: what it is told, and what it does not start without."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pileus.engine.cluster import nats
from pileus.errors import Unavailable
from tests.cluster.servers import SECRET, nodes


def settings(node: nats.NatsNode) -> dict[str, object]:
    lines = (line.split(": ", 1) for line in nats.text(node).splitlines())
    return {name: json.loads(value) for name, value in lines}


def test_the_configuration_keeps_what_the_promise_rests_on(tmp_path: Path) -> None:
    node = nodes(tmp_path, 3)[1]
    told = settings(node)
    assert told["jetstream"]["sync_interval"] == "always"  # type: ignore[index]
    for where in (told, told["cluster"]):
        assert where["tls"]["verify"] is True  # type: ignore[index]
        assert where["tls"]["ca_file"] == str(node.tls.authority)  # type: ignore[index]
    assert told["http"] == f"127.0.0.1:{node.monitor_port}"
    assert told["max_payload"] > 8 * 1024 * 1024  # type: ignore[operator]


def test_the_configuration_is_its_owners_secret(tmp_path: Path) -> None:
    path = nats.prepare(nodes(tmp_path, 2)[0])
    assert path.stat().st_mode & 0o077 == 0
    assert SECRET in path.read_text()


def test_a_node_that_lacks_something_does_not_start_and_says_what(tmp_path: Path) -> None:
    node = nodes(tmp_path, 3)[0]
    node.tls.key.unlink()
    for lacking, word in (
        (node, "private key"),
        (dataclasses.replace(node, password="short"), "credentials"),
        (dataclasses.replace(node, routes=(node.route,)), "route to another node"),
        (dataclasses.replace(node, store_dir=tmp_path / "no" / "such"), "directory"),
    ):
        with pytest.raises(Unavailable, match=word):
            nats.prepare(lacking)


def test_the_server_is_new_enough() -> None:
    assert nats.server_path().name == "nats-server"
