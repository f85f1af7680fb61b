"""The door between nodes: blobs, checkpoints, how a node stands. For nodes of the cluster only.

    PUT    /blobs/DIGEST     store; 201. ``/blobs/-``: the digest follows the bytes as 32 more
    GET    /blobs/DIGEST     the bytes; HEAD: their size; DELETE ?idle=SECONDS
    GET    /blobs?after=D    digests held, in order, one a line
    GET    /checkpoint?at_least=N   {"sequence", "log_ms", "sha256", "size"} of the newest
    GET    /checkpoint/SEQ.db       its bytes, or a range of them
    GET    /status           {"node", "applied", "chain", …}

``&shard=N`` after ``/checkpoint``: of another shard than the first.

Errors are ``{"error": …}``: 400 what was sent is wrong, 404, 503 try again.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from pileus.engine.embedded.blobs import FileBlobs
from pileus.errors import Unavailable, WrongDigest
from pileus.services.call import FileBody, HttpRequest, HttpResponse
from pileus.state import checkpoint
from pileus.state.database import STATE_FILE
from pileus.state.rebuild import wished
from pileus.state.shard import home_of

DIGEST_BYTES = 32
PAGE = 1000
_BLOB = re.compile(r"/blobs/([0-9a-f]{64})\Z")
_CHECKPOINT = re.compile(r"/checkpoint/(\d{1,19})\.db\Z")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})\Z")
Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]


class NodeDoor:
    """``serve`` is the handler of a server that lets nodes in only. ``status`` tells how this node
    stands. ``mount`` adds doors of other rooms. ``refused``: blobs that could not be taken in."""

    def __init__(self, home: Path, blobs: FileBlobs, status: Callable[[], dict[str, Any]]) -> None:
        self._home = home
        self._blobs = blobs
        self._status = status
        self._taking = asyncio.Lock()
        self._mounted: dict[str, Handler] = {}
        self.refused = 0

    def mount(self, prefix: str, handler: Handler) -> None:
        """``handler`` answers paths that begin with ``prefix`` (``/members``)."""
        self._mounted[prefix] = handler

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """One request of a node."""
        try:
            return await self._route(request)
        except FileNotFoundError:
            return told(404, {"error": f"{request.path} is not here"})
        except (WrongDigest, ValueError) as e:
            return told(400, {"error": str(e)})
        except Unavailable as e:
            self.refused += request.method == "PUT"
            return told(503, {"error": str(e), "hint": e.hint})

    async def _route(self, request: HttpRequest) -> HttpResponse:
        path, method = request.path, request.method
        blob = _BLOB.match(path)
        if blob and method in ("GET", "HEAD"):
            return self._file(self._blobs.open(blob[1]), request)
        if method == "PUT" and (blob or path == "/blobs/-"):
            return await self._put(request, blob[1] if blob else "")
        if blob and method == "DELETE":
            idle = float(_query(request).get("idle", "0"))
            gone = await self._blobs.delete(blob[1], idle)
            return told(200, {"gone": gone})
        if method == "GET" and path == "/blobs":
            after = _query(request).get("after", "")
            if after and not _BLOB.match(f"/blobs/{after}"):
                raise ValueError("after is no digest")
            found = await asyncio.to_thread(self._blobs.some, after, PAGE)
            return HttpResponse(200, [("content-type", "text/plain")], "\n".join(found).encode())
        if method == "GET" and path == "/status":
            return told(200, self._status())
        if method == "GET" and path == "/checkpoint":
            at_least = int(_query(request).get("at_least", "0"))
            return await self._newest(shard_home(self._home, request), at_least)
        copy = _CHECKPOINT.match(path)
        if copy and method in ("GET", "HEAD"):
            home = shard_home(self._home, request)
            name = home / "checkpoints" / f"{int(copy[1]):016}.db"
            return self._file(os.open(name, os.O_RDONLY | os.O_CLOEXEC), request)
        for prefix, handler in self._mounted.items():
            if path.startswith(prefix):
                answer = handler(request)
                return answer if isinstance(answer, HttpResponse) else await answer
        return told(404, {"error": f"{method} {path} is not known here"})

    async def _put(self, request: HttpRequest, digest: str) -> HttpResponse:
        """Take a blob in. Nothing is named before all of it came and hashes to what it should."""
        writer = self._blobs.create()
        held = b""
        try:
            async for piece in _pieces(request):
                if digest:
                    await writer.write(piece)
                    continue
                held += piece  # the last bytes are the digest, not the blob's
                await writer.write(held[:-DIGEST_BYTES])
                held = held[-DIGEST_BYTES:]
            if not digest and len(held) != DIGEST_BYTES:
                raise ValueError("the digest is missing")
            name = await writer.commit(digest or held.hex())
        except BaseException:
            await writer.abort()
            raise
        return told(201, {"digest": name, "size": writer.size})

    async def _newest(self, home: Path, at_least: int) -> HttpResponse:
        """The newest checkpoint in a shard's ``home``; one is taken where none reaches
        ``at_least``."""
        directory = home / "checkpoints"
        async with self._taking:
            kept = await asyncio.to_thread(checkpoint.every, directory)
            if not kept or kept[-1].sequence < at_least:
                if not (home / STATE_FILE).exists() or wished(home):
                    raise Unavailable("this node has no state of it now", "ask another")
                made = await asyncio.to_thread(checkpoint.take, home / STATE_FILE, directory)
                await asyncio.to_thread(checkpoint.forget_old, directory)
                kept = [made]
        newest = kept[-1]
        if newest.sequence < at_least:
            raise Unavailable(f"this node stands at entry {newest.sequence}", "ask another")
        size = newest.path.stat().st_size
        found = {"sequence": newest.sequence, "log_ms": newest.log_ms, "size": size}
        return told(200, found | {"sha256": newest.sha256})

    @staticmethod
    def _file(fd: int, request: HttpRequest) -> HttpResponse:
        """A file, or the range of it that was asked for (RFC 9110, 14.2: one, from a start)."""
        size = os.fstat(fd).st_size
        asked = request.headers.get("range")
        if asked is None:
            return HttpResponse(200, [], FileBody(fd, 0, size), size)
        wanted = _RANGE.match(asked)
        if wanted is None or int(wanted[1]) >= size:
            os.close(fd)
            return HttpResponse(416, [("content-range", f"bytes */{size}")])
        start = int(wanted[1])
        end = min(int(wanted[2] or size - 1), size - 1) + 1
        headers = [("content-range", f"bytes {start}-{end - 1}/{size}")]
        return HttpResponse(206, headers, FileBody(fd, start, end - start), end - start)


async def _pieces(request: HttpRequest) -> AsyncIterator[bytes]:
    if request.stream is None:
        yield request.body
        return
    async for piece in request.stream:
        yield piece


def told(status: int, answer: dict[str, Any]) -> HttpResponse:
    """An answer in JSON."""
    return HttpResponse(status, [("content-type", "application/json")], orjson.dumps(answer))


def shard_home(home: Path, request: HttpRequest) -> Path:
    """Where the files of the shard lie that a request names; without a name, the first's."""
    return home_of(home, shard_of(request))


def shard_of(request: HttpRequest) -> int:
    """``ValueError`` for what no shard is called."""
    told = _query(request).get("shard", "0")
    if not (told.isascii() and told.isdigit() and len(told) <= 4):
        raise ValueError("shard is a number")
    return int(told)


def _query(request: HttpRequest) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.query).items()}
