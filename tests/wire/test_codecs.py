"""Every operation of the services we speak, there and back against botocore's own codec."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import ResponseParserFactory
from botocore.serialize import create_serializer

from pileus.services.call import HttpRequest
from pileus.wire.names import SERVICES
from pileus.wire.protocols.scalars import read_time
from pileus.wire.router import Router
from tests.wire.door import MODELS

NAMES = [
    *("dynamodb", "dynamodbstreams", "logs", "events", "sqs", "kinesis", "lambda", "apigatewayv2"),
    *("s3", "cloudfront", "iam", "sts", "sns", "cloudformation", "cloudwatch", "scheduler"),
]
ROUNDS = 10
EMPTY: tuple[Any, ...] = (None, {}, [], "", b"")
TEXT = "abz09 -_.~<&>\"'é漢;,"
SERVICE_HANDLED = {
    ("s3", "ListDirectoryBuckets"),
    ("s3", "GetBucketLocation"),
    ("s3", "WriteGetObjectResponse"),
    ("s3", "SelectObjectContent"),
}


class Maker:
    """Random values of a shape, in the form the wire can carry and botocore gives back."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, shape: Any, depth: int = 0, plain: bool = False) -> Any:
        return getattr(self, "_" + shape.type_name, self._scalar)(shape, depth, plain)

    def _structure(self, shape: Any, depth: int, plain: bool) -> Any:
        if getattr(shape, "is_document_type", False):
            return {"free": [1, "x", None]}
        members = list(shape.members.items())
        if not members:
            return {}
        if getattr(shape, "is_tagged_union", False):
            members = [self.random.choice(members)]
        sure = self.random.choice(members)[0]
        out = {}
        for name, member in members:
            wanted = name == sure or name in shape.required_members or self.random.random() < 0.5
            if wanted and (depth < 5 or name in shape.required_members):
                told = member.serialization
                if told.get("eventstream") or told.get("hostLabel"):
                    continue
                location = told.get("location")
                value = self.value(member, depth + 1, plain or location is not None)
                if value not in ({}, []) or name in shape.required_members:
                    out[name] = value
        return out

    def _list(self, shape: Any, depth: int, plain: bool) -> Any:
        if depth > 8:
            return []
        return [
            self.value(shape.member, depth + 1, plain) for _ in range(self.random.randint(1, 3))
        ]

    def _map(self, shape: Any, depth: int, plain: bool) -> Any:
        if depth > 8:
            return {}
        return {
            f"k{i}": self.value(shape.value, depth + 1, plain)
            for i in range(self.random.randint(1, 3))
        }

    def _scalar(self, shape: Any, depth: int, plain: bool) -> Any:
        kind, choose = shape.type_name, self.random
        if kind in ("integer", "long"):
            return choose.randint(-5, 10**6)
        if kind in ("float", "double"):
            return choose.choice([0.5, -1.25, 3.0])
        if kind == "boolean":
            return choose.random() < 0.5
        if kind == "timestamp":
            return choose.randint(0, 2 * 10**9)
        if kind == "blob":
            return choose.randbytes(choose.randint(1, 20))
        if shape.serialization.get("jsonvalue"):
            return '{"a":1}'
        letters = "abcXYZ019-" if plain else TEXT
        return "x" + "".join(choose.choice(letters) for _ in range(choose.randint(0, 12))) + "y"


def same(a: Any, b: Any) -> bool:
    """Equal but for empty collections, which XML and query forms cannot always tell from none."""
    if isinstance(a, dict) and isinstance(b, dict):
        return all(same(a.get(k), b.get(k)) for k in a.keys() | b.keys())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (a in EMPTY and b in EMPTY)


