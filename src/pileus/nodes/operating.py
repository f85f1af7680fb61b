"""What an operator sees and asks of the nodes: ``/_pileus/nodes``, signed like any request.

    GET   /_pileus/nodes                     {"cluster", "here", "nodes": […], "moves": […]}; of a
                                             node where shards are several: {"leads", "copies",
                                             "of", "leading"}: how many of their logs it leads and
                                             keeps, and the shards whose logs it leads
    POST  /_pileus/nodes/NAME/drain          no new work for it; ``undrain``: work again
    POST  /_pileus/nodes/NAME/leave          it goes for good; done when its state is ``gone``

Permissions: ``pileus:ListNodes``, ``pileus:ChangeNodes`` on ``*``, in the cloud's first account.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from pileus.config import Config
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.nodes import membership, places
from pileus.nodes.beats import Judgement
from pileus.nodes.membership import Refused
from pileus.services.call import Access, HttpRequest, HttpResponse, Principal

PATH = "/_pileus/nodes"
_CHANGE = re.compile(r"/_pileus/nodes/([a-z0-9]{1,20})/(drain|undrain|leave)\Z")
LOGS = ("leads", "copies", "of")  # see ``beats.Beat``
CHANGES: dict[str, Callable[[Any, str], None]] = {
    "drain": membership.drain,
    "undrain": lambda draft, name: membership.drain(draft, name, undo=True),
    "leave": membership.begin_leave,
}


class Operating:
    """The door. ``judged``: what this node last saw of each."""

    def __init__(
        self, store: Any, config: Config, judged: Callable[[], dict[str, Judgement]]
    ) -> None:
        self._store = store
        self._config = config
        self._judged = judged

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]:
        if request.method == "GET" and request.path == PATH:
            return [Access("pileus:ListNodes", owner=self._config.account)]
        if request.method == "POST" and _CHANGE.match(request.path):
            return [Access("pileus:ChangeNodes", owner=self._config.account)]
        raise AwsError("NotFound", f"{request.method} {request.path} is not known here", 404)

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """JSON; a refusal tells ``message`` and ``hint``."""
        try:
            change = _CHANGE.match(request.path)
            if change:
                await self._change(change[1], change[2])
            return told(200, self._list())
        except Refused as error:
            return told(error.status, {"message": str(error), "hint": error.hint})
        except (Unavailable, Conflict) as error:
            hint = getattr(error, "hint", "")
            return told(503, {"message": str(error), "hint": hint})

    async def _change(self, name: str, what: str) -> None:
        if places.load(self._config.home) is None:
            raise Refused("this cloud is not a cluster", "pileus init", 404)
        await self._store.transact(lambda draft: CHANGES[what](draft, name))

    def _list(self) -> dict[str, Any]:
        cluster = places.load(self._config.home)
        if cluster is None:
            return {"cluster": "", "here": "", "nodes": [], "moves": []}
        judged = self._judged()
        newest = max((j.applied for j in judged.values()), default=0)
        shown = []
        for row in membership.rows(self._store):
            if row["state"] == "gone":
                continue
            seen = judged.get(row["name"])
            shown.append(
                {name: row[name] for name in ("name", "address", "state", *places.PORTS)}
                | {"here": row["name"] == cluster.name}
                | {"health": seen.health if seen else ""}
                | {"since_ms": seen.since_ms if seen else row["since_ms"]}
                | {"applied": seen.applied if seen else None}
                | {"lag": newest - seen.applied if seen else None}
                | {"roles": list(seen.roles) if seen else []}
                | {"move": seen.move if seen else None}
                | _logs(seen)
            )
        moves = membership.moves(self._store)
        return {"cluster": cluster.id, "here": cluster.name, "nodes": shown, "moves": moves}


def _logs(seen: Judgement | None) -> dict[str, Any]:
    if seen is None or not seen.logs:
        return {}
    counts = dict(zip(LOGS, seen.logs, strict=True))
    return {"logs": counts | {"leading": list(seen.leading)}}


def told(status: int, answer: dict[str, Any]) -> HttpResponse:
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    return HttpResponse(status, headers, orjson.dumps(answer))
