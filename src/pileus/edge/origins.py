"""Fetching from an origin: a bucket as CloudFront's identity, or a server by HTTP.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RequestAndResponseBehaviorS3Origin.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from pileus.edge.distribution import Behaviour, Distribution, Origin
from pileus.errors import AwsError, Unavailable
from pileus.services.call import ANONYMOUS, Headers, HttpRequest, Parts, Principal
from pileus.services.inside import body_of, own_host
from pileus.services.outbound import HOP, Outbound, OutboundError

BODY_BYTES_MAX = 64 * 1024 * 1024
BUCKET_HEADERS = (
    ("ContentType", "content-type"),
    ("CacheControl", "cache-control"),
    ("ContentEncoding", "content-encoding"),
    ("ContentDisposition", "content-disposition"),
    ("ContentLanguage", "content-language"),
    ("ContentRange", "content-range"),
    ("Expires", "expires"),
    ("VersionId", "x-amz-version-id"),
    ("ETag", "etag"),
)
NEVER_FORWARDED = HOP | {"host", "content-length", "expect", "x-forwarded-proto"}


class OriginDown(Exception):
    """The origin could not be asked, or broke off. ``timeout``: it took too long."""

    def __init__(self, message: str, timeout: bool = False) -> None:
        super().__init__(message)
        self.timeout = timeout


@dataclass(slots=True)
class Fetched:
    """An origin's answer; ``body`` is bytes, or chunks when it is long."""

    status: int
    headers: Headers
    body: bytes | AsyncIterator[bytes]
    length: int  # -1: unknown
    close: Callable[[], None] = lambda: None  # call it when the body is not wanted

    def header(self, name: str) -> str:
        return next((v for n, v in self.headers if n == name), "")


