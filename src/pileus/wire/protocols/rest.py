"""restJson1 and restXml: members travel in path, query string, headers and body (Smithy, "HTTP
binding traits")."""

from __future__ import annotations

import base64
import binascii
import email.utils
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.protocols import scalars
from pileus.wire.protocols.operation import (
    Labels,
    OperationCodec,
    error_shape,
    error_status,
    plain_label,
)
from pileus.wire.protocols.scalars import READ_TEXT, Missing, lower_first, text_writer

QUERY_FIELDS_MAX = 2_000
Query = dict[str, list[str]]
Take = Callable[[HttpRequest, Labels, Query], Any]
Put = Callable[[Any, list[tuple[str, str]]], None]


class Rest:
    """What restJson1 and restXml share: everything but the body's encoding."""

    content_type = ""

    def __init__(self, model: Any) -> None:
        self.model = model

    # Bodies: the two protocols differ here.
    def body_reader(self, members: dict[str, Any], required: list[str]) -> Callable[..., Any]:
        """bytes → the members that travel in the body."""
        raise NotImplementedError

    def payload_reader(self, shape: Any) -> Callable[[bytes], Any]:
        """bytes → the structure that is the whole body."""
        raise NotImplementedError

    def body_writer(self, operation: Any, members: dict[str, Any]) -> Callable[..., bytes]:
        raise NotImplementedError

    def payload_writer(self, shape: Any) -> Callable[[Any], bytes]:
        raise NotImplementedError

    def request_headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-amzn-RequestId", request_id)]

    def integer(self, wire: str, text: str) -> int:
        """The value of the query's member ``wire``; an error in the protocol's words."""
        return int(READ_TEXT["integer"](text))

    # --- operations --------------------------------------------------------------------------
    def compile(self, operation: Any) -> OperationCodec:
        shape = operation.input_shape
        payload = shape.serialization.get("payload") if shape is not None else None
        member = shape.members.get(payload) if payload else None
        streams = (
            member is not None and member.type_name == "blob" and operation.has_streaming_input
        )
        return OperationCodec(
            operation.name, self._parser(shape, payload), self._serialiser(operation), streams
        )

    def _parser(
        self, shape: Any, payload: str | None
    ) -> Callable[[HttpRequest, Labels], dict[str, Any]]:
        if shape is None:
            return lambda request, labels: {}
        takes: list[tuple[str, Take]] = []
        in_body: dict[str, Any] = {}
        for name, member in shape.members.items():
            if name == payload:
                continue
            take = _taker(name, member, self.integer)
            if take is not None:
                takes.append((name, take))
            else:
                in_body[name] = member
        required = shape.required_members
        read_body: Callable[[bytes], Any] | None = None
        if payload is None and in_body:
            read_body = self.body_reader(in_body, required)
        read_payload = self._payload_taker(shape.members[payload]) if payload else None
        wants_query = any(
            m.serialization.get("location") == "querystring" for m in shape.members.values()
        )
        minted = [n for n, m in shape.members.items() if m.metadata.get("idempotencyToken")]
        needed = [n for n in required if n not in minted]

        def parse(request: HttpRequest, labels: Labels) -> dict[str, Any]:
            query = query_of(request.query) if wants_query and request.query else {}
            out = read_body(request.body) if read_body is not None else {}
            for name, take in takes:
                value = take(request, labels, query)
                if value is not None:
                    out[name] = value
            if read_payload is not None:
                value = read_payload(request)
                if value is not None:
                    out[payload] = value
            for name in needed:
                if name not in out:
                    raise Missing(lower_first(name))
            for name in minted:
                if name not in out:
                    out[name] = scalars.uuid_text()
            return out

        return parse

    def _payload_taker(self, shape: Any) -> Callable[[HttpRequest], Any]:
        if shape.type_name == "blob":
            return lambda request: request.body if request.stream is None else request.stream
        if shape.type_name == "string":
            return lambda request: _text(request.body) if request.body else None
        read = self.payload_reader(shape)
        return lambda request: read(request.body) if request.body else None

    def _serialiser(self, operation: Any) -> Callable[[dict[str, Any], str], HttpResponse]:
        output = operation.output_shape
        status = int(operation.http.get("responseCode", 200))
        puts: list[tuple[str, Put]] = []
        in_body: dict[str, Any] = {}
        payload = output.serialization.get("payload") if output is not None else None
        status_member = None
        for name, member in (output.members if output is not None else {}).items():
            location = member.serialization.get("location")
            if location == "statusCode":
                status_member = name
            elif location in ("header", "headers"):
                puts.append((name, _putter(name, member)))
            elif name != payload:
                in_body[name] = member
        write = self._answer_body(operation, payload, in_body)
        kind = self._answer_type(output, payload)
        heads = operation.http["method"] == "HEAD"  # observed of HeadBucket: tells a type, no body

        def serialise(answer: dict[str, Any], request_id: str) -> HttpResponse:
            headers = self.request_headers(request_id)
            for name, put in puts:
                value = answer.get(name)
                if value is not None:
                    put(value, headers)
            code = answer.get(status_member) or status if status_member else status
            body = write(answer)
            typed = kind and (heads or body != b"")
            if typed and not any(n.lower() == "content-type" for n, _ in headers):
                headers.append(("content-type", kind))
            return HttpResponse(code, headers, body)

        return serialise

    def _answer_type(self, output: Any, payload: str | None) -> str:
        shape = output.members[payload] if payload else None
        if shape is not None and shape.type_name == "blob" and self.content_type.endswith("xml"):
            return "binary/octet-stream"
        return self.content_type

    def _answer_body(
        self, operation: Any, payload: str | None, in_body: dict[str, Any]
    ) -> Callable[[dict[str, Any]], Any]:
        output = operation.output_shape
        if payload:
            shape = output.members[payload]
            if shape.type_name == "blob":
                return lambda answer: answer.get(payload) or b""
            if shape.type_name == "string":
                return lambda answer: str(answer.get(payload) or "").encode()
            write = self.payload_writer(shape)
            return lambda answer: write(answer[payload]) if answer.get(payload) is not None else b""
        return self.body_writer(operation, in_body)

    def modelled(self, error: AwsError) -> tuple[Any, int]:
        shape = error_shape(self.model, error.code)
        return shape, error_status(shape, error)


