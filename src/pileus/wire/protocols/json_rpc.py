"""awsJson1.0 and 1.1: POST /, X-Amz-Target names the operation (Smithy, "AWS JSON protocols").

Also rpcv2Cbor, which differs in the encoding of the body and in its headers only.
"""

from __future__ import annotations

import binascii
import math
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.protocols import scalars
from pileus.wire.protocols.operation import (
    Labels,
    OperationCodec,
    error_shape,
    error_status,
    message_member,
)
from pileus.wire.protocols.tree import TreeCodec, json_tree

_CORAL = frozenset(
    {
        "SerializationException",
        "UnknownOperationException",
        "UnrecognizedClientException",
        "MissingAuthenticationTokenException",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "AccessDeniedException",
    }
)

_CAPITAL = frozenset(
    {"SerializationException", "AccessDeniedException", "UnknownOperationException"}
)

_SQS = "AWS.SimpleQueueService."
# The codes of SQS's query days, which its clients still look for (SQS API reference, "Errors").
_QUERY_CODES = {
    "QueueDoesNotExist": _SQS + "NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    **{
        name: _SQS + name
        for name in (
            *("BatchEntryIdsNotDistinct", "BatchRequestTooLong", "EmptyBatchRequest"),
            *("InvalidBatchEntryId", "MessageNotInflight", "PurgeQueueInProgress"),
            *("QueueDeletedRecently", "TooManyEntriesInBatchRequest", "UnsupportedOperation"),
        )
    },
}


class JsonRpc:
    """One service over awsJson."""

    def __init__(self, model: Any) -> None:
        self._model = model
        version = model.metadata.get("jsonVersion", "1.0")
        self._type = f"application/x-amz-json-{version}"
        self._tree = json_tree()
        self._crc = model.service_name in ("dynamodb", "dynamodbstreams")
        prefix = model.metadata.get("targetPrefix", "")
        self._namespace = ""
        if self._crc:
            self._namespace = f"com.amazonaws.dynamodb.v{prefix.partition('_')[2]}#"
        elif "awsQueryCompatible" in model.metadata:
            self._namespace = f"com.amazonaws.{model.service_name}#"

    def compile(self, operation: Any) -> OperationCodec:
        shape, output = operation.input_shape, operation.output_shape
        read = self._tree.reader(shape) if shape is not None else None
        write = self._tree.writer(output) if output is not None else None

        def parse(request: HttpRequest, labels: Labels) -> dict[str, Any]:
            document = self.load(request.body)
            return read(document) if read is not None else {}

        def serialise(answer: dict[str, Any], request_id: str) -> HttpResponse:
            return self.response(200, answer if write is None else write(answer), request_id)

        return OperationCodec(operation.name, parse, serialise)

    def load(self, body: bytes) -> Any:
        """The document; an empty body is an empty structure."""
        if not body:
            return {}
        try:
            return orjson.loads(body)
        except (orjson.JSONDecodeError, RecursionError):
            raise scalars.bad("Unable to parse the request body as JSON") from None

    def response(self, status: int, document: Any, request_id: str) -> HttpResponse:
        body = orjson.dumps(document)
        headers = [("x-amzn-RequestId", request_id), ("content-type", self._type)]
        if self._crc:
            headers.append(("x-amz-crc32", str(binascii.crc32(body))))
        return HttpResponse(status, headers, body)

    def error(self, error: AwsError, request_id: str, resource: str) -> HttpResponse:
        shape = error_shape(self._model, error.code)
        document = error_document(self._tree, shape, error)
        text = document.get("message")
        if text == "" or (self._crc and (error.code in _CAPITAL or "Item" in document)):
            # Coral's own errors in DynamoDB say Message, and so do those that show an item; what
            # has no text says nothing.
            document.pop("message", None)
            document |= {"Message": text} if text else {}
        document = {"__type": self._full_name(shape, error.code), **document}
        answer = self.response(error_status(shape, error), document, request_id)
        add_error_headers(answer, self._model, shape, error)
        return answer

    def _full_name(self, shape: Any, code: str) -> str:
        if not self._namespace:
            return str(shape.name) if shape is not None else code
        if code == "ValidationException" and self._crc:
            return "com.amazon.coral.validate#ValidationException"
        if shape is None or code in _CORAL:
            return f"com.amazon.coral.service#{code}"
        return f"{self._namespace}{shape.name}"


def error_document(tree: TreeCodec, shape: Any, error: AwsError) -> dict[str, Any]:
    """Message and modelled members of an error."""
    document: dict[str, Any] = dict(error.fields)
    if shape is not None and document:
        write = tree.writer(shape)
        document = write(document) if write is not None else document
    document.setdefault(message_member(shape), error.message)
    return document


def add_error_headers(answer: HttpResponse, model: Any, shape: Any, error: AwsError) -> None:
    """``x-amzn-query-error`` for services that once spoke query, and the error's own headers."""
    if "awsQueryCompatible" in model.metadata:
        told = (shape.metadata.get("error") or {}) if shape is not None else {}
        code = told.get("code") or _QUERY_CODES.get(error.code, error.code)
        fault = "Sender" if answer.status < 500 else "Receiver"
        answer.headers.append(("x-amzn-query-error", f"{code};{fault}"))
    answer.headers.extend(error.headers)


class CborRpc(JsonRpc):
    """One service over rpcv2Cbor (Smithy RPC v2)."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        read = dict(scalars.READ_JSON)
        read["blob"] = _read_bytes
        read["float"] = read["double"] = _read_float
        self._tree = TreeCodec(read, _tag_time, None, None)
        self._namespace = ""

    def load(self, body: bytes) -> Any:
        import cbor2  # costs nothing to the services that never speak it

        if not body:
            return {}
        try:
            return cbor2.loads(body)
        except Exception:  # its decoder raises of many kinds; all mean the same to the caller
            raise scalars.bad("Unable to parse the request body as CBOR") from None

    def response(self, status: int, document: Any, request_id: str) -> HttpResponse:
        import cbor2

        headers = [
            ("x-amzn-RequestId", request_id),
            ("smithy-protocol", "rpc-v2-cbor"),
            ("content-type", "application/cbor"),
        ]
        return HttpResponse(status, headers, cbor2.dumps(document, datetime_as_timestamp=True))


def _tag_time(value: Any) -> datetime:
    return datetime.fromtimestamp(float(scalars.seconds(value)), UTC)


def _read_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    raise scalars.wrong(value, "java.nio.ByteBuffer")


def _read_float(value: Any) -> float | int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if isinstance(value, int) or not math.isnan(value) else float("nan")
    raise scalars.wrong(value, "java.lang.Double")
