"""A door beside the AWS API whose callers sign like S3's: signature, permission, then the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from pileus.errors import AwsError
from pileus.services.call import (
    ANONYMOUS,
    Access,
    Authorizer,
    Call,
    HttpRequest,
    HttpResponse,
    Principal,
)
from pileus.wire import refusals
from pileus.wire.sigv4 import Verifier


class Door(Protocol):
    """What stands behind the gate."""

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]: ...
    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse: ...


class SignedDoor:
    """``serve`` is the handler to mount. ``service`` is the signing name."""

    def __init__(
        self, door: Door, service: str, verifier: Verifier, authorizer: Authorizer, region: str
    ) -> None:
        self._door = door
        self._service = service
        self._verifier = verifier
        self._authorizer = authorizer
        self._region = region

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """Errors before the door is reached are JSON ``{"__type", "message"}``."""
        try:
            principal = self._admit(request)
        except AwsError as e:
            told = {"__type": e.code, "message": e.message}
            headers = [("content-type", "application/json"), *e.headers]
            return HttpResponse(e.status, headers, orjson.dumps(told))
        return await self._door.serve(request, principal)

    def _admit(self, request: HttpRequest) -> Principal:
        caller = self._verifier.verify(request, "s3", self._service)
        if caller.principal is ANONYMOUS:
            raise refusals.missing("s3")
        region = caller.region or self._region
        call: Any = Call(self._service, "", caller.principal, region, {}, request=request)
        self._authorizer.check(call, self._door.access(request, caller.principal))
        return caller.principal
