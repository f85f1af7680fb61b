"""What the other programs of a node tell of themselves, as Prometheus reads it: Caddy its own text
(https://caddyserver.com/docs/metrics), the server of the log numbers of its monitoring pages
(https://docs.nats.io/running-a-nats-service/nats_admin/monitoring), here under names of theirs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pileus.outages import log_monitor

PATIENCE_S = 2.0
# Metric, its type, its meaning, the page and the place on it where it stands.
FIGURES = (
    ("connections", "gauge", "Clients that are connected.", "varz", "connections"),
    ("routes", "gauge", "Connections to other servers.", "varz", "routes"),
    (
        "slow_consumers_total",
        "counter",
        "Clients cut off for being slow.",
        "varz",
        "slow_consumers",
    ),
    ("received_messages_total", "counter", "Messages that clients sent.", "varz", "in_msgs"),
    ("received_bytes_total", "counter", "Bytes that clients sent.", "varz", "in_bytes"),
    ("sent_messages_total", "counter", "Messages sent to clients.", "varz", "out_msgs"),
    ("sent_bytes_total", "counter", "Bytes sent to clients.", "varz", "out_bytes"),
    ("memory_bytes", "gauge", "Memory of the server.", "varz", "mem"),
    ("cpu_cores", "gauge", "CPU of the server, by itself.", "varz", "cpu"),
    ("streams", "gauge", "Streams with a copy here.", "jsz", "streams"),
    ("stored_messages", "gauge", "Messages in their files.", "jsz", "messages"),
    ("stored_bytes", "gauge", "Bytes of their files.", "jsz", "bytes"),
    ("api_errors_total", "counter", "Requests that the server refused.", "jsz", "api.errors"),
)


async def text(home: Path, part: str) -> str:
    """Of ``caddy`` or ``log``; ``ValueError`` for others, ``OSError`` without an answer."""
    if part == "caddy":
        reader, writer = await _within(asyncio.open_unix_connection(str(_admin(home))))
        return (await _get(reader, writer, "/metrics")).decode()
    if part == "log":
        return await _log(home)
    raise ValueError("part is caddy or log: the other parts are told of together")


async def _log(home: Path) -> str:
    where = log_monitor(home)
    if where is None:
        raise ValueError("this machine has no server of the log: it is not one of a cluster")
    pages: dict[str, Any] = {}
    for page in ("varz", "jsz"):
        reader, writer = await _within(asyncio.open_connection(*where))
        pages[page] = json.loads(await _get(reader, writer, f"/{page}"))
    return "\n".join(_lines(pages)) + "\n"


def _lines(pages: dict[str, Any]) -> Iterator[str]:
    for name, kind, meaning, page, place in FIGURES:
        value = pages[page]
        for step in place.split("."):
            value = value.get(step, 0) if isinstance(value, dict) else 0
        value = value / 100 if name == "cpu_cores" else value  # the server tells percents
        yield f"# HELP nats_{name} {meaning}"
        yield f"# TYPE nats_{name} {kind}"
        yield f"nats_{name} {value}"


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    """The body of a 200. HTTP/1.0: it ends with the connection and comes in one piece."""
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await _within(reader.read(-1))).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if b" 200 " not in head[:16]:
        raise OSError(f"{path} was answered {head[:60]!r}")
    return body


async def _within(step: Any) -> Any:
    async with asyncio.timeout(PATIENCE_S):  # TimeoutError is an OSError
        return await step


def _admin(home: Path) -> Path:
    return home / "run" / "caddy-admin.sock"
