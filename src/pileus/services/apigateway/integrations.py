"""Integrations: CreateIntegration, GetIntegration(s), UpdateIntegration, DeleteIntegration.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations.html
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from pileus.services.apigateway import mapping, rows
from pileus.services.apigateway.room import Room
from pileus.services.call import Call
from pileus.state.draft import Draft

FUNCTION_ARN = re.compile(r"arn:aws[a-z\-]*:lambda:[a-z0-9\-]+:\d{12}:function:[^/\s]+")
SETTABLE = (
    "IntegrationUri",
    "IntegrationMethod",
    "PayloadFormatVersion",
    "TimeoutInMillis",
    "Description",
    "RequestParameters",
    "ResponseParameters",
    "TlsConfig",
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANY"}
TIMEOUT_MS_MAX = 30_000


async def create_integration(room: Room, call: Call) -> dict[str, Any]:
    """Make an AWS_PROXY (function) or HTTP_PROXY (address) integration."""
    params = call.params
    integration = made(room, params)

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        key = rows.part_key(params["ApiId"], "integration", integration["IntegrationId"])
        draft.put_json(key, integration)
        return integration

    return await room.change(call, edit, deploys=True)


def made(room: Room, params: dict[str, Any]) -> dict[str, Any]:
    """A new integration as ``params`` (of CreateIntegration) describe it, checked."""
    kind = params["IntegrationType"]
    if kind not in ("AWS_PROXY", "HTTP_PROXY"):
        raise rows.bad(f"Unsupported integration type specified for HTTP protocol: {kind}")
    if kind == "AWS_PROXY" and not params.get("PayloadFormatVersion"):
        raise rows.bad("PayloadFormatVersion is a required parameter for integration")
    integration = {
        "IntegrationId": room.new_id("integration"),
        "IntegrationType": kind,
        "ConnectionType": params.get("ConnectionType") or "INTERNET",
        "TimeoutInMillis": TIMEOUT_MS_MAX,
        "PayloadFormatVersion": "1.0",
    }
    if kind == "AWS_PROXY":
        integration["IntegrationMethod"] = "POST"
    _apply(integration, params)
    return integration


def described(integration: dict[str, Any]) -> dict[str, Any]:
    """The integration as OpenAPI documents write it."""
    out: dict[str, Any] = {"type": integration["IntegrationType"].lower()}
    for name, member in (
        ("httpMethod", "IntegrationMethod"),
        ("uri", "IntegrationUri"),
        ("payloadFormatVersion", "PayloadFormatVersion"),
        ("connectionType", "ConnectionType"),
        ("timeoutInMillis", "TimeoutInMillis"),
        ("requestParameters", "RequestParameters"),
        ("responseParameters", "ResponseParameters"),
    ):
        if integration.get(member):
            out[name] = integration[member]
    return out


async def update_integration(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    key = rows.part_key(params["ApiId"], "integration", params["IntegrationId"])

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        integration = draft.get_json(key)
        if integration is None:
            raise rows.no_such("integration", params["IntegrationId"])
        integration["IntegrationType"] = (
            params.get("IntegrationType") or integration["IntegrationType"]
        )
        _apply(integration, params)
        draft.put_json(key, integration)
        return dict(integration)

    return await room.change(call, edit, deploys=True)


def _apply(integration: dict[str, Any], params: dict[str, Any]) -> None:
    """Take over what ``params`` set, then check the whole."""
    for name, why in (
        ("IntegrationSubtype", "first-class service integrations are not offered yet"),
        ("CredentialsArn", "CredentialsArn is not offered yet: use the function's resource policy"),
        ("ConnectionId", "VPC links are not offered: there is no VPC here"),
        ("RequestTemplates", "RequestTemplates are only supported for WebSocket APIs"),
    ):
        if params.get(name):
            raise rows.bad(f"{name}: {why}")
    for name in SETTABLE:
        value = params.get(name)
        if value is None:
            continue
        if name == "RequestParameters":
            value = integration.get(name, {}) | value
            value = {k: v for k, v in value.items() if v != ""}
        integration[name] = value
    check(integration)


def check(integration: dict[str, Any]) -> None:
    """``BadRequestException`` unless the integration can be served."""
    uri = integration.get("IntegrationUri") or ""
    if integration["ConnectionType"] != "INTERNET":
        raise rows.bad("ConnectionType must be INTERNET: there is no VPC here")
    if integration["PayloadFormatVersion"] not in ("1.0", "2.0"):
        raise rows.bad("PayloadFormatVersion must be 1.0 or 2.0")
    if not 50 <= integration["TimeoutInMillis"] <= TIMEOUT_MS_MAX:
        raise rows.bad("Timeout should be between 50 ms and 30000 ms")
    if integration["IntegrationType"] == "AWS_PROXY":
        if not function_of(uri):
            raise rows.bad(f"Invalid integration URI: {uri} is not the ARN of a function")
    else:
        _check_address(uri, integration.get("IntegrationMethod") or "")
    mapping.check_request(integration.get("RequestParameters") or {})
    mapping.check_response(integration.get("ResponseParameters") or {})


def _check_address(uri: str, method: str) -> None:
    if method not in METHODS:
        raise rows.bad("IntegrationMethod is required for an HTTP_PROXY integration")
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise rows.bad("Invalid HTTP endpoint specified for URI")


def function_of(uri: str) -> str:
    """The function's ARN in an integration or authorizer URI, or '' when there is none."""
    match = FUNCTION_ARN.search(uri)
    return match[0].removesuffix("/invocations") if match else ""


def quick_integration(room: Room, call: Call, target: str) -> dict[str, Any]:
    """The integration of a quick create: a function's ARN or an HTTP address."""
    function = bool(function_of(target))
    integration: dict[str, Any] = {
        "IntegrationId": room.new_id("integration"),
        "IntegrationType": "AWS_PROXY" if function else "HTTP_PROXY",
        "IntegrationMethod": "POST" if function else "ANY",
        "IntegrationUri": target,
        "ConnectionType": "INTERNET",
        "PayloadFormatVersion": "2.0" if function else "1.0",
        "TimeoutInMillis": TIMEOUT_MS_MAX,
        "ApiGatewayManaged": True,
    }
    check(integration)
    return integration


def get_integration(room: Room, call: Call) -> dict[str, Any]:
    return room.part(call, "integration", call.params["IntegrationId"])


def get_integrations(room: Room, call: Call) -> dict[str, Any]:
    return room.page(call, "integration")


async def delete_integration(room: Room, call: Call) -> None:
    """Refused with ``ConflictException`` while a route targets it, as on AWS."""
    integration_id = call.params["IntegrationId"]
    api_id = call.params["ApiId"]
    key = rows.part_key(api_id, "integration", integration_id)

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        if draft.get(key) is None:
            raise rows.no_such("integration", integration_id)
        for row in draft.range(*rows.kind_span(api_id, "route")):
            route = orjson.loads(row.value)
            if route.get("Target") == f"integrations/{integration_id}":
                raise rows.conflict(
                    "Cannot delete Integration with id"
                    f" '{integration_id}'. Integration is referenced by route"
                    f" {route['RouteKey']}"
                )
        draft.delete(key)

    await room.change(call, edit, deploys=True)
