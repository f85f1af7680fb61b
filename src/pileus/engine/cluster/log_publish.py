"""Sending entries to the stream: packed by turn of the loop, repeated until they are applied here.

A message is answered when it came back through the stream's delivery and was applied, so the
stream's acknowledgement matters for two things only: what is not acknowledged is sent again, under
the same name, and one that names a place the replica has passed tells that the stream lost its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

import orjson

from pileus.engine import Outcome
from pileus.engine.cluster import log_messages
from pileus.engine.cluster.log_apply import Applied
from pileus.engine.cluster.log_gathering import Gathering
from pileus.engine.cluster.nats_client import Client, Msg
from pileus.engine.replies import Waiting
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.publish")
MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGE_ENTRIES_MAX = 512
IN_FLIGHT_MAX = 3
APART_MAX = log_messages.WINDOW // 2
REPEAT_S = 0.5
REPEAT_BYTES_S = 4 * 1024 * 1024  # what is long is given time to be taken, more at each repeat
HURRY_S, HURRY_REPEAT_S = 2.0, 0.1
GIVE_UP_S = 20.0  # longer than an election takes
GIVE_UP_ALONE_S = 2.5  # too few nodes are heard: no election will come to an end
TICK_S, PROBE_S = 0.1, 1.0
MOST = "more than half of the nodes must be up: pileus nodes"
BarrierReply = Callable[[int | Exception], None]


class _Sent:
    """A message under way and who waits for it."""

    __slots__ = (
        *("acked", "barriers", "begun", "body", "last", "number", "reached", "times", "waiting"),
    )

    def __init__(
        self, number: int, body: bytes, waiting: list[Waiting], barriers: list[BarrierReply]
    ) -> None:
        self.number = number
        self.body = body
        self.waiting = waiting
        self.barriers = barriers
        self.begun = self.last = 0.0
        self.acked = False
        self.times = 0  # sent so often
        self.reached = 0  # how far the replica had come when it was first sent


class Publisher:
    """One process's messages to one stream. ``lost(at)`` is called when the stream acknowledges
    a place at or below ``reached()`` when it was sent: it has lost what it gave before.

    ``down`` says why nothing can be appended now ("": it can): what comes then fails at once, and
    an empty message is sent again and again until one of this process's is applied. ``stands`` is
    told whenever that changes; ``alone()`` is whether this node hears too few others.
    """

    stands: Callable[[str], None] = staticmethod(lambda why: None)
    alone: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        client: Client,
        subject: str,
        session: bytes,
        reached: Callable[[], int],
        lost: Callable[[int], None],
    ) -> None:
        self._client = client
        self._subject = subject
        self._session = session
        self._reached = reached
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Waiting] = []
        self._barriers: list[BarrierReply] = []
        self._flight: dict[int, _Sent] = {}
        self._number = 0
        self._inbox = client.new_inbox()
        self._due = False
        self._gathering = Gathering(self._soon)
        self._idle = asyncio.Event()
        self._why = ""
        self.down = ""
        self._probed = self._hurried = 0.0
        self.proven = False  # a message of this process was applied here
        self.leaderless = False  # what was sent last had no taker
        self._closed: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._client.moved.append(self._again)
        await self._client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)
        self._tasks = [self._loop.create_task(self._watch())]

    # -- from callers ------------------------------------------------------------------------

    def add(self, items: Sequence[Waiting]) -> None:
        """Entries and their replies, for the next message."""
        if self._closed is not None:
            raise self._closed
        if self.down:
            for _, reply in items:
                self._loop.call_soon(reply, self._refusal())
            return
        self._waiting.extend(items)
        self._soon()

    def barrier(self, reply: BarrierReply) -> None:
        """Answer with a sequence number when a message sent after this call is applied here. All
        that wait share one message, with entries in it when there are some; one that is under
        way is waited for first."""
        if self._closed is not None:
            raise self._closed
        if self.down:
            raise self._refusal()
        self._barriers.append(reply)
        self._soon()

    # -- sending -----------------------------------------------------------------------------

    def _soon(self) -> None:
        """Send at the end of this turn of the loop: the rest of it joins the message."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._send_all)

    def _send_all(self) -> None:
        self._due = False
        while self._closed is None and (sent := self._next()) is not None:
            self._send(sent)

    def _next(self) -> _Sent | None:
        """The next message, if something waits and there is room."""
        flight = self._flight
        if len(flight) >= IN_FLIGHT_MAX:
            return None
        if flight and self._number - next(iter(flight)) >= APART_MAX:
            return None  # replicas tell a session's messages apart only so far
        asked = any(sent.barriers for sent in flight.values())
        wanted = self._barriers and not asked
        if not wanted and not self._gathering.complete(self._waiting, len(flight)):
            return None
        self._gathering.sent()
        waiting = self._pack()
        barriers, self._barriers = self._barriers, []
        return self._message(waiting, barriers)

    def _message(self, waiting: list[Waiting], barriers: list[BarrierReply]) -> _Sent:
        self._number += 1
        entries = [entry for entry, _ in waiting]
        body = log_messages.pack(self._session, self._number, entries)
        sent = self._flight[self._number] = _Sent(self._number, body, waiting, barriers)
        sent.begun = self._loop.time()
        sent.reached = self._reached()
        return sent

    def _pack(self) -> list[Waiting]:
        size = count = 0
        for entry, _ in self._waiting[:MESSAGE_ENTRIES_MAX]:
            size += len(entry)
            if count and size > MESSAGE_BYTES_MAX:
                break
            count += 1
        taken = self._waiting[:count]
        del self._waiting[:count]
        return taken

    def _send(self, sent: _Sent) -> None:
        sent.last = self._loop.time()
        sent.times += 1
        name = f"{self._session.hex()}-{sent.number}"
        try:
            self._client.send(
                self._subject, sent.body, f"{self._inbox}.{sent.number}", {"Nats-Msg-Id": name}
            )
        except OSError as e:
            self._why = str(e)  # the next tick tries again

    async def _watch(self) -> None:
        """Send again what is not acknowledged; give up what took too long."""
        while True:
            await asyncio.sleep(TICK_S)
            now, alone = self._loop.time(), self.alone()
            repeat_s = HURRY_REPEAT_S if now - self._hurried < HURRY_S else REPEAT_S
            patience_s = GIVE_UP_ALONE_S if alone else GIVE_UP_S
            oldest = next(iter(self._flight.values()), None)
            if oldest is None and alone and now - self._probed > PROBE_S:
                self._probe()
            elif oldest is not None and not self.down and now - oldest.begun > patience_s:
                self.give_up("the log does not answer")
            for sent in list(self._flight.values()):
                pause_s = repeat_s + sent.times * len(sent.body) / REPEAT_BYTES_S
                if not sent.acked and now - sent.last >= pause_s:
                    self._send(sent)

    def _again(self) -> None:
        """Another connection: what the last one had taken in may be lost."""
        for sent in self._flight.values():
            sent.last = 0.0

    def hurry(self) -> None:
        """A leader is being elected: do not wait long before asking it again."""
        self._hurried = self._loop.time()

    def _probe(self) -> None:
        """Find out whether the log goes on; nobody waits for it."""
        self._probed = self._loop.time()
        self._send(self._message([], []))

    def give_up(self, why: str) -> None:
        """Nothing goes on: fail what is under way, and what waits behind it; refuse what comes
        until a probe is applied."""
        flight, self._flight = self._flight, {}
        waiting, self._waiting = self._waiting, []
        barriers, self._barriers = self._barriers, []
        error = self.unknown()
        for sent in (*flight.values(), _Sent(0, b"", waiting, barriers)):
            self._fail(sent, error)
        self._stand(self._why or why)
        self._probe()

    def _stand(self, why: str) -> None:
        if why != self.down:
            self.down = why
            log.warning("%s", f"nothing can be written: {why}" if why else "the log goes on")
            self._why = why and self._why
            self.stands(why)

    def _refusal(self) -> Unavailable:
        return Unavailable(f"nothing can be written or read strongly now: {self.down}", MOST)

    def unknown(self) -> Unavailable:
        """The error of one whose message may or may not have been taken."""
        why = self._why or "the log's servers do not answer"
        return Unavailable(why, "repeat the request: it has one effect")

    # -- from the stream ---------------------------------------------------------------------

    def _acknowledged(self, msg: Msg) -> None:
        sent = self._flight.get(int(msg.subject.rpartition(".")[2]))
        if sent is None:
            return
        if not msg.data:
            self._why = "the log has no leader now"  # 503: no responders
            self.leaderless = True
            sent.last = 0.0  # nobody took it: the next tick tries again
            return
        told = orjson.loads(msg.data)
        if "error" in told:
            self._why = f"the log refuses: {told['error'].get('description', '')}"
            return
        sent.acked = True
        self.leaderless = False
        if not told.get("duplicate") and told["seq"] <= sent.reached:
            self._lost(told["seq"])

    def applied(self, done: Applied) -> None:
        """A message of the stream is applied here; answer who waits for it."""
        if done.message.session != self._session:
            return
        sent = self._flight.pop(done.message.number, None) if done.fresh else None
        if sent is None:
            return
        self.proven = True
        self._stand("")
        for i, (_, reply) in enumerate(sent.waiting):
            reply(Outcome(done.first + i, done.verdicts[i]))
        for answer in sent.barriers:
            answer(done.first + len(done.verdicts) - 1)
        if not self._flight:
            self._gathering.answered(len(sent.waiting) + len(self._waiting))
        if self._waiting or self._barriers:
            self._soon()
        elif not self._flight:
            self._idle.set()

    async def drained(self, seconds_max: float) -> None:
        """Wait until nothing is under way any more, or time ran out."""
        if self._flight or self._waiting:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):  # then they are told it is unknown
                await asyncio.wait_for(self._idle.wait(), seconds_max)

    def _fail(self, sent: _Sent, error: Exception) -> None:
        for _, reply in sent.waiting:
            reply(error)
        for answer in sent.barriers:
            answer(error)

    def close(self, error: Exception) -> None:
        """Fail what waits (its fate is unknown) and all that comes later."""
        self._closed = error
        self._gathering.sent()
        for task in self._tasks:
            task.cancel()
        flight, self._flight = self._flight, {}
        for sent in flight.values():
            self._fail(sent, error)
        self._fail(_Sent(0, b"", self._waiting, self._barriers), error)
        self._waiting, self._barriers = [], []
