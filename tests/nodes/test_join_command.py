"""What `pileus join` does with a node that stops in the middle of its answer, and one that answers
a moment later; what `pileus leave` says of a node that never was."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pileus import start_node
from pileus.config import load
from pileus.errors import Unavailable
from pileus.nodes import entering, token
from pileus.nodes.places import PORTS
from pileus.supervisor import Running

CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n{"
BUSY = b'HTTP/1.1 503 Busy\r\ncontent-length: 26\r\n\r\n{"message":"no log leader"}'
NOT_HTTP = b"what?\r\n\r\n"


@contextmanager
def answering(answers: list[bytes]) -> Iterator[int]:
    """A door that gives each caller the next of ``answers``, and closes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(10)
        assert not thread.is_alive(), "not as often asked as answered"


@pytest.mark.parametrize("answer", [CUT, NOT_HTTP], ids=["cut", "not-http"])
def test_an_answer_that_breaks_off_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(entering, "PAUSE_S", 0.0)
    config = dataclasses.replace(load(home=tmp_path), host="127.0.0.1")
    word = token.Token(b"s" * token.SECRET_BYTES, bytes(token.MARK_BYTES))
    ports = dict.fromkeys(PORTS, 1)
    with (
        answering([answer] * entering.TRIES_UNHEARD) as port,
        pytest.raises(Unavailable, match="does not answer"),
    ):
        entering.enter(config, ports, word, "127.0.0.1", port)


def test_a_node_that_has_joined_is_asked_again_when_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = '{"access_key_id": "AKIATEST", "secret_access_key": "s"}'
    (tmp_path / "credentials.json").write_text(keys)
    nodes = b'{"nodes": [{"name": "n2", "roles": ["log"]}]}'
    good = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(nodes), nodes)
    with answering([BUSY, CUT, good]) as port:
        cloud = Running(1, f"http://127.0.0.1:{port}", "", "us-east-1", "0" * 12, False)
        monkeypatch.setattr(start_node, "running", lambda home: cloud)
        start_node._await_copy(load(home=tmp_path), "n2")


def test_a_node_that_never_was_has_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(home=tmp_path)
    entering.found(config, dict.fromkeys(PORTS, 1))
    keys = '{"access_key_id": "AKIATEST", "secret_access_key": "s"}'
    (tmp_path / "credentials.json").write_text(keys)
    monkeypatch.setattr(start_node, "_has_gone", lambda *told: True)  # it is in no list
    said = b'{"message": "there is no node n7"}'
    refused = b"HTTP/1.1 404 Not Found\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)
    for answer, gone in ((refused, False), (CUT, True)):
        with answering([answer]) as port:
            cloud = Running(1, f"http://127.0.0.1:{port}", "", "us-east-1", "0" * 12, False)
            if gone:  # the command was cut off, perhaps, not the leaving
                assert "has left" in start_node.leave(config, cloud, "n7")
            else:
                with pytest.raises(Unavailable, match="no node n7"):
                    start_node.leave(config, cloud, "n7")
