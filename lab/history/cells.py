"""Cells of the wide table as registers (docs/wide-table.md): the client that signs, the requests.

boto3 has no client for them, so one with the same manners is here: methods that take parameters
and raise botocore's errors.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from lab.history.asking import Refused
from lab.history.names import one_of
from lab.history.registers import Request, Told

TIMEOUT_S = (2, 3)


class CellClient:
    """``request_cell(method=, key=, body=)`` asks once. ``tables``: names of their own; of several
    a row's key says in which it lies."""

    def __init__(self, endpoint: str, key_id: str, secret: str, region: str, *tables: str) -> None:
        self._at = [f"{endpoint.rstrip('/')}/_pileus/kv/{table}" for table in tables]
        self._auth = S3SigV4Auth(Credentials(key_id, secret), "pileus", region)
        self._session = URLLib3Session(timeout=TIMEOUT_S)

    def request_cell(self, method: str, key: str, body: bytes = b"") -> dict[str, Any]:
        """The answer's body; ``ClientError`` for a verdict."""
        at = f"{one_of(self._at, key)}/{quote(key, safe='')}/v"
        asked = AWSRequest(method, at, data=body)
        self._auth.add_auth(asked)
        answer = self._session.send(asked.prepare())
        content = answer.content
        if answer.status_code >= 400:
            told = json.loads(content) if content[:1] == b"{" else {}
            error = {"Code": told.get("__type", ""), "Message": told.get("message", "")}
            status = {"HTTPStatusCode": answer.status_code}
            raise ClientError({"Error": error, "ResponseMetadata": status}, method)  # type: ignore[arg-type]
        return {"Body": content}


class Cells:
    """Registers that are cells; a swap is a CPUT by value."""

    service = "cells"

    def request(self, kind: str, key: str, given: tuple[Any, ...]) -> Request:
        if kind == "read":
            return "RequestCell", {"method": "GET", "key": key}
        if kind == "swap":
            old, new = (None if v is None else base64.b64encode(v.encode()) for v in given)
            body = {"old": None if old is None else old.decode(), "new": (new or b"").decode()}
            return "RequestCell", {"method": "POST", "key": key, "body": json.dumps(body).encode()}
        if given[-1] is None:
            return "RequestCell", {"method": "DELETE", "key": key}
        return "RequestCell", {"method": "PUT", "key": key, "body": given[-1].encode()}

    def told(self, kind: str, given: tuple[Any, ...], answer: dict[str, Any]) -> Told:
        value = answer["Body"].decode() if kind == "read" else None
        return {"read": (value,), "swap": ("done",)}.get(kind, ())

    def refused(self, kind: str, verdict: Refused) -> Told:
        if kind == "read" and verdict.code == "CellNotFound":
            return (None,)
        if kind != "swap" or verdict.code != "ConditionalCheckFailed":
            raise verdict
        return ("refused",)
