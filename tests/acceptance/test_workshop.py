"""The workshop, step by step, by the stock AWS CLI (K1, K2)."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lab.policies import TRUST, public_read
from tests.acceptance.aws_cli import AwsCli, http, within
from tests.conftest import Cloud

CREATE = """
import json, os, random, string, boto3, validate
table = boto3.resource("dynamodb").Table("urls-table")

def handler(event, context):
    url = json.loads(event["body"])["urlToShorten"]
    validate.check(url)
    short = "".join(random.choices(string.ascii_letters, k=6))
    table.put_item(Item={"PK": short, "url": url})
    return {"statusCode": 200, "body": json.dumps(short)}
"""
GET = """
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
const dynamodb = new DynamoDBClient({});
export const handler = async (event) => {
  const { Item } = await dynamodb.send(
    new GetItemCommand({ TableName: "urls-table",
      Key: { PK: { S: event.pathParameters.shortId } } }));
  if (!Item) return { statusCode: 404, body: JSON.stringify("unknown") };
  return { statusCode: 200, body: JSON.stringify(Item.url.S) };
};
"""
LAYER = """
def check(url):
    if not url.startswith(("http://", "https://")):
        raise ValueError("not a web address")
"""
CORS = {
    "AllowOrigins": ["http://page.example"],
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["content-type"],
}
MANAGED = "arn:aws:iam::aws:policy"


def zipped(path: Path, files: dict[str, bytes]) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for name, data in files.items():
            z.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    return str(path)


@pytest.fixture(scope="module")
def aws(cloud: Cloud) -> AwsCli:
    return AwsCli(cloud)


@pytest.fixture(scope="module")
def api(aws: AwsCli, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Table, role, layer, two functions (one over 10 MB from a bucket), HTTP API with CORS."""
    tmp = tmp_path_factory.mktemp("workshop")
    aws(
        "dynamodb", "create-table", "--table-name", "urls-table",
        "--attribute-definitions", "AttributeName=PK,AttributeType=S",
        "--key-schema", "AttributeName=PK,KeyType=HASH", "--billing-mode", "PAY_PER_REQUEST",
    )  # fmt: skip
    aws("dynamodb", "wait", "table-exists", "--table-name", "urls-table")
    role = aws(
        "iam", "create-role", "--role-name", "workshop-role",
        "--assume-role-policy-document", json.dumps(TRUST),
    )["Role"]["Arn"]  # fmt: skip
    for policy in ("service-role/AWSLambdaBasicExecutionRole", "AmazonDynamoDBFullAccess"):
        aws(
            "iam", "attach-role-policy", "--role-name", "workshop-role",
            "--policy-arn", f"{MANAGED}/{policy}",
        )  # fmt: skip
    layer_zip = zipped(tmp / "layer.zip", {"python/validate.py": LAYER.encode()})
    layer = aws(
        "lambda", "publish-layer-version", "--layer-name", "validate",
        "--zip-file", f"fileb://{layer_zip}", "--compatible-runtimes", "python3.12",
    )["LayerVersionArn"]  # fmt: skip
    create_zip = zipped(tmp / "create.zip", {"lambda_function.py": CREATE.encode()})
    create = aws(
        "lambda", "create-function", "--function-name", "createShortURL", "--runtime", "python3.12",
        "--handler", "lambda_function.handler", "--role", role, "--layers", layer,
        "--zip-file", f"fileb://{create_zip}", "--timeout", "10",
    )["FunctionArn"]  # fmt: skip
    ballast = random.Random(7).randbytes(11 * 1024 * 1024)
    get_zip = zipped(tmp / "get.zip", {"index.mjs": GET.encode(), "ballast.bin": ballast})
    assert os.path.getsize(get_zip) > 10 * 1024 * 1024
    aws("s3", "mb", "s3://workshop-code")
    aws("s3", "cp", get_zip, "s3://workshop-code/get.zip")
    get = aws(
        "lambda", "create-function", "--function-name", "getLongURL", "--runtime", "nodejs20.x",
        "--handler", "index.handler", "--role", role, "--timeout", "10",
        "--code", "S3Bucket=workshop-code,S3Key=get.zip",
    )["FunctionArn"]  # fmt: skip
    for name in ("createShortURL", "getLongURL"):
        aws("lambda", "wait", "function-active-v2", "--function-name", name)
    made = aws("apigatewayv2", "create-api", "--name", "short", "--protocol-type", "HTTP")
    routes = {"POST /shorten": create, "GET /{shortId}": get}
    for route, function in routes.items():
        integration = aws(
            "apigatewayv2", "create-integration", "--api-id", made["ApiId"],
            "--integration-type", "AWS_PROXY", "--integration-uri", function,
            "--payload-format-version", "2.0",
        )["IntegrationId"]  # fmt: skip
        aws(
            "apigatewayv2", "create-route", "--api-id", made["ApiId"], "--route-key", route,
            "--target", f"integrations/{integration}",
        )  # fmt: skip
        aws(
            "lambda", "add-permission", "--function-name", function, "--statement-id", "api",
            "--action", "lambda:InvokeFunction", "--principal", "apigateway.amazonaws.com",
            "--source-arn", f"arn:aws:execute-api:us-east-1:000000000000:{made['ApiId']}/*/*",
        )  # fmt: skip
    aws(
        "apigatewayv2", "create-stage", "--api-id", made["ApiId"], "--stage-name", "$default",
        "--auto-deploy",
    )  # fmt: skip
    aws(
        "apigatewayv2", "update-api", "--api-id", made["ApiId"], "--cors-configuration",
        json.dumps(CORS),
    )  # fmt: skip
    return {"endpoint": made["ApiEndpoint"], "id": made["ApiId"]}


