"""restJson1: Lambda, API Gateway (Smithy, "AWS restJson1 protocol")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import HttpResponse
from pileus.wire.protocols import scalars
from pileus.wire.protocols.json_rpc import error_document
from pileus.wire.protocols.rest import Rest
from pileus.wire.protocols.tree import json_tree


def load(body: bytes) -> Any:
    """The document; an empty body is an empty structure."""
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise scalars.bad("Could not parse request body into json") from None


class RestJson(Rest):
    content_type = "application/json"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._tree = json_tree()

    def body_reader(self, members: dict[str, Any], required: list[str]) -> Callable[..., Any]:
        read = self._tree.structure_reader(members, required)
        return lambda body: read(load(body))

    def payload_reader(self, shape: Any) -> Callable[[bytes], Any]:
        read = self._tree.reader(shape)
        return lambda body: read(load(body))

    def body_writer(self, operation: Any, members: dict[str, Any]) -> Callable[..., bytes]:
        """Members in the body; an operation without output answers no body at all."""
        if operation.output_shape is None:
            return lambda answer: b""
        write = self._tree.structure_writer(members)
        names = frozenset(members)
        status = int(operation.http.get("responseCode", 200))
        if status == 204:
            return lambda answer: b""

        def body(answer: dict[str, Any]) -> bytes:
            mine = {k: v for k, v in answer.items() if k in names}
            return orjson.dumps(write(mine) if write is not None else mine)

        return body

    def payload_writer(self, shape: Any) -> Callable[[Any], bytes]:
        write = self._tree.writer(shape)
        return lambda value: orjson.dumps(write(value) if write is not None else value)

    def error(self, error: AwsError, request_id: str, resource: str) -> HttpResponse:
        shape, status = self.modelled(error)
        document = error_document(self._tree, shape, error)
        if self.model.service_name == "lambda":
            document.setdefault("Type", "User" if status < 500 else "Service")
            if error.fields.get("Type", "") is None:  # a few do not tell it
                del document["Type"]
        headers = self.request_headers(request_id)
        headers.append(("x-amzn-ErrorType", shape.name if shape is not None else error.code))
        headers.append(("content-type", self.content_type))
        headers.extend(error.headers)
        return HttpResponse(status, headers, orjson.dumps(document))
