"""APIs from documents and back: ImportApi, ReimportApi, ExportApi.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from pileus.services.apigateway import apis, authorizers, deploying, integrations, rows
from pileus.services.apigateway.openapi import ANY, Wish, X, read
from pileus.services.apigateway.room import Room
from pileus.services.apigateway.routes import ROUTES_MAX, shape
from pileus.services.call import Call
from pileus.state.draft import Draft

Parts = dict[tuple[str, str], dict[str, Any]]


async def import_api(room: Room, call: Call) -> dict[str, Any]:
    """Make an HTTP API from an OpenAPI 3.0 document. Stages are made by CreateStage."""
    wish = _read(call)
    told = apis.new_api(room, call, wish.api)
    await apis.put_api(room, call, told, _parts(room, wish))
    return told | _warned(wish)


async def reimport_api(room: Room, call: Call) -> dict[str, Any]:
    """Put a document in the place of the API's routes, integrations, authorizers and CORS."""
    wish = _read(call)
    fresh = apis.new_api(room, call, wish.api)
    parts, api_id = _parts(room, wish), call.params["ApiId"]

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        told = api["told"]
        told.pop("CorsConfiguration", None)
        told |= rows.picked(fresh, "Name", "Version", "Description", "CorsConfiguration")
        told["Tags"] = told.get("Tags", {}) | fresh["Tags"]
        for kind in deploying.SERVED:
            for row in draft.range(*rows.kind_span(api_id, kind), limit=10_000):
                draft.delete(row.key)
        for (kind, part_id), part in parts.items():
            draft.put_json(rows.part_key(api_id, kind, part_id), part)
        draft.put_json(rows.api_key(api_id), api)
        return dict(told)

    return await room.change(call, edit, deploys=True) | _warned(wish)


def _read(call: Call) -> Wish:
    wish = read(call.params["Body"], (call.params.get("Basepath") or "ignore").lower())
    if wish.warnings and call.params.get("FailOnWarnings"):
        raise rows.bad(f"Warnings found during import: {'; '.join(wish.warnings)}")
    return wish


def _warned(wish: Wish) -> dict[str, Any]:
    return {"Warnings": wish.warnings} if wish.warnings else {}


def _parts(room: Room, wish: Wish) -> Parts:
    """The resources to store, each checked as if made by its own operation."""
    if len(wish.routes) > ROUTES_MAX:
        raise rows.bad(f"Maximum number of routes ({ROUTES_MAX}) for this API has been reached")
    parts: Parts = {}
    ids: dict[str, str] = {}
    for name, told in wish.authorizers.items():
        ids[name] = room.new_id("authorizer")
        parts["authorizer", ids[name]] = authorizers.made({"AuthorizerId": ids[name]}, told)
    shapes: set[str] = set()
    for key, members, told_integration, authorizer in wish.routes:
        if shape(key) in shapes:
            raise rows.conflict(f"Route with key {key} already exists for this API")
        shapes.add(shape(key))
        route: dict[str, Any] = {"RouteId": room.new_id("route"), "RouteKey": key}
        route |= {"ApiKeyRequired": False} | members
        if authorizer:
            route["AuthorizerId"] = ids[authorizer]
        if told_integration is not None:
            integration = integrations.made(room, told_integration)
            parts["integration", integration["IntegrationId"]] = integration
            route["Target"] = f"integrations/{integration['IntegrationId']}"
        parts["route", route["RouteId"]] = route
    return parts


def export_api(room: Room, call: Call) -> dict[str, Any]:
    """The API (or what a stage serves) as an OpenAPI 3.0 document."""
    params, api = call.params, room.api(call)["told"]
    if params["Specification"] != "OAS30":
        raise rows.bad("Specification must be OAS30")
    kind = params["OutputType"]
    if kind not in ("JSON", "YAML"):
        raise rows.bad("OutputType must be JSON or YAML")
    extensions = params.get("IncludeExtensions") is not False
    document = _document(room, api, params.get("StageName"), extensions)
    if kind == "JSON":
        return {"body": orjson.dumps(document, option=orjson.OPT_INDENT_2)}
    return {"body": yaml.safe_dump(document, sort_keys=False).encode()}


