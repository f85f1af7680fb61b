"""APIs: CreateApi, GetApi, GetApis, UpdateApi, DeleteApi, DeleteCorsConfiguration.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.services.apigateway import deploying, domains, rows
from pileus.services.apigateway.integrations import quick_integration
from pileus.services.apigateway.room import Room
from pileus.services.apigateway.routes import check_route_key
from pileus.services.apigateway.tags import check_tags
from pileus.services.call import Call
from pileus.state import keys
from pileus.state.draft import Draft

SETTABLE = (
    "Name",
    "Description",
    "Version",
    "DisableExecuteApiEndpoint",
    "ApiKeySelectionExpression",
    "RouteSelectionExpression",
    "IpAddressType",
)
CORS_LISTS = ("AllowOrigins", "AllowMethods", "AllowHeaders", "ExposeHeaders")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "*"}


async def create_api(room: Room, call: Call) -> dict[str, Any]:
    """Make an HTTP API; with ``Target`` also its integration, route and ``$default`` stage."""
    params = call.params
    if params["ProtocolType"] == "WEBSOCKET":
        raise rows.bad("WEBSOCKET APIs are not offered yet: ProtocolType must be HTTP")
    if params["ProtocolType"] != "HTTP":
        raise rows.bad("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]")
    told = new_api(room, call, params)
    quick = quick_create(room, call) if params.get("Target") else {}
    await put_api(room, call, told, quick)
    return told


def new_api(room: Room, call: Call, params: dict[str, Any]) -> dict[str, Any]:
    """What AWS tells of the API ``params`` ask for, with a fresh id; checks them."""
    _check(params)
    api_id = room.new_id("api")
    tags = params.get("Tags") or {}
    check_tags(tags)
    told = {
        "ApiId": api_id,
        "ApiEndpoint": room.endpoint(api_id),
        "ProtocolType": "HTTP",
        "CreatedDate": room.seconds(),
        "ApiKeySelectionExpression": "$request.header.x-api-key",
        "RouteSelectionExpression": "$request.method $request.path",
        "DisableExecuteApiEndpoint": False,
        "IpAddressType": "ipv4",
        "Tags": tags,
    }
    told |= rows.picked(params, *SETTABLE)
    if params.get("CorsConfiguration"):
        told["CorsConfiguration"] = check_cors(params["CorsConfiguration"])
    return told


async def put_api(
    room: Room, call: Call, told: dict[str, Any], parts: dict[tuple[str, str], Any]
) -> None:
    """Store a new API with its ``parts`` ({(kind, id): resource})."""
    api_id = told["ApiId"]

    def change(draft: Draft) -> None:
        row = {"account": call.account, "region": call.region, "told": told}
        draft.put_json(rows.api_key(api_id), row)
        draft.put(rows.list_key(call.account, call.region, api_id), b"")
        for (kind, part_id), part in parts.items():
            draft.put_json(rows.part_key(api_id, kind, part_id), part)

    await room.store.transact(change, call.invocation_id)


def quick_create(room: Room, call: Call) -> dict[tuple[str, str], Any]:
    """The catch-all route, its integration and the ``$default`` stage of a quick create."""
    params, now = call.params, room.seconds()
    key = check_route_key(params.get("RouteKey") or "$default")
    integration = quick_integration(room, call, params["Target"])
    ids = {kind: room.new_id(kind) for kind in ("route", "deployment")}
    route = {
        "RouteId": ids["route"],
        "RouteKey": key,
        "Target": f"integrations/{integration['IntegrationId']}",
        "AuthorizationType": "NONE",
        "ApiKeyRequired": False,
        "ApiGatewayManaged": True,
    }
    stage: dict[str, Any] = {
        "StageName": "$default",
        "AutoDeploy": True,
        "ApiGatewayManaged": True,
        "CreatedDate": now,
        "DefaultRouteSettings": {"DetailedMetricsEnabled": False},
        "RouteSettings": {},
        "StageVariables": {},
        "Tags": {},
    }
    deploying.point(stage, ids["deployment"], now)
    told = deploying.record(ids["deployment"], now, auto=True)
    return {
        ("integration", integration["IntegrationId"]): integration,
        ("route", ids["route"]): route,
        ("stage", "$default"): stage,
        ("deployment", ids["deployment"]): {"told": told, "snapshot": None},
    }


def get_api(room: Room, call: Call) -> dict[str, Any]:
    return dict(room.api(call)["told"])


def get_apis(room: Room, call: Call) -> dict[str, Any]:
    """The account's APIs in this region, in order of their ids."""
    prefix = keys.partition_prefix(rows.LIST, call.place)

    def read(key: bytes) -> dict[str, Any]:
        row = room.store.get_json(rows.api_key(room.new_name(key)))
        return dict(row["told"]) if row else {}

    return room.paged(call, prefix, keys.after_prefix(prefix), read)


