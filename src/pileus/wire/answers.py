"""Answers made whole: request ids and checksums added, errors put in the service's words."""

from __future__ import annotations

import binascii
import os
from typing import Any
from urllib.parse import unquote

import orjson

from pileus.errors import AwsError
from pileus.services.call import MISSING, HttpRequest, HttpResponse, Incomplete
from pileus.telemetry.histogram import THROTTLED
from pileus.wire import tables_address
from pileus.wire.failures import as_aws_error
from pileus.wire.models import Models
from pileus.wire.names import SERVICES, ServiceName
from pileus.wire.plan import Plan
from pileus.wire.protocols.rest_xml import host_id, raw_host_id
from pileus.wire.router import Route, Router
from pileus.wire.strangers import UnknownService, refuse

OWN = "/_pileus/"
_THROTTLES = frozenset(
    {
        *("ProvisionedThroughputExceededException", "ThrottlingException", "Throttling"),
        *("TooManyRequestsException", "RequestLimitExceeded", "SlowDown"),
    }
)


class Answers:
    """What a result or an error becomes. One per process."""

    def __init__(self, models: Models, router: Router, cells: list[float]) -> None:
        self._cells = cells
        self._models = models
        self._router = router
        self.table_prefix = os.urandom(20).hex().upper()

    def told_id(self, request_id: str) -> str:
        """A request id as DynamoDB tells it, 52 capitals and digits: the same counter at its
        end."""
        return self.table_prefix + request_id[-12:].upper()

    def finish(self, plan: Plan, result: Any, request_id: str) -> HttpResponse:
        if not isinstance(result, HttpResponse):
            if plan.codec is None:
                return HttpResponse(200, self._ids(plan.name, request_id))
            answer = plan.codec.serialise(result or {}, request_id)
            if isinstance(result, Incomplete):
                answer.headers.append((MISSING, result.missing))
            return answer
        if result.ready and plan.name.name == "s3":
            result.ready += object_ids(request_id)
            return result
        if result.ready and type(result.body) is bytes:
            result.ready = b"%bx-amzn-RequestId: %b\r\nx-amz-crc32: %d\r\n" % (
                result.ready,
                self.told_id(request_id).encode(),  # only DynamoDB's answers come like this
                binascii.crc32(result.body),
            )
            return result
        headers = [*result.headers, *self._ids(plan.name, request_id)]
        if plan.name.target[:6] == "Dynamo" and type(result.body) is bytes:
            headers.append(("x-amz-crc32", str(binascii.crc32(result.body))))
        result.headers = headers
        return result

    def _ids(self, service: ServiceName, request_id: str) -> list[tuple[str, str]]:
        if service.name == "s3":
            return [("x-amz-request-id", request_id), ("x-amz-id-2", host_id(request_id))]
        if service.target[:6] == "Dynamo":
            return [("x-amzn-RequestId", self.told_id(request_id))]
        return [("x-amzn-RequestId", request_id)]

    def failed(
        self, error: Exception, route: Route | None, request: HttpRequest, request_id: str
    ) -> HttpResponse:
        if isinstance(error, UnknownService):
            return refuse(request, error.service, request_id)
        if route is None and request.path.startswith(OWN):
            return _own(as_aws_error(error, SERVICES["dynamodb"], "", request_id, False))
        service = route.service if route is not None else self._guess(request)
        operation = route.operation if route is not None else ""
        told = as_aws_error(error, service, operation, request_id, bool(request.body))
        if told.code in _THROTTLES:
            self._cells[request.meter + THROTTLED] += 1
        protocol = route.protocol if route is not None else ""
        codec = self._models.codec(service.name, protocol)
        if service.target[:6] == "Dynamo":
            return self._table_error(told, codec, request, request_id)
        return codec.error(told, request_id, unquote(request.path))

    def _table_error(
        self, told: AwsError, codec: Any, request: HttpRequest, request_id: str
    ) -> HttpResponse:
        """DynamoDB's errors: in the JSON they were asked in, readable to any page."""
        if told.code == "RequestEntityTooLargeException":
            return tables_address.too_large()
        answer: HttpResponse = codec.error(told, self.told_id(request_id), "/")
        kind = ("content-type", tables_address.content_type(request))
        kept = [h for h in answer.headers if h[0] != "content-type"]
        answer.headers = [*kept, kind, *tables_address.cors(request)]
        return answer

    def _guess(self, request: HttpRequest) -> ServiceName:
        """The service of a request that could not be routed."""
        try:
            return self._router.service_of(request)
        except (AwsError, UnknownService):
            return SERVICES["sts"]


def _own(told: AwsError) -> HttpResponse:
    """An error of Pileus' own doors, in their JSON (docs/wide-table.md)."""
    code = told.code.removesuffix("Exception") if told.status == 503 else told.code
    headers = [("content-type", "application/json"), *told.headers]
    told_as = {"__type": code, "message": told.message}
    return HttpResponse(told.status, headers, orjson.dumps(told_as))


def object_ids(request_id: str) -> bytes:
    """Both ids of an answer of S3, as header lines."""
    told = request_id.encode()
    return b"x-amz-request-id: %b\r\nx-amz-id-2: %b\r\n" % (told, raw_host_id(told))
