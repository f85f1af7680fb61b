"""Authorizers: Create/Get/Update/DeleteAuthorizer, ResetAuthorizersCache.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson

from pileus.services.apigateway import rows
from pileus.services.apigateway.integrations import function_of
from pileus.services.apigateway.room import Room
from pileus.services.call import Call
from pileus.state.draft import Draft

SETTABLE = (
    "Name",
    "AuthorizerType",
    "AuthorizerUri",
    "AuthorizerPayloadFormatVersion",
    "AuthorizerResultTtlInSeconds",
    "EnableSimpleResponses",
    "IdentitySource",
    "JwtConfiguration",
)
SOURCES = ("$request.header.", "$request.querystring.", "$context.", "$stageVariables.")


async def create_authorizer(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    authorizer = made({"AuthorizerId": room.new_id("authorizer")}, params)
    key = rows.part_key(params["ApiId"], "authorizer", authorizer["AuthorizerId"])

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        draft.put_json(key, authorizer)
        return authorizer

    return await room.change(call, edit, deploys=True)


async def update_authorizer(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    key = rows.part_key(params["ApiId"], "authorizer", params["AuthorizerId"])

    def edit(draft: Draft, api: dict[str, Any]) -> dict[str, Any]:
        authorizer = draft.get_json(key)
        if authorizer is None:
            raise rows.no_such("authorizer", params["AuthorizerId"])
        made(authorizer, params)
        draft.put_json(key, authorizer)
        return dict(authorizer)

    return await room.change(call, edit, deploys=True)


def made(authorizer: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """``authorizer`` with what ``params`` (of CreateAuthorizer) set, checked."""
    if params.get("AuthorizerCredentialsArn"):
        raise rows.bad(
            "AuthorizerCredentialsArn is not offered yet: use the function's resource policy"
        )
    authorizer |= rows.picked(params, *SETTABLE)
    check(authorizer)
    return authorizer


def check(authorizer: dict[str, Any]) -> None:
    """``BadRequestException`` unless the authorizer can decide."""
    if not 1 <= len(authorizer.get("Name") or "") <= 128:
        raise rows.bad("Name must have 1 to 128 characters")
    sources = authorizer.get("IdentitySource") or []
    if any(not source.startswith(SOURCES) for source in sources):
        raise rows.bad(f"Invalid identity source: {sources}")
    kind = authorizer.get("AuthorizerType")
    if kind == "JWT":
        _check_jwt(authorizer, sources)
    elif kind == "REQUEST":
        _check_request(authorizer, sources)
    else:
        raise rows.bad("AuthorizerType must be JWT or REQUEST")


def _check_jwt(authorizer: dict[str, Any], sources: list[str]) -> None:
    jwt = authorizer.get("JwtConfiguration") or {}
    if len(sources) != 1:
        raise rows.bad("A JWT authorizer has exactly one identity source")
    if not jwt.get("Audience"):
        raise rows.bad("JwtConfiguration needs at least one Audience")
    issuer = urlsplit(jwt.get("Issuer") or "")
    if issuer.scheme not in ("https", "http") or not issuer.hostname:
        raise rows.bad(f"Invalid issuer: {jwt.get('Issuer')}. Issuer must have a valid URL")


def _check_request(authorizer: dict[str, Any], sources: list[str]) -> None:
    if not function_of(authorizer.get("AuthorizerUri") or ""):
        raise rows.bad("Invalid authorizer URI: it must name a function")
    version = authorizer.get("AuthorizerPayloadFormatVersion")
    if version not in ("1.0", "2.0"):
        raise rows.bad("AuthorizerPayloadFormatVersion is a required parameter for authorizer")
    if authorizer.get("EnableSimpleResponses") and version != "2.0":
        raise rows.bad("EnableSimpleResponses is only supported for payload format version 2.0")
    ttl = authorizer.setdefault("AuthorizerResultTtlInSeconds", 300 if sources else 0)
    if not 0 <= ttl <= 3600:
        raise rows.bad("Authorizer result TTL should be between 0 and 3600 seconds")
    if ttl and not sources:
        raise rows.bad("An authorizer that caches needs an identity source")


def get_authorizer(room: Room, call: Call) -> dict[str, Any]:
    return room.part(call, "authorizer", call.params["AuthorizerId"])


def get_authorizers(room: Room, call: Call) -> dict[str, Any]:
    return room.page(call, "authorizer")


async def delete_authorizer(room: Room, call: Call) -> None:
    """Refused with ``ConflictException`` while a route uses it."""
    api_id, authorizer_id = call.params["ApiId"], call.params["AuthorizerId"]
    key = rows.part_key(api_id, "authorizer", authorizer_id)

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        if draft.get(key) is None:
            raise rows.no_such("authorizer", authorizer_id)
        for row in draft.range(*rows.kind_span(api_id, "route")):
            route = orjson.loads(row.value)
            if route.get("AuthorizerId") == authorizer_id:
                raise rows.conflict(f"Authorizer is referenced by route: {route['RouteKey']}")
        draft.delete(key)

    await room.change(call, edit, deploys=True)


async def reset_authorizers_cache(room: Room, call: Call) -> None:
    """Cached decisions of the stage are asked for again: its stamp is part of their key."""
    key = rows.part_key(call.params["ApiId"], "stage", call.params["StageName"])
    stamp = room.clock.now_ms()

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        stage = draft.get_json(key)
        if stage is None:
            raise rows.no_such("stage")
        stage["_authorizers_reset"] = stamp
        draft.put_json(key, stage)

    await room.change(call, edit)