class Origins:
    """Asks origins."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._outbound: Outbound = parts.outbound

    async def fetch(
        self,
        distribution: Distribution,
        behaviour: Behaviour,
        request: HttpRequest,
        path: str,
        method: str,
        more: Headers,
    ) -> Fetched:
        """One request to the behaviour's origin for ``path`` (raw). ``more`` adds conditional or
        range headers. Raises ``OriginDown``."""
        origin = behaviour.origin
        query = behaviour.forward_queries.query(request.query)
        if origin.bucket:
            return await self._bucket(distribution, origin, request, path, method, more)
        headers = _forwarded(behaviour, request, method) + more
        if own_host(origin.domain) == f"{distribution.id.lower()}.cloudfront.localhost":
            raise OriginDown("the distribution is its own origin")
        where = origin.path + path
        return await self._outside(origin, request, method, where, query, headers)

    async def _bucket(
        self,
        distribution: Distribution,
        origin: Origin,
        request: HttpRequest,
        path: str,
        method: str,
        more: Headers,
    ) -> Fetched:
        """GetObject as the identity, as the service for this distribution, or as anybody."""
        if method not in ("GET", "HEAD"):
            return _refused(405, "MethodNotAllowed")
        principal, context = _signer(distribution, origin)
        params: dict[str, Any] = {
            "Bucket": origin.bucket,
            "Key": unquote(origin.path + path)[1:],
        }
        conditions = dict(more)
        if "range" in conditions:
            params["Range"] = conditions["range"]
        if not params["Key"]:
            return _refused(403, "AccessDenied")

        def ask(operation: str) -> Awaitable[dict[str, Any]]:
            return self._parts.dispatch(
                "s3", operation, dict(params), principal=principal, context=context
            )

        try:
            # Judged here: a dispatched 304 would come back as an answer without anything in it.
            if "if-none-match" in conditions and method == "GET":
                etag = (await ask("HeadObject")).get("ETag")
                if etag in [t.strip() for t in conditions["if-none-match"].split(",")]:
                    return Fetched(304, [], b"", 0)
            if "range" in conditions:
                params["Range"] = conditions["range"]
            found = await ask("HeadObject" if method == "HEAD" else "GetObject")
        except Unavailable as e:
            raise OriginDown(str(e)) from e
        except AwsError as e:
            if e.status == 304:
                return Fetched(304, [], b"", 0)
            if e.status >= 500:
                raise OriginDown(f"{e.code}: {e.message}") from e
            return _refused(e.status, e.code, e.message)
        return await _from_bucket(found)

    async def _outside(
        self,
        origin: Origin,
        request: HttpRequest,
        method: str,
        path: str,
        query: str,
        headers: Headers,
    ) -> Fetched:
        tls = origin.protocol == "https-only" or (
            origin.protocol == "match-viewer" and request.scheme == "https"
        )
        port = origin.https_port if tls else origin.http_port
        default = port == (443 if tls else 80)
        place = origin.domain if default else f"{origin.domain}:{port}"
        url = f"{'https' if tls else 'http'}://{place}{path}{'?' + query if query else ''}"
        replaced = {name for name, _ in origin.headers}
        told = [h for h in headers if h[0] not in replaced] + list(origin.headers)
        body = await request.read(BODY_BYTES_MAX) if method not in ("GET", "HEAD") else b""
        for attempt in range(origin.attempts):
            try:
                answer = await self._outbound.send(
                    *(method, url, told, body),
                    connect_s=origin.connect_s,
                    read_s=origin.read_s,
                    remote=request.remote,
                )
                break
            except TimeoutError as e:
                if attempt + 1 == origin.attempts or body:
                    raise OriginDown(f"{place} does not answer", timeout=True) from e
            except OutboundError as e:
                if attempt + 1 == origin.attempts or body:
                    raise OriginDown(str(e)) from e
        length = answer.header("content-length")
        kept = [h for h in answer.headers if h[0] not in HOP and h[0] not in ("date", "server")]
        known = int(length) if length.isdigit() else -1
        if method == "HEAD" or answer.status in (204, 304):
            await answer.read(0)
            return Fetched(answer.status, kept, b"", known)
        return Fetched(answer.status, kept, answer.body, known, answer.close)


def _signer(distribution: Distribution, origin: Origin) -> tuple[Principal, dict[str, Any]]:
    """Who asks the bucket, and what its policy may ask about it."""
    kind, _, rest = origin.signer.partition(":")
    if kind == "oai":
        id_, _, canonical = rest.partition(":")
        arn = f"arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {id_}"
        return Principal("oai", "cloudfront", arn, id_, canonical), {}
    if kind == "oac":
        name = "cloudfront.amazonaws.com"
        context = {"aws:SourceArn": distribution.arn, "aws:SourceAccount": distribution.account}
        return Principal("service", distribution.account, name, name), context
    return ANONYMOUS, {}


def _forwarded(behaviour: Behaviour, request: HttpRequest, method: str) -> Headers:
    """The viewer's headers an origin gets, and those CloudFront adds."""
    select, asked = behaviour.forward_headers, request.headers
    headers = [
        (name, value)
        for name, value in asked.items()
        if name not in NEVER_FORWARDED and name != "cookie" and select.takes(name)
    ]
    if "host" in asked and select.takes("host") and select.mode != "none":
        headers.append(("host", asked["host"]))
    if method not in ("GET", "HEAD", "OPTIONS"):
        sent = {name for name, _ in headers}
        headers += [
            (name, asked[name])
            for name in ("content-type", "authorization", "content-encoding")
            if name in asked and name not in sent
        ]
    cookies = behaviour.forward_cookies.cookies(asked.get("cookie", ""))
    if cookies:
        headers.append(("cookie", cookies))
    names = {name for name, _ in headers}
    if "user-agent" not in names:
        headers.append(("user-agent", "Amazon CloudFront"))
    if "accept-encoding" not in names:
        headers.append(("accept-encoding", "identity"))
    known = asked.get("x-forwarded-for")
    headers = [h for h in headers if h[0] not in ("x-forwarded-for", "via")]
    chain = f"{known}, {request.remote}" if known else request.remote
    return [*headers, ("x-forwarded-for", chain), ("via", "1.1 pileus (CloudFront)")]


def _refused(status: int, code: str, message: str = "") -> Fetched:
    """S3's XML form of an error, as the bucket would have sent it."""
    text = message.replace("&", "&amp;").replace("<", "&lt;")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{text or code}</Message></Error>"
    ).encode()
    return Fetched(status, [("content-type", "application/xml")], body, len(body))


async def _from_bucket(found: dict[str, Any]) -> Fetched:
    headers: Headers = []
    for member, name in BUCKET_HEADERS:
        if found.get(member):
            headers.append((name, str(found[member])))
    modified = found.get("LastModified")
    if modified is not None:
        seconds = modified if isinstance(modified, int | float) else modified.timestamp()
        headers.append(("last-modified", formatdate(int(seconds), usegmt=True)))
    for name, value in (found.get("Metadata") or {}).items():
        headers.append((f"x-amz-meta-{name.lower()}", value))
    length = int(found.get("ContentLength") or -1) if "ContentLength" in found else -1
    body, known = await body_of(found.get("Body", b""), length)
    return Fetched(206 if found.get("ContentRange") else 200, headers, body, known)
