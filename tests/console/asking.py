"""Signed requests at the cloud's own doors."""

from __future__ import annotations

import json
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.acceptance.aws_cli import http
from tests.conftest import Cloud


def ask(
    cloud: Cloud, method: str, path: str, keys: tuple[str, str] = ("", ""), body: str = ""
) -> tuple[int, Any]:
    """A signed request at the API port: status and JSON."""
    key = keys[0] or cloud.env["AWS_ACCESS_KEY_ID"]
    secret = keys[1] or cloud.env["AWS_SECRET_ACCESS_KEY"]
    request = AWSRequest(method, f"{cloud.endpoint}{path}", data=body.encode())
    S3SigV4Auth(Credentials(key, secret), "pileus", "us-east-1").add_auth(request)
    headers = dict(request.headers.items())
    status, _, told = http(request.url, method, body.encode() or None, headers)
    return status, json.loads(told)
