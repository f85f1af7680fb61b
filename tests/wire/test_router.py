"""Which door and which operation (architecture, "Ports and names")."""

from __future__ import annotations

import pytest

from pileus.services.call import HttpRequest
from pileus.wire.hosts import bucket_of_host
from pileus.wire.router import HOSTS_MAX, Router
from tests.wire.door import MODELS


def request(method="GET", path="/", query="", host="localhost:4566", **headers) -> HttpRequest:
    told = {"host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return HttpRequest(method, path, query, told)


@pytest.fixture(scope="module")
def router():
    made = Router(MODELS)
    for prefix in ("/_pileus/", "/_pileus/kv/", "/_api/", "/_site/"):
        made.mount(prefix, lambda r, p=prefix: p)
    for label in ("execute-api", "s3-website", "cloudfront"):
        made.mount_host(label, lambda r, p=label: p)
    return made


@pytest.mark.parametrize(
    ("path", "host", "door"),
    [
        ("/_pileus/health", "127.0.0.1:4566", "/_pileus/"),
        ("/_pileus/kv/row/col", "h", "/_pileus/kv/"),
        ("/_api/abc/x", "h", "/_api/"),
        ("/_other", "h", None),
        ("/x", "abc123.execute-api.localhost:4566", "execute-api"),
        ("/x", "abc123.execute-api.eu-west-1.amazonaws.com", "execute-api"),
        ("/x", "my.bucket.s3-website.localhost:4566", "s3-website"),
        ("/x", "bucket.s3-website-us-east-1.amazonaws.com", "s3-website"),
        ("/x", "E123.cloudfront.localhost:8000", "cloudfront"),
        ("/execute-api", "localhost:4566", None),
        ("/", "execute-api.localhost", None),
        ("/", "[::1]:4566", None),
        ("/", "", None),
    ],
)
def test_doors(router, path, host, door):
    found = router.door(request(path=path, host=host))
    assert (found(None) if found else None) == door


def test_known_hosts_are_bounded(router):
    for i in range(HOSTS_MAX * 2):
        router.door(request(host=f"h{i}"))
        router.route(request("POST", x_amz_target=f"DynamoDB_20120810.X{i}"))
    assert len(router._known_hosts) <= HOSTS_MAX and len(router.targets) <= HOSTS_MAX


@pytest.mark.parametrize(
    ("made", "service", "operation"),
    [
        (request("GET", "/2015-03-31/functions/f"), "lambda", "GetFunction"),
        (request("GET", "/2015-03-31/functions/"), "lambda", "ListFunctions"),
        (request("GET", "/v2/apis/a/routes/r"), "apigatewayv2", "GetRoute"),
        (request("GET", "/2020-05-31/distribution"), "cloudfront", "ListDistributions"),
        (request("GET", "/"), "s3", "ListBuckets"),
        (request("GET", "/b"), "s3", "ListObjects"),
        (request("GET", "/b", "list-type=2&prefix=a"), "s3", "ListObjectsV2"),
        (request("GET", "/b/", "unknown=1"), "s3", "ListObjects"),
        (request("PUT", "/b/k", "partNumber=1&uploadId=u"), "s3", "UploadPart"),
        (request("PUT", "/b/k", x_amz_copy_source="/a/b"), "s3", "CopyObject"),
        (request("POST", "/b", "delete="), "s3", "DeleteObjects"),
        (request("OPTIONS", "/b/k"), "s3", "PreflightRequest"),
        (request("POST", "/b", content_type="multipart/form-data; boundary=x"), "s3", "PostObject"),
        (request("PATCH", "/b/k"), "s3", ""),
        (request("GET", "/", "Action=ListUsers&Version=2010-05-08"), "iam", "ListUsers"),
        (
            request(
                "POST",
                "/service/GraniteServiceVersion20100801/operation/ListMetrics",
                smithy_protocol="rpc-v2-cbor",
            ),
            "cloudwatch",
            "ListMetrics",
        ),
        (
            request("GET", "/b/k", "X-Amz-Credential=A%2F20260101%2Fr%2Fs3%2Faws4_request"),
            "s3",
            "GetObject",
        ),
        (request("POST", "/", x_amz_target="Logs_20140328.PutLogEvents"), "logs", "PutLogEvents"),
    ],
)
def test_operations(router, made, service, operation):
    route = router.route(made)
    assert (route.service.name, route.operation) == (service, operation)


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("bkt.s3.localhost:4566", "bkt"),
        ("my.bkt.s3.localhost", "my.bkt"),
        ("bkt.localhost:4566", "bkt"),
        ("bkt.s3.eu-west-3.amazonaws.com", "bkt"),
        ("bkt.s3-eu-west-3.amazonaws.com", "bkt"),
        ("bkt.s3.amazonaws.com", "bkt"),
        ("s3.localhost:4566", ""),
        ("s3.eu-west-3.amazonaws.com", ""),
        ("localhost:4566", ""),
        ("127.0.0.1:4566", ""),
        ("[::1]:4566", ""),
    ],
)
def test_virtual_hosts(host, bucket):
    assert bucket_of_host(host) == bucket


def test_objects_without_a_query_are_known_by_method_and_path_alone() -> None:
    router = Router(MODELS)

    def route(method: str, path: str, query: str = "", **headers: str) -> tuple[str, object]:
        told = {"host": "127.0.0.1:4566", **{k.replace("_", "-"): v for k, v in headers.items()}}
        found = router.route(HttpRequest(method, path, query, told))
        return found.operation, found.labels

    key = {"Bucket": "b", "Key": "k/l/"}
    assert [route("GET", "/b/k/l/") for _ in range(2)] == [("GetObject", key)] * 2
    assert route("GET", "/b/k/l/", "x-id=GetObject") == ("GetObject", key)
    assert route("PUT", "/b/k/l/") == ("PutObject", key)
    assert route("PUT", "/b/k/l/", x_amz_copy_source="/c/d") == ("CopyObject", key)
    assert route("GET", "/b/k/l/", "tagging")[0] == "GetObjectTagging"
    assert route("GET", "/b//k") == ("GetObject", {"Bucket": "b", "Key": "/k"})
    assert route("GET", "/b/") == ("ListObjects", {"Bucket": "b"})
    assert route("GET", "/k", host="9b.localhost:4566")[1] == {"Bucket": "9b", "Key": "k"}
    assert route("GET", "/k/l", host="9b.localhost:4566")[1] == {"Bucket": "9b", "Key": "k/l"}
