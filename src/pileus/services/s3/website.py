"""The web site door: a bucket's pages for browsers, as the public may read them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html
Hosts ``BUCKET.s3-website.localhost`` and AWS's forms; path form ``/_site/BUCKET/…``.
"""

from __future__ import annotations

import os
from base64 import b64encode
from html import escape
from typing import Any
from urllib.parse import quote, unquote

import orjson

from pileus.errors import AwsError
from pileus.services.call import (
    ANONYMOUS,
    Dispatch,
    FileBody,
    Headers,
    HttpRequest,
    HttpResponse,
    Parts,
)
from pileus.services.s3 import rows
from pileus.services.s3.conditions import check_read
from pileus.services.s3.headers import http_date
from pileus.services.s3.rows import Meta

_PREFIX = "/_site/"
_SENT = {
    "ContentType": "content-type",
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ETag": "etag",
    "AcceptRanges": "accept-ranges",
    "ContentRange": "content-range",
    "VersionId": "x-amz-version-id",
}
_STATUS = {
    200: "OK",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    400: "Bad Request",
    412: "Precondition Failed",
    416: "Requested Range Not Satisfiable",
    503: "Service Unavailable",
}


class Website:
    """Serves every bucket's site in this process."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._dispatch: Dispatch = parts.dispatch
        self._region = parts.config.region
        self.clock = parts.clock

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """One page, redirect or error page."""
        name, key, base = self._place(request)
        if request.method not in ("GET", "HEAD"):
            fault = AwsError(
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                405,
                fields={"Method": request.method, "ResourceType": "OBJECT"},
                headers=(("allow", "HEAD, GET"),),
            )
            return self.page(fault)
        site = self._site(name)
        if isinstance(site, AwsError):
            return self.page(site)
        return await _Visit(self, request, name, base, site).answer(key)

    def _place(self, request: HttpRequest) -> tuple[str, str, str]:
        """(bucket, key, what stands before the key in addresses)."""
        path = unquote(request.path)
        if path.startswith(_PREFIX):
            name, _, key = path[len(_PREFIX) :].partition("/")
            return name, key, f"{_PREFIX}{name}/"
        host = request.headers.get("host", "").lower().rsplit(":", 1)[0]
        return host.split(".s3-website", 1)[0], path[1:], "/"

    def _site(self, name: str) -> dict[str, Any] | AwsError:
        """The website configuration, or why there is none."""
        if self._store.get(rows.bucket(name)) is None:
            return AwsError(
                "NoSuchBucket",
                "The specified bucket does not exist",
                404,
                fields={"BucketName": name},
            )
        told = self._store.get(rows.setting(name, "website"))
        if told is None:
            return AwsError(
                "NoSuchWebsiteConfiguration",
                "The specified bucket does not have a website configuration",
                404,
                fields={"BucketName": name},
            )
        return dict(orjson.loads(told))

    async def read(
        self, operation: str, name: str, key: str, more: dict[str, Any]
    ) -> dict[str, Any]:
        """The object, as anyone may have it."""
        params = {"Bucket": name, "Key": key, **more}
        return await self._dispatch(
            "s3", operation, params, principal=ANONYMOUS, region=self._region
        )

    def page(
        self, error: AwsError, document: str = "", second: AwsError | None = None
    ) -> HttpResponse:
        """An error page like S3's. ``second``: why there is no error ``document``."""
        identifier, more = (self.clock.random_bytes(n) for n in (8, 57))
        ids = {"RequestId": identifier.hex().upper(), "HostId": b64encode(more).decode()}
        title = f"{error.status} {_STATUS.get(error.status, 'Error')}"
        told = {"Code": error.code, "Message": error.message, **error.fields, **ids}
        items = "".join(f"<li>{escape(str(k))}: {escape(str(v))}</li>\n" for k, v in told.items())
        text = f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n"
        text += f"<ul>\n{items}</ul>\n"
        if second is not None:
            text += (
                "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n"
                "<ul>\n"
                f"<li>Code: {escape(second.code)}</li>\n"
                f"<li>Message: {escape(second.message)}</li>\n"
                f"<li>Key: {escape(document)}</li>\n</ul>\n"
            )
        text += "<hr/>\n</body>\n</html>\n"
        headers = [
            ("content-type", "text/html; charset=utf-8"),
            ("x-amz-request-id", ids["RequestId"]),
            ("x-amz-id-2", ids["HostId"]),
            ("x-amz-error-code", error.code),
            ("x-amz-error-message", error.message),
            *error.headers,
        ]
        return HttpResponse(error.status, headers, text.encode())