async def update_api(room: Room, call: Call) -> dict[str, Any]:
    """Change what is given. ``Target`` and ``RouteKey`` change only a quick-created API."""
    params = call.params
    _check(params, creating=False)

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        told = api["told"]
        told |= rows.picked(params, *SETTABLE)
        if params.get("CorsConfiguration") is not None:
            told["CorsConfiguration"] = check_cors(params["CorsConfiguration"])
        if params.get("Target") or params.get("RouteKey"):
            _update_quick(draft, call, params)
        draft.put_json(rows.api_key(told["ApiId"]), api)
        return dict(told)

    return await room.change(call, edit, deploys=bool(params.get("Target")))


def _update_quick(draft: Draft, call: Call, params: dict[str, Any]) -> None:
    api_id = params["ApiId"]
    for kind, member, name in (
        ("route", "RouteKey", "RouteKey"),
        ("integration", "IntegrationUri", "Target"),
    ):
        if not params.get(name):
            continue
        parts = [orjson.loads(r.value) for r in draft.range(*rows.kind_span(api_id, kind))]
        managed = [part for part in parts if part.get("ApiGatewayManaged")]
        if not managed:
            raise rows.bad(f"{name} can only be updated on an API made by quick create")
        value = params[name]
        part = managed[0] | {member: check_route_key(value) if kind == "route" else value}
        id_member = "RouteId" if kind == "route" else "IntegrationId"
        draft.put_json(rows.part_key(api_id, kind, part[id_member]), part)


async def delete_api(room: Room, call: Call) -> None:
    """Delete the API and all it holds. Custom domains that map to it must let go first."""
    api_id = call.params["ApiId"]

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        if domains.mapped(draft, api_id):
            raise rows.bad(
                "Deleting this API is not allowed: it has API mappings. Delete those first"
            )
        for row in draft.range(*rows.api_span(api_id), limit=100_000):
            draft.delete(row.key)
        draft.delete(rows.list_key(call.account, call.region, api_id))

    await room.change(call, edit)


async def delete_cors_configuration(room: Room, call: Call) -> None:
    def edit(draft: Draft, api: dict[str, Any]) -> None:
        api["told"].pop("CorsConfiguration", None)
        draft.put_json(rows.api_key(call.params["ApiId"]), api)

    await room.change(call, edit)


def _check(params: dict[str, Any], creating: bool = True) -> None:
    name = params.get("Name")
    if (creating or name is not None) and not 1 <= len(name or "") <= 128:
        raise rows.bad("Invalid API name: it must have 1 to 128 characters")
    if len(params.get("Description") or "") > 1024:
        raise rows.bad("Description must have at most 1024 characters")
    if len(params.get("Version") or "") > 64:
        raise rows.bad("Version must have at most 64 characters")
    expression = params.get("RouteSelectionExpression")
    if expression and expression.replace("${", "$").replace("}", "") != (
        "$request.method $request.path"
    ):
        raise rows.bad(
            "Invalid RouteSelectionExpression: an HTTP API needs"
            " '${request.method} ${request.path}'"
        )


def check_cors(cors: dict[str, Any]) -> dict[str, Any]:
    """A CORS configuration whose parts fit each other (API reference, type Cors)."""
    out = {k: v for k, v in cors.items() if v is not None and v != []}
    origins = out.get("AllowOrigins", [])
    if out.get("AllowCredentials") and any("*" in origin for origin in origins):
        raise rows.bad("allow-credentials is not supported for wildcard origins")
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/\s]+", origin):
            raise rows.bad(f"Invalid format for origin {origin}")
    for method in out.get("AllowMethods", []):
        if method.upper() not in METHODS:
            raise rows.bad(f"Invalid allow-method {method}")
    if not -1 <= out.get("MaxAge", 0) <= 86_400:
        raise rows.bad("MaxAge must be between -1 and 86400")
    for name in CORS_LISTS:
        if len(out.get(name, [])) > 100:
            raise rows.bad(f"{name} has more than 100 entries")
    return out
