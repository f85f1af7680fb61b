"""``GET /_pileus/log``: warnings and errors the cloud's own processes wrote, newest first.

    {"events": [{"at", "process", "level", "source", "text"}]}

``at`` is local time as written; ``limit`` 1 to 200 (50); ``level`` warning (default), error or
info. Permission: ``pileus:ReadCloudLog`` on ``arn:pileus:cluster::ACCOUNT:log``, in the cloud's
first account. Only the log's last part is read. ``node=all``: of all nodes, each
event with its ``node``; ``missing`` tells of the nodes that did not answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from pileus.errors import AwsError
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal
from pileus.telemetry.others import Others

PATH = "/_pileus/log"
TAIL_BYTES = 512 * 1024
TEXT_MAX, LIMIT_MAX = 8000, 200
LEVELS = {"info": 0, "warning": 1, "error": 2}
WORDS = {"DEBUG": -1, "INFO": 0, "WARNING": 1, "ERROR": 2, "CRITICAL": 2}
# What Caddy warns of at every start and stop: its administration is a Unix socket, ours alone.
HARMLESS = ("admin endpoint on open interface; host checking disabled", "exiting; byeee!!")
_SERVER = re.compile(r"\[\d+\] (\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d)\S* \[([A-Z]{3})\] (.*)")
_SERVER_LEVELS = {"WRN": "WARNING", "ERR": "ERROR", "FTL": "CRITICAL", "DBG": "DEBUG"}
_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[,.]?\d* (\S+)(?: (DEBUG|INFO|WARNING|ERROR|CRITICAL))? (.*)"
)


class LogDoor:
    """Serves callers that are known and allowed (``access`` says what to ask)."""

    def __init__(self, parts: Parts) -> None:
        self._file: Path = parts.config.path("run", "pileus.log")
        self._account = parts.config.account
        self._others: Others = parts.others
        parts.others.offer("console.log", lambda question: self._newest(*question))

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]:
        if request.method != "GET" or request.path != PATH:
            raise AwsError("MethodNotAllowed", f"{request.method} is not offered here", 405)
        place = f"arn:pileus:cluster::{self._account}:log"
        return [Access("pileus:ReadCloudLog", place, owner=self._account)]

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """Answer one request; errors are JSON ``{"__type", "message"}``."""
        asked = {k: v[-1] for k, v in parse_qs(request.query).items()}
        limit, level = asked.get("limit", "50"), LEVELS.get(asked.get("level", "warning"))
        headers = [("content-type", "application/json"), ("cache-control", "no-store")]
        if level is None or not limit.isdecimal() or not 1 <= int(limit) <= LIMIT_MAX:
            message = f"level is one of {', '.join(LEVELS)}; limit is 1 to {LIMIT_MAX}"
            told = {"__type": "ValidationException", "message": message}
            return HttpResponse(400, headers, orjson.dumps(told))
        if asked.get("node") == "all":
            answer = await self._everywhere(int(limit), level)
        else:
            answer = {"events": await asyncio.to_thread(self._newest, int(limit), level)}
        return HttpResponse(200, headers, orjson.dumps(answer))

    async def _everywhere(self, limit: int, level: int) -> dict[str, Any]:
        own, heard = await asyncio.gather(
            asyncio.to_thread(self._newest, limit, level),
            self._others.ask("console.log", [limit, level]),
        )
        parts = {**heard.answers, self._others.name: own}
        found = [event | {"node": node} for node, part in parts.items() for event in part]
        found.sort(key=lambda event: event["at"], reverse=True)
        return {"events": found[:limit], "missing": heard.missing}

    def _newest(self, limit: int, level: int) -> list[dict[str, Any]]:
        """This node's, newest first. Blocking."""
        found = [e for e in events(_tail(self._file)) if WORDS[e["level"]] >= level]
        return found[: -limit - 1 : -1]


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as f:
            size = f.seek(0, 2)
            f.seek(max(0, size - TAIL_BYTES))
            return f.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def events(text: str) -> Iterator[dict[str, Any]]:
    """What was written, in order: a line and those that belong to it (a traceback)."""
    now: dict[str, Any] | None = None
    for line in text.splitlines():
        found = _plain(line) or _json(line) or _of_log_server(line)
        if found is not None:
            if now is not None:
                yield now
            now = found
        elif now is not None and len(now["text"]) < TEXT_MAX:
            now["text"] += f"\n{line}"
    if now is not None:
        yield now


def _plain(line: str) -> dict[str, Any] | None:
    """``TIME PROCESS LEVEL SOURCE: TEXT``, or without a level."""
    match = _LINE.match(line)
    if match is None:
        return None
    at, process, level, rest = match.groups()
    source, mark, text = rest.partition(": ")
    if not mark or " " in source:
        source, text = "", rest
    told = {"at": at, "process": process, "level": level or "INFO", "source": source}
    return told | {"text": text[:TEXT_MAX]}


def _json(line: str) -> dict[str, Any] | None:
    """Caddy's lines."""
    if not line.startswith('{"level"'):
        return None
    try:
        told = json.loads(line)
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.pop("ts")))
        level = {"warn": "WARNING", "fatal": "CRITICAL"}.get(told["level"], told["level"].upper())
    except (ValueError, KeyError, TypeError):
        return None
    text = str(told.pop("msg", ""))
    more = {k: v for k, v in told.items() if k not in ("level", "logger")}
    text = f"{text} {json.dumps(more)}" if more else text
    level = level if level in WORDS and not text.startswith(HARMLESS) else "INFO"
    source = str(told.get("logger", ""))
    return {"at": at, "process": "caddy", "level": level, "source": source, "text": text[:TEXT_MAX]}


def _of_log_server(line: str) -> dict[str, Any] | None:
    """Lines of the server of the log: ``[PID] DATE TIME [LEVEL] TEXT``."""
    match = _SERVER.match(line)
    if match is None:
        return None
    year, month, day, moment, word, text = match.groups()
    level = _SERVER_LEVELS.get(word, "INFO")
    at = f"{year}-{month}-{day} {moment}"
    return {"at": at, "process": "log", "level": level, "source": "nats", "text": text[:TEXT_MAX]}
