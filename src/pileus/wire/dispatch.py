"""Calls from one service to another: authorised like a call from outside, without the wire."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from pileus.errors import AwsError
from pileus.services.call import Call, HttpRequest, HttpResponse, Principal
from pileus.wire.api import Api
from pileus.wire.failures import not_offered
from pileus.wire.names import SERVICES
from pileus.wire.protocols.scalars import read_time
from pileus.wire.strong import Patient, seen_by_all


class Dispatcher:
    """``services.call.Dispatch`` over an ``Api``. Operations that are only direct get the HTTP
    request a client would have sent and their answer is parsed back; a streaming body is handed
    over as it is."""

    def __init__(self) -> None:
        self._api: Api | None = None
        self._patient: Patient | None = None
        self._parsers: Any = None

    def connect(self, api: Api, barrier: Callable[[], Awaitable[int]] | None = None) -> None:
        """Services are built with the dispatcher before the door that knows them all exists.
        ``barrier``: what a strong read waits for on a cluster. Whoever must not read what is old
        has waited for one at the door; here it is for those that came by another."""
        self._api = api
        self._patient = Patient(barrier) if barrier is not None else None

    async def __call__(
        self,
        service: str,
        operation: str,
        params: dict[str, Any],
        *,
        principal: Principal,
        region: str = "",
        context: Mapping[str, Any] | None = None,
        invocation_id: bytes = b"",
    ) -> dict[str, Any]:
        api = self._api
        assert api is not None, "Dispatcher.connect(api) comes before the first call"
        target = api.services.get(service)
        run = None
        if target is not None:
            run = target.operations.get(operation) or target.direct.get(operation)
        if target is None or run is None:
            raise not_offered(SERVICES[service], operation)
        if self._patient is not None and seen_by_all(operation, params):
            await self._patient.wait()
        if context:
            told = (*principal.context, *((k, v) for k, v in context.items()))
            principal = dataclasses.replace(principal, context=told)
        call = Call(
            service,
            operation,
            principal,
            region or api.region,
            params,
            api.request_id(),
            invocation_id,
        )
        if operation not in target.operations:
            call.request, call.params = self._request(service, operation, params)
        api.authorizer.check(call, target.access(call))
        result = run(call)
        if not (result is None or isinstance(result, dict | HttpResponse)):
            result = await result
        if isinstance(result, HttpResponse):
            return self._parsed(service, operation, result)
        return result or {}

    def _request(
        self, service: str, operation: str, params: dict[str, Any]
    ) -> tuple[HttpRequest, dict[str, Any]]:
        """The request botocore would send, and the path labels a direct operation is given."""
        from botocore.serialize import create_serializer  # at its first use: see wire.models

        assert self._api is not None
        model = self._api.models.service(service)
        serializer = create_serializer(model.metadata["protocol"], include_validation=False)
        described = model.operation_model(operation)
        body = params.get("Body") if described.has_streaming_input else None
        given = {**params, "Body": b""} if body is not None else params
        sent = serializer.serialize_to_request(given, described)
        query = sent["query_string"]
        path, _, fixed = sent["url_path"].partition("?")
        text = query if isinstance(query, str) else urlencode(query, doseq=True)
        headers = {k.lower(): str(v) for k, v in sent["headers"].items()}
        headers.setdefault("host", "localhost")
        request = HttpRequest(
            sent["method"], path, "&".join(part for part in (fixed, text) if part), headers
        )
        if body is not None and not isinstance(body, bytes | str):
            request.stream = body
        else:
            raw = body if body is not None else sent["body"]
            request.body = raw.encode() if isinstance(raw, str) else bytes(raw or b"")
            headers["content-length"] = str(len(request.body))
        labels = {}
        shape = described.input_shape
        for name, member in (shape.members if shape is not None else {}).items():
            if member.serialization.get("location") == "uri" and name in params:
                labels[name] = params[name]
        return request, labels

    def _parser(self, answer: HttpResponse, protocol: str) -> tuple[Any, Any]:
        """The answer's headers as botocore has them, and what parses it."""
        from botocore.awsrequest import HeadersDict

        if self._parsers is None:
            from botocore.parsers import ResponseParserFactory

            self._parsers = ResponseParserFactory()
            self._parsers.set_parser_defaults(timestamp_parser=read_time)
        return HeadersDict(answer.headers), self._parsers.create_parser(protocol)

    def _parsed(self, service: str, operation: str, answer: HttpResponse) -> dict[str, Any]:
        assert self._api is not None
        model = self._api.models.service(service)
        shape = model.operation_model(operation).output_shape
        payload = shape.serialization.get("payload") if shape is not None else None
        blob = bool(payload) and shape.members[payload].type_name == "blob"
        # botocore would decode a blob body as text: it gets the headers only.
        raw = answer.body if isinstance(answer.body, bytes) else b""
        raw = b"" if blob and answer.status < 400 else raw
        headers, parser = self._parser(answer, model.metadata["protocol"])
        parsed = parser.parse(
            {"status_code": answer.status, "headers": headers, "body": raw, "context": {}}, shape
        )
        parsed.pop("ResponseMetadata", None)
        if answer.status >= 400:
            error = parsed.get("Error", {})
            code = error.pop("Code", "") or str(answer.status)
            message = error.pop("Message", "")
            raise AwsError(code, message, answer.status, fields=error)
        if answer.status == 304:
            raise AwsError("304", "Not Modified", 304, headers=tuple(answer.headers))
        if blob:
            parsed[payload] = answer.body
        return parsed  # type: ignore[no-any-return]
