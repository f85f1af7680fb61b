"""The users' door: distributions by host name, by alias and by ``/_cdn/{id}/…``."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Protocol

from pileus.edge import pages
from pileus.edge.cache import Cache
from pileus.edge.distribution import HOST_SUFFIX, Distribution, Distributions
from pileus.edge.origins import Origins
from pileus.edge.ready import ReadyAnswers
from pileus.edge.serving import Serving
from pileus.edge.watching import Leave, Watched
from pileus.services.call import FileBody, HttpRequest, HttpResponse, Parts, Upgrade
from pileus.services.rates import Rates

TIDY_S = 60.0
ENTRY_HOST, ENTRY_PATH = "entry.", "/_entry"
CONSOLE_HOST = "console."  # what the console's own host names start with
SERVICE_LABEL = ".service."
VIEWER_ACTIVE = 256  # requests of one address under way in one process
VIEWER_RATE, VIEWER_BURST = 2000.0, 4000  # requests a second and at once, per address


Console = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]
Doors = Callable[[HttpRequest], "Console | None"]
Handler = Callable[[HttpRequest], HttpResponse]


class Named(Protocol):
    """Another door with host names of its own."""

    def owns(self, host: str) -> bool: ...
    async def serve(self, request: HttpRequest) -> HttpResponse: ...


class Routed(Protocol):
    """A door with paths of its own on the edge."""

    def routed(self, request: HttpRequest) -> Awaitable[HttpResponse] | None: ...


class Edge:
    """Serves the edge. One per process."""

    def __init__(
        self, parts: Parts, named: Named | None = None, services: Routed | None = None
    ) -> None:
        """``named`` answers at hosts that no distribution has: APIs' custom domain names;
        ``services`` at paths of the edge itself: long-running services' routes. ``console``, once
        set, answers ``/admin``; ``entry`` what comes to ``/_entry/`` or to a host ``entry.…``;
        ``doors`` finds who answers at the hosts of HTTP APIs, bucket sites and function URLs."""
        self._named = named
        self._services = services
        self.console: Console | None = None
        self.entry: Handler | None = None
        self.doors: Doors = _no_door
        self._distributions = Distributions(parts.store)
        cache = Cache(parts.config.path("var", "edge"))
        self._cache = cache
        self._clock = parts.clock
        self._dev = parts.config.dev
        self._health_meter = parts.meters.requests("pileus_request", service="health", operation="")
        self._active: dict[str, int] = {}  # requests under way, by viewer's address
        self._background = parts.background
        self._tidying: asyncio.Task[None] | None = None
        self._rates = Rates(parts.config.path("run", "rates"))
        self._ready = ReadyAnswers(parts.store, cache, parts.clock)
        self.direct = self._ready.instant()
        self.proxied = self._ready.instant(self._allow)
        self._serving = Serving(parts, cache, Origins(parts), self._ready)

    def serve(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """A request straight from a viewer: what it claims of itself is not believed."""
        for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"):
            request.headers.pop(name, None)
        # Elsewhere another door may come before this one some day.
        own = request.path.startswith("/_cdn/") or _host(request).endswith(HOST_SUFFIX)
        return self._ready.find(request, self.direct if own else None) or self._route(request)

    def serve_proxied(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """A request Caddy hands over (only it reaches that socket): the viewer's address and
        scheme are the last it added. Each address has a limit (E5)."""
        asked_by_caddy = not request.headers.get("x-forwarded-for")
        if asked_by_caddy and request.path == "/_pileus/health":
            request.meter = self._health_meter
            return HttpResponse(200, [("content-type", "text/plain")], b"ready\n")
        chain = request.headers.pop("x-forwarded-for", "")
        if chain:
            request.remote = chain.rpartition(",")[2].strip()
        if request.headers.pop("x-forwarded-proto", "http") == "https":
            request.scheme = "https"
        if not self._allow(request.remote):
            return HttpResponse(429, [("retry-after", "1")], b"Too many requests\n")
        return self._ready.find(request, self.proxied) or self._among_few(request)

    def _allow(self, address: str) -> bool:
        now_s = self._clock.monotonic()
        return self._rates.allow(f"edge/{address}", VIEWER_RATE, VIEWER_BURST, now_s)

    async def _among_few(self, request: HttpRequest) -> HttpResponse:
        """Serve, unless the address has too many requests under way; a body that is being
        streamed counts until its end."""
        who = request.remote
        if self._active.get(who, 0) >= VIEWER_ACTIVE:
            text = b"Too many requests at once\n"
            return HttpResponse(503, [("retry-after", "1")], text)
        self._active[who] = self._active.get(who, 0) + 1
        left = Leave(self._active, who)
        try:
            response = await self._route(request)
        except BaseException:
            left.now()
            raise
        if isinstance(response.body, bytes | FileBody | Upgrade):
            left.now()
        else:
            response.body = Watched(response.body, left)
        return response

    async def start(self) -> None:
        """Begin to keep the cache's files within their bound, in one process of the machine."""
        if self._background:
            self._tidying = asyncio.create_task(self._tidy(), name="edge-tidy")

    async def close(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tidying

    async def _tidy(self) -> None:
        while True:
            await asyncio.to_thread(self._cache.trim)
            await self._clock.sleep(TIDY_S)

    async def _route(self, request: HttpRequest) -> HttpResponse:
        routed = self._to_service(request)
        if routed is not None:
            return await routed
        door = self.doors(request)
        if door is not None:
            answer = door(request)
            return answer if isinstance(answer, HttpResponse) else await answer
        asked = self._ready.asked(request)
        found = self._find(request)
        if found is None:
            if self._named is not None and self._named.owns(_host(request)):
                return await self._named.serve(request)
            return await self._own_page(request)
        if found[1] is not request and request.path.count("/") == 2:
            # ``/_cdn/{id}``: a page's relative names need the slash.
            query = f"?{request.query}" if request.query else ""
            return HttpResponse(301, [("location", f"{request.path}/{query}")])
        host = _host(request)
        if found[1] is request and not (_is_bare(host) or self._distributions.by_host(host)):
            asked = None  # this name may be given to another door any time
        return await self._serving.serve(*found, asked)

    def _to_service(self, request: HttpRequest) -> Awaitable[HttpResponse] | None:
        """At the edge's own address and at services' own names, routes come first."""
        host = _host(request)
        if self._services is None or not (_is_bare(host) or SERVICE_LABEL in host):
            return None
        return self._services.routed(request)

    async def _own_page(self, request: HttpRequest) -> HttpResponse:
        """What the edge itself answers: no distribution has this host and path."""
        if self.entry is not None and _at_entry(request):
            return self.entry(request)
        if self.console is not None and _is_console(request.path):
            answer = self.console(request)
            return answer if isinstance(answer, HttpResponse) else await answer
        host = request.headers.get("host", "")
        if request.path == "/" and _host(request).startswith(CONSOLE_HOST):
            return HttpResponse(302, [("location", "/admin/"), ("cache-control", "no-store")])
        if not self._dev or request.path != "/" or not _is_bare(_host(request)):
            return pages.nothing(host)
        port = host.rpartition(":")[2]
        tail = f":{port}/" if port.isdigit() else "/"
        told = [
            (f"{request.scheme}://{d.id.lower()}{HOST_SUFFIX}{tail}", d.comment)
            for d in self._distributions.all()
        ]
        return pages.landing(told)

    def _find(self, request: HttpRequest) -> tuple[Distribution, HttpRequest] | None:
        host = _host(request)
        found = self._distributions.by_host(host)
        if found is not None:
            return found, request
        if host.startswith(CONSOLE_HOST):
            return None  # an origin of its own: nothing else is served there
        if request.path.startswith("/_cdn/"):
            id_, _, rest = request.path[6:].partition("/")
            found = self._distributions.by_id(id_)
            if found is None:
                return None
            return found, dataclasses.replace(request, path="/" + rest)
        named = self._named is not None and self._named.owns(host)
        if named or request.path.startswith("/_") or _is_console(request.path):
            return None
        found = self._distributions.home()
        return None if found is None else (found, request)


def _no_door(request: HttpRequest) -> None:
    """Until there are some."""


def _is_console(path: str) -> bool:
    return path == "/admin" or path.startswith("/admin/")


def _is_bare(host: str) -> bool:
    """The edge's own address, no name of anything it serves."""
    return host == "localhost" or host.endswith("]") or host[-1:].isdigit()


def _host(request: HttpRequest) -> str:
    """The name asked for: lower case, no port."""
    host = request.headers.get("host", "").rpartition("@")[2].lower()
    return host if host.endswith("]") else host.partition(":")[0]


def _at_entry(request: HttpRequest) -> bool:
    path = request.path
    return (
        path == ENTRY_PATH
        or path.startswith(ENTRY_PATH + "/")
        or (_host(request).startswith(ENTRY_HOST))
    )
