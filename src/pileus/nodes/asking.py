"""Questions to all other nodes at once, over the door between nodes (``telemetry.others``).

    POST /ask/WHAT     a question in msgpack; its answer in msgpack, or (``ask_parts``) its parts,
                       each after four bytes that tell its length, little end first

Bounded in time: a node that is slow or silent costs ``PATIENCE_S``, one that is known to be down
nothing; both are named as missing. An answer in parts takes as long as it takes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec

from pileus.errors import Unavailable
from pileus.nodes.beats import view
from pileus.nodes.client import Client, PeerError, Place
from pileus.nodes.members import Members
from pileus.nodes.tls import client_context
from pileus.services.call import HttpRequest, HttpResponse
from pileus.telemetry.others import DOWN, Answerer, Heard, Unreached

PATH = "/ask/"
PATIENCE_S = 1.0
QUESTION_BYTES_MAX, ANSWER_BYTES_MAX = 8 * 1024**2, 32 * 1024**2
LENGTH_BYTES = 4
AHEAD_BYTES = 128 * 1024  # of an answer in parts that is read ahead of who asked
SILENT_S = 3600.0  # longer than any part may take: who asks decides when it is too long
HEAD_S = 10.0


class NotOffered(PeerError, Unreached):
    """The node answers no such question: it runs an older release, or is only starting."""


class Asking:
    """One process's. ``told``: where the node's judgement of the others is written down."""

    def __init__(self, members: Members, folder: Path, told: Path) -> None:
        self._members = members
        self._folder = folder
        self._told = told
        self._offered: dict[str, Answerer] = {}
        self._client: Client | None = None
        self._streams: Client | None = None

    @property
    def name(self) -> str:
        return self._members.name

    @property
    def number(self) -> int:
        return int("".join(c for c in self.name if c.isdigit()) or 0)

    def away(self) -> dict[str, int]:
        """Nodes that are down, and those that have left: they may have been copied."""
        gone = {n.name: 0 for n in self._members.cluster.nodes if not n.present}
        down = {n: j.since_ms for n, j in view(self._told).items() if j.health == "down"}
        return gone | down

    def alive(self) -> list[str]:
        """The other nodes that answer, in the order of their numbers."""
        judged = view(self._told)
        return [
            n.name
            for n in self._members.present()
            if n.name != self.name and n.name in judged and judged[n.name].health == "alive"
        ]

    def offer(self, what: str, answer: Answerer) -> None:
        self._offered[what] = answer

    async def ask(self, what: str, question: Any) -> Heard:
        """What each other node answers; those that are only joining are not asked."""
        heard, body = Heard(), msgspec.msgpack.encode(question)
        judged = view(self._told)
        asked = []
        for node in self._members.present():
            if node.name == self.name or node.state == "joining":
                continue
            seen = judged.get(node.name)
            if seen is not None and seen.health == "down":
                heard.missing[node.name] = DOWN
                continue
            place = Place(node.name, node.address, node.node_port)
            asked.append(self._one(place, what, body, heard))
        await asyncio.gather(*asked)
        return heard

    async def ask_one(
        self, node: str, what: str, question: Any, patience_s: float = PATIENCE_S
    ) -> Any:
        """One node's answer; ``PeerError`` when there is none in time, ``Unreached`` when it was
        not asked."""
        place = self._place(node)
        try:
            body = msgspec.msgpack.encode(question)
            return await self._exchange(place, what, body, patience_s, once=True)
        except TimeoutError:
            raise PeerError(f"{node} did not answer within {patience_s:g} s") from None

    async def ask_parts(self, node: str, what: str, question: Any) -> AsyncGenerator[Any, None]:
        """One node's answer in parts: see ``Others``."""
        place, body = self._place(node), msgspec.msgpack.encode(question)
        if self._streams is None:
            tls = client_context(self._folder)
            self._streams = Client(tls, step_s=SILENT_S, held_bytes_max=AHEAD_BYTES)
        answer = await self._streams.send(
            place, "POST", PATH + what, body, answer_s=HEAD_S, once=True
        )
        async with aclosing(answer.pieces()) as pieces:
            if answer.status != 200:
                raise _refused(answer.status, await anext(pieces, b""))
            held = bytearray()
            async for piece in pieces:
                held += piece
                while (raw := _cut(held)) is not None:
                    yield _decoded(place, raw)

    def _place(self, node: str) -> Place:
        found = next((n for n in self._members.present() if n.name == node), None)
        if found is None:
            raise Unreached(f"{node} is no member of the cluster")
        return Place(found.name, found.address, found.node_port)

    async def _one(self, place: Place, what: str, body: bytes, heard: Heard) -> None:
        try:
            heard.answers[place.name] = await self._exchange(place, what, body, PATIENCE_S)
        except TimeoutError:
            heard.missing[place.name] = f"it did not answer within {PATIENCE_S:g} s"
        except Unavailable as error:
            heard.missing[place.name] = str(error)

    async def _exchange(
        self, place: Place, what: str, body: bytes, patience_s: float, once: bool = False
    ) -> Any:
        async with asyncio.timeout(patience_s):
            answer = await self._open().send(
                place, "POST", PATH + what, body, answer_s=patience_s, once=once
            )
            raw = await answer.read(ANSWER_BYTES_MAX)
        if answer.status != 200:
            raise _refused(answer.status, raw)
        return _decoded(place, raw)

    def _open(self) -> Client:
        """At the first question: a start need not read certificates for it."""
        if self._client is None:
            self._client = Client(client_context(self._folder), step_s=PATIENCE_S)
        return self._client

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """Another node's question."""
        what = request.path.removeprefix(PATH)
        answer = self._offered.get(what)
        if request.method != "POST" or answer is None:
            return HttpResponse(404, [], f"nobody answers {request.method} {what}"[:200].encode())
        try:
            question = msgspec.msgpack.decode(await request.read(QUESTION_BYTES_MAX))
        except msgspec.MsgspecError as error:
            return HttpResponse(400, [], str(error).encode())
        if inspect.isasyncgenfunction(answer):
            return HttpResponse(200, [], _framed(answer(question)))
        if inspect.iscoroutinefunction(answer):
            told = await answer(question)
        else:
            told = await asyncio.to_thread(answer, question)
        return HttpResponse(200, [], msgspec.msgpack.encode(told))

    def close(self) -> None:
        for client in (self._client, self._streams):
            if client is not None:
                client.close()


async def _framed(parts: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        async for part in parts:
            raw = msgspec.msgpack.encode(part)
            yield len(raw).to_bytes(LENGTH_BYTES, "little") + raw


def _cut(held: bytearray) -> bytes | None:
    """The first part in ``held``, taken out; None while it is not whole."""
    size = int.from_bytes(held[:LENGTH_BYTES], "little")
    if size > ANSWER_BYTES_MAX:
        raise PeerError(f"a part of an answer is longer than {ANSWER_BYTES_MAX} bytes")
    end = LENGTH_BYTES + size
    if len(held) < end:
        return None
    raw = bytes(held[LENGTH_BYTES:end])
    del held[:end]
    return raw


def _decoded(place: Place, raw: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(raw)
    except msgspec.MsgspecError as error:
        raise PeerError(f"{place.name}: {error}") from error


def _refused(status: int, raw: bytes) -> PeerError:
    kind = NotOffered if status == 404 else PeerError
    return kind(f"it answers {status}: {raw[:200].decode('utf-8', 'replace')}")
