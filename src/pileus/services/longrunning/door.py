"""Where services answer: ``NAME.service.localhost``, ``/_service/NAME/…``, and their route on the
edge.

Only services with a ``Route`` do; the others are for services of their account, or have a TCP port.
"""

from __future__ import annotations

from collections.abc import Awaitable

from pileus.runtime.longrunning_link import Link
from pileus.services.call import HttpRequest, HttpResponse, Parts
from pileus.services.longrunning import rows
from pileus.services.longrunning.placing import Nodes, OneMachine
from pileus.services.longrunning.proxying import HOP_HEADER, PATH_PREFIX, Proxying, plain
from pileus.services.longrunning.view import View
from pileus.state import keys

LABEL = "service"


class Door:
    """``serve`` for the API's port, ``routed`` for the edge. One per process."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._counter = parts.store.counter(rows.TABLE)
        self._generation = -1
        self._names: frozenset[str] = frozenset()
        self._routes: list[tuple[str, str, bool]] = []
        self._nodes: Nodes = parts.nodes or OneMachine()
        link = Link(parts.config.path("run", "longrunning.sock"))
        self._view = View(parts.runtime, link, self._elsewhere)
        self._proxying = Proxying(self._view)

    def _look(self) -> None:
        generation = self._counter()
        if generation == self._generation:
            return
        records = [r for r in rows.every(self._store) if r["settings"]["route"]]
        self._names = frozenset(r["name"] for r in records)
        found = [
            (r["settings"]["route"]["path"], r["name"], r["settings"]["route"]["strip"])
            for r in records
        ]
        self._routes = sorted(found, key=lambda route: -len(route[0]))
        self._generation = generation

    def _elsewhere(self, name: str) -> dict[str, tuple[str, int]]:
        """Other live nodes that saw healthy copies of a service, and their AWS endpoints."""
        if isinstance(self._nodes, OneMachine):
            return {}
        found = {}
        for node in set(self._nodes.alive()) - {self._nodes.name}:
            seen = self._store.get_json(keys.key(rows.SEEN, name, node))
            place = self._nodes.api(node)
            if seen and place and any(c["state"] == "HEALTHY" for c in seen["copies"]):
                found[node] = place
        return found

    def owns(self, host: str) -> str:
        """The service of a host name ``NAME.service.…``, '' where it is no such name."""
        labels = host.lower().partition(":")[0].split(".")
        return labels[0] if len(labels) > 2 and labels[1] == LABEL else ""

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """One request by host or path form."""
        self._look()
        onward = HOP_HEADER in request.headers  # its host is what the viewer asked for
        name = "" if onward else self.owns(request.headers.get("host", ""))
        path, prefix = request.path, ""
        if not name:
            name, slash, rest = request.path.removeprefix(PATH_PREFIX).partition("/")
            prefix, path = f"{PATH_PREFIX}{name}", f"/{rest}"
            if not slash and name in self._names:
                query = f"?{request.query}" if request.query else ""
                return HttpResponse(301, [("location", f"{prefix}/{query}")])
        if name not in self._names:
            return plain(404, f"there is no service {name} with a route")
        return await self._proxying.serve(name, request, path, prefix)

    def routed(self, request: HttpRequest) -> Awaitable[HttpResponse] | None:
        """The answer to a request at the edge, when a service's host, path form or route claims
        it."""
        if self.owns(request.headers.get("host", "")) or request.path.startswith(PATH_PREFIX):
            return self.serve(request)
        self._look()
        for path, name, strip in self._routes:
            if request.path.startswith(path) and request.path[len(path) : len(path) + 1] in (
                "",
                "/",
            ):
                onward = (request.path[len(path) :] or "/") if strip else request.path
                return self._proxying.serve(name, request, onward, path if strip else "")
        return None

    async def close(self) -> None:
        await self._view.close()
