"""One question to the stores of all nodes: this one's, the others', and of those that are away the
newest copy (``copies``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pileus.telemetry.copies import Copies
from pileus.telemetry.others import Heard, Others

LATE_MS = 5000  # a copy this much older than the loss lacks something
# (node whose store is asked, question) → answer; runs in a thread.
StoreAnswerer = Callable[[str, Any], Any]


class Everyone:
    """``offer`` says how a store answers; ``ask`` asks them all."""

    def __init__(self, others: Others, copies: Copies) -> None:
        self.others = others
        self.copies = copies
        self._offered: dict[str, StoreAnswerer] = {}

    def offer(self, what: str, answer: StoreAnswerer) -> None:
        self._offered[what] = answer
        self.others.offer(what, lambda wrapped: self._answer(what, wrapped))

    async def ask(self, what: str, question: Any) -> Heard:
        """Node → its answer. ``missing``: those of which nothing, or not all, is told."""
        away = self.others.away()
        wrapped = [question, list(away)]
        own, heard = await asyncio.gather(
            asyncio.to_thread(self._answer, what, wrapped), self.others.ask(what, wrapped)
        )
        told = Heard({self.others.name: own[0]}, dict(heard.missing))
        newest: dict[str, tuple[int, Any]] = {}
        for _, copies in (own, *heard.answers.values()):
            for node, (until_ms, copy) in copies.items():
                if until_ms > newest.get(node, (0, None))[0]:
                    newest[node] = until_ms, copy
        for node, (answer, _) in heard.answers.items():
            told.answers[node] = answer
        for node, (until_ms, copy) in newest.items():
            told.answers[node] = copy
            if away[node] - until_ms < LATE_MS:
                told.missing.pop(node, None)
        return told

    def _answer(self, what: str, wrapped: Any) -> list[Any]:
        """[this node's answer, {node that is away: [until when, its copy's answer]}]."""
        question, away = wrapped
        answer = self._offered[what]
        copies = {
            node: [self.copies.until_ms(node), answer(node, question)]
            for node in away
            if self.copies.of(node) is not None
        }
        return [answer(self.others.name, question), copies]
