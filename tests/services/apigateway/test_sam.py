"""A SAM template with HttpApi events, deployed and called as users do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from typing import Any

from tests.conftest import Cloud
from tests.waiting import wait

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Timeout: 30
      InlineCode: |
        import json
        def handler(event, context):
            told = {k: event.get(k) for k in ("version", "routeKey", "pathParameters", "body")}
            return {"statusCode": 201, "body": json.dumps(told)}
      Events:
        One: {Type: HttpApi, Properties: {Path: "/orders/{id}", Method: post, ApiId: !Ref Own}}
        Rest: {Type: HttpApi}
  Own:
    Type: AWS::Serverless::HttpApi
    Properties:
      StageName: prod
      CorsConfiguration: {AllowOrigins: ["https://shop.example"], AllowMethods: [POST]}
  Domain:
    Type: AWS::ApiGatewayV2::DomainName
    Properties: {DomainName: !Sub "${AWS::StackName}.example"}
  Mapping:
    Type: AWS::ApiGatewayV2::ApiMapping
    DependsOn: OwnprodStage
    Properties: {DomainName: !Ref Domain, ApiId: !Ref Own, Stage: prod, ApiMappingKey: shop}
Outputs:
  Own: {Value: !Ref Own}
  Implicit: {Value: !Ref ServerlessHttpApi}
"""


def call(cloud: Cloud, api: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """``api``: an API's id, or a host with a dot."""
    named = {"host": api} if "." in api else {}
    where = path if named else f"/_api/{api}{path}"
    request = urllib.request.Request(f"{cloud.endpoint}{where}", body, named)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def test_http_api_events(cloud: Cloud) -> None:
    cfn = cloud.client("cloudformation")
    name = f"sam-{uuid.uuid4().hex[:8]}"
    cfn.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    wait(cfn, "stack_create_complete", StackName=name)
    told = cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    apis = {o["OutputKey"]: o["OutputValue"] for o in told}
    status, event = call(cloud, apis["Own"], "/prod/orders/7", b"{}")
    assert status == 201 and event["routeKey"] == "POST /orders/{id}"
    assert event["pathParameters"] == {"id": "7"} and event["version"] == "2.0"
    assert call(cloud, apis["Own"], "/prod/else")[0] == 404
    assert call(cloud, f"{name}.example", "/shop/orders/7", b"{}")[0] == 201
    status, event = call(cloud, apis["Implicit"], "/any/where")
    assert status == 201 and event["routeKey"] == "$default"
    api = cloud.client("apigatewayv2").get_api(ApiId=apis["Own"])
    assert api["CorsConfiguration"]["AllowOrigins"] == ["https://shop.example"]
    assert api["Name"] == name and api["Tags"]["httpapi:createdBy"] == "SAM"
    changed = TEMPLATE.replace("/orders/{id}", "/goods/{id}")
    cfn.update_stack(
        StackName=name,
        TemplateBody=changed,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    wait(cfn, "stack_update_complete", StackName=name)
    assert call(cloud, apis["Own"], "/prod/orders/7", b"{}")[0] == 404
    assert call(cloud, apis["Own"], "/prod/goods/7", b"{}")[0] == 201
    exported = cloud.client("apigatewayv2").export_api(
        ApiId=apis["Own"], OutputType="JSON", Specification="OAS30"
    )
    assert "/goods/{id}" in json.load(exported["body"])["paths"]
    cfn.delete_stack(StackName=name)
    wait(cfn, "stack_delete_complete", StackName=name)
    left = cloud.client("apigatewayv2").get_domain_names()["Items"]
    assert f"{name}.example" not in [domain["DomainName"] for domain in left]
