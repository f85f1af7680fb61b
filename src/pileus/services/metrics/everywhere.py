"""The metrics of all nodes in one answer: each series and each sample gets its node's name.

``node=all``, or names of nodes (again for more). ``missing`` tells of each node that was asked and
did not answer, why; Prometheus is told ``pileus_node_up``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pileus.services.metrics import asked
from pileus.services.metrics.asked import Query
from pileus.telemetry.newest import look
from pileus.telemetry.others import Heard, Others
from pileus.telemetry.prometheus import joined
from pileus.telemetry.series import name_of

ALL = "all"
NAMES_MAX = 2000


class Everywhere:
    """This node's answers to the others, and all nodes' answers as one. ``text``: this node's
    counters as Prometheus reads them."""

    def __init__(self, home: Path, others: Others, text: Callable[[], str]) -> None:
        self._home = home
        self._others = others
        self._text = text
        others.offer("metrics.series", self._own_series)
        others.offer("metrics.newest", self._own_newest)
        others.offer("metrics.text", lambda _: text())

    async def series(self, query: Query) -> dict[str, Any]:
        """As ``asked.answer``, of the nodes that ``query`` names."""
        query = dict(query)
        nodes = query.pop("node")
        if "newest" in query:
            return await self._newest(nodes)
        query = asked.fixed(query)
        answers, missing = await self._ask(nodes, "metrics.series", query, self._own_series)
        found: list[dict[str, Any]] = []
        head: dict[str, Any] = {}
        for node, answer in sorted(answers.items()):
            found += [_labelled(series, node) for series in answer.pop("series")]
            head = head or answer
        if len(found) > NAMES_MAX and query.get("name"):
            raise ValueError(f"more than {NAMES_MAX} series at once")
        return head | {"series": found, "missing": missing}

    async def text(self, nodes: Collection[str]) -> str:
        """Prometheus's text of these nodes."""
        answers, missing = await self._ask(nodes, "metrics.text", None, lambda _: self._text())
        up = dict.fromkeys(answers, True) | dict.fromkeys(missing, False)
        return joined(answers, up)

    async def _newest(self, nodes: Collection[str]) -> dict[str, Any]:
        """``{"nodes": {name: {"at", "values": {series: number}}}, "missing"}``."""
        answers, missing = await self._ask(nodes, "metrics.newest", None, self._own_newest)
        return {"nodes": answers, "missing": missing}

    async def _ask(
        self, nodes: Collection[str], what: str, question: Any, own: Callable[[Any], Any]
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        """Each node's answer; this one's under its own name, too."""
        others = ALL in nodes or any(n != self._others.name for n in nodes)
        heard = await self._others.ask(what, question) if others else Heard()
        answers, missing = dict(heard.answers), dict(heard.missing)
        if ALL in nodes or self._others.name in nodes:
            answers[self._others.name] = await asyncio.to_thread(own, question)
        if ALL in nodes:
            return answers, missing
        unknown = [n for n in nodes if n not in answers and n not in missing]
        if unknown:
            raise ValueError(f"no node is called {unknown[0]!r}")
        chosen = {n: a for n, a in answers.items() if n in nodes}
        return chosen, {n: why for n, why in missing.items() if n in nodes}

    def _own_series(self, query: Any) -> Any:
        return asked.answer(self._home, query, lenient=True)

    def _own_newest(self, _: Any) -> Any:
        now = look(self._home)
        return {"at": now.at_s, "values": now.values}


def _labelled(series: dict[str, Any], node: str) -> dict[str, Any]:
    if not node:
        return series
    labels = series["labels"] | {"node": node}
    return series | {"name": name_of(series["metric"], labels.items()), "labels": labels}
