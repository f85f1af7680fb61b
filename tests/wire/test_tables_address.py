"""What DynamoDB's address says to requests that name no operation."""

from __future__ import annotations

import re

import orjson
import pytest

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.api import Api
from pileus.wire.tables_address import NOWHERE
from tests.wire.door import MODELS, AllowAll, Echo, Keys, services

HOST = "dynamodb.us-east-1.localhost:4566"
CORAL = "com.amazon.coral.service#"
SIGNED = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/dynamodb/aws4_request, "


@pytest.fixture(scope="module")
def api():
    echo = {name: Echo(name) for name in ("dynamodb", "s3")}
    return Api(
        services(echo), Keys(), AllowAll(), now_ms=lambda: 0, account="1", region="us-east-1",
        models=MODELS,
    )  # fmt: skip


def ask(api, method="POST", path="/", query="", body=b"", host="127.0.0.1", **headers):
    told = {"host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
    answer = api.handle(HttpRequest(method, path, query, told, body))
    assert isinstance(answer, HttpResponse)
    return answer.status, dict((n.lower(), v) for n, v in answer.headers), answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_lead_nowhere(api, method):
    status, headers, body = ask(api, method)
    assert (status, body, headers["x-amz-crc32"]) == (404, NOWHERE, "3552371480")
    assert re.fullmatch("[0-9A-Z]{52}", headers["x-amzn-requestid"])


def test_health_is_told_by_name_only(api):
    status, headers, body = ask(api, "GET", host=HOST)
    assert (status, body) == (200, b"healthy: dynamodb.us-east-1.amazonaws.com ")
    assert headers["x-amz-crc32"] == "3128867991"
    assert b"healthy" not in ask(api, "GET")[2]  # there it is S3's list of buckets


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"hi", "text/plain", 404, ""),
        (b"hi", "application/json;x", 400, "SerializationException"),
        (b"{}", "application/json", 400, "UnknownOperationException"),
        (b"", "", 400, "UnknownOperationException"),
    ],
)
def test_bodies_without_a_target(api, body, kind, status, code):
    found, headers, text = ask(api, body=body, content_type=kind)
    assert found == status
    if code:
        assert orjson.loads(text) == {"__type": CORAL + code}
        assert headers["content-type"] == "application/json"


def test_preflight(api):
    told = {"access_control_request_headers": "a, b", "access_control_request_method": "POST"}
    status, headers, body = ask(api, "OPTIONS", origin="http://x", **told)
    assert (status, body) == (200, b"")
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-headers"] == "a, b"
    assert headers["access-control-max-age"] == "172800"


def test_a_form_and_a_bucket_are_not_taken(api):
    kind = {"content_type": "application/x-www-form-urlencoded"}
    assert b"coral" not in ask(api, body=b"Action=Nope&Version=2010-05-08", **kind)[2]
    assert ask(api, "PUT", host="pics.s3.localhost")[2] != NOWHERE


@pytest.mark.parametrize(
    ("query", "authorization", "code", "message"),
    [
        ("", "AWS4", "MissingAuthenticationToken", "Request is missing Authentication Token"),
        ("X-Amz-Date=d", "", "MissingAuthenticationToken", "Request is missing Authentication"),
        ("X-Amz-Algorithm", "X", "InvalidSignature", "Found both 'X-Amz-Algorithm' as a query"),
        ("", SIGNED + "Signature=b", "IncompleteSignature", "requires 'SignedHeaders' parameter."),
        ("X-Amz-Algorithm=a", "", "IncompleteSignature", "must include 'X-Amz-Credential'."),
    ],
)
def test_words_about_signatures(api, query, authorization, code, message):
    told = {"authorization": authorization} if authorization else {}
    told |= {"x_amz_target": "DynamoDB_20120810.ListTables", "x_amz_date": "20260101T000000Z"}
    status, headers, body = ask(api, query=query, body=b"{}", origin="http://x", **told)
    found = orjson.loads(body)
    assert status == 400 and found["__type"] == f"{CORAL}{code}Exception"
    assert message in found["message"]
    assert headers["access-control-allow-origin"] == "*"
