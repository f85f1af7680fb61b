"""Asks for an election of the log's leader when most nodes miss the one there was.

The servers' own election begins 4 to 9 s after a leader's last word. The nodes know of a lost one
after a second: by their beats (a node that most do not hear, or that hears less than half), or
because what they send to the log has no taker. Then, and only when the leader does not answer
either, one of them calls for an election (``engine.cluster.election``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pileus.engine.cluster import election, streams
from pileus.engine.cluster.nats_client import Client
from pileus.errors import Unavailable
from pileus.nodes.beats import Beats

log = logging.getLogger("pileus.nodes.electing")
TURN_S = 0.2
ANSWER_S = 0.4  # a leader that does not answer a small question for so long
NEXT_S = 1.5  # the next node calls when the one before it has not
HANDED_S = 0.5  # a leader that hands over is away for less
LOOK_S = 0.5  # between two looks whether the leaders answer
PAUSE_S = 3.0  # between two calls of a node: an election takes less


class Electing:
    """One node's part. ``names()``: the nodes that have joined. ``leaderless()``: what was sent to
    the log had no taker. ``hurry()``: send again what has no answer. ``operator()`` connects as the
    servers' operator."""

    def __init__(
        self,
        name: str,
        clock: Any,
        beats: Beats,
        names: Callable[[], list[str]],
        client: Client,
        operator: Callable[[], Awaitable[Client]],
        leaderless: Callable[[], bool],
        hurry: Callable[[], None],
    ) -> None:
        self._name, self._clock, self._beats, self._names = name, clock, beats, names
        self._client, self._operator = client, operator
        self._leaderless, self._hurry = leaderless, hurry
        self._groups: dict[str, str] = {}  # question that its leader answers → group
        self._groups["STREAM.NAMES"] = election.META
        self._since_s: float | None = None
        self._next_s = 0.0

    def seen(self, found: streams.StreamInfo) -> None:
        """A stream as the servers tell it: a group that may have to elect one day."""
        if found.group and found.replicas > 1:
            self._groups[f"STREAM.INFO.{found.name}"] = found.group

    async def run(self) -> None:
        while True:
            try:
                await self.turn()
            except (Unavailable, OSError, TimeoutError) as error:
                log.info("no election can be called now: %s", error)
            await self._clock.sleep(TURN_S)

    async def turn(self) -> None:
        """Call when it is due, and this node's turn to."""
        names = self._names()
        missed = self._beats.missed(names)
        if not (missed or self._leaderless()) or not self._beats.among_most(names):
            self._since_s = None
            return
        self._hurry()
        now_s = self._clock.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        able = [n for n in names if n not in missed]
        if self._name not in able:
            return
        turn_s = self._since_s + able.index(self._name) * NEXT_S + (0 if missed else HANDED_S)
        if now_s >= max(turn_s, self._next_s):
            self._next_s = now_s + LOOK_S
            await self._call()

    async def _call(self) -> None:
        """Every group whose leader does not answer is to elect."""
        questions = list(self._groups)
        answered = await asyncio.gather(*map(self._answers, questions))
        lost = [self._groups[q] for q, told in zip(questions, answered, strict=True) if not told]
        if not lost or not self._beats.among_most(self._names()):
            return
        self._next_s = self._clock.monotonic() + PAUSE_S
        system = await self._operator()
        try:
            terms = await asyncio.gather(*(election.call(system, group) for group in lost))
        finally:
            await system.close()
        log.warning("the log's leader is missed: an election is called (%s, %s)", lost, terms)

    async def _answers(self, question: str) -> bool:
        try:
            await streams.ask(self._client, question, seconds_max=ANSWER_S)
        except streams.ApiError:
            return True
        except Unavailable:
            return False
        return True
