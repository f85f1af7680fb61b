"""One request to a distribution: behaviour, cache, origin, answer.

A fresh entry is answered at once. Otherwise one asker per key goes to the origin, over all
processes, and the others wait for what it brings. What has expired is asked for again with its
ETag, and still serves while the origin is down (E2).
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from typing import Any

from pileus.edge import answering, signed
from pileus.edge.cache import ENTRY_BYTES_MAX, Cache, Entry, Invalidations
from pileus.edge.distribution import Behaviour, Distribution
from pileus.edge.entries import UNCACHED, entry_of, renew
from pileus.edge.keeping import chain, own_error
from pileus.edge.origins import Fetched, OriginDown, Origins
from pileus.edge.ready import Asked, ReadyAnswers
from pileus.errors import Unavailable
from pileus.services.call import Headers, HttpRequest, HttpResponse, Parts

LOG = logging.getLogger("pileus.edge")
WORDS = ("Hit", "Miss", "RefreshHit", "Redirect", "Error")  # what came of a request
VIA = "1.1 pileus.cloudfront (CloudFront)"
PLAIN_S = 5.0  # how long an uncacheable path is asked for without queueing
LARGE_S = 60.0  # the same for an object too large to keep
PLAIN_MAX = 10_000


def _wants_part(request: HttpRequest) -> bool:
    """HEAD, a range or a condition: what is not kept must be asked of the origin as it is."""
    asked = request.headers
    names = ("range", "if-none-match", "if-modified-since")
    return request.method == "HEAD" or any(name in asked for name in names)


class Serving:
    """Serves distributions. One per process."""

    def __init__(self, parts: Parts, cache: Cache, origins: Origins, ready: ReadyAnswers) -> None:
        self._parts = parts
        self._cache = cache
        self._origins = origins
        self._ready = ready
        self._invalidations = Invalidations(parts.store)
        self._meters = parts.meters
        self._counts = {
            word: parts.meters.counter("pileus_edge_answers_total", result=word.lower())
            for word in WORDS
        }
        self._fetching: dict[str, asyncio.Future[OriginDown | None]] = {}
        self._plain: dict[str, float] = {}  # key → until when it is not worth queueing
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(
        self, d: Distribution, request: HttpRequest, asked: Asked | None = None
    ) -> HttpResponse:
        """Answer a viewer's request to ``d``; a hit's answer is kept ready for ``asked``."""
        path = request.path or "/"
        if path == "/" and d.root:
            path = "/" + d.root
        b = d.behaviour(path)
        method = request.method
        if not d.enabled:
            return self._dress(b, request, own_error(403, "The distribution is disabled."), "Error")
        if b.protocol != "allow-all" and request.scheme != "https":
            return self._dress(b, request, self._protocol(b, request), "Redirect")
        if method not in b.methods:
            text = "This distribution is not configured to allow the HTTP request method."
            return self._dress(b, request, own_error(403, text), "Error")
        if b.signers is not None:
            now_s = self._parts.clock.now_ms() / 1000
            try:
                request = signed.admit(request, d.id, b.signers, now_s)
            except signed.Denied as e:
                refusal = e.answer()
                custom = await self._custom_error(d, b, request, path, refusal)
                return custom or self._dress(b, request, refusal, "Error")
        key = self._key(d, b, request, path) if self._cacheable(b, request) else ""
        if not key:
            return await self._pass(d, b, request, path)
        entry = self._cache.find(key)
        if entry is not None:
            now = self._parts.clock.now_ms()
            if now < entry.fresh_until_ms and not self._invalidations.ended(entry):
                if entry.status >= 400:
                    return await self._give(d, b, request, path, entry)
                response = self._hit(b, request, entry, now, "Hit")
                if asked is not None and b.plain_key and b.signers is None:
                    self._ready.keep(asked, entry, response)
                return response
        return await self._miss(d, b, request, path, key)

    def _protocol(self, b: Behaviour, request: HttpRequest) -> HttpResponse:
        """HTTP where HTTPS is wanted: a redirect to the TLS port, or a refusal."""
        if b.protocol == "https-only":
            return own_error(403, "Bad request: this distribution requires HTTPS.")
        name, colon, _ = request.headers.get("host", "").partition(":")
        port = f":{self._parts.config.edge_tls_port}" if colon else ""
        query = f"?{request.query}" if request.query else ""
        where = f"https://{name}{port}{request.path}{query}"
        return HttpResponse(301, [("location", where), ("content-type", "text/html")])

    # -- the cache key ------------------------------------------------------------------------

    @staticmethod
    def _cacheable(b: Behaviour, request: HttpRequest) -> bool:
        if request.method not in b.cached_methods or b.ttl_max == 0 or b.all_headers_in_key:
            return False
        # What the origin may answer by and the key does not hold must not be shared.
        if "authorization" in request.headers and "authorization" not in b.key_headers:
            return not b.forward_headers.takes("authorization")
        return True

    @staticmethod
    def _key(d: Distribution, b: Behaviour, request: HttpRequest, path: str) -> str:
        query = b.key_queries.query(request.query) if request.query else ""
        if b.plain_key:
            return f"{d.id} {path}?{query}"
        asked = request.headers
        method = "OPTIONS" if request.method == "OPTIONS" else ""
        parts = [f"{name}:{asked.get(name, '')}" for name in b.key_headers]
        cookies = b.key_cookies.cookies(asked.get("cookie", ""))
        return "\n".join([f"{d.id} {path}?{query}", method, *parts, cookies])

    # -- hits and misses ----------------------------------------------------------------------

    async def _give(
        self,
        d: Distribution,
        b: Behaviour,
        request: HttpRequest,
        path: str,
        entry: Entry,
        word: str = "Hit",
    ) -> HttpResponse:
        """Answer by a kept entry; a kept error by its custom page, where there is one."""
        response = self._hit(b, request, entry, self._parts.clock.now_ms(), word)
        if entry.status < 400:
            return response
        return await self._custom_error(d, b, request, path, response) or response

    def _hit(
        self, b: Behaviour, request: HttpRequest, e: Entry, now: int, word: str
    ) -> HttpResponse:
        age = max(0, (now - e.stored_ms) // 1000)
        response = answering.from_entry(e, request, b.compress, age)
        return self._dress(b, request, response, word if e.status < 400 else "Error")

    async def _miss(
        self, d: Distribution, b: Behaviour, request: HttpRequest, path: str, key: str
    ) -> HttpResponse:
        """Wait for whoever already asks; else ask."""
        old = self._usable(self._cache.find(key))
        now = self._parts.clock.now_ms()
        if old is not None and now < old.stale_while_asking_until_ms:
            if key not in self._fetching:
                task = asyncio.create_task(self._ask(d, b, request, path, key))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return await self._give(d, b, request, path, old)
        if self._plain.get(key, 0.0) > self._parts.clock.monotonic():
            return await self._pass(d, b, request, path)
        waiting = self._fetching.get(key)
        if waiting is not None:
            failure = await asyncio.shield(waiting)
            if failure is not None:
                return await self._down(d, b, request, path, old, failure)
            entry = self._usable(self._cache.find(key))
            now = self._parts.clock.now_ms()
            if entry is not None and now < entry.fresh_until_ms:
                return await self._give(d, b, request, path, entry)
            if entry is None and self._plain.get(key, 0.0) > self._parts.clock.monotonic():
                return await self._pass(d, b, request, path)
        return await self._ask(d, b, request, path, key)

    async def _ask(
        self, d: Distribution, b: Behaviour, request: HttpRequest, path: str, key: str
    ) -> HttpResponse:
        """Ask the origin for everyone who wants ``key`` now."""
        mine: asyncio.Future[OriginDown | None] = asyncio.get_running_loop().create_future()
        self._fetching.setdefault(key, mine)
        try:
            async with self._cache.lock(key):
                entry = self._usable(await self._cache.load(key))
                now = self._parts.clock.now_ms()
                if entry is not None and now < entry.fresh_until_ms:
                    return await self._give(d, b, request, path, entry)
                return await self._fetch(d, b, request, path, key, entry)
        finally:
            if self._fetching.get(key) is mine:
                del self._fetching[key]
            if not mine.done():
                mine.set_result(None)

    def _usable(self, entry: Entry | None) -> Entry | None:
        return None if entry is None or self._invalidations.ended(entry) else entry

    async def _fetch(
        self,
        d: Distribution,
        b: Behaviour,
        request: HttpRequest,
        path: str,
        key: str,
        old: Entry | None,
    ) -> HttpResponse:
        sequence = self._invalidations.current(d.id)
        more: Headers = [("if-none-match", old.etag)] if old is not None and old.etag else []
        method = "OPTIONS" if request.method == "OPTIONS" else "GET"
        try:
            got = await self._origins.fetch(d, b, request, path, method, more)
            body = await self._body(got)
        except OriginDown as e:
            waited_for = self._fetching.get(key)
            if waited_for is not None and not waited_for.done():
                waited_for.set_result(e)  # those who wait need not find out one by one
            return await self._down(d, b, request, path, old, e)
        if got.status >= 500 and old is not None and self._stale_serves(old):
            LOG.info(
                "%s answers %d: serving what was kept of %s", b.origin.domain, got.status, path
            )
            return await self._give(d, b, request, path, old)
        if got.status == 304 and old is not None:
            renewed, keep = renew(d, b, old, got, sequence, self._parts.clock.now_ms())
            if keep:
                await self._cache.keep(renewed)
            else:  # it has become private since
                await self._cache.drop(old)
            return await self._give(d, b, request, path, renewed, "RefreshHit")
        entry: Entry | None = None
        if not isinstance(body, bytes) and _wants_part(request):
            got.close()  # too large to keep: the origin is asked again for that part only
            self._mark_plain(key, LARGE_S)
            return await self._pass(d, b, request, path)
        if isinstance(body, bytes):
            now = self._parts.clock.now_ms()
            entry = entry_of(d, b, key, path, request, got, body, sequence, now)
            if entry is not None:
                await self._cache.keep(entry)
        if entry is None:
            self._mark_plain(key, PLAIN_S if isinstance(body, bytes) else LARGE_S)
            if old is not None:
                await self._cache.drop(old)
        return await self._answer(d, b, request, path, got, body, entry)

    def _stale_serves(self, old: Entry) -> bool:
        return self._parts.clock.now_ms() < old.stale_on_error_until_ms

    async def _down(
        self,
        d: Distribution,
        b: Behaviour,
        request: HttpRequest,
        path: str,
        old: Entry | None,
        why: OriginDown,
    ) -> HttpResponse:
        LOG.info("origin %s of %s: %s", b.origin.domain, d.id, why)
        if old is not None and self._stale_serves(old):
            return await self._give(d, b, request, path, old)
        status = 504 if why.timeout else 502
        text = "CloudFront wasn't able to connect to the origin."
        response = own_error(status, text)
        return await self._custom_error(d, b, request, path, response) or self._dress(
            b, request, response, "Error"
        )

    async def _body(self, got: Fetched) -> bytes | AsyncIterator[bytes]:
        """The whole body where it may be kept, else chunks."""
        if isinstance(got.body, bytes) or got.length > ENTRY_BYTES_MAX:
            return got.body
        chunks, size = [], 0
        try:
            async for chunk in got.body:
                chunks.append(chunk)
                size += len(chunk)
                if size > ENTRY_BYTES_MAX:
                    return chain(chunks, got.body)
        except (Unavailable, TimeoutError, ConnectionError) as e:
            raise OriginDown(f"it broke off: {e}", timeout=isinstance(e, TimeoutError)) from e
        return b"".join(chunks)

    def _mark_plain(self, key: str, seconds: float) -> None:
        if len(self._plain) > PLAIN_MAX:
            self._plain.clear()
        self._plain[key] = self._parts.clock.monotonic() + seconds

    # -- answers ------------------------------------------------------------------------------

    async def _pass(
        self, d: Distribution, b: Behaviour, request: HttpRequest, path: str
    ) -> HttpResponse:
        """Straight to the origin: nothing kept, ranges and conditions handed on."""
        asked = request.headers
        names = ("range", "if-none-match", "if-modified-since", "if-match", "if-range")
        more = [(n, asked[n]) for n in names if n in asked]
        try:
            got = await self._origins.fetch(d, b, request, path, request.method, more)
        except OriginDown as e:
            return await self._down(d, b, request, path, None, e)
        return await self._answer(d, b, request, path, got, got.body, None)

    async def _answer(
        self,
        d: Distribution,
        b: Behaviour,
        request: HttpRequest,
        path: str,
        got: Fetched,
        body: bytes | AsyncIterator[bytes],
        entry: Entry | None,
    ) -> HttpResponse:
        """The viewer's answer to something just fetched."""
        if got.status >= 400:
            error = HttpResponse(got.status, [h for h in got.headers if h[0] not in UNCACHED])
            error.body, error.length = body, got.length
            custom = await self._custom_error(d, b, request, path, error)
            return custom or self._dress(b, request, error, "Error")
        if entry is not None:
            response = answering.from_entry(entry, request, b.compress, 0)
            response.headers = [h for h in response.headers if h[0] != "age"]
        else:
            kept = [h for h in got.headers if h[0] not in UNCACHED]
            response = HttpResponse(got.status, kept, body, got.length)
            if request.method == "HEAD" and not body and got.length >= 0:
                response.headers.append(("content-length", str(got.length)))
        return self._dress(b, request, response, "Miss")

    async def _custom_error(
        self,
        d: Distribution,
        b: Behaviour,
        request: HttpRequest,
        path: str,
        response: HttpResponse,
    ) -> HttpResponse | None:
        """The configured page for this error, fetched through the cache; None without one."""
        page = d.errors.get(response.status, {}).get("ResponsePagePath")
        if not page or page == path:
            return None
        if not isinstance(response.body, bytes):
            async for _ in response.body:  # type: ignore[union-attr]
                pass  # let the connection be used again
        plain = {n: v for n, v in request.headers.items() if n in ("host", "accept-encoding")}
        wanted = HttpRequest("GET", page, "", plain, remote=request.remote, scheme=request.scheme)
        told = await self.serve(d, wanted)
        if told.status != 200:
            return None
        told.status = int(d.errors[response.status]["ResponseCode"])
        told.headers = [h for h in told.headers if h[0] != "x-cache"]
        told.headers.append(("x-cache", "Error from cloudfront"))
        return told

    def _dress(
        self, b: Behaviour, request: HttpRequest, response: HttpResponse, word: str
    ) -> HttpResponse:
        """The headers every answer of the edge carries."""
        headers = response.headers
        self._meters.cells[self._counts[word]] += 1
        if b.response_headers is not None:
            origin = request.headers.get("origin", "")
            headers = b.response_headers.apply(headers, origin, request.method == "OPTIONS")
            response.headers = headers
        id_ = base64.urlsafe_b64encode(self._parts.clock.random_bytes(18)).decode()
        headers += (
            ("x-cache", f"{word} from cloudfront"),
            ("via", VIA),
            ("x-amz-cf-id", id_),
        )
        return response
