"""How ``pileus up`` chooses ports."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pileus import start
from pileus.config import Config


def test_a_free_port_is_none_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = start.free_port("127.0.0.1")
    offers = iter([asked, asked, *(start.free_port("127.0.0.1") for _ in range(5))])
    monkeypatch.setattr(start, "free_port", lambda bind: next(offers))
    wish = Config(home=Path("unused"), port=0, edge_port=asked, edge_tls_port=0)
    got = start.with_ports(wish)
    ports = [got.port, got.edge_port, got.edge_tls_port]
    assert got.edge_port == asked
    assert len(set(ports)) == 3 and 0 not in ports
    assert dataclasses.replace(got, port=0, edge_tls_port=0) == wish
