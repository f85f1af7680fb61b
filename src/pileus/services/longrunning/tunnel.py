"""An upgraded connection (WebSocket, RFC 6455; RFC 9110, 7.8) between a client and a copy."""

from __future__ import annotations

import asyncio
from typing import Protocol

from pileus.services.call import Duplex, Headers, HttpRequest, Upgrade
from pileus.services.http_wire import CHUNK, Wire


def asked(request: HttpRequest) -> bool:
    """Does the request ask to change the protocol?"""
    told = request.headers.get("connection", "").lower()
    return "upgrade" in request.headers and "upgrade" in told.replace(" ", "").split(",")


def granted(head: bytes) -> Headers | None:
    """The headers of an answer that changes the protocol; None for any other answer."""
    lines = head.decode("latin-1").split("\r\n")
    if lines[0].split(" ")[1:2] != ["101"]:
        return None
    pairs = [line.partition(":") for line in lines[1:] if line]
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


class Ends(Protocol):
    """What holds the connection to the copy."""

    async def end(self, reusable: bool) -> None: ...
    def forget(self) -> None: ...


class Tunnel(Upgrade):
    """Bytes both ways until one side ends. ``end`` gives the exchange back."""

    def __init__(self, wire: Wire, exchange: Ends) -> None:
        self._wire = wire
        self._exchange = exchange

    async def run(self, client: Duplex) -> None:
        ways = [
            asyncio.create_task(self._to_copy(client)),
            asyncio.create_task(self._to_client(client)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await self._exchange.end(reusable=False)

    async def _to_copy(self, client: Duplex) -> None:
        while data := await client.read():
            self._wire.writer.write(data)
            await self._wire.writer.drain()

    async def _to_client(self, client: Duplex) -> None:
        while data := await self._wire.reader.read(CHUNK):
            await client.write(data)

    def drop(self) -> None:
        self._exchange.forget()
