"""One address for everybody that is on no request's path: it sends who comes to a front end.

``GET http://NODE:4566/_pileus/entry/PATH`` (the API), ``GET http://NODE:8000/_entry/PATH`` (the
edge) and any path of a host ``entry.…`` at the edge are answered 307 (RFC 9110, 15.4.8) with the
same path at a
node that lives and is least busy. Whatever the client asks next goes there.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from pileus.nodes.members import Members
from pileus.nodes.places import Node, bracketed
from pileus.nodes.standing import Standing
from pileus.services.call import HttpRequest, HttpResponse

API_PATH, EDGE_PATH = "/_pileus/entry", "/_entry"


class Entry:
    """``standing`` tells who lives and how busy he is."""

    def __init__(self, members: Members, standing: Standing) -> None:
        self._members = members
        self._standing = standing

    def to_api(self, request: HttpRequest) -> HttpResponse:
        return self._away(request, API_PATH, lambda node: node.port)

    def to_edge(self, request: HttpRequest) -> HttpResponse:
        if request.scheme == "https":
            return self._away(request, EDGE_PATH, lambda node: node.edge_tls_port)
        return self._away(request, EDGE_PATH, lambda node: node.edge_port)

    def _away(self, request: HttpRequest, prefix: str, port: Callable[[Node], int]) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(405, [("allow", "GET, HEAD")], b"Only GET is sent on from here\n")
        node = self._least_busy()
        if node is None:
            return HttpResponse(503, [("retry-after", "1")], b"No front end is known to live\n")
        path = request.path
        if path == prefix or path.startswith(prefix + "/"):
            path = path.removeprefix(prefix)
        path = "/" + path.lstrip("/")  # two slashes would name another host
        query = f"?{request.query}" if request.query else ""
        place = f"{request.scheme}://{bracketed(node.address)}:{port(node)}{path}{query}"
        return HttpResponse(307, [("location", place), ("cache-control", "no-store")])

    def _least_busy(self) -> Node | None:
        """Of those that take work; of equals any."""
        nodes = {node.name: node for node in self._members.present()}
        able = [name for name in self._standing.alive() if name in nodes]
        busy = self._standing.busy()
        random.shuffle(able)
        return nodes[min(able, key=lambda name: busy.get(name, 0.0))] if able else None
