"""Routes: CreateRoute, GetRoute, GetRoutes, UpdateRoute, DeleteRoute.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.services.apigateway import rows
from pileus.services.apigateway.room import Room
from pileus.services.call import Call
from pileus.state.draft import Draft

METHODS = frozenset({"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
SEGMENT = re.compile(r"\{[A-Za-z0-9._:\-]+\+?\}|[^{}\s?#]*")
AUTHORIZATION = ("NONE", "JWT", "CUSTOM", "AWS_IAM")
SETTABLE = (
    "OperationName",
    "AuthorizationType",
    "AuthorizerId",
    "AuthorizationScopes",
    "ApiKeyRequired",
    "ModelSelectionExpression",
    "RequestModels",
    "RouteResponseSelectionExpression",
)
ROUTES_MAX = 300


async def create_route(room: Room, call: Call) -> dict[str, Any]:
    """Make a route; ``ConflictException`` when the API has one with this key."""
    params = call.params
    key = check_route_key(params["RouteKey"])
    route: dict[str, Any] = {
        "RouteId": room.new_id("route"),
        "RouteKey": key,
        "ApiKeyRequired": False,
        "AuthorizationType": "NONE",
    }

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        return _put(draft, params, route, creating=True)

    return await room.change(call, edit, deploys=True)


async def update_route(room: Room, call: Call) -> dict[str, Any]:
    params = call.params

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        route = draft.get_json(rows.part_key(params["ApiId"], "route", params["RouteId"]))
        if route is None:
            raise rows.no_such("route", params["RouteId"])
        if params.get("RouteKey"):
            route["RouteKey"] = check_route_key(params["RouteKey"])
        return _put(draft, params, route, creating=False)

    return await room.change(call, edit, deploys=True)


def _put(
    draft: Draft, params: dict[str, Any], route: dict[str, Any], creating: bool
) -> dict[str, Any]:
    """Apply ``params``, check the route against the API's other resources, write it."""
    api_id = params["ApiId"]
    route |= rows.picked(params, *SETTABLE)
    if params.get("RequestParameters"):
        raise rows.bad("RequestParameters of a route are only supported for WebSocket APIs")
    if params.get("Target") == "" and not creating:
        route.pop("Target", None)
    elif params.get("Target") is not None:
        _check_target(draft, api_id, params["Target"])
        route["Target"] = params["Target"]
    _check_authorization(draft, api_id, route)
    others = [orjson.loads(r.value) for r in draft.range(*rows.kind_span(api_id, "route"))]
    if creating and len(others) >= ROUTES_MAX:
        raise rows.bad(f"Maximum number of routes ({ROUTES_MAX}) for this API has been reached")
    mine = shape(route["RouteKey"])
    for other in others:
        if other["RouteId"] != route["RouteId"] and shape(other["RouteKey"]) == mine:
            raise rows.conflict(f"Route with key {route['RouteKey']} already exists for this API")
    draft.put_json(rows.part_key(api_id, "route", route["RouteId"]), route)
    return route


def _check_target(draft: Draft, api_id: str, target: str) -> None:
    kind, _, integration_id = target.partition("/")
    if kind != "integrations" or not integration_id:
        raise rows.bad(f"Invalid target specified: {target}")
    if draft.get(rows.part_key(api_id, "integration", integration_id)) is None:
        raise rows.bad(f"Invalid integration identifier specified {integration_id}")


def _check_authorization(draft: Draft, api_id: str, route: dict[str, Any]) -> None:
    kind = route["AuthorizationType"]
    if kind not in AUTHORIZATION:
        raise rows.bad(f"Invalid authorization type specified: {kind}")
    if kind in ("NONE", "AWS_IAM"):
        route.pop("AuthorizerId", None)
        return
    authorizer_id = route.get("AuthorizerId")
    if not authorizer_id:
        raise rows.bad(f"AuthorizerId is required for authorization type {kind}")
    authorizer = draft.get_json(rows.part_key(api_id, "authorizer", authorizer_id))
    if authorizer is None:
        raise rows.no_such("authorizer", authorizer_id)
    wanted = "JWT" if kind == "JWT" else "REQUEST"
    if authorizer["AuthorizerType"] != wanted:
        raise rows.bad(f"Authorizer {authorizer_id} does not fit authorization type {kind}")


def get_route(room: Room, call: Call) -> dict[str, Any]:
    return room.part(call, "route", call.params["RouteId"])


def get_routes(room: Room, call: Call) -> dict[str, Any]:
    return room.page(call, "route")


async def delete_route(room: Room, call: Call) -> None:
    key = rows.part_key(call.params["ApiId"], "route", call.params["RouteId"])

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        if draft.get(key) is None:
            raise rows.no_such("route", call.params["RouteId"])
        draft.delete(key)

    await room.change(call, edit, deploys=True)


def check_route_key(key: str) -> str:
    """``$default`` or ``METHOD /path/{variable}/{rest+}``; the key as it is stored."""
    if key == "$default":
        return key
    method, _, path = key.partition(" ")
    segments = path.split("/")[1:]
    if (
        method not in METHODS
        or not path.startswith("/")
        or not all(SEGMENT.fullmatch(s) for s in segments)
        or any(s.endswith("+}") for s in segments[:-1])
    ):
        raise rows.bad(
            f"The provided route key is not formatted properly for HTTP protocol."
            f' Format should be "<HTTP METHOD> /<RESOURCE PATH>" or "$default": {key}'
        )
    names = [s.strip("{}+") for s in segments if s.startswith("{")]
    if len(names) != len(set(names)):
        raise rows.bad(f"The route key repeats a path variable: {key}")
    return key


def shape(key: str) -> str:
    """The key without its variables' names: two routes of one shape cannot be told apart."""
    greedy = re.sub(r"\{[^}]*\+\}", "{+}", key)
    return re.sub(r"\{[^}+]*\}", "{}", greedy)
