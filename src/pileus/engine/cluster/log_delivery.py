"""The stream's messages in order, from one number on, for as long as the replica lives.

An ordered consumer (https://docs.nats.io/nats-concepts/jetstream/consumers): short-lived, in the
memory of one server, without acknowledgements. At any gap, silence or change of connection it is
thrown away and another begun where the replica stands, so none of its states needs to be trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats_client import Client, Msg
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.delivery")
HEARTBEAT_S = 0.5
SILENCE_S = 1.6
FORGET_S = 10.0
CREATE_S_MAX = 1.0  # asked again then: without a leader nobody answers
PAUSE_S, PAUSE_S_MAX = 0.05, 0.5
FULL_S = 0.02
LATE_MAX = 5
FAR_MAX, FAR_S = 12, 30.0
LOOK_S_MAX = 0.5


class Delivery:
    """Calls ``deliver(number, data)`` for every message above ``after``, in order and without a
    gap. ``full()`` True: pause. ``gone(first)``: the stream begins only at ``first`` now.
    ``missing()``: the servers say there is no such stream."""

    def __init__(
        self,
        client: Client,
        stream: str,
        after: int,
        deliver: Callable[[int, bytes], None],
        full: Callable[[], bool],
        gone: Callable[[int], None],
        missing: Callable[[], None],
    ) -> None:
        self.after = after
        self.begun = 0  # consumers so far
        self.inbox = ""  # where the present one delivers
        self._client = client
        self._stream = stream
        self._deliver = deliver
        self._full = full
        self._gone = gone
        self._missing = missing
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._far = 0  # consumers in a row that another server had
        self._late = 0  # consumers that began behind where they should
        self._heard = 0.0
        self._stopping = False
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._client.moved.append(self.reset)
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        self._stopping = True  # a wait that ends just now loses its cancellation
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def halt(self) -> None:
        """Deliver nothing more."""
        self._stopping = True
        self._broken.set()

    def reset(self) -> None:
        """Begin again with another consumer."""
        self._broken.set()

    async def _run(self) -> None:
        pause = PAUSE_S
        while not self._stopping:
            before = self.after
            try:
                await self._consume()
            except (Unavailable, OSError, TimeoutError) as e:
                self._far = 0
                log.info("the log is not delivered now: %s", e)
                if isinstance(e, streams.ApiError) and e.code == streams.NOT_FOUND:
                    self._missing()
            pause = PAUSE_S if self.after > before else min(2 * pause, PAUSE_S_MAX)
            if not self._stopping and not self._far:
                await asyncio.sleep(pause)

    async def _consume(self) -> None:
        """One consumer, until it breaks."""
        self._broken.clear()
        self._number = 0
        self.begun += 1
        self.inbox = inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=self._received)
        try:
            what, wanted = f"CONSUMER.CREATE.{self._stream}", self._consumer(inbox)
            told = await streams.ask(self._client, what, wanted, CREATE_S_MAX)
            self._heard = self._loop.time()
            await self._until_broken(await self._keep_s(told))
        finally:
            await subscription.unsubscribe()
        if self._client.is_connected:
            await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{told['name']}")

    async def _keep_s(self, told: dict[str, Any]) -> float:
        """How long to keep a consumer; the servers put it anywhere among the stream's copies. One
        in the server this node is connected to gives what lies there: nothing else is on the way,
        and the loss of no other node ends it."""
        where, here = (told.get("cluster") or {}).get("leader", ""), self._client.server
        if where in ("", here):
            self._far = 0
            return math.inf
        self._far += 1
        if self._far < FAR_MAX:
            with contextlib.suppress(Unavailable):  # then any will do for now
                found = await streams.info(self._client, self._stream, LOOK_S_MAX)
                if here in {p.name for p in found.peers if p.current} | {found.leader}:
                    return 0.0
        self._far = 0
        return FAR_S

    def _consumer(self, inbox: str) -> dict[str, object]:
        seconds = 1_000_000_000
        config = {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.after + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * seconds),
            "inactive_threshold": int(FORGET_S * seconds),
            "mem_storage": True,
            "num_replicas": 1,
        }
        return {"stream_name": self._stream, "config": config}

    async def _until_broken(self, seconds_max: float) -> None:
        end = self._loop.time() + seconds_max
        while not self._broken.is_set() and self._loop.time() < end:
            quiet = self._loop.time() - self._heard
            if quiet > SILENCE_S:
                log.warning("the log's consumer was silent for %.1f s; beginning another", quiet)
                return
            try:
                await asyncio.wait_for(self._broken.wait(), SILENCE_S - quiet + 0.01)
            except TimeoutError:
                continue

    def _received(self, msg: Msg) -> Awaitable[None] | None:
        self._heard = self._loop.time()
        if self._broken.is_set():
            return None
        if msg.headers and "Status" in msg.headers:
            return self._control(msg, msg.headers)
        words = msg.reply.split(".")
        # $JS.ACK.[domain.account.]stream.consumer.delivered.STREAM.CONSUMER.time.pending[.token]
        at = 5 if len(words) == 9 else 7
        number, count = int(words[at]), int(words[at + 1])
        if count != self._number + 1 or number != self.after + 1:
            self._broken.set()
            return self._gap(number)
        self._number = count
        self._late = 0
        self.after = number
        self._deliver(number, msg.data)
        return None

    def _control(self, msg: Msg, headers: dict[str, str]) -> Awaitable[None] | None:
        """Flow control is answered when there is room; a heartbeat tells what should be here."""
        if headers["Status"] != "100":
            log.warning("the log's consumer ended: %s", headers.get("Description", ""))
            self._broken.set()
        elif msg.reply:
            return self._permit(msg.reply)
        elif int(headers.get("Nats-Last-Consumer", self._number)) != self._number:
            log.warning("messages of the log were lost on their way; asking for them again")
            self._broken.set()
        elif "Nats-Consumer-Stalled" in headers:
            return self._permit(headers["Nats-Consumer-Stalled"])
        return None

    async def _permit(self, reply: str) -> None:
        """Let the consumer send on, when there is room for more."""
        while self._full():
            await asyncio.sleep(FULL_S)
            self._heard = self._loop.time()
        if self._client.is_connected:
            await self._client.publish(reply)

    async def _gap(self, number: int) -> None:
        if self._number:
            log.warning("after message %d came %d; beginning another consumer", self.after, number)
        elif number > self.after + 1:
            # A consumer that begins late: the stream no longer has what lies between.
            # Or, damaged, in its middle: then it begins there again and again.
            told = await streams.info(self._client, self._stream)
            self._late += 1
            if told.first > self.after + 1 or self._late >= LATE_MAX:
                self._gone(number)
