"""A small client of the wide table: plain HTTP, signed by botocore as S3 requests are."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class UnsignedBody(S3SigV4Auth):
    """Signs everything but the body, which may be a stream."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def version(self) -> int:
        return int(self.headers["etag"].strip('"'))


class WideTable:
    """``client(method, "table/row/column", …)``."""

    def __init__(self, cloud: Any, secret: str | None = None) -> None:
        self._cloud = cloud
        self._secret = secret or cloud.env["AWS_SECRET_ACCESS_KEY"]

    def signed(self, method: str, path: str, headers: dict[str, str]) -> dict[str, str]:
        request = AWSRequest(method, f"{self._cloud.endpoint}/_pileus/kv/{path}", headers)
        keys = Credentials(self._cloud.env["AWS_ACCESS_KEY_ID"], self._secret)
        UnsignedBody(keys, "pileus", self._cloud.env["AWS_REGION"]).add_auth(request)
        return dict(request.headers)

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] = b"",
        length: int | None = None,
        **headers: str,
    ) -> Answer:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = self.signed(method, path, told)
        if length is not None:
            sent["content-length"] = str(length)
        connection = http.client.HTTPConnection("127.0.0.1", self._cloud.port, timeout=60)
        connection.request(method, f"/_pileus/kv/{path}", body or None, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        data = answer.read()
        connection.close()
        return Answer(answer.status, found, data)
