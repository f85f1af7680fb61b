"""The edge of a whole cloud, by boto3 and a plain HTTP client."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from typing import Any

from tests.conftest import Cloud
from tests.services.cloudfront.test_cloudfront import config
from tests.waiting import wait


def visit(cloud: Cloud, host: str, path: str) -> tuple[int, bytes, dict[str, str]]:
    """One GET at the edge's port, as a viewer whose name service knows the host."""
    port = int(cloud.edge.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_a_bucket_behind_a_distribution_with_an_identity(cloud: Cloud) -> None:
    cloudfront, s3 = cloud.client("cloudfront"), cloud.client("s3")
    bucket = f"edge-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="index.html", Body=b"hello", ContentType="text/html")
    identity = cloudfront.create_cloud_front_origin_access_identity(
        CloudFrontOriginAccessIdentityConfig={"CallerReference": bucket, "Comment": ""}
    )["CloudFrontOriginAccessIdentity"]
    wish: dict[str, Any] = config(bucket, DefaultRootObject="index.html")
    origin = wish["Origins"]["Items"][0]
    origin["DomainName"] = f"{bucket}.s3.us-east-1.amazonaws.com"
    path = f"origin-access-identity/cloudfront/{identity['Id']}"
    origin["S3OriginConfig"]["OriginAccessIdentity"] = path
    made = cloudfront.create_distribution(DistributionConfig=wish)["Distribution"]
    wait(cloudfront, "distribution_deployed", Id=made["Id"])
    assert visit(cloud, made["DomainName"], "/")[0] == 403
    arn = f"arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {identity['Id']}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": arn},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    time.sleep(1.1)  # a refusal is kept for a second
    status, body, headers = visit(cloud, made["DomainName"], "/")
    assert (status, body, headers["X-Cache"]) == (200, b"hello", "Miss from cloudfront")
    assert visit(cloud, made["DomainName"], "/")[2]["X-Cache"] == "Hit from cloudfront"
    s3.put_object(Bucket=bucket, Key="index.html", Body=b"again", ContentType="text/html")
    cloudfront.create_invalidation(
        DistributionId=made["Id"],
        InvalidationBatch={"CallerReference": "1", "Paths": {"Quantity": 1, "Items": ["/*"]}},
    )
    for _ in range(6):  # every front process
        assert visit(cloud, made["DomainName"], "/")[1] == b"again"


def test_what_is_not_to_be_cached_is_asked_for_again_and_kept_when_unchanged(cloud: Cloud) -> None:
    cloudfront, s3 = cloud.client("cloudfront"), cloud.client("s3")
    bucket = f"edge-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    everyone = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [everyone]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    page = {"Bucket": bucket, "Key": "page", "ContentType": "text/html"}
    s3.put_object(**page, Body=b"first", CacheControl="no-cache")
    wish: dict[str, Any] = config(bucket)
    wish["Origins"]["Items"][0]["DomainName"] = f"{bucket}.s3.us-east-1.amazonaws.com"
    host = cloudfront.create_distribution(DistributionConfig=wish)["Distribution"]["DomainName"]
    for _ in range(4):
        status, body, headers = visit(cloud, host, "/page")
        assert (status, body, headers["Content-Type"]) == (200, b"first", "text/html")
    assert headers["X-Cache"] == "RefreshHit from cloudfront"
    s3.put_object(**page, Body=b"second", CacheControl="no-cache")
    for _ in range(4):
        assert visit(cloud, host, "/page")[1] == b"second"
    status, _, headers = visit(cloud, "localhost", f"/_cdn/{host.partition('.')[0]}?x=1")
    assert (status, headers["Location"]) == (301, f"/_cdn/{host.partition('.')[0]}/?x=1")


def test_own_hosts_behind_a_distribution_and_an_api(cloud: Cloud) -> None:
    """A site as origin, that distribution as an API's back end: nothing leaves the cloud. What
    lies beside the cloud on this machine stays out of reach."""
    cloudfront, s3 = cloud.client("cloudfront"), cloud.client("s3")
    bucket = f"edge-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})
    everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*"}  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [everyone]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    s3.put_object(Bucket=bucket, Key="i", Body=b"site")
    wish: dict[str, Any] = config(bucket)
    origin = wish["Origins"]["Items"][0]
    del origin["S3OriginConfig"]
    origin["DomainName"] = f"{bucket}.s3-website-us-east-1.amazonaws.com"
    origin["CustomOriginConfig"] = {
        "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "http-only"
    }  # fmt: skip
    made = cloudfront.create_distribution(DistributionConfig=wish)["Distribution"]
    assert visit(cloud, made["DomainName"], "/")[:2] == (200, b"site")
    assert visit(cloud, f"{bucket}.s3-website.localhost", "/")[:2] == (200, b"site")
    gateway = cloud.client("apigatewayv2")
    for target, status in (
        (f"http://{made['DomainName']}/", 200),
        (f"http://{bucket}.s3.us-east-1.amazonaws.com/i", 200),
        (f"http://127.0.0.1:{cloud.port}/_pileus/health", 503),
        (f"http://localhost:{cloud.port}/_pileus/health", 503),
    ):
        api = gateway.create_api(Name="own", ProtocolType="HTTP", Target=target)
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=60)
        connection.request("GET", f"/_api/{api['ApiId']}/")
        answer = connection.getresponse()
        assert (answer.status, target) == (status, target)
        body = answer.read()
        assert (body == b"site") is (status == 200)
        for host in (f"{api['ApiId']}.execute-api.localhost", _at_aws(api["ApiEndpoint"])):
            assert visit(cloud, host, "/")[:2] == (status, body)
        connection.close()
        gateway.delete_api(ApiId=api["ApiId"])


def _at_aws(endpoint: str) -> str:
    """The host that an API of this id has at AWS."""
    name = endpoint.partition("://")[2].partition(".")[0]
    return f"{name}.execute-api.us-east-1.amazonaws.com"


def test_a_range_of_a_large_object(cloud: Cloud) -> None:
    cloudfront, s3 = cloud.client("cloudfront"), cloud.client("s3")
    bucket = f"edge-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*"}  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [everyone]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    large = bytes(range(256)) * 80_000  # 20 MB
    s3.put_object(Bucket=bucket, Key="large", Body=large)
    wish: dict[str, Any] = config(bucket)
    wish["Origins"]["Items"][0]["DomainName"] = f"{bucket}.s3.us-east-1.amazonaws.com"
    made = cloudfront.create_distribution(DistributionConfig=wish)["Distribution"]
    connection = http.client.HTTPConnection("127.0.0.1", cloud.edge_port, timeout=60)
    host = {"Host": made["DomainName"]}
    connection.request("GET", "/large", headers=host | {"Range": "bytes=1000000-1000004"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (206, large[1_000_000:1_000_005])
    connection.request("GET", "/large", headers=host)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read() == large
    connection.close()
