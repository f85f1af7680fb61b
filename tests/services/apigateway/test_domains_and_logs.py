"""Custom domain names, access logs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pileus.errors import AwsError
from tests.services.apigateway.conftest import Gateway

GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:access"
FORMAT = (
    '{"id":"$context.requestId","ip":"$context.identity.sourceIp","route":"$context.routeKey",'
    '"status":$context.status,"agent":"$context.identity.userAgent","error":'
    '$context.error.messageString,"integration":"$context.integrationStatus",'
    '"mine":"$context.authorizer.who","none":"$context.nothing"}'
)


def test_mappings_lead_to_stages(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api, other = await g.api("GET /x"), await g.api("GET /x")
        await g("CreateStage", ApiId=other, StageName="prod", AutoDeploy=True)
        name = "api.shop.example"
        made = await g("CreateDomainName", DomainName=name)
        assert made["DomainNameConfigurations"][0]["DomainNameStatus"] == "AVAILABLE"
        with pytest.raises(AwsError, match="already exists"):
            await g("CreateDomainName", DomainName=name)
        root = await g("CreateApiMapping", DomainName=name, ApiId=api, Stage="$default")
        deep = {"DomainName": name, "ApiId": other, "Stage": "prod", "ApiMappingKey": "v2/more"}
        await g("CreateApiMapping", **deep)
        with pytest.raises(AwsError, match="already exists"):
            await g("CreateApiMapping", **deep)
        event = await g.event(api, "GET", "/x", host=f"{name}:8000")
        assert event["requestContext"]["apiId"] == api
        assert event["requestContext"]["domainName"] == name
        event = await g.event(api, "GET", "/v2/more/x", host=name)
        told = event["requestContext"]
        assert (told["apiId"], told["stage"]) == (other, "prod")
        assert event["rawPath"] == "/v2/more/x"
        assert g.door.owns(name) and not g.door.owns("other.example") and not g.door.owns("")
        with pytest.raises(AwsError, match="API mappings"):
            await g("DeleteApi", ApiId=api)
        how = {"DomainName": name, "ApiMappingId": root["ApiMappingId"]}
        moved = await g("UpdateApiMapping", **how, ApiId=api, ApiMappingKey="v1")
        assert moved["ApiMappingKey"] == "v1"
        assert (await g.http(api, "GET", "/x", host=name)).status == 404
        assert await g("GetApiMapping", **how) == moved
        await g("DeleteApiMapping", **how)
        assert len((await g("GetApiMappings", DomainName=name))["Items"]) == 1
        assert (await g("GetDomainNames"))["Items"] == [await g("GetDomainName", DomainName=name)]
        await g("DeleteDomainName", DomainName=name)
        assert not g.door.owns(name)

    run(body)


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "UPPER.example", "a b.example", "x"])
def test_names_that_cannot_be_claimed(run: Any, name: str) -> None:
    async def body(g: Gateway) -> None:
        with pytest.raises(AwsError, match="not valid"):
            await g("CreateDomainName", DomainName=name)

    run(body)


def test_access_log(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /x")
        log = {"DestinationArn": GROUP, "Format": FORMAT}
        await g("UpdateStage", ApiId=api, StageName="$default", AccessLogSettings=log)
        g.function = lambda event: {"statusCode": 201}
        answer = await g.http(api, "GET", "/x", user_agent='a"b\n')
        await g.http(api, "GET", "/none")
        g.dispatched.clear()
        await g.door.close()
        made, put = g.dispatched
        assert made["operation"] == "CreateLogStream"
        assert put["operation"] == "PutLogEvents" and put["logGroupName"] == "access"
        assert put["principal"].account == "123456789012"
        lines = [json.loads(event["message"]) for event in put["logEvents"]]
        assert lines[0]["id"] == dict(answer.headers)["apigw-requestid"]
        assert lines[0]["agent"] == 'a"b\n' and lines[0]["status"] == 201
        assert (lines[0]["route"], lines[0]["integration"]) == ("GET /x", "200")
        assert (lines[0]["mine"], lines[0]["none"]) == ("-", "-")
        assert (lines[1]["route"], lines[1]["error"]) == ("-", "Not Found")

    run(body)


@pytest.mark.parametrize(
    "log",
    [
        {"DestinationArn": GROUP, "Format": "$context.status"},
        {"DestinationArn": GROUP.replace("123456789012", "999999999999"),
         "Format": "$context.requestId"},
        {"DestinationArn": "arn:aws:s3:::b", "Format": "$context.requestId"},
        {"DestinationArn": GROUP, "Format": "$context.requestId\n$context.status"},
    ],
)  # fmt: skip
def test_logs_that_cannot_be(run: Any, log: dict[str, str]) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /x")
        with pytest.raises(AwsError):
            await g("UpdateStage", ApiId=api, StageName="$default", AccessLogSettings=log)

    run(body)
