"""The other nodes as blobs see them (``engine.cluster.blobs.Peers``), over their doors."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import orjson

from pileus.nodes.client import NOTHING, Answer, Body, Client, PeerError, Place

SUSPECT_S = 3.0  # a node that failed is asked last, for so long


class NodePeers:
    """``name``: this node's. ``others()``: the other nodes of the cluster as they are now.
    ``keepers()``: those that keep blobs, this one among them unless it leaves; without it all do.
    ``down(name)``: whether a node is known not to answer."""

    def __init__(
        self,
        name: str,
        client: Client,
        others: Callable[[], Sequence[Place]],
        keepers: Callable[[], Sequence[str]] | None = None,
        down: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self.name = name
        self.client = client
        self._others = others
        self._keepers = keepers
        self._down = down
        self._suspect: dict[str, float] = {}

    def members(self) -> list[str]:
        if self._keepers is not None:
            return list(self._keepers())
        return [self.name, *self.others()]

    def others(self) -> list[str]:
        return [place.name for place in self._others()]

    def live(self) -> list[str]:
        now, suspect = time.monotonic(), self._suspect
        return [n for n in self.others() if suspect.get(n, 0.0) <= now and not self._down(n)]

    def places(self) -> Sequence[Place]:
        """The others, those that answered last time first."""
        live = set(self.live())
        return sorted(self._others(), key=lambda place: place.name not in live)

    async def ask(
        self,
        node: str,
        method: str,
        path: str,
        body: Body = b"",
        headers: Mapping[str, str] = NOTHING,
        answer_s: float = 0.0,
    ) -> Answer:
        """One request to ``node``; ``PeerError`` when it cannot be had, or is no member."""
        place = next((p for p in self._others() if p.name == node), None)
        if place is None:
            raise PeerError(f"{node} is no member of the cluster")
        try:
            answer = await self.client.send(place, method, path, body, headers, answer_s)
        except PeerError:
            self._suspect[node] = time.monotonic() + SUSPECT_S
            raise
        self._suspect.pop(node, None)
        return answer

    async def put(self, node: str, digest: str, body: bytes | AsyncIterator[bytes]) -> None:
        answer = await self.ask(node, "PUT", f"/blobs/{digest or '-'}", body)
        if answer.status != 201:
            raise PeerError(await refusal(node, answer))
        await answer.read()

    async def get(self, node: str, digest: str) -> AsyncIterator[bytes]:
        answer = await self.ask(node, "GET", f"/blobs/{digest}")
        if answer.status == 404:
            await answer.read()
            raise FileNotFoundError(digest)
        if answer.status != 200:
            raise PeerError(await refusal(node, answer))
        try:
            async for piece in answer:
                yield piece
        finally:
            answer.close()

    async def has(self, node: str, digest: str) -> bool:
        answer = await self.ask(node, "HEAD", f"/blobs/{digest}")
        answer.close()
        if answer.status not in (200, 404):
            raise PeerError(f"{node} answers {answer.status}")
        return answer.status == 200


async def refusal(node: str, answer: Answer) -> str:
    """What a node said that did not do what it was asked."""
    raw = await answer.read()
    try:
        why = orjson.loads(raw).get("error", "")
    except (orjson.JSONDecodeError, AttributeError):
        why = raw[:200].decode(errors="replace")
    return f"{node} answers {answer.status}: {why}"
