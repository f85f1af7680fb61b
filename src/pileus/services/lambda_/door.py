"""The doors that are not AWS's API: function URLs and addresses of code.

Assembly mounts ``Door.serve`` for ``/_lambda/`` and for hosts named ``*.lambda-url.*``.
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from pileus.errors import AwsError, Unavailable
from pileus.services.call import ANONYMOUS, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.lambda_ import code, rows, url_event, url_stream
from pileus.services.lambda_.invoke import PAYLOAD_BYTES_MAX
from pileus.services.lambda_.names import FunctionName

CODE_PREFIX = "/_lambda/code/"
PATH_PREFIX = "/_lambda/"

log = logging.getLogger(__name__)


FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see:"
    " https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


class Door:
    """``serve`` answers requests. The function is run through ``dispatch`` as the one who signed
    the request, or as an anonymous caller whom its resource policy must allow. ``signer`` tells who
    signed a request for Lambda, or raises ``AwsError``; its body must have been read."""

    def __init__(self, parts: Parts, signer: Callable[[HttpRequest], Principal]) -> None:
        self._parts = parts
        self._signer = signer

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """One request to a function's address or for a code zip."""
        host = request.headers.get("host", "")
        if ".lambda-url." not in host and request.path.startswith(CODE_PREFIX):
            return await self._code(request)
        if ".lambda-url." in host:
            url_id, path = host.partition(".")[0], request.path
        else:
            url_id, _, rest = request.path.removeprefix(PATH_PREFIX).partition("/")
            path = f"/{rest}"
        config = self._parts.store.get_json(rows.url(url_id.lower()))
        if config is None:
            return _message(404, "Not Found")
        if request.method == "OPTIONS" and config.get("cors") and "origin" in request.headers:
            return HttpResponse(204, url_event.preflight(config["cors"], request))
        answer = await self._call(request, config, path)
        if config.get("cors"):  # then it alone decides, whatever the function says
            own = [h for h in answer.headers if not h[0].lower().startswith("access-control-")]
            answer.headers = own + url_event.cors_headers(config["cors"], request)
        return answer

    async def _call(self, request: HttpRequest, config: dict[str, Any], path: str) -> HttpResponse:
        name = FunctionName(*config["function"])
        now_ms = self._parts.clock.now_ms()
        try:
            await request.read(PAYLOAD_BYTES_MAX)
            caller = self._caller(request) if config["auth"] == "AWS_IAM" else ANONYMOUS
            request_id = rows.new_id(self._parts.clock)
            event = url_event.build(request, config, path, now_ms, request_id, caller)
            params = {
                "FunctionName": name.qualified_arn,
                "Payload": event,
                "AuthType": config["auth"],
                "InvokeMode": config.get("mode", "BUFFERED"),
                "Both": config.get("both", False),
            }
            answer = await self._parts.dispatch(
                "lambda", "InvokeFunctionUrl", params, principal=caller, region=name.region
            )
        except AwsError as error:
            if error.status == 403:
                log.info("function URL of %s: %s", name.arn, error.message)
            return _refused(error)
        except Unavailable as error:
            log.error("function URL of %s: %s", name.arn, error)
            return _message(502, "Internal Server Error")
        if "Stream" in answer:
            return await url_stream.response(answer["Stream"])
        if answer.get("FunctionError"):
            return _message(502, "Internal Server Error")
        return url_event.response(answer["Payload"])

    def _caller(self, request: HttpRequest) -> Principal:
        """Who signed. Any fault of the signature is a 403 here, as on AWS."""
        try:
            return self._signer(request)
        except AwsError as error:
            raise AwsError(error.code, error.message, 403) from error

    async def _code(self, request: HttpRequest) -> HttpResponse:
        """A zip, to who holds a signed address (GetFunction's ``Code.Location``)."""
        digest = request.path.removeprefix(CODE_PREFIX)
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        expires, signature = query.get("Expires", ""), query.get("Signature", "")
        if request.method not in ("GET", "HEAD"):
            return _message(405, "Method Not Allowed")
        if not code.location_holds(
            self._parts.store, self._parts.clock.now_ms(), digest, expires, signature
        ):
            return _message(403, "Request has expired or its signature does not match")
        try:
            await self._parts.blobs.fetch(digest)
            size = self._parts.blobs.size(digest)
        except FileNotFoundError:
            return _message(404, "The code is no longer kept")
        headers = [
            ("content-type", "application/zip"),
            ("content-disposition", f'attachment; filename="{digest[:12]}.zip"'),
        ]
        if request.method == "HEAD":
            return HttpResponse(200, headers, length=size)
        return HttpResponse(200, headers, self._parts.blobs.read(digest), size)


def _refused(error: AwsError) -> HttpResponse:
    if error.status == 403:
        return _message(403, FORBIDDEN)
    if error.status == 429:
        return _message(429, "Rate Exceeded.")
    return _message(error.status if error.status in (400, 404, 413) else 502, error.message)


def _message(status: int, text: str) -> HttpResponse:
    body = b'{"Message":"%s"}' % text.replace('"', "'").encode()
    return HttpResponse(status, [("content-type", "application/json")], body)