def request_of(sent: dict[str, Any]) -> HttpRequest:
    path, _, fixed = sent["url_path"].partition("?")
    query, body = sent["query_string"], sent["body"]
    text = query if isinstance(query, str) else urlencode(query, doseq=True)
    if isinstance(body, dict):
        body = urlencode(body)
    headers = {k.lower(): str(v) for k, v in sent["headers"].items()}
    headers.setdefault("host", "localhost")
    return HttpRequest(
        sent["method"],
        path,
        "&".join(p for p in (fixed, text) if p),
        headers,
        body.encode() if isinstance(body, str) else bytes(body),
    )


def operations(name: str) -> list[Any]:
    model = MODELS.service(name)
    made = [model.operation_model(o) for o in model.operation_names]
    return [
        o
        for o in made
        if (name, o.name) not in SERVICE_HANDLED and not (o.deprecated and name == "s3")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_requests_of_botocore_are_read_and_routed(name):
    service = SERVICES[name]
    router = Router(MODELS)
    serializer = create_serializer(service.protocol, include_validation=False)
    codec = MODELS.codec(name, service.protocol)
    scope = f"AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/{service.signing}/aws4_request"
    for operation in operations(name):
        for seed in range(ROUNDS):
            if operation.input_shape is None:
                params = {}
            else:
                params = Maker(seed).value(operation.input_shape)
            request = request_of(serializer.serialize_to_request(params, operation))
            request.headers["authorization"] = scope
            route = router.route(request)
            assert (route.service.name, route.operation) == (name, operation.name)
            read = codec.operation(operation.name).parse(request, route.labels)
            for token, shape in (operation.input_shape.members if params else {}).items():
                if shape.metadata.get("idempotencyToken") and token not in params:
                    read.pop(token, None)
            assert same(read, params), (operation.name, seed, params, read)


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_read_by_botocore(name):
    service = SERVICES[name]
    codec = MODELS.codec(name, service.protocol)
    factory = ResponseParserFactory()
    factory.set_parser_defaults(timestamp_parser=read_time)
    parser = factory.create_parser(service.protocol)
    for operation in operations(name):
        shape = operation.output_shape
        if operation.has_event_stream_output:
            continue
        for seed in range(ROUNDS):
            answer = Maker(seed).value(shape) if shape is not None else {}
            for member, inner in (shape.members if shape is not None else {}).items():
                if inner.serialization.get("location") == "statusCode":
                    answer[member] = 201
            response = codec.operation(operation.name).serialise(answer, "request-1")
            headers = HeadersDict(response.headers)
            payload = shape.serialization.get("payload") if shape is not None else None
            blob = payload is not None and shape.members[payload].type_name == "blob"
            raw = {
                "status_code": response.status,
                "headers": headers,
                "body": b"" if blob else response.body,
                "context": {},
            }
            read = parser.parse(raw, shape)
            if blob:
                read[payload] = response.body
                answer.setdefault("ContentType", read.get("ContentType"))
                answer.pop("Expires", None)  # S3 sends it beside ExpiresString in one header
                read.pop("Expires", None)
            if operation.http.get("method") == "HEAD" and "ContentType" in read:
                answer.setdefault("ContentType", read["ContentType"])  # told without a body, too
            meta = read.pop("ResponseMetadata", {})
            assert meta.get("RequestId", "request-1") == "request-1"
            assert same(read, answer), (operation.name, seed, answer, read, response.body)


def test_names_agree_with_the_models():
    for name, told in SERVICES.items():
        metadata = MODELS.service(name).metadata
        signing = metadata.get("signingName", metadata["endpointPrefix"])
        assert (told.protocol, told.version) == (metadata["protocol"], metadata["apiVersion"])
        assert told.signing == signing
        assert told.target in ("", metadata.get("targetPrefix"))
        assert told.target or not told.protocol.endswith("json") or "rest" in told.protocol


def test_labels_are_raw_until_parsed():
    router = Router(MODELS)
    request = HttpRequest("GET", "/bucket/a%2Fb//c/", "", {"host": "localhost"})
    route = router.route(request)
    assert route.labels == {"Bucket": "bucket", "Key": "a%2Fb//c/"}
    assert unquote(route.labels["Key"]) == "a/b//c/"
