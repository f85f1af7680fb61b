"""The thread that applies a replica's messages, in the stream's order, several in one transaction.

What it cannot apply now it keeps and tries again: nothing that the stream gave is passed over. The
stream holds every message synced on most nodes, so a commit here is not synced by itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import apsw

from pileus.engine import Replica
from pileus.engine.cluster.log_messages import Message, Position, unpack
from pileus.engine.damage import damaged
from pileus.engine.replies import run_for
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.apply")
GROUP_ENTRIES_MAX = 512
GROUP_BYTES_MAX = 16 * 1024 * 1024
RETRY_S = 0.2
OPERATING = (apsw.Error, OSError, MemoryError, Unavailable)
WAITING_BYTES_MAX = 64 * 1024 * 1024


class Applied(NamedTuple):
    """A message whose effects are committed here: its entries' first sequence number and their
    verdicts; ``fresh`` is False for a copy that was passed over."""

    message: Message
    first: int
    verdicts: list[bytes]
    fresh: bool


class Gate(Protocol):
    """What entries of one shard's log take for done in other shards' logs."""

    def needs(self, entries: list[bytes]) -> dict[int, int]:
        """By shard, the number of the last entry there that must have been applied on this node
        before ``entries`` are."""
        ...

    def admits(self, needs: dict[int, int], wake: Callable[[], None] | None) -> bool:
        """Whether they have been. If not, ``wake`` is called (on any thread) when they have."""
        ...


class Opened(NamedTuple):
    at: int
    message: Message
    needs: dict[int, int]


class Applier:
    """``committed(replica)`` runs on the thread after each commit; ``applied(messages)`` on the
    loop after that; ``failed(error)`` on the loop when the replica can never go on. ``gate``: where
    there are several shards. A message it does not admit waits here, and all behind it, outside any
    transaction; what was asked to ``run`` goes on."""

    def __init__(
        self,
        replica: Replica,
        position: Position,
        committed: Callable[[Any], None],
        applied: Callable[[list[Applied]], None],
        failed: Callable[[Exception], None],
        gate: Gate | None = None,
    ) -> None:
        self._gate = gate
        self._replica = replica
        self._position = position
        self._committed = committed
        self._applied = applied
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._awake = False
        self._stopping = threading.Event()
        self._waiting: list[tuple[int, bytes]] = []
        self._waiting_bytes = 0
        self._tasks: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._sick = False
        self._thread = threading.Thread(target=self._run, name="log-applier", daemon=True)
        self._thread.start()

    @property
    def at(self) -> int:
        """The stream's number of the last message applied."""
        return self._position.at

    @property
    def full(self) -> bool:
        """More waits than should: the stream's delivery is to pause."""
        return self._waiting_bytes > WAITING_BYTES_MAX

    # -- on the loop -----------------------------------------------------------------------

    def add(self, at: int, data: bytes) -> None:
        """The stream's message ``at``; to be called in the stream's order."""
        with self._lock:
            self._waiting.append((at, data))
            self._waiting_bytes += len(data)
        self._rouse()

    def run(self, task: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run ``task`` on the thread, between two groups."""
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._lock:
            self._tasks.append((task, future))
        self._rouse()
        return future

    def _rouse(self) -> None:
        if not self._awake:
            self._awake = True
            # The rest of this turn of the loop joins the group.
            self._loop.call_soon(self._wake.put, None)

    async def stop(self) -> None:
        """End after the group under way; what waits stays in the stream."""
        self._stopping.set()
        self._wake.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last answers are on the loop's queue

    # -- on the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.get()
            self._awake = False
            while not self._stopping.is_set() and self._turn():
                pass

    def _turn(self) -> bool:
        """Do what waits now; False when nothing does."""
        with self._lock:
            tasks, self._tasks = self._tasks, []
        for task, future in tasks:
            run_for(self._loop, task, future)
        messages = self._take()
        if not messages:
            return bool(tasks)
        try:
            opened = self._open(messages)
            if not opened:  # the gate wakes this thread
                self._put_back(messages)
                return bool(tasks)
            applied = self._apply(opened)
        except OPERATING as e:
            if damaged(e):
                self._end(e)
                return False
            if not self._sick:
                log.error("%d messages wait to be applied: %s", len(messages), e)
            self._put_back(messages)
            self._sick = True
            self._stopping.wait(RETRY_S)
            return True
        except Exception as e:  # parted from the others, or a bug: never to be passed over
            self._end(e)
            return False
        self._put_back(messages[len(opened) :])
        self._loop.call_soon_threadsafe(self._applied, applied)
        return True

    def _end(self, error: Exception) -> None:
        log.error("the log cannot be applied", exc_info=error)
        self._loop.call_soon_threadsafe(self._failed, error)
        self._stopping.set()

    def _take(self) -> list[tuple[int, bytes]]:
        size = count = 0
        with self._lock:
            for _, data in self._waiting[:GROUP_ENTRIES_MAX]:
                count += 1
                size += len(data)
                if size > GROUP_BYTES_MAX:
                    break
            taken = self._waiting[:count]
            del self._waiting[:count]
            self._waiting_bytes -= size
        return taken

    def _put_back(self, messages: list[tuple[int, bytes]]) -> None:
        with self._lock:
            self._waiting[:0] = messages
            self._waiting_bytes += sum(len(data) for _, data in messages)

    def _open(self, messages: list[tuple[int, bytes]]) -> list[Opened]:
        """The messages up to the first that the gate does not admit yet."""
        opened: list[Opened] = []
        gate = self._gate
        for at, data in messages:
            message = unpack(data)
            needs = gate.needs(message.entries) if gate is not None else {}
            # Behind others it need not be watched: it is the first of the next turn.
            wake = None if opened else self._wake_up
            if gate is not None and needs and not gate.admits(needs, wake):
                break
            opened.append(Opened(at, message, needs))
        return opened

    def _wake_up(self) -> None:
        self._wake.put(None)

    def _apply(self, opened: list[Opened]) -> list[Applied]:
        """One transaction: the entries of all messages, and how far the replica has come."""
        replica, position = self._replica, self._position.copy()
        if self._sick:
            replica.recover()
        replica.tidy()
        entries: list[bytes] = []
        found: list[tuple[Message, int, bool]] = []
        for at, message, needs in opened:
            fresh = position.take(at, message)
            found.append((message, len(entries), fresh))
            for shard, number in needs.items():
                position.needs[shard] = max(number, position.needs.get(shard, 0))
            if fresh:
                entries += message.entries
        first, verdicts = replica.applied + 1, []
        if entries:
            verdicts = replica.apply_group(first, entries, position.pack())
            self._committed(replica)
        self._position = position
        self._sick = False
        return [
            Applied(m, first + at, verdicts[at : at + len(m.entries)], fresh)
            for m, at, fresh in found
        ]
