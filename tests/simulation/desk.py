"""The services in this process, called without a door: parameters in, parsed answers out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from pileus.config import Config
from pileus.services import dynamodb, s3
from pileus.services.call import Call, FileBody, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.dynamodb import streams
from pileus.services.dynamodb.chores import Chores
from pileus.services.dynamodb.room import Room
from pileus.services.vault import Vault
from pileus.state.collect import Collector

ACCOUNT = "000000000000"
OWNER = Principal.owner(ACCOUNT)
METHODS = {"PutObject": "PUT", "UploadPart": "PUT", "DeleteObject": "DELETE", "HeadObject": "HEAD"}


class Desk:
    """Services over one store. A call carries ``invocation_id``, the SDK's retry id."""

    def __init__(self, store: Any, blobs: Any, clock: Any) -> None:
        self.blobs = blobs
        config = Config(home=Path("/nonexistent"))
        parts = Parts(store, blobs, clock, config, self.dispatch, background=False)
        parts.vault = Vault(bytes(32))
        self._dynamodb = dynamodb.build(parts)
        self._streams = streams.build(parts)
        self._s3 = s3.build(parts)
        self.chores = Chores(Room(parts))
        self.collector = Collector(store, blobs, clock, idle_s=0)

    async def table(self, operation: str, invocation_id: bytes, **params: Any) -> Any:
        """A DynamoDB or Streams operation; raises ``AwsError``."""
        request = HttpRequest("POST", "/", "", {}, orjson.dumps(params))
        call = Call("dynamodb", operation, OWNER, "us-east-1", {}, "", invocation_id, request)
        found = operation in self._dynamodb.direct
        service = self._dynamodb if found else self._streams
        service.access(call)
        answer: Any = service.direct[operation](call)
        if inspect.isawaitable(answer):
            answer = await answer
        return orjson.loads(answer.body)

    async def bucket(self, operation: str, invocation_id: bytes, **params: Any) -> Any:
        """A model-driven S3 operation."""
        call = Call("s3", operation, OWNER, "us-east-1", params, "", invocation_id)
        return await self._run(self._s3.operations[operation], call)

    async def object(
        self,
        operation: str,
        invocation_id: bytes,
        bucket: str,
        key: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, dict[str, str], bytes]:
        """An S3 operation on bytes: status, headers, body."""
        method = METHODS.get(operation, "GET")
        length = {"content-length": str(len(body))} if method == "PUT" else {}
        request = HttpRequest(
            method,
            f"/{bucket}/{quote(key)}",
            urlencode(query or {}),
            {"host": "localhost", **length, **(headers or {})},
            body,
        )
        named = {"Bucket": bucket, "Key": key}
        call = Call("s3", operation, OWNER, "us-east-1", named, "", invocation_id, request)
        answer = await self._run(self._s3.direct[operation], call)
        return answer.status, dict(answer.headers), await read(answer)

    async def _run(self, operation: Any, call: Call) -> Any:
        self._s3.access(call)
        result = operation(call)
        return await result if inspect.isawaitable(result) else result

    async def dispatch(
        self, service: str, operation: str, params: dict[str, Any], **told: Any
    ) -> dict[str, Any]:
        invocation_id = told.get("invocation_id", b"")
        if operation not in self._s3.direct:
            return dict(await self.bucket(operation, invocation_id, **params))
        query = {"versionId": params["VersionId"]} if params.get("VersionId") else {}
        named = (params["Bucket"], params["Key"])
        body = params.get("Body", b"")
        _, headers, _ = await self.object(operation, invocation_id, *named, query, body=body)
        return {
            "VersionId": headers.get("x-amz-version-id"),
            "DeleteMarker": headers.get("x-amz-delete-marker") == "true",
        }


async def read(answer: HttpResponse) -> bytes:
    """The bytes of an answer, however they are handed over."""
    body = answer.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileBody):
        data = os.pread(body.fd, body.length, body.offset)
        os.close(body.fd)
        return data
    return b"".join([chunk async for chunk in body])
