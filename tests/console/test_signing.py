"""What the console signs is what botocore signs (I1)."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests import programs

HERE = Path(__file__).parent
AT = "2026-03-01T12:34:56.000Z"
KEYS = {"id": "AKIDEXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
CASES: list[dict[str, Any]] = [
    {
        "method": "POST", "path": "/", "service": "dynamodb", "body": '{"Limit":10}',
        "headers": {"content-type": "application/x-amz-json-1.0",
                    "x-amz-target": "DynamoDB_20120810.ListTables"},
    },
    {
        "method": "GET", "path": "/bucket", "service": "s3", "body": "",
        "query": [["prefix", "a b/ü+&=~!'()*"], ["list-type", "2"], ["delimiter", "/"]],
    },
    {
        "method": "PUT", "path": "/bucket/" + quote("a b/ü+=~!'()*.txt", safe="/~"),
        "service": "s3", "body": "", "hash": "UNSIGNED-PAYLOAD",
        "headers": {"content-type": "text/plain;  charset=utf-8"},
    },
    {
        "method": "GET", "service": "lambda", "body": "",
        "path": "/2015-03-31/functions/" + quote("arn:aws:lambda:x:1:function:f$LATEST", safe=""),
        "query": [["Qualifier", "live"]],
    },
    {"method": "DELETE", "path": "/v2/apis/abc", "service": "apigateway", "body": "",
     "token": "session/token+with=signs"},
]  # fmt: skip


def _botocore(case: dict[str, Any], host: str) -> str:
    query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in case["query"])
    url = f"http://{host}{case['path']}" + (f"?{query}" if query else "")
    request = AWSRequest(case["method"], url, data=case["body"].encode())
    for name, value in case["headers"].items():
        request.headers[name] = value
    kind = S3SigV4Auth if case["service"] == "s3" else SigV4Auth
    keys = Credentials(KEYS["id"], KEYS["secret"], case.get("token"))
    signer = kind(keys, case["service"], "eu-west-1")
    signed = {"x-amz-date": "20260301T123456Z", "x-amz-content-sha256": case["hash"]}
    for name, value in signed.items():
        request.headers[name] = value
    if case.get("token"):
        request.headers["x-amz-security-token"] = case["token"]
    request.context["timestamp"] = "20260301T123456Z"
    text = signer.string_to_sign(request, signer.canonical_request(request))
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = signer.scope(request)
    told = signer.signature(text, request)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={told}"


@pytest.mark.parametrize("host", ["localhost:8000", "console.localhost", "[::1]:18000"])
def test_the_same_signatures_as_botocore(host: str) -> None:
    asked = [
        {"query": [], "headers": {}, **case, "host": host, "region": "eu-west-1", "date": AT,
         "keys": {**KEYS, "token": case.get("token")}}
        for case in CASES
    ]  # fmt: skip
    done = subprocess.run(
        [programs.node(), str(HERE / "signing.mjs")],
        input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    from hashlib import sha256

    for case, told in zip(asked, json.loads(done.stdout), strict=True):
        case.setdefault("hash", sha256(case["body"].encode()).hexdigest())
        assert told == _botocore(case, host), case["path"]


@pytest.mark.parametrize("token", [None, "session/token+with=signs"])
def test_the_same_presigned_addresses_as_botocore(
    token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/bucket/" + quote("a b/ü+=.txt", safe="/~")
    asked = {"host": "localhost:4566", "path": path, "region": "eu-west-1", "seconds": 900,
             "date": AT, "keys": {**KEYS, "token": token}}  # fmt: skip
    done = subprocess.run(
        [programs.node(), str(HERE / "signing.mjs")],
        input=json.dumps([asked]), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    at = datetime.datetime(2026, 3, 1, 12, 34, 56, tzinfo=datetime.UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: at)
    request = AWSRequest("GET", f"http://localhost:4566{path}")
    keys = Credentials(KEYS["id"], KEYS["secret"], token)
    S3SigV4QueryAuth(keys, "s3", "eu-west-1", expires=900).add_auth(request)
    wanted = dict(parse_qsl(urlsplit(request.url).query))
    assert dict(parse_qsl(json.loads(done.stdout)[0])) == wanted
