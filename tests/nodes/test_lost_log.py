"""Which of several logs are made anew, and by whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster import streams
from pileus.engine.cluster.log_messages import Position
from pileus.errors import Unavailable
from pileus.nodes import lost_log, places
from pileus.nodes.lost_log import Standing, damage, renew_log
from pileus.nodes.places import Cluster, Node
from pileus.state import degraded
from tests.nodes.conftest import ports

AT = 7  # the message up to which every state has come
STREAM = streams.StreamInfo("LOG_0", 0, 0, "", 3, 1, AT, 100, "n1", ())


class Servers:
    """What JetStream tells of the streams it has."""

    def __init__(self, *kept: streams.StreamInfo) -> None:
        self.kept = {found.name: found for found in kept}
        self.mute: set[str] = set()

    async def info(self, client: Any, name: str) -> streams.StreamInfo:
        if name in self.mute:
            raise Unavailable("nobody answers")
        if name not in self.kept:
            raise streams.ApiError(streams.NOT_FOUND, "stream not found")
        return self.kept[name]

    async def newest(self, client: Any, shard: int) -> streams.StreamInfo | None:
        found = [f for f in self.kept.values() if streams.shard_of(f.name) == shard]
        return max(found, key=lambda f: f.epoch, default=None)


class Closed:
    async def close(self) -> None:
        pass


def stream(shard: int, epoch: int = 0, **more: Any) -> streams.StreamInfo:
    return replace(STREAM, name=streams.name(shard, epoch), epoch=epoch, **more)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home with eight shards; every state has come to the same message of its stream."""
    (tmp_path / "run").mkdir()

    def standing(place: Path) -> Standing:
        shard = 0 if place == tmp_path else int(place.name)
        idle = shard == 6  # nothing has come to it from its log
        position = b"" if idle else Position(streams.name(shard), AT).pack()
        return Standing(100, bytes(16), position)

    monkeypatch.setattr(lost_log, "standing", standing)
    monkeypatch.setattr(lost_log, "shards_of", lambda home: 8)
    return tmp_path


def serve(monkeypatch: pytest.MonkeyPatch, servers: Servers) -> None:
    monkeypatch.setattr(streams, "info", servers.info)
    monkeypatch.setattr(streams, "newest", servers.newest)


def test_a_log_is_damaged_when_it_is_gone_closed_or_lacks_its_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, longer, short = stream(0), stream(1, last=AT + 5), stream(2, last=AT - 1)
    closed, followed = stream(3, sealed=True), stream(4, sealed=True)
    servers = Servers(whole, longer, short, closed, followed, stream(4, 1), stream(5, 2))
    servers.mute = {"LOG_7"}
    serve(monkeypatch, servers)
    client: Any = None

    def found(shard: int) -> str:
        return asyncio.run(damage(client, home, shard))

    assert [found(shard) for shard in (0, 1, 4, 5)] == ["", "", "", ""]
    assert "ends before" in found(2) and "closed" in found(3) and "LOG_6 is gone" in found(6)
    with pytest.raises(Unavailable, match="nobody answers"):
        found(7)  # an election, perhaps
    degraded.tell(home, "the log does not answer", 1)
    assert found(1) == ""
    degraded.tell(home, f"the log gave message 3 again: {lost_log.RENEW}", 1)
    assert "gave message 3 again" in found(1)


def test_only_damaged_logs_are_renewed_and_only_by_the_furthest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [stream(shard) for shard in (0, 1, 3, 4, 5, 6)]
    serve(monkeypatch, Servers(*lost))
    nodes = tuple(Node(n, "h", **ports(100 * i)) for i, n in enumerate(("n1", "n2")))
    monkeypatch.setattr(places, "load", lambda home: Cluster("c", "n1", nodes, {}, True))
    renewed: list[int] = []

    async def connect(*where: Any, **how: Any) -> Any:
        return Closed()

    async def close_old(client: Any, shard: int, stands: Any) -> None:
        stands()

    async def others(home: Path, cluster: Cluster) -> dict[str, list[int]]:
        return {"n2": [100, 100, 100, 100, 100, 100, 100, 101]}

    async def renew(client: Any, shard: int, stands: Standing, copies: int) -> Any:
        renewed.append(shard)
        return stream(shard, 1, base=stands.applied)

    class Settings:
        servers, user, password = (), "", ""
        tls = type("Tls", (), {"context": staticmethod(lambda: None)})

    monkeypatch.setattr(lost_log, "log_settings", lambda home, cluster: Settings)
    monkeypatch.setattr(streams, "connect", connect)
    monkeypatch.setattr(lost_log.renew, "close_old", close_old)
    monkeypatch.setattr(lost_log.renew, "renew", renew)
    monkeypatch.setattr(lost_log, "_others", others)
    told = asyncio.run(renew_log(home))
    assert renewed == [2] and [one.made.name for one in told.done] == ["LOG_2_1"]
    assert list(told.left) == [7]
    assert told.left[7].hint == "on n2: pileus renew-log --shard 7 --yes"
    told = asyncio.run(renew_log(home, 4))
    assert renewed == [2, 4] and not told.left, "asked for by its number: well or not"
    with pytest.raises(Unavailable, match="no shard 8"):
        asyncio.run(renew_log(home, 8))
