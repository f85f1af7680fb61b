"""Which door a request goes through, and which AWS operation it names.

What no door claims (``doors``) is the AWS API's. There the service is named by X-Amz-Target, a
Smithy
RPC path, the credential scope, a query protocol's Version, a known path, else it is S3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pileus.services.call import HttpRequest
from pileus.wire.doors import HOSTS_MAX, Doors
from pileus.wire.hosts import bucket_of_host
from pileus.wire.models import Models
from pileus.wire.names import BY_SIGNING, BY_TARGET, BY_VERSION, SERVICES, ServiceName
from pileus.wire.protocols.query import form
from pileus.wire.rest_paths import RestPaths
from pileus.wire.strangers import UnknownService
from pileus.wire.tables_address import is_host, is_stray

_NO_LABELS: dict[str, str] = {}
_HEADER_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/]*/([a-z0-9-]+)/")
_QUERY_SCOPE = re.compile(
    r"(?:^|&)X-Amz-Credential=[^&]*?(?:%2F|/)\d{8}(?:%2F|/)[^&/%]*(?:%2F|/)([a-z0-9-]+)(?:%2F|/)",
    re.IGNORECASE,
)
_RPC = re.compile(r"/service/([A-Za-z0-9_]+)/operation/([A-Za-z0-9_]+)/?\Z")
_DATED = re.compile(r"/(20\d\d-\d\d-\d\d)/([a-z-]+)")
_FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Route:
    """One AWS operation. ``operation`` is '' where the request names none the model knows;
    ``labels`` are raw path labels."""

    service: ServiceName
    operation: str
    protocol: str
    labels: dict[str, str]
    asked: str = ""
    plan: Any = None  # what the door found out about this operation


# DynamoDB, asked for nothing it knows: ``tables_address`` answers.
STRAY = Route(SERVICES["dynamodb"], "", "json", _NO_LABELS)


class Router(Doors):
    """The doors, and which AWS operation a request names that none of them claims."""

    def __init__(self, models: Models) -> None:
        super().__init__()
        self._models = models
        self._paths: dict[str, RestPaths] = {}
        self.targets: dict[str | None, Route] = {}  # by X-Amz-Target, as far as seen
        self._objects: dict[str, str] = {}
        self._bucket_hosts: dict[str, str] = {}

    def route(self, request: HttpRequest) -> Route:
        """The AWS operation. Query-protocol requests must have their body read."""
        headers = request.headers
        target = headers.get("x-amz-target")
        if target is not None:
            known = self.targets.get(target)
            if known is not None:
                return known
            prefix, _, operation = target.rpartition(".")
            service = BY_TARGET.get(prefix)
            if service is not None:
                return self.remember(target, Route(service, operation, "json", _NO_LABELS))
        if "smithy-protocol" in headers:
            rpc = _RPC.match(request.path)
            if rpc is not None and rpc[1] in BY_TARGET:
                return Route(BY_TARGET[rpc[1]], rpc[2], "smithy-rpc-v2-cbor", _NO_LABELS)
        host = headers.get("host", "")
        if is_host(host) or (is_stray(request) and not bucket_of_host(host)):
            return STRAY
        service = self.service_of(request)
        if service.name == "dynamodb":
            return STRAY
        if service.protocol.startswith("rest"):
            return self._rest(request, service)
        return self._action(request, service)

    def remember(self, target: str, route: Route) -> Route:
        """Keep a target's route (bounded: the client chooses the text)."""
        if len(self.targets) >= HOSTS_MAX:
            self.targets.clear()
        self.targets[target] = route
        return route

    def service_of(self, request: HttpRequest) -> ServiceName:
        """The service by credential scope, query protocol or path; S3 when nothing tells.
        Raises ``UnknownService`` for a scope of a service that is not known here."""
        scope = _HEADER_SCOPE.search(request.headers.get("authorization", ""))
        if scope is None and "X-Amz-Credential" in request.query:
            scope = _QUERY_SCOPE.search(request.query)
        if scope is not None and scope[1] in BY_SIGNING:
            return _by_path(BY_SIGNING[scope[1]], request.path)
        if scope is not None:
            raise UnknownService(scope[1])
        if request.path == "/" and is_form(request):
            return BY_VERSION.get(form(request).get("Version", ""), SERVICES["s3"])
        if scope is None:
            dated = _DATED.match(request.path)
            if dated is not None:
                return SERVICES["cloudfront" if dated[1] == "2020-05-31" else "lambda"]
            if request.path.startswith("/v2/"):
                return SERVICES["apigatewayv2"]
        return SERVICES["s3"]

    def _action(self, request: HttpRequest, service: ServiceName) -> Route:
        """A query request: Action names the operation."""
        operation = form(request).get("Action", "")
        return Route(service, operation, "query", _NO_LABELS, operation)

    def _rest(self, request: HttpRequest, service: ServiceName) -> Route:
        path = request.path
        asked = f"{request.method} {path}"
        if service.name == "s3":
            known = self._known_object(request)
            if known is not None:
                return known
            bucket = bucket_of_host(request.headers.get("host", ""))
            if bucket:
                path = f"/{bucket}{path}"
            special = _s3_special(request)
            if special:
                name, _, key = path[1:].partition("/")
                return Route(service, special, "rest-xml", {"Bucket": name, "Key": key}, asked)
        found = self.paths(service.name).match(request, path)
        if found is None:
            return Route(service, "", service.protocol, _NO_LABELS, asked)
        return Route(service, found[0], service.protocol, found[1], asked)

    def _known_object(self, request: HttpRequest) -> Route | None:
        """A path-style request for an object that only method and path tell apart: GET, PUT, …"""
        query = request.query
        if query and ("&" in query or query[:5] != "x-id="):
            return None
        headers = request.headers
        if "x-amz-copy-source" in headers or request.method in ("OPTIONS", "POST"):
            return None
        host = headers.get("host", "")
        named = self._bucket_hosts.get(host)
        if named is None:
            if len(self._bucket_hosts) >= HOSTS_MAX:
                self._bucket_hosts.clear()
            named = self._bucket_hosts[host] = bucket_of_host(host)
        if named:
            return None
        bucket, _, key = request.path[1:].partition("/")
        if not bucket or not key:
            return None
        operation = self._objects.get(request.method)
        if operation is None:
            found = self.paths("s3").match(request, request.path)
            if found is None:
                return None
            operation = self._objects[request.method] = found[0]
        labels = {"Bucket": bucket, "Key": key}
        return Route(SERVICES["s3"], operation, "rest-xml", labels, "")

    def paths(self, service: str) -> RestPaths:
        """The compiled paths of a REST service."""
        found = self._paths.get(service)
        if found is None:
            found = self._paths[service] = RestPaths(self._models.service(service))
        return found


def is_form(request: HttpRequest) -> bool:
    """A query-protocol request by its looks."""
    if request.method == "POST":
        return request.headers.get("content-type", "").startswith(_FORM)
    return "Action=" in request.query


def _by_path(service: ServiceName, path: str) -> ServiceName:
    """Services that share a signing name are told apart by their paths."""
    if service.signing == "apigateway":
        return SERVICES["apigatewayv2" if path.startswith("/v2/") else "apigateway"]
    if service.name == "s3" and path.startswith("/v20180820/"):
        return SERVICES["s3control"]
    if service.name == "ses" and path.startswith("/v2/"):
        return SERVICES["sesv2"]
    return service


def _s3_special(request: HttpRequest) -> str:
    """S3's two operations outside its model: browser forms and CORS preflights."""
    if request.method == "OPTIONS":
        return "PreflightRequest"
    if request.method == "POST" and request.headers.get("content-type", "").startswith(
        "multipart/form-data"
    ):
        return "PostObject"
    return ""
