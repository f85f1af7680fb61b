"""The real services behind the real door, in this process and on a port of it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from pileus import assembly
from pileus.config import Config
from pileus.services.call import FileBody, HttpRequest, HttpResponse
from pileus.wire.http import serve
from pileus.wire.limits import Limits
from tests.fuzz import known, tables
from tests.fuzz.cases import Corpus
from tests.fuzz.heads import raw
from tests.fuzz.sent import Key, Sent, signed
from tests.simulation.desk import read
from tests.wire.door import Echo, services

WAIT_S = 60.0
IMPATIENT = Limits(head_s=1.0, body_idle_s=1.0, keep_alive_s=10.0, linger_s=0.5)
Answer = tuple[int, dict[str, str], bytes]


class Stream:
    """A body that arrives in pieces."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 1000):
            await asyncio.sleep(0)
            yield self._body[at : at + 1000]


class Complaints(logging.Handler):
    """What the cloud logged as an error: surprises."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))

    def taken(self) -> str:
        found, self.found = "\n".join(self.found), []
        return found


class Server:
    """Started, it answers in three ways: handed a request, handed one that streams, by a port.
    ``echoes``: services that are not built, made up, for the sake of their protocol."""

    def __init__(self, home: Path, echoes: tuple[str, ...] = ("cloudwatch",)) -> None:
        self._home = home
        self._echoes = echoes
        self.complaints = Complaints()
        self.cpu_s = 0.0
        self._there: dict[str, known.Things] = {}

    async def start(self) -> None:
        logging.getLogger().addHandler(self.complaints)
        asyncio.get_running_loop().set_exception_handler(self._lost)
        self._front = await assembly.assemble(Config(home=self._home, port=0), 0)
        self._front.services.update(services({name: Echo(name) for name in self._echoes}))
        self._front.ready = True
        self.built = {
            name: frozenset({*service.operations, *service.direct})
            for name, service in self._front.services.items()
        }
        told = json.loads((self._home / "credentials.json").read_text())
        self.key = Key(told["access_key_id"], told["secret_access_key"])
        self._server = await serve(self._front.api.handle, ("127.0.0.1", 0), IMPATIENT)
        self.port = self._server.port

    def _lost(self, loop: Any, context: dict[str, Any]) -> None:
        """An exception nobody waited for."""
        error = context.get("exception")
        self.complaints.emit(
            logging.LogRecord(
                "loop", logging.ERROR, "", 0, context["message"], (),
                (type(error), error, error.__traceback__) if error else None,
            )
        )  # fmt: skip

    async def stop(self) -> None:
        logging.getLogger().removeHandler(self.complaints)
        await self._server.stop(0.1)
        await self._front.parts.store.close()

    async def prepare(self, name: str) -> Corpus:
        """A table, a bucket and an object, all called ``name``."""
        if name not in self._there:
            for operation, params in (
                ("CreateTable", tables.creation(name)),
                ("PutItem", {"TableName": name, "Item": tables.ITEM}),
            ):
                headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
                headers["content-type"] = "application/x-amz-json-1.0"
                body = orjson.dumps(params)
                await self._sure(Sent(operation, "dynamodb", "POST", "/", "", headers, body))
            await self._sure(Sent("bucket", "s3", "PUT", f"/{name}"))
            await self._sure(Sent("object", "s3", "PUT", f"/{name}/a", "", {}, b"hello"))
            await self._more(name)
        return Corpus(name, self.key, self.built, self._there[name])

    async def _more(self, name: str) -> None:
        there = self._there[name] = known.things(name)
        for sent, members in known.beginnings(name):
            status, _, body = await self.handed(signed(sent, self.key), streams=False)
            assert status < 300, (sent, body)
            told = orjson.loads(body) if members else {}
            told = told.get("KeyMetadata", told)
            for member, names in members.items():
                there.add(told[member], *names)

    async def _sure(self, sent: Sent) -> None:
        status, _, body = await self.handed(signed(sent, self.key), streams=False)
        assert status == 200, (sent, body)

    async def handed(self, sent: Sent, streams: bool) -> Answer:
        """Straight to the door."""
        headers = {**sent.headers, "content-length": str(len(sent.body))}
        request = HttpRequest(sent.method, sent.path, sent.query, headers, sent.body)
        if streams:
            request.body, request.stream = b"", Stream(sent.body)
        began = time.thread_time()
        answer = self._front.api.handle(request)
        if not isinstance(answer, HttpResponse):
            answer = await asyncio.wait_for(answer, WAIT_S)
        self.cpu_s = time.thread_time() - began
        body = answer.body
        if isinstance(body, FileBody) or not isinstance(body, bytes):
            answer.body = await read(answer)
        lines = answer.ready.decode("latin-1").split("\r\n")
        told = [line.partition(": ")[::2] for line in lines if line]
        return answer.status, {n.lower(): v for n, v in [*told, *answer.headers]}, answer.body

    async def through(self, sent: Sent) -> list[Answer]:
        """Over a connection of its own."""
        return await self.exchange(raw(sent), [sent.method])

    async def exchange(self, data: bytes, methods: list[str]) -> list[Answer]:
        """What comes back on a connection that sends ``data`` and then nothing more. Raises
        ``TimeoutError`` and ``ValueError`` (no HTTP)."""
        began = time.thread_time()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if writer.can_write_eof():
                writer.write_eof()
            got = await asyncio.wait_for(reader.read(), WAIT_S)
        except ConnectionError:
            return []
        finally:
            writer.close()
        self.cpu_s = time.thread_time() - began
        return answers(got, methods)


def answers(data: bytes, methods: list[str]) -> list[Answer]:
    """The HTTP/1.1 answers in ``data``; the last one may be cut off by the end of the
    connection."""
    found: list[Answer] = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        words = lines[0].split(b" ", 2)
        if words[0] != b"HTTP/1.1" or not mark or not words[1].isdigit():
            raise ValueError(f"no HTTP: {head[:200]!r}")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or name != name.strip() or b"\n" in value or b"\r" in value:
                raise ValueError(f"no header line: {line!r}")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        status = int(words[1])
        if status == 100:
            continue
        method = methods[len(found)] if len(found) < len(methods) else ""
        body, data = _body(status, headers, data, method)
        found.append((status, headers, body))
    return found


def _body(status: int, headers: dict[str, str], data: bytes, method: str) -> tuple[bytes, bytes]:
    head = method == "HEAD" or (not method and data.startswith(b"HTTP/1.1 "))
    if head or status in (204, 304):
        return b"", data
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers.get("content-length", len(data)))
        return data[:length], data[length:]
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        body, data = body + data[:count], data[count + 2 :]
        if not count:
            break
    return body, data
