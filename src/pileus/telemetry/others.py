"""One question to all other nodes: each answers from its own store, within a second.

Telemetry stays on the node that took it; whoever is asked for all of it asks the others and joins
the answers. Who does not answer in time is named, and the rest is told.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pileus.errors import Unavailable

# A question and its answer are what msgpack can hold. Runs in a thread, as it may block, unless it
# is a coroutine function. An asynchronous generator answers in parts.
Answerer = Callable[[Any], Any]
DOWN = "it is down"  # why a node is missing that is known not to answer


class Unreached(Unavailable):
    """There was no connection to the node, or it answers no such question: it was not asked."""


@dataclass(frozen=True, slots=True)
class Heard:
    """``answers``: node → what it told. ``missing``: node → why it told nothing."""

    answers: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Others(Protocol):
    """``name`` and ``number`` are this node's; the number is unique in the cluster for ever."""

    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...

    def away(self) -> dict[str, int]:
        """Nodes that are known not to answer, those that have left among them, and since when
        (milliseconds since 1970)."""
        ...

    def offer(self, what: str, answer: Answerer) -> None:
        """This node answers questions called ``what`` (``logs.read``) by ``answer``."""
        ...

    async def ask(self, what: str, question: Any) -> Heard:
        """Ask every other node at once; takes a second at most."""
        ...

    async def ask_one(self, node: str, what: str, question: Any, patience_s: float = 1.0) -> Any:
        """One node's answer. ``Unreached`` when it was not asked, ``Unavailable`` when there is no
        answer in time."""
        ...

    def ask_parts(self, node: str, what: str, question: Any) -> AsyncGenerator[Any, None]:
        """One node's answer in parts, each when it comes and no sooner than it is read: a reader
        that is slow slows the other node. Raises as ``ask_one``, and ``Unavailable`` when the
        answer breaks off; how long a part may take is the reader's affair. Closed early, the
        answer ends there too."""
        ...

    def close(self) -> None: ...


class NoOthers:
    """One machine."""

    name, number = "", 0

    def away(self) -> dict[str, int]:
        return {}

    def offer(self, what: str, answer: Answerer) -> None:
        return None

    async def ask(self, what: str, question: Any) -> Heard:
        return Heard()

    async def ask_one(self, node: str, what: str, question: Any, patience_s: float = 1.0) -> Any:
        raise Unreached("there is one machine")

    async def ask_parts(self, node: str, what: str, question: Any) -> AsyncGenerator[Any, None]:
        raise Unreached("there is one machine")
        yield

    def close(self) -> None:
        return None
