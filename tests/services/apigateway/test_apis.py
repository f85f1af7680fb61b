"""Control operations and the door together."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pileus.errors import AwsError
from tests.services.apigateway.conftest import FUNCTION, Gateway


def test_a_function_answers(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("POST /shorten", "GET /{shortId}")
        g.function = lambda event: "abc"
        answer = await g.http(api, "POST", "/shorten", b'{"urlToShorten": "x"}')
        assert (answer.status, answer.body) == (200, b'"abc"')
        assert ("content-type", "application/json") in answer.headers
        asked = g.dispatched[-1]
        assert asked["principal"].arn == "apigateway.amazonaws.com"
        assert asked["context"]["aws:SourceArn"] == (
            f"arn:aws:execute-api:us-east-1:123456789012:{api}/$default/POST/shorten"
        )
        assert (await g.http(api, "GET", "/a/b")).status == 404
        assert (await g.http("nosuchapi1", "GET", "/")).body == b'{"message":"Not Found"}'

    run(body)


def test_event_of_format_2(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("ANY /x/{id}")
        event = await g.event(
            api, "POST", "/x/a%20b?p=1&p=2&q=%41", body=b"\xff\x00", cookie="a=1; b=2", accept="*/*"
        )
        assert event["version"] == "2.0" and event["routeKey"] == "ANY /x/{id}"
        assert event["rawPath"] == "/x/a%20b" and event["rawQueryString"] == "p=1&p=2&q=%41"
        assert event["cookies"] == ["a=1", "b=2"] and "cookie" not in event["headers"]
        assert event["queryStringParameters"] == {"p": "1,2", "q": "A"}
        assert event["pathParameters"] == {"id": "a b"}
        assert event["isBase64Encoded"] and base64.b64decode(event["body"]) == b"\xff\x00"
        http = event["requestContext"]["http"]
        assert http["method"] == "POST" and http["sourceIp"] == "127.0.0.1"
        assert event["requestContext"]["apiId"] == api
        assert event["requestContext"]["stage"] == "$default"
        assert event["headers"]["x-forwarded-proto"] == "http"

    run(body)


def test_event_of_format_1(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /x/{id}", version="1.0")
        event = await g.event(api, "GET", "/x/1?p=1&p=2")
        assert event["version"] == "1.0" and event["resource"] == "/x/{id}"
        assert event["queryStringParameters"] == {"p": "2"}
        assert event["multiValueQueryStringParameters"] == {"p": ["1", "2"]}
        assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
        assert event["body"] is None and event["stageVariables"] is None

    run(body)


@pytest.mark.parametrize(
    ("result", "version", "status", "body"),
    [
        ({"statusCode": 201, "body": "aGk=", "isBase64Encoded": True}, "2.0", 201, b"hi"),
        ({"statusCode": "404"}, "2.0", 404, b""),
        ({"hello": 1}, "2.0", 200, b'{"hello": 1}'),
        ({"hello": 1}, "1.0", 500, b'{"message":"Internal Server Error"}'),
        ({"statusCode": "x"}, "2.0", 500, b'{"message":"Internal Server Error"}'),
        (
            {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
            "2.0",
            500,
            b'{"message":"Internal Server Error"}',
        ),
        (
            {"statusCode": 200, "body": "!", "isBase64Encoded": True},
            "2.0",
            500,
            b'{"message":"Internal Server Error"}',
        ),
    ],
)
def test_results(run: Any, result: Any, version: str, status: int, body: bytes) -> None:
    async def go(g: Gateway) -> None:
        api = await g.api("GET /", version=version)
        g.function = lambda event: result
        answer = await g.http(api, "GET", "/")
        assert (answer.status, answer.body) == (status, body)

    run(go)


def test_cookies_and_repeated_headers(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /")
        g.function = lambda event: {
            "statusCode": 200,
            "cookies": ["a=1", "b=2"],
            "headers": {"X-One": 1},
            "multiValueHeaders": {"X-Two": ["p", "q"]},
        }
        headers = (await g.http(api, "GET", "/")).headers
        assert [v for n, v in headers if n == "set-cookie"] == ["a=1", "b=2"]
        assert ("x-one", "1") in headers
        assert [v for n, v in headers if n == "x-two"] == ["p", "q"]

    run(body)


def test_errors_of_functions(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /")

        def refuse(code: str, status: int) -> Any:
            def function(event: Any) -> Any:
                raise AwsError(code, "", status)

            return function

        g.function = refuse("AccessDeniedException", 403)
        assert (await g.http(api, "GET", "/")).status == 500
        g.function = refuse("TooManyRequestsException", 429)
        answer = await g.http(api, "GET", "/")
        assert (answer.status, answer.body) == (503, b'{"message":"Service Unavailable"}')

    run(body)


def test_stages_variables_and_path_forms(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /hello")
        await g(
            "CreateStage",
            ApiId=api,
            StageName="dev",
            AutoDeploy=True,
            StageVariables={"colour": "red"},
        )
        event = await g.event(api, "GET", "/dev/hello")
        assert event["rawPath"] == "/dev/hello" and event["stageVariables"] == {"colour": "red"}
        assert event["requestContext"]["stage"] == "dev"
        event = await g.event(api, "GET", f"/_api/{api}/hello", host="127.0.0.1:4566")
        assert event["rawPath"] == "/hello"

    run(body)


def test_a_deployment_is_a_snapshot(run: Any) -> None:
    async def body(g: Gateway) -> None:
        g.function = lambda event: event["routeKey"]
        api = await g.api("GET /a")
        fixed = await g("CreateDeployment", ApiId=api)
        await g("CreateStage", ApiId=api, StageName="v1", DeploymentId=fixed["DeploymentId"])
        integration = (await g("GetIntegrations", ApiId=api))["Items"][0]["IntegrationId"]
        target = f"integrations/{integration}"
        await g("CreateRoute", ApiId=api, RouteKey="GET /b", Target=target)
        assert (await g.http(api, "GET", "/b")).status == 200
        assert (await g.http(api, "GET", "/v1/b")).status == 404
        assert (await g.http(api, "GET", "/v1/a")).status == 200
        await g("CreateDeployment", ApiId=api, StageName="v1")
        assert (await g.http(api, "GET", "/v1/b")).status == 200
        # A stage that stops following keeps what it had.
        await g("UpdateStage", ApiId=api, StageName="$default", AutoDeploy=False)
        await g("CreateRoute", ApiId=api, RouteKey="GET /c", Target=target)
        assert (await g.http(api, "GET", "/c")).status == 404
        assert (await g.http(api, "GET", "/b")).status == 200
        with pytest.raises(AwsError, match="Active stages"):
            stage = await g("GetStage", ApiId=api, StageName="v1")
            await g("DeleteDeployment", ApiId=api, DeploymentId=stage["DeploymentId"])

    run(body)


def test_cors(run: Any) -> None:
    async def body(g: Gateway) -> None:
        cors = {
            "AllowOrigins": ["https://a.example", "http://localhost:*"],
            "AllowMethods": ["GET", "POST"],
            "AllowHeaders": ["Content-Type"],
            "MaxAge": 60,
        }
        api = await g.api("GET /", CorsConfiguration=cors)
        asked = {"origin": "https://a.example", "access_control_request_method": "GET"}
        told = dict((await g.http(api, "OPTIONS", "/nothing", **asked)).headers)
        assert told["access-control-allow-origin"] == "https://a.example"
        assert told["access-control-allow-methods"] == "GET,POST"
        assert told["access-control-max-age"] == "60"
        bad = await g.http(api, "OPTIONS", "/", **{**asked, "origin": "https://b.example"})
        assert (bad.status, bad.headers) == (204, [])
        g.function = lambda event: {
            "statusCode": 200,
            "headers": {"Access-Control-Allow-Origin": "*"},
        }
        plain = await g.http(api, "GET", "/", origin="http://localhost:5173")
        allowed = [v for n, v in plain.headers if n == "access-control-allow-origin"]
        assert allowed == ["http://localhost:5173"]
        await g("DeleteCorsConfiguration", ApiId=api)
        assert (await g.http(api, "OPTIONS", "/", **asked)).status == 404

    run(body)


def test_quick_create(run: Any) -> None:
    async def body(g: Gateway) -> None:
        made = await g("CreateApi", Name="q", ProtocolType="HTTP", Target=FUNCTION)
        assert made["ApiEndpoint"] == f"http://{made['ApiId']}.execute-api.localhost:4566"
        g.function = lambda event: event["routeKey"]
        answer = await g.http(made["ApiId"], "PUT", "/any/where")
        assert json.loads(bytes(answer.body)) == "$default"

    run(body)


def test_what_is_refused(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /a/{x}")
        for operation, params, text in (
            ("CreateApi", {"Name": "w", "ProtocolType": "WEBSOCKET"}, "not offered"),
            ("CreateRoute", {"ApiId": api, "RouteKey": "GET /a/{y}"}, "already exists"),
            ("CreateRoute", {"ApiId": api, "RouteKey": "GET /z", "Target": "x/1"}, "target"),
            ("CreateStage", {"ApiId": api, "StageName": "$default"}, "already exists"),
            ("GetApi", {"ApiId": "nope"}, "Invalid API identifier"),
            ("GetRoute", {"ApiId": api, "RouteId": "nope"}, "Invalid Route identifier"),
            (
                "CreateIntegration",
                {"ApiId": api, "IntegrationType": "AWS_PROXY", "IntegrationUri": FUNCTION},
                "PayloadFormatVersion",
            ),
        ):
            with pytest.raises(AwsError, match=text):
                await g(operation, **params)
        integration = (await g("GetIntegrations", ApiId=api))["Items"][0]["IntegrationId"]
        with pytest.raises(AwsError, match="referenced"):
            await g("DeleteIntegration", ApiId=api, IntegrationId=integration)
        await g("DeleteApi", ApiId=api)
        assert (await g("GetApis"))["Items"] == []
        assert (await g.http(api, "GET", "/a/1")).status == 404

    run(body)
