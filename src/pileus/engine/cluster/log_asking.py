"""How far the other replicas have come: what a strong read waits for, without writing to the log.

Whoever was answered (a write, a strong read) was answered by a node whose replica had applied it,
so that node had been given it. Hence when *every* node that may answer anybody says, after a read
came, up to which message it has been given the log, the highest of these numbers covers all that
was answered before. No clock, no lease and no word of the log's servers is trusted: a node that is
frozen, cut off or dead does not answer, and then the read goes through the log as before. So it
does where two nodes do not see the same members, for none could otherwise speak for a node that
another does not know yet, and after a node was removed.

A node answers only when a message of its own, sent since it started, was applied: what its disk
may have lost it has again. Questions and answers are messages that nobody keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from pileus.engine.cluster.nats_client import Client, Msg, Subscription

ANSWER_S = 0.05
REST_S = 1.0  # the log is asked instead, after a question that not all answered


class Answer(msgspec.Struct, array_like=True):
    """``given``: the number of the last message this node was given. ``members``: whom it knows."""

    name: str
    given: int
    members: list[str]


_answer = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(Answer).decode


class Asking:
    """One replica's part, for one stream. ``members()``: all nodes that may answer clients, this
    one too, in order; None when nobody can be sure of them, or one is known not to answer.
    ``given()``: the number of the last message given to this replica, 0 when that proves nothing
    yet."""

    def __init__(
        self,
        client: Client,
        stream: str,
        name: str,
        members: Callable[[], list[str] | None],
        given: Callable[[], int],
    ) -> None:
        self._client, self._name = client, name
        self._subject = f"replicas.given.{stream}"
        self._members, self._given = members, given
        self._loop = asyncio.get_running_loop()
        self._inbox = client.new_inbox()
        self._subscriptions: list[Subscription] = []
        self._round = 0
        self._wanted: list[str] = []  # the members asked in the round under way; none: no round
        self._heard: dict[str, int] = {}
        self._present: list[asyncio.Future[int | None]] = []
        self._waiting: list[asyncio.Future[int | None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rested = 0.0
        self.rounds = 0  # answered by all

    async def start(self) -> None:
        subscribe = self._client.subscribe
        self._subscriptions = [
            await subscribe(self._subject, cb=self._asked),
            await subscribe(f"{self._inbox}.*", cb=self._answered),
        ]

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._end(None)

    async def furthest(self) -> int | None:
        """The highest number any other node was given before now (or a moment later); None when
        not all can say. Who comes while a question is under way waits for the next."""
        future: asyncio.Future[int | None] = self._loop.create_future()
        self._waiting.append(future)
        if len(self._waiting) == 1 and not self._wanted:
            self._loop.call_soon(self._begin)
        return await future

    def _begin(self) -> None:
        self._present, self._waiting = self._waiting, []
        members = self._members() if self._loop.time() >= self._rested else None
        if not self._present or not members or len(members) < 2:
            self._settle(None)
            return
        self._round += 1
        self._wanted, self._heard = members, {}
        self._timer = self._loop.call_later(ANSWER_S, self._end, None)
        try:
            self._client.send(self._subject, b"", f"{self._inbox}.{self._round}")
        except OSError:
            self._end(None)

    def _asked(self, msg: Msg) -> None:
        """Answer another node, if what this one was given proves anything."""
        if msg.reply.startswith(self._inbox):
            return
        given, members = self._given(), self._members()
        if given and members and self._client.is_connected:
            self._client.send(msg.reply, _answer(Answer(self._name, given, members)))

    def _answered(self, msg: Msg) -> None:
        if not self._wanted or msg.subject.rpartition(".")[2] != str(self._round):
            return
        told = _read(msg.data)
        if told.members != self._wanted:
            self._end(None)
            return
        self._heard[told.name] = told.given
        if all(name in self._heard or name == self._name for name in self._wanted):
            self.rounds += 1
            self._end(max(self._heard.values()))

    def _end(self, furthest: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if furthest is None and self._wanted:
            self._rested = self._loop.time() + REST_S
        self._wanted = []
        self._settle(furthest)
        if self._waiting:
            self._begin()

    def _settle(self, furthest: int | None) -> None:
        present, self._present = self._present, []
        for future in present:
            if not future.done():
                future.set_result(furthest)


class Reaching:
    """Who waits until this replica has applied some message. ``at()``: the last one applied."""

    def __init__(self, at: Callable[[], int]) -> None:
        self._at = at
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    async def wait(self, at: int) -> None:
        if self._at() < at:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited.append((at, future))
            await future

    def moved(self) -> None:
        """To be called when something was applied."""
        if not self._awaited:
            return
        now = self._at()
        for at, future in self._awaited:
            if at <= now and not future.done():
                future.set_result(None)
        self._awaited = [(at, future) for at, future in self._awaited if not future.done()]
