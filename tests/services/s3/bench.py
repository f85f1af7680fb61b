"""A small stand for tests: the service over a real store and real blobs, without the door."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pileus.config import Config
from pileus.services import s3
from pileus.services.call import Call, FileBody, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.vault import Vault
from pileus.state.store import Store

OWNER = Principal("root", "111111111111", "arn:aws:iam::111111111111:root", id="111111111111")


class Stand:
    """``run(operation, …)`` calls an operation as ``OWNER``; permissions are named, not judged."""

    def __init__(self, store: Store, blobs: Any, clock: Any, home: Path) -> None:
        parts = Parts(store, blobs, clock, Config(home=home), self.dispatch)
        parts.vault = Vault(bytes(32))
        self.store = store
        self.service = s3.build(parts)

    async def dispatch(
        self, service: str, operation: str, params: dict[str, Any], **told: Any
    ) -> dict[str, Any]:
        if operation in self.service.direct:
            answer = await self.direct(operation, params.pop("Bucket"), params.pop("Key"), params)
            return {
                "VersionId": dict(answer.headers).get("x-amz-version-id"),
                "DeleteMarker": dict(answer.headers).get("x-amz-delete-marker") == "true",
            }
        return await self.run(operation, **params)

    async def run(self, operation: str, **params: Any) -> Any:
        call = Call("s3", operation, OWNER, "us-east-1", params)
        return await self._go(self.service.operations[operation], call)

    async def direct(
        self,
        operation: str,
        bucket: str,
        key: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: Any = None,
    ) -> HttpResponse:
        told = {"VersionId": "versionId"}
        asked = {told.get(k, k): v for k, v in (query or {}).items()}
        method = operation.split("O")[0].upper().replace("UPLOADPART", "PUT")
        request = HttpRequest(
            method,
            f"/{bucket}/{quote(key)}",
            urlencode(asked),
            {"host": "localhost", **(headers or {})},
            body,
            stream,
        )
        call = Call("s3", operation, OWNER, "us-east-1", {"Bucket": bucket, "Key": key})
        call.request = request
        return await self._go(self.service.direct[operation], call)

    async def _go(self, operation: Any, call: Call) -> Any:
        self.service.access(call)
        result = operation(call)
        return await result if asyncio.iscoroutine(result) else result

    async def put(self, bucket: str, key: str, body: bytes, **headers: str) -> dict[str, str]:
        told = {k.replace("_", "-"): v for k, v in headers.items()}
        answer = await self.direct("PutObject", bucket, key, headers=told, body=body)
        return dict(answer.headers)

    async def get(self, bucket: str, key: str, **headers: str) -> bytes:
        told = {k.replace("_", "-"): v for k, v in headers.items()}
        return await read(await self.direct("GetObject", bucket, key, headers=told))


async def read(answer: HttpResponse) -> bytes:
    """The bytes of an answer, however they are handed over."""
    import os

    body = answer.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileBody):
        data = os.pread(body.fd, body.length, body.offset)
        os.close(body.fd)
        return data
    return b"".join([chunk async for chunk in body])
