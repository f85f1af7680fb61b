"""Settings of APIs and of what is in them that a template no longer names (H8)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.conftest import Cloud
from tests.services.cloudformation.test_stacks import create, settle

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
LOG = "arn:aws:logs:us-east-1:000000000000:log-group:access"
LIMITS = {"ThrottlingRateLimit": 5, "ThrottlingBurstLimit": 9}
NEEDED: dict[str, dict[str, Any]] = {
    "Api": {"Name": "reset", "ProtocolType": "HTTP"},
    "Integration": {
        "IntegrationType": "HTTP_PROXY",
        "IntegrationMethod": "GET",
        "IntegrationUri": "https://example.com/",
    },
    "Authorizer": {
        "Name": "who",
        "AuthorizerType": "REQUEST",
        "AuthorizerPayloadFormatVersion": "2.0",
        "AuthorizerUri": f"arn:aws:apigateway:us-east-1:lambda:path/functions/{FUNCTION}",
    },
    "Route": {"RouteKey": "GET /here"},
    "Stage": {"StageName": "prod"},
}
MORE: dict[str, dict[str, Any]] = {
    "Api": {
        "Description": "told",
        "Version": "2",
        "DisableExecuteApiEndpoint": True,
        "CorsConfiguration": {"AllowOrigins": ["https://a.example"]},
        "Tags": {"colour": "red"},
    },
    "Integration": {
        "Description": "told",
        "TimeoutInMillis": 1000,
        "RequestParameters": {"append:header.x": "1", "overwrite:header.y": "$request.path.y"},
        "ResponseParameters": {
            "200": {"ResponseParameters": [{"Destination": "append:header.z", "Source": "7"}]}
        },
        "TlsConfig": {"ServerNameToVerify": "example.com"},
    },
    "Authorizer": {
        "AuthorizerResultTtlInSeconds": 60,
        "EnableSimpleResponses": True,
        "IdentitySource": ["$request.header.Authorization"],
    },
    "Route": {
        "OperationName": "told",
        "AuthorizationType": "CUSTOM",
        "AuthorizerId": {"Ref": "Authorizer"},
        "Target": {"Fn::Sub": "integrations/${Integration}"},
    },
    "Stage": {
        "Description": "told",
        "AutoDeploy": True,
        "StageVariables": {"one": "1", "two": "2"},
        "DefaultRouteSettings": LIMITS,
        "RouteSettings": {"GET /here": {"ThrottlingRateLimit": 2}},
        "AccessLogSettings": {"DestinationArn": LOG, "Format": "$context.requestId"},
        "Tags": {"colour": "red"},
    },
}
MEMBERS = (  # what every change changes
    *("ApiId", "CreatedDate", "LastUpdatedDate", "DeploymentId", "ResponseMetadata"),
    "LastDeploymentStatusMessage",
)


@pytest.fixture
def cfn(cloud: Cloud) -> Any:
    return cloud.client("cloudformation")


def body(**told: dict[str, Any]) -> dict[str, Any]:
    """A template with one resource of each type, with what it needs and what is told of it."""
    resources: dict[str, Any] = {}
    for name, needed in NEEDED.items():
        inside = {} if name == "Api" else {"ApiId": {"Ref": "Api"}}
        properties = {**needed, **inside, **told.get(name, {})}
        resources[name] = {"Type": f"AWS::ApiGatewayV2::{name}", "Properties": properties}
    # A stage's settings name the route; a route that lets go of an authorizer goes first.
    resources["Stage"]["DependsOn"] = "Route"
    return {"Resources": resources}


class Seen:
    """What API Gateway tells of the resources of a stack."""

    def __init__(self, cloud: Cloud, cfn: Any, stack: str) -> None:
        self.client = cloud.client("apigatewayv2")
        found = cfn.describe_stack_resources(StackName=stack)["StackResources"]
        self.ids = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found}

    def now(self) -> dict[str, dict[str, Any]]:
        api, ids, told = {"ApiId": self.ids["Api"]}, self.ids, self.client
        found = {
            "Api": told.get_api(**api),
            "Integration": told.get_integration(IntegrationId=ids["Integration"], **api),
            "Authorizer": told.get_authorizer(AuthorizerId=ids["Authorizer"], **api),
            "Route": told.get_route(RouteId=ids["Route"], **api),
            "Stage": told.get_stage(StageName=ids["Stage"], **api),
        }
        return {
            n: {k: v for k, v in about.items() if k not in MEMBERS and v not in ("", {}, [], False)}
            for n, about in found.items()
        }


def test_what_a_template_no_longer_names_is_as_if_it_never_had(cloud: Cloud, cfn: Any) -> None:
    """Resources of a plain template, given settings, deprived of them by an update that fails and
    by one that does not."""
    name = f"apis{uuid.uuid4().hex[:8]}"
    create(cfn, name, json.dumps(body()))
    seen = Seen(cloud, cfn, name)
    plain = seen.now()
    cfn.update_stack(StackName=name, TemplateBody=json.dumps(body(**MORE)))
    settle(cfn, name, "update")
    more = seen.now()
    for resource, told in MORE.items():
        assert told.keys() - {"ResponseParameters"} <= more[resource].keys(), resource
    assert more["Integration"]["ResponseParameters"] == {"200": {"append:header.z": "7"}}
    assert more["Stage"]["StageVariables"] == {"one": "1", "two": "2"}

    failing = body()
    failing["Resources"]["Wrong"] = {"Type": "AWS::Nothing::AtAll", "DependsOn": "Stage"}
    cfn.update_stack(StackName=name, TemplateBody=json.dumps(failing))
    with pytest.raises(WaiterError):
        settle(cfn, name, "update")
    assert seen.now() == more

    less = {
        "Stage": {"StageVariables": {"two": "3"}, "DefaultRouteSettings": {**LIMITS}},
        "Integration": {"RequestParameters": {"append:header.x": "2"}},
    }
    del less["Stage"]["DefaultRouteSettings"]["ThrottlingRateLimit"]
    cfn.update_stack(StackName=name, TemplateBody=json.dumps(body(**less)))
    settle(cfn, name, "update")
    part = seen.now()
    assert part["Stage"]["StageVariables"] == {"two": "3"}
    limits = {"DetailedMetricsEnabled": False, "ThrottlingBurstLimit": 9}
    assert part["Stage"]["DefaultRouteSettings"] == limits
    assert part["Integration"]["RequestParameters"] == {"append:header.x": "2"}

    cfn.update_stack(StackName=name, TemplateBody=json.dumps(body()))
    settle(cfn, name, "update")
    assert seen.now() == plain
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")


def test_a_mapping_without_a_key_is_at_the_root_again(cloud: Cloud, cfn: Any) -> None:
    name = f"maps{uuid.uuid4().hex[:8]}"
    domain = f"{name}.example"

    def with_mapping(**more: str) -> str:
        told = body()
        about = {"DomainName": {"Ref": "Domain"}, "ApiId": {"Ref": "Api"}, "Stage": "prod"}
        told["Resources"]["Domain"] = {
            "Type": "AWS::ApiGatewayV2::DomainName",
            "Properties": {"DomainName": domain, "Tags": {"colour": "red"}},
        }
        told["Resources"]["Mapping"] = {
            "Type": "AWS::ApiGatewayV2::ApiMapping",
            "DependsOn": "Stage",
            "Properties": about | more,
        }
        return json.dumps(told)

    client = cloud.client("apigatewayv2")
    create(cfn, name, with_mapping(ApiMappingKey="shop"))
    assert client.get_domain_name(DomainName=domain)["Tags"] == {"colour": "red"}
    cfn.update_stack(StackName=name, TemplateBody=with_mapping())
    settle(cfn, name, "update")
    (mapping,) = client.get_api_mappings(DomainName=domain)["Items"]
    assert mapping.get("ApiMappingKey", "") == ""
    cfn.delete_stack(StackName=name)
    settle(cfn, name, "delete")
