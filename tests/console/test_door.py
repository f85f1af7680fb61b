"""The console's door: what it refuses, so that nothing users store can act as the operator."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.conftest import Cloud


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[..., Answer]


def send(port: int, method: str, path: str, data: bytes = b"", **headers: str) -> Answer:
    """One request as it is written here: no redirects, no tidied paths."""
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data or None, named)
    got = connection.getresponse()
    answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
    connection.close()
    return answer


@pytest.fixture(scope="module")
def ask(cloud: Cloud) -> Ask:
    """Sign for the path behind ``/admin/api``, send to the edge."""
    keys = Credentials(cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"])

    def signed(
        method: str, path: str, service: str = "s3", data: bytes = b"", **more: str
    ) -> Answer:
        request = AWSRequest(method, cloud.edge + path, data=data)
        kind = S3SigV4Auth if service in ("s3", "pileus") else SigV4Auth
        kind(keys, service, cloud.env["AWS_REGION"]).add_auth(request)
        headers = {**dict(request.headers.items()), **more}
        return send(cloud.edge_port, method, f"/admin/api{path}", data, **headers)

    return signed


def test_pages_have_strict_headers(cloud: Cloud) -> None:
    port = cloud.edge_port
    assert send(port, "GET", "/admin").headers["location"] == "/admin/"
    page = send(port, "GET", "/admin/", Accept_Encoding="gzip")
    text = gzip.decompress(page.body).decode()
    policy = page.headers["content-security-policy"]
    assert f"script-src {cloud.edge}/admin/;" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and page.headers["cache-control"] == "no-cache"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    script = text.split('src="')[1].split('"')[0]
    asset = send(port, "GET", f"/admin/{script}")
    assert asset.status == 200 and "content-encoding" not in asset.headers
    assert "immutable" in asset.headers["cache-control"]
    tag = asset.headers["etag"]
    assert send(port, "GET", f"/admin/{script}", If_None_Match=tag).status == 304
    for name in ("nothing", "assets/../../pages.py", "..%2fpages.py", "%2e%2e/pages.py"):
        assert send(port, "GET", f"/admin/{name}").status == 404
    assert send(port, "POST", "/admin/").status == 405
    at_api = send(cloud.port, "GET", "/_pileus/admin")
    assert at_api.headers["location"] == f"{cloud.edge}/admin/"


def test_signed_requests_pass_with_the_host_the_browser_used(cloud: Cloud, ask: Ask) -> None:
    cloud.client("s3").create_bucket(Bucket="console-door")
    assert ask("PUT", "/console-door/a%20b.html", data=b"<script>1</script>").status == 200
    got = ask("GET", "/console-door/a%20b.html")
    assert got.body == b"<script>1</script>"
    assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert got.headers["x-content-type-options"] == "nosniff"
    health = ask("GET", "/_pileus/health", "pileus")
    assert json.loads(health.body)["status"] == "ready"
    wrong = ask("GET", "/console-door", Host="other.example")
    assert wrong.status == 403 and b"SignatureDoesNotMatch" in wrong.body


def test_what_a_link_or_another_origin_can_send_is_refused(cloud: Cloud, ask: Ask) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="console-trap")
    s3.put_object(Bucket="console-trap", Key="page", Body=b"<script>", ContentType="text/html")
    port = cloud.edge_port
    signed = s3.generate_presigned_url("get_object", {"Bucket": "console-trap", "Key": "page"})
    link = signed.removeprefix(cloud.endpoint)
    host = f"127.0.0.1:{cloud.port}"
    assert send(cloud.port, "GET", link, Host=host).status == 200
    for sent in (
        send(port, "GET", f"/admin/api{link}", Host=host),
        send(port, "GET", "/admin/api/console-trap/page"),
        ask("GET", "/console-trap/page", **{"Sec-Fetch-Site": "cross-site"}),
        ask("GET", "/console-trap/page", **{"Sec-Fetch-Site": "none"}),
        send(port, "OPTIONS", "/admin/api/console-trap/page", Origin="http://other.example"),
    ):
        assert sent.status == 403 and b"<script>" not in sent.body
        assert "access-control-allow-origin" not in sent.headers
    for path in ("/_site/console-trap/", "/_cdn/X/", "/_api/x/", "/_lambda/x"):
        assert ask("GET", path).status == 404
    assert ask("GET", "/page", Host=f"console-trap.localhost:{port}").status == 404


def test_a_caller_without_permission_reads_so(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="console-nobody")
    made = iam.create_access_key(UserName="console-nobody")["AccessKey"]
    keys = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    target = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
    request = AWSRequest("POST", f"{cloud.edge}/", data=b"{}", headers=target)
    SigV4Auth(keys, "dynamodb", cloud.env["AWS_REGION"]).add_auth(request)
    headers = dict(request.headers.items())
    got = send(cloud.edge_port, "POST", "/admin/api/", b"{}", **headers)
    assert got.status == 400
    assert b"user/console-nobody is not authorized to perform: dynamodb:ListTables" in got.body
