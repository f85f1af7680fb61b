"""``GET /_pileus/metrics`` (Prometheus) and ``GET /_pileus/series`` (JSON), for operators.

Who may: the bearer of the token in ``HOME/metrics.token`` (what Prometheus sends), or a signed
caller of the cloud's first account with ``pileus:ReadMetrics``. Not "whoever comes from this
machine": functions do, too.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from pileus.errors import AwsError
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.metrics import asked, programs
from pileus.services.metrics.everywhere import Everywhere
from pileus.telemetry import prometheus

Admit = Callable[[HttpRequest, str, str, Access], Principal]
log = logging.getLogger(__name__)
TEXT = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


class Door:
    """``metrics`` and ``series`` are handlers to mount; ``admit`` checks signature and right."""

    def __init__(self, parts: Parts, admit: Admit) -> None:
        self._config = parts.config
        self._admit = admit
        self._home: Path = parts.config.home
        self._here = parts.others.name
        self._exposition = prometheus.Exposition(self._home, os.getppid())
        self._everywhere = Everywhere(self._home, parts.others, self._exposition.text)
        self._token = ""

    async def metrics(self, request: HttpRequest) -> HttpResponse:
        """The counters of all processes of this node, in Prometheus's text format. ``node``: of
        these nodes, or of ``all``; ``part``: what another program tells of itself."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        told = parse_qs(request.query, keep_blank_values=True, max_num_fields=200)
        try:
            text = await self._text(told)
        except ValueError as error:
            return _error(AwsError("ValidationException", str(error)))
        except OSError as error:
            return _error(AwsError("ServiceUnavailable", f"It does not answer: {error}", 503))
        return HttpResponse(200, [("content-type", TEXT)], text.encode())

    async def _text(self, query: dict[str, list[str]]) -> str:
        unknown = query.keys() - {"node", "part"}
        if unknown or len(query) > 1:
            raise ValueError("one of node and part can be given")
        if "part" in query:
            return await programs.text(self._home, query["part"][-1])
        if "node" in query:
            return await self._everywhere.text(query["node"])
        return await asyncio.to_thread(self._exposition.text)

    async def series(self, request: HttpRequest) -> HttpResponse:
        """Without ``name`` the list of series; else their numbers (see ``asked``)."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            told = parse_qs(request.query, keep_blank_values=True, max_num_fields=200)
            if "node" in told or "newest" in told:
                answer = await self._everywhere.series({"node": [self._here], **told})
            else:
                answer = await asyncio.to_thread(asked.answer, self._home, told)
        except ValueError as error:
            return _error(AwsError("ValidationException", str(error)))
        headers = [("content-type", JSON), ("cache-control", "no-store")]
        return HttpResponse(200, headers, orjson.dumps(answer))

    def _refused(self, request: HttpRequest) -> HttpResponse | None:
        if request.method != "GET":
            return _error(AwsError("MethodNotAllowed", "Only GET is answered here.", 405))
        told = request.headers.get("authorization", "")
        try:
            if told.startswith("Bearer "):
                self._check_token(told[7:].strip())
                return None
            region, account = self._config.region, self._config.account
            arn = f"arn:aws:pileus:{region}:{account}:metrics"
            access = Access("pileus:ReadMetrics", arn, owner=account)
            self._admit(request, "pileus", region, access)
        except AwsError as error:
            return _error(error)
        return None

    def _check_token(self, told: str) -> None:
        if not self._token:
            self._token = token(self._home)
        if not hmac.compare_digest(told.encode(), self._token.encode()):
            raise AwsError("AccessDeniedException", "The token is not this cloud's.", 403)


def token(home: Path) -> str:
    """The token that opens the metrics; made when absent, readable by the home's owner only."""
    file = home / "metrics.token"
    if not file.exists():
        made = home / f"metrics.token.{os.getpid()}"
        fd = os.open(made, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as out:
            out.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(made, file)  # the first process wins
        except FileExistsError:
            log.debug("another process made the token")
        made.unlink()
    return file.read_text().strip()


def _error(error: AwsError) -> HttpResponse:
    told: dict[str, Any] = {"__type": error.code, "message": error.message}
    return HttpResponse(error.status, [("content-type", JSON)], orjson.dumps(told))
