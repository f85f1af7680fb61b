"""``/_pileus/parts``: this machine's processes, how they are, and how to stop or restart one.

    GET   /_pileus/parts                {"node", "cores", "memory_bytes", "parts": [{"name", "does",
                                         "pid", "state", "health", "since_ms", "answer_ms",
                                         "cpu_s", "memory_bytes", "processes", "restarts",
                                         "ended", "allowed_s", "incidents"}]}
    POST  /_pileus/parts/NAME/VERB      stop, drain, start, restart: 202 {}
    POST  /_pileus/parts/all/VERB       restart: one after the other; stop: the node goes down,
                                        where others serve on (``pileus up`` starts it again)

``incidents``: times a part was away, ``[since, seconds, longer than allowed]``.

Permissions: ``pileus:ListParts``; ``pileus:StopPart``, ``pileus:DrainPart``, ``pileus:StartPart``,
``pileus:RestartPart`` on ``arn:pileus:cluster::ACCOUNT:part/NAME``, in the cloud's first account.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from pileus import control, outages
from pileus.console import probes, processes
from pileus.errors import AwsError, Unavailable
from pileus.groups import cores
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal

PREFIX = "/_pileus/parts"
_PATH = re.compile(rf"{PREFIX}/([a-z0-9-]{{1,64}})/({'|'.join(control.VERBS)})/?")
DOES = {
    "front-0": "answers requests, writes the log, does the background work",
    "front": "answers requests, hands writes to front-0",
    "runtime": "runs functions, jailed",
    "caddy": "the users' ports: HTTP, TLS",
    "meters": "reads the counters each second, keeps the series",
    "log": "the log between nodes",
}
ALONE = "no other node is alive: `pileus down` on the machine stops the whole cloud"
NOT_ALL = "all parts at once can be stopped or restarted"
log = logging.getLogger("pileus.console.parts")


class PartsDoor:
    """Serves callers that are known and allowed (``access`` says what to ask)."""

    def __init__(self, parts: Parts, peers: Callable[[], int]) -> None:
        """``peers``: how many other nodes are alive."""
        self._parts = parts
        self._peers = peers
        self._run: Path = parts.config.path("run")
        self._seen = probes.Seen(self._run)

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]:
        """The permission this request needs; ``AwsError`` for a path or method that is none."""
        account = self._parts.config.account
        place = f"arn:pileus:cluster::{account}:part/"
        if request.method == "GET" and request.path.rstrip("/") == PREFIX:
            return [Access("pileus:ListParts", f"{place}*", owner=account)]
        asked = _PATH.fullmatch(request.path) if request.method == "POST" else None
        if asked is None:
            raise AwsError("MethodNotAllowed", f"{request.method} is not offered here", 405)
        return [Access(f"pileus:{asked[2].title()}Part", place + asked[1], owner=account)]

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """Answer one request; errors are JSON ``{"__type", "message"}``."""
        try:
            if request.method == "GET":
                return _answer(200, await self._list())
            return await self._order(request, principal)
        except AwsError as e:
            return _answer(e.status, {"__type": e.code, "message": e.message})
        except Unavailable as e:
            return _answer(503, {"__type": "ServiceUnavailable", "message": f"{e}; {e.hint}"})

    async def _order(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        asked = _PATH.fullmatch(request.path)
        assert asked is not None
        name, verb = asked.groups()
        log.warning("%s asks to %s %s", principal.arn, verb, name)
        if name == control.ALL and (verb not in ("stop", "restart") or not self._may_go(verb)):
            raise AwsError("ConflictException", ALONE if verb == "stop" else NOT_ALL, 409)
        refused = await asyncio.to_thread(control.ask, self._run, verb, name)
        if refused:
            raise AwsError("ConflictException", refused, 409)
        return _answer(202, {})

    def _may_go(self, verb: str) -> bool:
        """Nobody could start the only node again from here."""
        return verb == "restart" or self._peers() > 0

    async def _list(self) -> dict[str, Any]:
        told = await asyncio.to_thread(control.read, self._run)
        measured = await asyncio.gather(*(self._measure(part) for part in told))
        found = {
            part.name: (*answer, int(part.since * 1000))
            for part, answer in zip(told, measured, strict=True)
        }
        health = await asyncio.to_thread(self._seen.judge, found)
        used = await asyncio.to_thread(lambda: [processes.usage(part.pid) for part in told])
        return {
            "node": socket.gethostname(),
            "cores": cores(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "parts": [
                {
                    "name": part.name,
                    "does": DOES.get(part.name) or DOES.get(part.name.partition("-")[0], ""),
                    "pid": part.pid,
                    "state": part.state,
                    "restarts": part.restarts,
                    "ended": part.ended,
                    "allowed_s": part.allowed_s,
                    "incidents": part.incidents,
                    "health": health[part.name].health,
                    "since_ms": health[part.name].since_ms,
                    "answer_ms": health[part.name].answer_ms,
                    **usage._asdict(),
                }
                for part, usage in zip(told, used, strict=True)
            ],
        }

    async def _measure(self, part: control.Told) -> tuple[str, float | None]:
        if not part.pid:
            return "down", None
        probe = self._probe(part.name)
        return ("alive", None) if probe is None else await probes.measure(probe)

    def _probe(self, name: str) -> probes.Probe | None:
        """How a part is asked; None: that its process runs is all that is known."""
        kind, _, number = name.partition("-")
        if kind == "front":
            socket_path = self._run / f"edge-{number}.sock"
            return functools.partial(probes.over_socket, socket_path, "/_pileus/health")
        if kind == "caddy":
            admin = self._run / "caddy-admin.sock"
            return functools.partial(probes.over_socket, admin, "/config/admin")
        if kind == "runtime":
            return self._runtime
        if kind == "log":
            monitor = outages.log_monitor(self._run.parent)
            return functools.partial(probes.over_port, monitor, outages.LOG_PAGE)
        return None

    async def _runtime(self) -> None:
        await self._parts.runtime.stats()


def _answer(status: int, told: Any) -> HttpResponse:
    headers = [("content-type", "application/json"), ("cache-control", "no-store")]
    return HttpResponse(status, headers, orjson.dumps(told))
