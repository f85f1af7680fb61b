"""APIs from OpenAPI documents and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from pileus.errors import AwsError
from tests.services.apigateway.conftest import FUNCTION, Gateway

X = "x-amazon-apigateway-"
URI = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
CALL = {
    f"{X}integration": {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": URI,
        "payloadFormatVersion": "2.0",
    }
}
JWT = {
    "type": "oauth2",
    f"{X}authorizer": {
        "type": "jwt",
        "identitySource": "$request.header.Authorization",
        "jwtConfiguration": {"issuer": "https://issuer.example", "audience": ["a"]},
    },
}
ASKED = {
    "type": "apiKey",
    "name": "Unused",
    "in": "header",
    f"{X}authorizer": {
        "type": "request",
        "authorizerUri": URI,
        "authorizerPayloadFormatVersion": "2.0",
        "enableSimpleResponses": True,
        "identitySource": "$request.header.X-A, $request.querystring.q",
        "authorizerResultTtlInSeconds": 5,
    },
}
IAM = {"type": "apiKey", "name": "Authorization", "in": "header", f"{X}authtype": "awsSigv4"}


def document(**paths: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.1",
        "info": {"title": "orders", "version": "2"},
        "paths": paths,
        "components": {"securitySchemes": {"J": JWT, "L": ASKED, "I": IAM}},
        f"{X}cors": {"allowOrigins": ["https://a.example"], "maxAge": 5},
        "tags": [{"name": "by", f"{X}tag-value": "SAM"}],
    }


async def imported(g: Gateway, told: dict[str, Any], **more: Any) -> str:
    made = await g("ImportApi", Body=json.dumps(told), **more)
    await g("CreateStage", ApiId=made["ApiId"], StageName="$default", AutoDeploy=True)
    return str(made["ApiId"])


def test_import_serves(run: Any) -> None:
    async def body(g: Gateway) -> None:
        paths = {
            "/a/{id}": {"get": CALL, f"{X}any-method": CALL},
            "/jwt": {"get": CALL | {"security": [{"J": ["s"]}]}},
            "/asked": {"get": CALL | {"security": [{"L": []}]}},
            "/iam": {"get": CALL | {"security": [{"I": []}]}},
            "/$default": {f"{X}any-method": CALL | {"isDefaultRoute": True}},
        }
        api = await imported(g, document(**paths))
        told = await g("GetApi", ApiId=api)
        assert (told["Name"], told["Version"], told["Tags"]) == ("orders", "2", {"by": "SAM"})
        assert told["CorsConfiguration"] == {"AllowOrigins": ["https://a.example"], "MaxAge": 5}
        event = await g.event(api, "GET", "/a/7")
        assert event["routeKey"] == "GET /a/{id}" and event["pathParameters"] == {"id": "7"}
        assert (await g.event(api, "PUT", "/a/7"))["routeKey"] == "ANY /a/{id}"
        assert (await g.event(api, "GET", "/else"))["routeKey"] == "$default"
        statuses = [(await g.http(api, "GET", f"/{p}")).status for p in ("jwt", "asked", "iam")]
        assert statuses == [401, 401, 403]
        found = (await g("GetAuthorizers", ApiId=api))["Items"]
        by_type = {a["AuthorizerType"]: a for a in found}
        assert by_type["JWT"]["JwtConfiguration"]["Issuer"] == "https://issuer.example"
        sources = by_type["REQUEST"]["IdentitySource"]
        assert sources == ["$request.header.X-A", "$request.querystring.q"]
        assert by_type["REQUEST"]["AuthorizerResultTtlInSeconds"] == 5

    run(body)


def test_reimport_replaces_and_export_round_trips(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await imported(g, document(**{"/old": {"get": CALL}}))
        paths = {"/new": {"post": CALL | {"security": [{"J": ["s"]}]}}, "/b": {"get": CALL}}
        await g("ReimportApi", ApiId=api, Body=yaml.safe_dump(document(**paths)))
        assert (await g.http(api, "GET", "/old")).status == 404
        assert (await g.event(api, "GET", "/b"))["routeKey"] == "GET /b"
        how = {"Specification": "OAS30", "OutputType": "JSON", "StageName": "$default"}
        exported = json.loads((await g("ExportApi", ApiId=api, **how))["body"])
        assert set(exported["paths"]) == {"/new", "/b"}
        assert exported["paths"]["/new"]["post"]["security"] == [{"J": ["s"]}]
        again = await imported(g, exported)
        keys = [sorted(r["RouteKey"] for r in (await g("GetRoutes", ApiId=a))["Items"])
                for a in (api, again)]  # fmt: skip
        assert keys[0] == keys[1] == ["GET /b", "POST /new"]
        plain = await g("ExportApi", ApiId=api, **how | {"OutputType": "YAML"},
                        IncludeExtensions=False)  # fmt: skip
        assert X.encode() not in plain["body"] and yaml.safe_load(plain["body"])["paths"]["/b"]

    run(body)


def test_base_path_references_and_warnings(run: Any) -> None:
    async def body(g: Gateway) -> None:
        told = document(**{"/x": {"get": {f"{X}integration": {"$ref": "#/components/y/one"}}}})
        told["components"]["y"] = {"one": CALL[f"{X}integration"]}
        told["servers"] = [{"url": "https://h.example/{basePath}",
                            "variables": {"basePath": {"default": "/v1"}}}]  # fmt: skip
        api = await imported(g, told, Basepath="prepend")
        assert (await g.event(api, "GET", "/v1/x"))["routeKey"] == "GET /v1/x"
        bare = json.dumps(document(**{"/x": {"get": {}}}))
        made = await g("ImportApi", Body=bare)
        assert made["Warnings"] == ["No integration is defined for GET /x"]
        with pytest.raises(AwsError, match="Warnings found during import"):
            await g("ImportApi", Body=bare, FailOnWarnings=True)

    run(body)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "[1]",
        "{",
        "swagger: '2.0'",
        json.dumps({"openapi": "3.0.1", "info": {"title": "t"}, "paths": [1]}),
        json.dumps({"openapi": "3.0.1", "info": 5, "paths": {}}),
        json.dumps(document(**{"/x": 5})),
        json.dumps(document(**{"/x": {"get": 5}})),
        json.dumps(document(**{"x": {"get": CALL}})),
        json.dumps(document(**{"/{a}": {"get": CALL}, "/{b}": {"get": CALL}})),
        json.dumps(document(**{"/x": {"get": {f"{X}integration": {"$ref": "#/none"}}}})),
        json.dumps(document(**{"/x": {"get": {f"{X}integration": {"type": "mock"}}}})),
        json.dumps(document(**{"/x": {"get": CALL | {"security": [{"none": []}]}}})),
        "a: &a {b: *a}",
        "\n".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" if i else "a0: &a0 [x]"
            for i in range(12)
        ),
        "[" * 5000,
    ],
)
def test_bad_documents(run: Any, bad: str) -> None:
    async def body(g: Gateway) -> None:
        with pytest.raises(AwsError) as told:
            await g("ImportApi", Body=bad)
        assert told.value.status in (400, 409)

    run(body)
