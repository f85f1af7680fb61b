"""HTTP APIs of a whole cloud: functions, signatures, logs, domains."""

from __future__ import annotations

import base64
import http.client
import io
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lab.policies import TRUST
from tests.conftest import Cloud

CODE = """
import base64, json, time
def handler(event, context):
    path = event.get("rawPath") or event["path"]
    if path.endswith("/binary"):
        raw = base64.b64decode(event["body"])
        return {"statusCode": 200, "isBase64Encoded": True, "cookies": ["a=1", "b=2"],
                "headers": {"content-type": "image/png"},
                "body": base64.b64encode(raw[::-1]).decode()}
    if path.endswith("/large"):
        return {"statusCode": 200, "body": str(len(event["body"]))}
    if path.endswith("/told"):
        return {"statusCode": 200, "body": json.dumps(event)}
    if path.endswith("/slow"):
        time.sleep(8)
    if path.endswith("/fails"):
        raise ValueError("no")
    if path.endswith("/odd"):
        return {"statusCode": "x"}
    return event
"""


class Made:
    """An API whose catch-all route leads to a function that answers what it is told."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.name = f"gw-{uuid.uuid4().hex[:8]}"
        role = cloud.client("iam").create_role(
            RoleName=self.name, AssumeRolePolicyDocument=json.dumps(TRUST)
        )["Role"]["Arn"]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", CODE)
        functions = cloud.client("lambda")
        self.arn = functions.create_function(
            FunctionName=self.name, Role=role, Runtime="python3.12", Handler="index.handler",
            Code={"ZipFile": packed.getvalue()}, Timeout=30,
        )["FunctionArn"]  # fmt: skip
        functions.add_permission(
            FunctionName=self.name, StatementId="gw", Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        )  # fmt: skip
        self.gateway = cloud.client("apigatewayv2")
        made = self.gateway.create_api(Name=self.name, ProtocolType="HTTP")
        self.id, self.host = made["ApiId"], made["ApiEndpoint"].removeprefix("http://")
        for version in ("1.0", "2.0"):
            self.route(f"ANY /v{version[0]}/{{rest+}}", PayloadFormatVersion=version)
        self.gateway.create_stage(ApiId=self.id, StageName="$default", AutoDeploy=True)

    def route(self, key: str, route: dict[str, Any] | None = None, **settings: Any) -> None:
        integration = self.gateway.create_integration(
            ApiId=self.id, IntegrationType="AWS_PROXY", IntegrationUri=self.arn, **settings
        )["IntegrationId"]
        self.gateway.create_route(
            ApiId=self.id, RouteKey=key, Target=f"integrations/{integration}", **route or {}
        )

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.cloud.port, timeout=60)
        try:
            named = {n.replace("_", "-"): v for n, v in headers.items()}
            connection.request(method, path, body or None, {"host": self.host, **named})
            answer = connection.getresponse()
            raw = answer.read()
            kind = answer.headers.get("content-type", "")
            return answer.status, json.loads(raw) if "json" in kind else raw, answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def made(cloud: Cloud) -> Iterator[Made]:
    made = Made(cloud)
    yield made
    made.gateway.delete_api(ApiId=made.id)


# The members of AWS's documented example events (developer guide, "Working with AWS Lambda proxy
# integrations for HTTP APIs").
EVENT_2 = {"version", "routeKey", "rawPath", "rawQueryString", "cookies", "headers",
           "queryStringParameters", "requestContext", "body", "pathParameters",
           "isBase64Encoded"}  # fmt: skip
CONTEXT_2 = {"accountId", "apiId", "domainName", "domainPrefix", "http", "requestId", "routeKey",
             "stage", "time", "timeEpoch"}  # fmt: skip
EVENT_1 = {"version", "resource", "path", "httpMethod", "headers", "multiValueHeaders",
           "queryStringParameters", "multiValueQueryStringParameters", "requestContext",
           "pathParameters", "stageVariables", "body", "isBase64Encoded"}  # fmt: skip
CONTEXT_1 = {"accountId", "apiId", "authorizer", "domainName", "domainPrefix", "extendedRequestId",
             "httpMethod", "identity", "path", "protocol", "requestId", "requestTime",
             "requestTimeEpoch", "resourceId", "resourcePath", "stage"}  # fmt: skip


def test_format_2(made: Made) -> None:
    status, event, _ = made.ask(
        "POST", "/v2/a%20b?p=1&p=2&q=x", b"hello", cookie="c=1; d=2",
        content_type="text/plain", x_many="a",
    )  # fmt: skip
    assert status == 200 and set(event) == EVENT_2
    assert set(event["requestContext"]) == CONTEXT_2
    assert set(event["requestContext"]["http"]) == {
        "method", "path", "protocol", "sourceIp", "userAgent"
    }  # fmt: skip
    assert event["queryStringParameters"] == {"p": "1,2", "q": "x"}
    assert event["cookies"] == ["c=1", "d=2"] and "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ("hello", False)
    assert event["pathParameters"] == {"rest": "a b"} and event["rawPath"] == "/v2/a%20b"


def test_format_1(made: Made) -> None:
    status, answer, _ = made.ask("POST", "/v1/told?p=1&p=2", b"\xff", content_type="image/png")
    event = json.loads(answer)
    assert status == 200 and set(event) == EVENT_1
    assert set(event["requestContext"]) == CONTEXT_1
    assert event["queryStringParameters"] == {"p": "2"}
    assert event["multiValueQueryStringParameters"] == {"p": ["1", "2"]}
    assert event["multiValueHeaders"]["content-type"] == ["image/png"]
    assert (event["body"], event["isBase64Encoded"]) == (base64.b64encode(b"\xff").decode(), True)
    assert event["resource"] == "/v1/{rest+}" and event["path"] == "/v1/told"


def test_binary_bodies_and_cookies(made: Made) -> None:
    raw = bytes(range(256))
    for version in ("v1", "v2"):
        status, body, headers = made.ask("POST", f"/{version}/binary", raw, content_type="x/y")
        assert (status, body) == (200, raw[::-1])
        assert headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_large_bodies(made: Made) -> None:
    five = b"x" * (5 * 1024 * 1024)
    status, body, _ = made.ask("POST", "/v2/large", five, content_type="text/plain")
    assert (status, body) == (200, str(len(five)).encode())
    over = b"x" * (10 * 1024 * 1024 + 1)
    status, body, _ = made.ask("POST", "/v2/large", over, content_type="text/plain")
    assert (status, body) == (413, {"message": "Request Entity Too Large"})


def test_failures(made: Made) -> None:
    for path in ("/v2/fails", "/v2/odd", "/v1/none"):
        status, body, _ = made.ask("GET", path)
        assert (status, body) == (500, {"message": "Internal Server Error"})
    assert made.ask("GET", "/nowhere")[:2] == (404, {"message": "Not Found"})


def test_too_slow(made: Made) -> None:
    key = f"GET /{uuid.uuid4().hex[:6]}/slow"
    made.route(key, PayloadFormatVersion="2.0", TimeoutInMillis=300)
    status, body, _ = made.ask("GET", key.partition(" ")[2])
    assert (status, body) == (504, {"message": "Gateway Timeout"})


def test_signed_routes(made: Made) -> None:
    made.route("GET /signed/{id}", {"AuthorizationType": "AWS_IAM"}, PayloadFormatVersion="2.0")
    iam, env = made.cloud.client("iam"), made.cloud.env
    iam.create_user(UserName=made.name)
    allowed = f"arn:aws:execute-api:{env['AWS_REGION']}:*:{made.id}/$default/GET/signed/1"
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": allowed}]}  # fmt: skip
    iam.put_user_policy(UserName=made.name, PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=made.name)["AccessKey"]

    def ask(id_: str, secret: str) -> tuple[int, Any]:
        url = f"http://{made.host}/signed/{id_}?a=b"
        request = AWSRequest("GET", url, {"host": made.host})
        who = Credentials(key["AccessKeyId"], secret)
        SigV4Auth(who, "execute-api", env["AWS_REGION"]).add_auth(request)
        return made.ask("GET", f"/signed/{id_}?a=b", **dict(request.headers))[:2]

    status, event = ask("1", key["SecretAccessKey"])
    assert status == 200
    told = event["requestContext"]["authorizer"]["iam"]
    assert told["userArn"].endswith(f":user/{made.name}")
    assert told["accessKey"] == key["AccessKeyId"]
    forbidden = (403, {"message": "Forbidden"})
    assert ask("2", key["SecretAccessKey"]) == forbidden
    assert ask("1", "wrong") == forbidden
    assert made.ask("GET", "/signed/1")[:2] == forbidden


def test_access_log_and_domain(made: Made) -> None:
    logs = made.cloud.client("logs")
    group = f"/gw/{made.name}"
    logs.create_log_group(logGroupName=group)
    arn = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["logGroupArn"]
    stage = made.gateway.create_stage(
        ApiId=made.id, StageName="logged", AutoDeploy=True,
        AccessLogSettings={"DestinationArn": arn,
                           "Format": "$context.requestId $context.status $context.path"},
    )["StageName"]  # fmt: skip
    name = f"{made.name}.shop.example"
    made.gateway.create_domain_name(
        DomainName=name, DomainNameConfigurations=[{"EndpointType": "REGIONAL"}]
    )
    made.gateway.create_api_mapping(DomainName=name, ApiId=made.id, Stage=stage, ApiMappingKey="in")
    for port in (made.cloud.port, made.cloud.edge_port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/in/v2/here", headers={"host": name})
        answer = connection.getresponse()
        assert answer.status == 200 and json.load(answer)["routeKey"] == "ANY /v2/{rest+}"
        connection.close()
    deadline = time.monotonic() + 80
    lines: list[str] = []
    while len(lines) < 2 and time.monotonic() < deadline:
        time.sleep(0.3)
        found = logs.filter_log_events(logGroupName=group)["events"]
        lines = [event["message"] for event in found]
    assert [line.split()[1:] for line in lines] == [["200", "/in/v2/here"]] * 2
    mapping = made.gateway.get_api_mappings(DomainName=name)["Items"][0]
    made.gateway.delete_api_mapping(DomainName=name, ApiMappingId=mapping["ApiMappingId"])
    made.gateway.delete_domain_name(DomainName=name)
