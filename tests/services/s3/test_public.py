"""What the public may see: policies, block public access, web sites, forms, CORS."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.config import Config

from tests.conftest import Cloud
from tests.services.s3.test_objects import refused

HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3", config=Config(signature_version="s3v4"))


@pytest.fixture(scope="module")
def site(s3: Any) -> Iterator[str]:
    """A bucket with pages; blocked to the public until a test opens it."""
    name = f"site-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    for key in ("index.html", "docs/index.html", "error.html"):
        s3.put_object(Bucket=name, Key=key, Body=key.encode(), ContentType="text/html")
    s3.put_object(Bucket=name, Key="moved", Body=b"", WebsiteRedirectLocation="/docs/")
    rule = {
        "Condition": {"KeyPrefixEquals": "old/"},
        "Redirect": {"ReplaceKeyPrefixWith": "docs/", "HttpRedirectCode": "302"},
    }
    told = {
        "IndexDocument": {"Suffix": "index.html"},
        "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [rule],
    }
    s3.put_bucket_website(Bucket=name, WebsiteConfiguration=told)
    yield name


def visit(cloud: Cloud, site: str, path: str, method: str = "GET", **headers: str) -> Any:
    host = f"{site}.s3-website.localhost:{cloud.port}"
    told = {"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return HTTP.request(method, cloud.endpoint + path, headers=told, redirect=False)


def test_a_site_is_closed_until_its_policy_opens_it(cloud: Cloud, s3: Any, site: str) -> None:
    answer = visit(cloud, site, "/")
    assert answer.status == 403
    assert b"AccessDenied" in answer.data
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "s3:GetObject",
                    "Resource": f"arn:aws:s3:::{site}/*",
                }
            ],
        }
    )
    assert refused(s3.put_bucket_policy, Bucket=site, Policy=policy)["Code"] == "AccessDenied"
    s3.delete_public_access_block(Bucket=site)
    s3.put_bucket_policy(Bucket=site, Policy=policy)
    assert s3.get_bucket_policy_status(Bucket=site)["PolicyStatus"]["IsPublic"] is True

    page = visit(cloud, site, "/")
    assert (page.status, page.data) == (200, b"index.html")
    assert page.headers["content-type"] == "text/html"
    again = visit(cloud, site, "/", If_None_Match=page.headers["etag"])
    assert (again.status, again.data) == (304, b"")
    assert visit(cloud, site, "/", "HEAD").headers["content-length"] == "10"
    assert visit(cloud, site, "/", "POST").status == 405
    assert visit(cloud, site, "/docs/").data == b"docs/index.html"
    folder = visit(cloud, site, "/docs")
    assert (folder.status, folder.headers["location"]) == (302, "/docs/")
    moved = visit(cloud, site, "/moved")
    assert (moved.status, moved.headers["location"]) == (301, "/docs/")
    ruled = visit(cloud, site, "/old/x")
    assert ruled.status == 302
    assert ruled.headers["location"].endswith("/docs/x")
    missing = visit(cloud, site, "/missing")
    assert (missing.status, missing.data) == (403, b"error.html")  # nobody may list the bucket
    by_path = HTTP.request("GET", f"{cloud.endpoint}/_site/{site}/docs/")
    assert by_path.data == b"docs/index.html"

    blocks = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket=site, PublicAccessBlockConfiguration=blocks)
    assert visit(cloud, site, "/").status == 403


def test_malformed_policies(s3: Any, site: str) -> None:
    for text in ("[]", "{", '{"Statement": [{"Effect": "Allow"}]}'):
        assert refused(s3.put_bucket_policy, Bucket=site, Policy=text)["Code"] == "MalformedPolicy"


def test_presigned_addresses_and_forms(s3: Any, site: str) -> None:
    params = {"Bucket": site, "Key": "index.html", "ResponseContentType": "text/plain"}
    answer = HTTP.request("GET", s3.generate_presigned_url("get_object", Params=params))
    assert (answer.data, answer.headers["content-type"]) == (b"index.html", "text/plain")
    form = s3.generate_presigned_post(
        site, "up/${filename}", Conditions=[["content-length-range", 1, 10]]
    )

    def upload(body: bytes) -> int:
        fields = {**form["fields"], "file": ("name.txt", body)}
        return int(HTTP.request("POST", form["url"], fields=fields).status)

    assert upload(b"posted") == 204
    assert s3.get_object(Bucket=site, Key="up/name.txt")["Body"].read() == b"posted"
    assert upload(b"far too long") == 400
    assert s3.get_object(Bucket=site, Key="up/name.txt")["Body"].read() == b"posted"


def test_cross_origin_questions(cloud: Cloud, s3: Any, site: str) -> None:
    rule = {
        "AllowedMethods": ["GET"],
        "AllowedOrigins": ["https://*.example.org"],
        "AllowedHeaders": ["x-*"],
    }
    s3.put_bucket_cors(Bucket=site, CORSConfiguration={"CORSRules": [rule]})

    def ask(origin: str, header: str) -> Any:
        told = {
            "Origin": origin,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": header,
        }
        return HTTP.request("OPTIONS", f"{cloud.endpoint}/{site}/index.html", headers=told)

    allowed = ask("https://a.example.org", "x-one")
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "https://a.example.org"
    assert ask("https://a.example.org", "authorization").status == 403
    assert ask("https://example.com", "x-one").status == 403
