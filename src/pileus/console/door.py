"""The console's door at the edge: ``/admin/`` its pages, ``/admin/api/…`` the API behind it.

The API is the same one that listens on the API port: same signatures (over the host the browser
used), same permissions. It is repeated here because a page may only call its own origin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pileus.console.pages import Pages
from pileus.services.call import HttpRequest, HttpResponse

API = "/admin/api"
ABOUT = "/admin/about.json"
Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]


class Console:
    """``serve`` answers every path of ``/admin``. ``api`` gets requests below ``/admin/api``, the
    prefix cut off; ``about`` tells region and version to whoever is not signed in yet."""

    def __init__(self, api: Handler, about: Callable[[HttpRequest], HttpResponse]) -> None:
        self._api = api
        self._about = about
        self._pages = Pages()

    def serve(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if request.path.startswith(f"{API}/"):
            request.path = request.path[len(API) :]
            return self._api(request)
        if request.path == ABOUT:
            return self._about(request)
        return self._pages.serve(request)