def query_of(text: str) -> Query:
    """The query string's values by name; percent-decoded, ``+`` is a space."""
    out: Query = {}
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX):
            out.setdefault(name, []).append(value)
    except ValueError:
        raise AwsError("InvalidRequest", "The query string has too many parameters") from None
    return out


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise scalars.bad("The request body is not valid UTF-8") from None


def _taker(name: str, shape: Any, integer: Callable[[str, str], int]) -> Take | None:
    """How a member outside the body is read; None for one in the body."""
    told = shape.serialization
    location, wire = told.get("location"), told.get("name", name)
    if location == "uri":
        convert = READ_TEXT[shape.type_name]
        return lambda request, labels, query: (
            convert(plain_label(labels[wire])) if wire in labels else None
        )
    if location == "querystring":
        return _query_taker(wire, shape, integer)
    if location == "header":
        read = _header_reader(shape)
        lower = wire.lower()
        return lambda request, labels, query: (
            read(request.headers[lower]) if lower in request.headers else None
        )
    if location == "headers":
        prefix = told.get("name", "").lower()
        return lambda request, labels, query: {
            k[len(prefix) :]: v for k, v in request.headers.items() if k.startswith(prefix)
        }
    return None


def _query_taker(wire: str, shape: Any, integer: Callable[[str, str], int]) -> Take:
    kind = shape.type_name
    if kind == "list":
        convert = READ_TEXT[shape.member.type_name]
        return lambda request, labels, query: (
            [convert(v) for v in query[wire]] if wire in query else None
        )
    if kind == "map":
        many = shape.value.type_name == "list"

        def rest(request: HttpRequest, labels: Labels, query: Query) -> dict[str, Any]:
            return {k: (v if many else v[0]) for k, v in query.items()}

        return rest
    if kind in ("integer", "long"):  # ``max-keys=`` tells as much as no max-keys
        return lambda request, labels, query: (
            integer(wire, query[wire][0]) if query.get(wire, ("",))[0] else None
        )
    convert = READ_TEXT[kind]
    return lambda request, labels, query: convert(query[wire][0]) if wire in query else None


def _header_reader(shape: Any) -> Callable[[str], Any]:
    if shape.serialization.get("jsonvalue"):
        return _read_json_value
    if shape.type_name == "list":
        convert = READ_TEXT[shape.member.type_name]
        if shape.member.type_name == "timestamp":
            return lambda text: [convert(text)]
        return lambda text: [convert(part.strip()) for part in text.split(",") if part.strip()]
    if shape.type_name == "string":
        return str
    convert_one = READ_TEXT[shape.type_name]
    return lambda text: convert_one(text.strip())


def _read_json_value(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        raise scalars.bad("A header is not base64 of JSON") from None


def _putter(name: str, shape: Any) -> Put:
    """How a member is put into the answer's headers."""
    told = shape.serialization
    wire = told.get("name", name)
    if told.get("location") == "headers":
        prefix = told.get("name", "")
        return lambda value, headers: headers.extend((prefix + k, str(v)) for k, v in value.items())
    if told.get("jsonvalue"):
        return lambda value, headers: headers.append((wire, _json_value(value)))
    if shape.type_name == "list":
        write = text_writer(shape.member.type_name, "rfc822")
        return lambda value, headers: headers.append((wire, ",".join(write(v) for v in value)))
    form = told.get("timestampFormat", "rfc822").lower()
    if shape.type_name == "timestamp" and form == "rfc822":
        return lambda value, headers: headers.append((wire, _http_date(value)))
    write_one = text_writer(shape.type_name, form)
    return lambda value, headers: headers.append((wire, write_one(value)))


def _http_date(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else email.utils.formatdate(int(scalars.seconds(value)), usegmt=True)
    )


def _json_value(value: Any) -> str:
    data = value.encode() if isinstance(value, str) else orjson.dumps(value)
    return base64.b64encode(data).decode()