class _Visit:
    """One request to one site."""

    def __init__(
        self, door: Website, request: HttpRequest, name: str, base: str, site: dict[str, Any]
    ) -> None:
        self._door, self._request, self._name, self._base = door, request, name, base
        self._site = site
        self._suffix = (site.get("IndexDocument") or {}).get("Suffix", "index.html")

    async def answer(self, key: str) -> HttpResponse:
        everything = self._site.get("RedirectAllRequestsTo")
        if everything is not None:
            protocol = everything.get("Protocol") or self._request.scheme
            return _redirect(301, f"{protocol}://{everything['HostName']}/{self._tail(key)}")
        for rule in self._site.get("RoutingRules") or []:
            condition = rule.get("Condition") or {}
            if "HttpErrorCodeReturnedEquals" not in condition and self._fits(condition, key):
                return self._follow(rule, key)
        try:
            return await self._object(self._index(key), self._range())
        except AwsError as error:
            return await self._failed(key, error)

    def _tail(self, key: str) -> str:
        query = self._request.query
        return quote(key) + (f"?{query}" if query else "")

    def _index(self, key: str) -> str:
        return key + self._suffix if not key or key.endswith("/") else key

    def _range(self) -> dict[str, Any]:
        told = self._request.headers.get("range")
        return {"Range": told} if told else {}

    def _unchanged(self, found: dict[str, Any]) -> bool:
        """Whether the browser has it already (the conditions are judged here: a dispatched 304
        could not be told from an answer)."""
        etag = str(found.get("ETag", "")).strip('"')
        when = found.get("LastModified")
        stamp = int(float(when or 0) * 1000)
        return check_read(
            self._request.headers, Meta(etag, 0, stamp, {}), self._door.clock.now_ms()
        )

    async def _object(self, key: str, more: dict[str, Any], status: int = 200) -> HttpResponse:
        operation = "HeadObject" if self._request.method == "HEAD" else "GetObject"
        found = await self._door.read(operation, self._name, key, more)
        target = found.get("WebsiteRedirectLocation")
        if target:  # an error document's, too: the status is lost then, as on S3
            close(found.get("Body"))
            if target.startswith("/"):
                target = self._base.rstrip("/") + target
            return _redirect(301, target)
        try:
            if status == 200 and self._unchanged(found):
                close(found.get("Body"))
                return HttpResponse(304, _sent(found, 304).headers[:-1])
        except AwsError:
            close(found.get("Body"))
            raise
        return _sent(found, 206 if found.get("ContentRange") else status)

    async def _failed(self, key: str, error: AwsError) -> HttpResponse:
        """Not to be had: 304, a directory, a routing rule, the error document, or a plain page."""
        absent = error.status in (403, 404) and key and not key.endswith("/")
        if absent and await self._exists(f"{key}/{self._suffix}"):
            return _redirect(302, f"{self._base}{quote(key)}/")
        for rule in self._site.get("RoutingRules") or []:
            condition = rule.get("Condition") or {}
            if condition.get("HttpErrorCodeReturnedEquals") == str(error.status) and self._fits(
                condition, key
            ):
                return self._follow(rule, key)
        document = (self._site.get("ErrorDocument") or {}).get("Key")
        if document and 400 <= error.status < 500 and error.status not in (412, 416):
            try:
                return await self._object(document, {}, error.status)
            except AwsError as second:
                return self._door.page(error, document, second)
        return self._door.page(error)

    async def _exists(self, key: str) -> bool:
        try:
            await self._door.read("HeadObject", self._name, key, {})
        except AwsError:
            return False
        return True

    @staticmethod
    def _fits(condition: dict[str, Any], key: str) -> bool:
        return key.startswith(condition.get("KeyPrefixEquals") or "")

    def _follow(self, rule: dict[str, Any], key: str) -> HttpResponse:
        redirect, condition = rule["Redirect"], rule.get("Condition") or {}
        if redirect.get("ReplaceKeyWith") is not None:
            key = redirect["ReplaceKeyWith"]
        elif redirect.get("ReplaceKeyPrefixWith") is not None:
            prefix = condition.get("KeyPrefixEquals") or ""
            key = redirect["ReplaceKeyPrefixWith"] + key[len(prefix) :]
        host = redirect.get("HostName")
        scheme = redirect.get("Protocol") or self._request.scheme
        status = int(redirect.get("HttpRedirectCode") or 301)
        if host:
            return _redirect(status, f"{scheme}://{host}/{quote(key)}")
        here = self._request.headers.get("host", "localhost")
        return _redirect(status, f"{scheme}://{here}{self._base}{quote(key)}")


def close(body: Any) -> None:
    """Give back the descriptor of a body that is not sent."""
    if isinstance(body, FileBody):
        os.close(body.fd)


def _redirect(status: int, target: str) -> HttpResponse:
    return HttpResponse(status, [("location", target)])


def _sent(found: dict[str, Any], status: int) -> HttpResponse:
    """A dispatched GetObject's answer as an HTTP one."""
    headers: Headers = [(_SENT[n], str(found[n])) for n in _SENT if found.get(n)]
    if found.get("LastModified") is not None:
        headers.append(("last-modified", http_date(int(float(found["LastModified"]) * 1000))))
    for name, value in (found.get("Metadata") or {}).items():
        headers.append((f"x-amz-meta-{name}", value))
    length = int(found.get("ContentLength") or 0)
    headers.append(("content-length", str(length)))
    return HttpResponse(status, headers, found.get("Body") or b"", length)