def shorten(api: dict[str, Any], url: str) -> tuple[int, Any]:
    body = json.dumps({"urlToShorten": url}).encode()
    status, _, answer = http(
        f"{api['endpoint']}/shorten", "POST", body, {"content-type": "application/json"}
    )
    return status, json.loads(answer)


def test_shortens_and_answers_the_long_url(api: dict[str, Any]) -> None:
    status, short = shorten(api, "https://example.org/a/long/path?x=1")
    assert status == 200 and isinstance(short, str) and len(short) == 6
    status, _, answer = http(f"{api['endpoint']}/{short}")
    assert (status, json.loads(answer)) == (200, "https://example.org/a/long/path?x=1")
    assert http(f"{api['endpoint']}/nothing")[0] == 404


def test_the_path_form_serves_the_same_api(cloud: Cloud, api: dict[str, Any]) -> None:
    _, short = shorten(api, "https://example.org/")
    status, _, answer = http(f"{cloud.endpoint}/_api/{api['id']}/{short}")
    assert (status, json.loads(answer)) == (200, "https://example.org/")


def test_cors_is_answered_by_the_api(api: dict[str, Any]) -> None:
    asked = {"origin": "http://page.example", "access-control-request-method": "POST"}
    status, headers, _ = http(f"{api['endpoint']}/shorten", "OPTIONS", headers=asked)
    assert status in (200, 204)
    assert headers["access-control-allow-origin"] == "http://page.example"
    assert "POST" in headers["access-control-allow-methods"]
    _, headers, _ = http(
        f"{api['endpoint']}/shorten", "OPTIONS", headers=asked | {"origin": "http://other.example"}
    )
    assert "access-control-allow-origin" not in headers


def test_a_missing_permission_shows_in_the_log_and_its_grant_mends_it(
    aws: AwsCli, api: dict[str, Any]
) -> None:
    detach = ("--role-name", "workshop-role", "--policy-arn", f"{MANAGED}/AmazonDynamoDBFullAccess")
    aws("iam", "detach-role-policy", *detach)
    status, _ = shorten(api, "https://example.org/denied")
    assert status == 500

    def denied() -> list[str]:
        events = aws(
            "logs", "filter-log-events", "--log-group-name", "/aws/lambda/createShortURL",
            "--filter-pattern", "AccessDenied",
        )["events"]  # fmt: skip
        return [e["message"] for e in events]

    assert any("dynamodb:PutItem" in line for line in within(5, denied))
    aws("iam", "attach-role-policy", *detach)
    status, _ = shorten(api, "https://example.org/again")
    assert status == 200


def test_bucket_site_then_distribution_then_private(
    cloud: Cloud, aws: AwsCli, tmp_path: Path
) -> None:
    bucket = "workshop-site"
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text('<!doctype html><script src="assets/app.4f2a.js"></script>')
    (dist / "assets" / "app.4f2a.js").write_text("console.log(1)")
    aws("s3", "mb", f"s3://{bucket}")
    aws("s3", "website", f"s3://{bucket}", "--index-document", "index.html")
    aws("s3", "cp", "--recursive", str(dist), f"s3://{bucket}/")
    site = f"http://{bucket}.s3-website.localhost:{cloud.port}/"
    assert http(site)[0] == 403
    aws("s3api", "delete-public-access-block", "--bucket", bucket)
    aws("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", public_read(bucket))
    status, headers, body = http(site)
    assert status == 200 and b"app.4f2a.js" in body and headers["content-type"] == "text/html"

    identity = aws(
        "cloudfront", "create-cloud-front-origin-access-identity",
        "--cloud-front-origin-access-identity-config", "CallerReference=w,Comment=workshop",
    )["CloudFrontOriginAccessIdentity"]["Id"]  # fmt: skip
    config = {
        "CallerReference": "workshop",
        "Comment": "",
        "Enabled": True,
        "DefaultRootObject": "index.html",
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "site",
                    "DomainName": f"{bucket}.s3.us-east-1.amazonaws.com",
                    "S3OriginConfig": {
                        "OriginAccessIdentity": f"origin-access-identity/cloudfront/{identity}"
                    },
                }
            ],
        },
        "DefaultCacheBehavior": {
            "TargetOriginId": "site",
            "ViewerProtocolPolicy": "allow-all",
            "MinTTL": 0,
            "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
        },
    }
    made = aws(
        "cloudfront", "create-distribution", "--distribution-config", json.dumps(config)
    )["Distribution"]  # fmt: skip
    arn = f"arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {identity}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": arn},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", policy)
    assert http(site)[0] == 403
    edge = cloud.edge.replace("localhost", made["DomainName"])
    status, headers, body = http(f"{edge}/")
    assert status == 200 and b"app.4f2a.js" in body
    assert headers["x-cache"].startswith("Miss from")
    status, headers, _ = http(f"{edge}/")
    assert status == 200 and headers["x-cache"].startswith("Hit from")
    assert http(f"{edge}/assets/app.4f2a.js")[0] == 200