def _document(
    room: Room, api: dict[str, Any], stage: str | None, extensions: bool
) -> dict[str, Any]:
    served = _served(room, api["ApiId"], stage)
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(served["route"].values(), key=lambda r: str(r["RouteKey"])):
        method, _, path = route["RouteKey"].partition(" ")
        name = ANY if method in ("ANY", "$default") else method.lower()
        if name == ANY and not extensions:
            continue
        paths.setdefault(path or "/$default", {})[name] = _operation(route, served, extensions)
    document: dict[str, Any] = {
        "openapi": "3.0.1",
        "info": {"title": api["Name"], "version": api.get("Version", "1.0")},
        "servers": [{"url": api["ApiEndpoint"] + (f"/{stage}" if stage else "")}],
        "paths": paths,
    }
    schemes = {a["Name"]: _scheme(a) for a in served["authorizer"].values()}
    if any(r["AuthorizationType"] == "AWS_IAM" for r in served["route"].values()):
        scheme = {"type": "apiKey", "name": "Authorization", "in": "header"}
        schemes["AWS_IAM"] = scheme | {f"{X}authtype": "awsSigv4"}
    if schemes and extensions:
        document["components"] = {"securitySchemes": schemes}
    if api.get("CorsConfiguration") and extensions:
        document[f"{X}cors"] = _lowered(api["CorsConfiguration"])
    if extensions:
        document[f"{X}importexport-version"] = "1.0"
    return document


def _served(room: Room, api_id: str, stage: str | None) -> dict[str, dict[str, Any]]:
    """Routes, integrations and authorizers by id: live, or of a stage's deployment."""
    snapshot: dict[str, Any] | None = None
    if stage is not None:
        row = room.store.get_json(rows.part_key(api_id, "stage", stage))
        if row is None:
            raise rows.no_such("stage")
        key = rows.part_key(api_id, "deployment", row.get("DeploymentId", ""))
        snapshot = (room.store.get_json(key) or {}).get("snapshot")
    if snapshot is not None:
        return snapshot
    out: dict[str, dict[str, Any]] = {}
    for kind in deploying.SERVED:
        found = room.store.range(*rows.kind_span(api_id, kind), 10_000)
        member = f"{kind.capitalize()}Id"
        parts = [orjson.loads(row.value) for row in found]
        out[kind] = {part[member]: part for part in parts}
    return out


def _operation(
    route: dict[str, Any], served: dict[str, dict[str, Any]], extensions: bool
) -> dict[str, Any]:
    operation: dict[str, Any] = {"responses": {"default": {"description": "Default response"}}}
    if route["RouteKey"] == "$default":
        operation["isDefaultRoute"] = True
    if not extensions:
        return operation
    authorizer = served["authorizer"].get(route.get("AuthorizerId", ""))
    name = authorizer["Name"] if authorizer else "AWS_IAM"
    if route["AuthorizationType"] != "NONE":
        operation["security"] = [{name: route.get("AuthorizationScopes") or []}]
    target = route.get("Target", "").removeprefix("integrations/")
    integration = served["integration"].get(target)
    if integration is not None:
        operation[f"{X}integration"] = integrations.described(integration)
    return operation


def _scheme(authorizer: dict[str, Any]) -> dict[str, Any]:
    told = _lowered(authorizer)
    for name in ("authorizerId", "name", "authorizerType"):
        told.pop(name, None)
    if authorizer["AuthorizerType"] == "JWT":
        told |= {"type": "jwt", "jwtConfiguration": _lowered(told["jwtConfiguration"])}
        told["identitySource"] = told["identitySource"][0]
        return {"type": "oauth2", f"{X}authorizer": told}
    told |= {"type": "request", "identitySource": ",".join(told.get("identitySource") or [])}
    scheme = {"type": "apiKey", "name": "Unused", "in": "header"}
    return scheme | {f"{X}authorizer": told}


def _lowered(members: dict[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: value for name, value in members.items()}
