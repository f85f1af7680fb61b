"""Doors beside the AWS API, each counted under a name of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pileus.services.call import HttpRequest, HttpResponse
from pileus.telemetry import Meters
from pileus.wire.doors import Doors, Handler

_NAMES = {
    "_api": "execute-api",
    "_site": "s3-website",
    "_cdn": "cloudfront",
    "_lambda": "lambda-url",
    "_service": "service",
}


class CountedDoors:
    """The ``mount…`` methods of ``doors``. A handler may give its request a better block itself."""

    def __init__(self, doors: Doors, meters: Meters) -> None:
        self._doors = doors
        self._meters = meters

    def mount(self, prefix: str, handler: Handler) -> None:
        """Counted as what follows ``/_pileus/``, or as the host form is."""
        name = prefix.strip("/").removeprefix("_pileus/")
        self._doors.mount(prefix, self._counted(_NAMES.get(name, name), handler))

    def mount_host(self, label: str, handler: Handler) -> None:
        """Counted as ``label``."""
        self._doors.mount_host(label, self._counted(label, handler))

    def mount_named(self, owns: Callable[[str], bool], handler: Handler) -> None:
        """Custom domain names: of HTTP APIs."""
        self._doors.mount_named(owns, self._counted("execute-api", handler))

    def _counted(self, name: str, handler: Handler) -> Handler:
        block = self._meters.requests("pileus_request", service=name, operation="")

        def serve(request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
            request.meter = block
            return handler(request)

        return serve
