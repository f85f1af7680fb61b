"""Doors beside the AWS API: mounted by path (``/_pileus/…``) and by host
(``{id}.execute-api.…``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.hosts import bare

Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]
HOSTS_MAX = 2048


class Doors:
    """``mount…`` registers a door, ``door`` finds a request's."""

    def __init__(self) -> None:
        self._prefixes: list[tuple[str, Handler]] = []
        self._hosts: list[tuple[str, Handler]] = []
        self._named: list[tuple[Callable[[str], bool], Handler]] = []
        self._known_hosts: dict[str, Handler | None] = {}

    def mount(self, prefix: str, handler: Handler) -> None:
        """Requests whose path starts with ``prefix`` (``/_pileus/kv/``); the longest wins."""
        self._prefixes.append((prefix, handler))
        self._prefixes.sort(key=lambda pair: -len(pair[0]))

    def mount_host(self, label: str, handler: Handler) -> None:
        """Hosts that hold ``label`` after their first label: ``execute-api``, ``s3-website``."""
        self._hosts.append((label, handler))
        self._known_hosts.clear()

    def mount_named(self, owns: Callable[[str], bool], handler: Handler) -> None:
        """Hosts that ``owns`` (told the bare name) claims at the moment of the request."""
        self._named.append((owns, handler))
        self._known_hosts.clear()

    def door(self, request: HttpRequest) -> Handler | None:
        """The mounted door of this request, None for the AWS API."""
        if request.path.startswith("/_"):
            for prefix, handler in self._prefixes:
                if request.path.startswith(prefix):
                    return handler
        host = request.headers.get("host", "")
        try:
            return self._known_hosts[host]
        except KeyError:
            return self._classify(host)

    def is_api(self, host: str) -> bool:
        """Whether this host is the AWS API's and never another door's."""
        if host not in self._known_hosts:
            self._classify(host)
        return host in self._known_hosts and self._known_hosts[host] is None

    def is_own(self, request: HttpRequest) -> bool:
        """A POST to "/" of a host that no mounted door claims, where that was seen before."""
        if request.path != "/" or request.query or request.method != "POST":
            return False
        return self._known_hosts.get(request.headers["host"], self) is None

    def _classify(self, host: str) -> Handler | None:
        if len(self._known_hosts) >= HOSTS_MAX:
            self._known_hosts.clear()
        labels = bare(host).split(".")[1:]
        found = None
        for wanted, handler in self._hosts:
            if any(part == wanted or part.startswith(wanted + "-") for part in labels):
                found = handler
                break
        if found is None and not _never_named(bare(host)):
            for owns, handler in self._named:
                if owns(bare(host)):
                    return handler
            return None  # not remembered: the name may be claimed any time
        self._known_hosts[host] = found
        return found


def _never_named(name: str) -> bool:
    """Addresses and the cloud's own names: never a custom domain."""
    own = ("localhost", ".amazonaws.com", "]")
    return name.endswith(own) or name[-1:].isdigit() or "." not in name
