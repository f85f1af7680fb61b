"""How a request is framed: names, target, length; and the errors below any AWS protocol."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import escape

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse

LOG = logging.getLogger("pileus.wire")

# Headers that mean something else when they come twice.
ONCE = frozenset({"host", "content-length", "transfer-encoding", "authorization", "content-type"})
# The usual names as SDKs write them, so that most need no lower-casing.
_KNOWN = (
    *("Host", "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Connection"),
    *("Content-Length", "Content-Type", "Content-MD5", "Content-Encoding", "Cookie", "Date"),
    *("Expect", "If-Match", "If-None-Match", "If-Modified-Since", "Origin", "Range", "Referer"),
    *("Transfer-Encoding", "User-Agent", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Target"),
    *("X-Amz-Content-SHA256", "X-Amz-User-Agent", "amz-sdk-request", "amz-sdk-invocation-id"),
    *("X-Forwarded-For", "X-Amzn-Trace-Id"),
)
NAMES = {form.encode(): name.lower() for name in _KNOWN for form in (name, name.lower())}
_ASCII = bytes(range(0x21, 0x7F)).decode()

TIMEOUT = AwsError(
    "RequestTimeout",
    "Your socket connection to the server was not read from or written to within the timeout"
    " period. Idle connections will be closed.",
    400,
)
INCOMPLETE = AwsError(
    "IncompleteBody",
    "You did not provide the number of bytes specified by the Content-Length HTTP header",
)
_LAST = b"content-length: 0\r\nconnection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
POSTS = b"O"  # the second byte of POST (and OPTIONS)
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n" + _LAST
UNSENT = b"HTTP/1.1 500 Internal Server Error\r\n" + _LAST


def plain_error(status: int, code: str, message: str) -> HttpResponse:
    """An error below any AWS protocol (the request could not even be read)."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    return HttpResponse(status, [("content-type", "application/xml")], body.encode())


def refused(request: HttpRequest | None, status: int, code: str, message: str) -> HttpResponse:
    """``plain_error``; of a body that stopped coming on its way to an HTTP API in that API's words,
    as where the API itself waits for a longer one."""
    if request is not None and code == TIMEOUT.code and _to_http_api(request):
        body = b'{"message":"Request Timeout"}'
        return HttpResponse(408, [("content-type", "application/json")], body)
    return plain_error(status, code, message)


def _to_http_api(request: HttpRequest) -> bool:
    host = request.headers.get("host", "")
    return request.path.startswith("/_api/") or ".execute-api." in host.lower()


def broken(request: HttpRequest | None, error: Exception) -> HttpResponse:
    """The answer where the handler had none: a client's error in its words, else a 500."""
    if isinstance(error, AwsError):
        return plain_error(error.status, error.code, error.message)
    if isinstance(error, ConnectionError):  # the client left: nobody reads this
        return plain_error(400, "IncompleteBody", "The connection was closed.")
    what = (request.method, request.path) if request is not None else ("", "")
    LOG.error("handler failed: %s %s", *what, exc_info=error)
    return plain_error(500, "InternalError", "We encountered an internal error.")


def body_length(headers: dict[str, str], http10: bool, limit_bytes: int) -> int:
    """Bytes announced, 0 for none, -1 for chunked. Both framings at once is smuggling: 400."""
    told = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if told is not None or http10:
            raise AwsError("BadRequest", "Ambiguous request framing.")
        if coding.strip().lower() != "chunked":
            raise AwsError("NotImplemented", "A transfer coding that is not offered.", 501)
        return -1
    if told is None:
        return 0
    if not told.isdecimal() or len(told) > 18:
        raise AwsError("BadRequest", "Content-Length is not a number.")
    length = int(told)
    if length > limit_bytes:
        raise AwsError(
            "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", 413
        )
    return length


def target(url: bytes, headers: dict[str, str]) -> tuple[str, str]:
    """Raw path and query of the request target; the absolute form sets Host (RFC 9112, 3.2)."""
    text = url.decode() if url.isascii() else quote_from_bytes(url, safe=_ASCII)
    if text[:1] != "/":
        scheme, mark, rest = text.partition("://")
        if text == "*":
            text = "/*"
        elif not mark or scheme.lower() not in ("http", "https") or not rest:
            raise AwsError("BadRequest", "The request target is not a path.")
        else:
            authority = re.split(r"[/?]", rest, maxsplit=1)[0]
            headers["host"] = authority
            text = rest[len(authority) :]
            text = text if text[:1] == "/" else "/" + text
    path, _, query = text.partition("?")
    return path, query
