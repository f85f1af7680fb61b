"""May this request pass? JWT, function and IAM authorization of a route.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

from __future__ import annotations

import fnmatch
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.apigateway import answers, jwt
from pileus.services.apigateway.compiled import Api
from pileus.services.apigateway.integrations import function_of
from pileus.services.apigateway.payload import Exchange, format_1, format_2
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal
from pileus.services.outbound import Outbound

LOG = logging.getLogger("pileus.apigateway")
DECISIONS_MAX = 10_000
# (request, signing name, region, permission) → who signed; AwsError when they may not
Admit = Callable[[HttpRequest, str, str, Access], Principal]
CallFunction = Callable[[Api, str, dict[str, Any], str], Awaitable[bytes | None]]


class Authorizing:
    """Decides for the routes of one process; keeps decisions of functions as long as they say."""

    def __init__(
        self, parts: Parts, outbound: Outbound, call: CallFunction, admit: Admit | None
    ) -> None:
        self._admit = admit
        self._clock = parts.clock
        self._keys = jwt.KeySets(outbound)
        self._call = call
        self._decisions: OrderedDict[tuple[Any, ...], tuple[float, dict[str, Any]]] = OrderedDict()

    async def refusal(self, x: Exchange) -> HttpResponse | None:
        """None when the request may pass (what is known of its sender is then in
        ``x.authorizer``), else the answer that refuses it."""
        kind, authorizer = x.route.authorization, x.route.authorizer
        if kind == "JWT" and authorizer is not None:
            return await self._jwt(x, authorizer)
        if kind == "CUSTOM" and authorizer is not None:
            return await self._function(x, authorizer)
        if kind == "AWS_IAM" and self._admit is not None:
            return self._iam(x, self._admit)
        return answers.error(403, "Forbidden")  # no authorizer, or nobody to ask

    def _iam(self, x: Exchange, admit: Admit) -> HttpResponse | None:
        """A signature for ``execute-api`` by someone who may invoke this method and path."""
        api = x.api
        access = Access("execute-api:Invoke", x.asked_arn, owner=api.account)
        try:
            who = admit(x.request, "execute-api", api.region, access)
        except AwsError as e:
            LOG.info("a signature is refused for %s: %s", x.asked_arn, e.message)
            return answers.error(403, "Forbidden")
        x.authorizer = {
            "iam": {
                "accessKey": who.access_key_id,
                "accountId": who.account,
                "callerId": who.id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": who.arn,
                "userId": who.id,
            }
        }
        return None

    async def _jwt(self, x: Exchange, authorizer: dict[str, Any]) -> HttpResponse | None:
        text = identity(x, authorizer["IdentitySource"][0])
        token = text[7:].strip() if text[:7].lower() == "bearer " else text
        if not token:
            return _unauthorized()
        now_s = self._clock.now_ms() / 1000
        try:
            told = await jwt.claims(
                token, authorizer["JwtConfiguration"], self._keys, now_s, self._clock.monotonic()
            )
        except jwt.BadToken as e:
            LOG.info("token refused for %s: %s", x.arn, e)
            return _unauthorized()
        granted = jwt.scopes(told)
        if x.route.scopes and not x.route.scopes & set(granted):
            return answers.error(403, "Forbidden")
        x.authorizer = {"jwt": {"claims": jwt.as_text(told), "scopes": granted or None}}
        return None

    async def _function(self, x: Exchange, authorizer: dict[str, Any]) -> HttpResponse | None:
        sources = authorizer.get("IdentitySource") or []
        values = [identity(x, source) for source in sources]
        if not all(values):
            return _unauthorized()
        api = x.api
        stamp = x.stage.authorizer_stamp
        key = (api.api_id, x.stage.name, stamp, orjson.dumps(authorizer), *values)
        now_s = self._clock.monotonic()
        until, decision = self._decisions.get(key, (0.0, {}))
        if now_s >= until:
            told = await self._ask(x, authorizer, values)
            if told is None:
                return answers.internal()
            decision = told
            ttl_s = authorizer.get("AuthorizerResultTtlInSeconds", 0)
            if ttl_s:
                self._decisions[key] = (now_s + ttl_s, decision)
                if len(self._decisions) > DECISIONS_MAX:
                    self._decisions.popitem(last=False)
        if not _allows(decision, x.arn, bool(authorizer.get("EnableSimpleResponses"))):
            return answers.error(403, "Forbidden")
        x.authorizer = {"lambda": decision.get("context") or {}}
        return None

    async def _ask(
        self, x: Exchange, authorizer: dict[str, Any], values: list[str]
    ) -> dict[str, Any] | None:
        """The function's decision, or None where it gave none."""
        api = x.api
        if authorizer["AuthorizerPayloadFormatVersion"] == "2.0":
            event = format_2(x) | {"type": "REQUEST", "routeArn": x.arn, "identitySource": values}
        else:
            event = format_1(x) | {"type": "REQUEST", "methodArn": x.arn}
            event |= {"identitySource": ",".join(values), "authorizationToken": ",".join(values)}
        for name in ("body", "isBase64Encoded"):
            event.pop(name, None)
        place = f"{api.region}:{api.account}:{api.api_id}"
        source = f"arn:aws:execute-api:{place}/authorizers/{authorizer['AuthorizerId']}"
        try:
            payload = await self._call(api, function_of(authorizer["AuthorizerUri"]), event, source)
            told = orjson.loads(payload) if payload else None
        except (AwsError, Unavailable, orjson.JSONDecodeError) as e:
            LOG.info("the authorizer of %s fails: %r", x.arn, e)
            return None
        return told if isinstance(told, dict) else None


def identity(x: Exchange, source: str) -> str:
    """The value of an identity source such as ``$request.header.Authorization``."""
    place, _, name = source.removeprefix("$").partition(".")
    if place == "request":
        where, _, name = name.partition(".")
        if where == "header":
            return x.request.headers.get(name.lower(), "")
        return dict(parse_qsl(x.request.query)).get(name, "")
    if place == "stageVariables":
        return x.stage.variables.get(name, "")
    return {
        "routeKey": x.route.key,
        "httpMethod": x.request.method,
        "stage": x.stage.name,
        "path": x.path,
        "identity.sourceIp": x.source_ip,
    }.get(name, "")


def _allows(decision: dict[str, Any], arn: str, simple: bool) -> bool:
    """A simple answer says so; a policy must allow the ARN and not deny it."""
    if simple:
        return decision.get("isAuthorized") is True
    policy = decision.get("policyDocument")
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    allowed = False
    for statement in statements or []:
        if not isinstance(statement, dict) or not _covers(statement, arn):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = allowed or statement.get("Effect") == "Allow"
    return allowed


def _covers(statement: dict[str, Any], arn: str) -> bool:
    actions, resources = statement.get("Action", []), statement.get("Resource", [])
    actions = [actions] if isinstance(actions, str) else actions
    resources = [resources] if isinstance(resources, str) else resources
    wanted = "execute-api:invoke"
    return any(fnmatch.fnmatchcase(wanted, _plain(str(a).lower())) for a in actions) and any(
        fnmatch.fnmatchcase(arn, _plain(str(r))) for r in resources
    )


def _plain(pattern: str) -> str:
    """IAM knows ``*`` and ``?`` only: a bracket stands for itself."""
    return pattern.replace("[", "[[]")


def _unauthorized() -> HttpResponse:
    response = answers.error(401, "Unauthorized")
    response.headers.append(("www-authenticate", "Bearer"))
    return response
