"""An API made ready to serve: rows turned into route tables, kept while no row has changed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.services.apigateway import mapping, rows
from pileus.services.apigateway.cors import Cors
from pileus.services.apigateway.integrations import function_of
from pileus.services.apigateway.routing import Routes
from pileus.state import keys
from pileus.state.store import Store

KEPT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """An integration: a function to invoke or an address to pass the request to."""

    function: str  # ARN, or '' for HTTP
    uri: str
    method: str
    version: str  # payload format
    timeout_s: float
    request_steps: list[tuple[str, str, str, str]]
    response_steps: dict[str, list[tuple[str, str, str, str]]]


@dataclass(frozen=True, slots=True)
class Route:
    """A route with everything needed to serve it."""

    key: str
    path: str  # as in the key; '' for $default
    authorization: str
    scopes: frozenset[str]
    authorizer: dict[str, Any] | None
    target: Target | None
    limited: bool
    rate: float  # requests a second
    burst: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what it serves, its variables, its log. ``authorizer_stamp`` changes when cached
    decisions must be asked for again."""

    name: str
    variables: dict[str, str]
    routes: Routes
    log_arn: str
    log_format: str
    limited: bool
    rate: float
    burst: int
    authorizer_stamp: int


@dataclass(frozen=True, slots=True)
class Api:
    api_id: str
    account: str
    region: str
    cors: Cors | None
    disabled: bool  # DisableExecuteApiEndpoint: only custom domains answer
    stages: dict[str, Stage]


class Apis:
    """Compiled APIs and domain names by name, dropped together when any row changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = (-1, -1)
        self._kept: OrderedDict[str, Api | None] = OrderedDict()
        self._domains: dict[str, list[dict[str, Any]]] = {}

    def get(self, api_id: str) -> Api | None:
        """The API, ready to serve, or None."""
        self._refresh()
        if api_id in self._kept:
            return self._kept[api_id]
        made = compile_api(self._store, api_id)
        self._kept[api_id] = made
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return made

    def mappings(self, host: str) -> list[dict[str, Any]] | None:
        """The API mappings of a custom domain name, or None when it is none of ours."""
        self._refresh()
        if not self._domains:
            prefix = keys.partition_prefix(rows.DOMAINS, "all")
            for row in self._store.range(prefix, keys.after_prefix(prefix), 100_000):
                domain = orjson.loads(row.value)
                self._domains[domain["told"]["DomainName"]] = domain["mappings"]
            self._domains.setdefault("", [])
        found = self._domains.get(host)
        if found is None and "." in host:  # *.example.com
            found = self._domains.get("*" + host[host.index(".") :])
        return found

    def _refresh(self) -> None:
        store = self._store
        now = (store.generation(rows.TABLE), store.generation(rows.DOMAINS))
        if now != self._generation:
            self._generation = now
            self._kept.clear()
            self._domains = {}


def compile_api(store: Store, api_id: str) -> Api | None:
    """Read an API's rows and build its stages."""
    found: dict[str, dict[str, Any]] = {}
    row: dict[str, Any] | None = None
    for stored in store.range(*rows.api_span(api_id), limit=100_000):
        kind, _, part_id = keys.split(stored.key)[2].decode().partition("/")
        if kind == "api":
            row = orjson.loads(stored.value)
        else:
            found.setdefault(kind, {})[part_id] = orjson.loads(stored.value)
    if row is None:
        return None
    told = row["told"]
    stages = {
        name: _stage(stage, _served(found, stage)) for name, stage in found.get("stage", {}).items()
    }
    cors = told.get("CorsConfiguration")
    return Api(
        api_id,
        row["account"],
        row["region"],
        Cors(cors) if cors else None,
        bool(told.get("DisableExecuteApiEndpoint")),
        stages,
    )


def _served(found: dict[str, dict[str, Any]], stage: dict[str, Any]) -> dict[str, Any]:
    """What the stage serves: its deployment's snapshot, the live rows, or nothing yet."""
    if stage.get("AutoDeploy"):
        return found
    deployment = found.get("deployment", {}).get(stage.get("DeploymentId", ""))
    return (deployment or {}).get("snapshot") or {}


def _stage(stage: dict[str, Any], served: dict[str, Any]) -> Stage:
    routes = Routes()
    variables = stage.get("StageVariables") or {}
    for route in served.get("route", {}).values():
        routes.add(route["RouteKey"], _route(route, stage, served, variables))
    log = stage.get("AccessLogSettings") or {}
    limited, rate, burst = _limits(stage.get("DefaultRouteSettings") or {})
    return Stage(
        stage["StageName"],
        variables,
        routes,
        log.get("DestinationArn", ""),
        log.get("Format", ""),
        limited,
        rate,
        burst,
        stage.get("_authorizers_reset", 0),
    )


def _route(
    route: dict[str, Any], stage: dict[str, Any], served: dict[str, Any], variables: dict[str, str]
) -> Route:
    integration_id = route.get("Target", "").removeprefix("integrations/")
    integration = served.get("integration", {}).get(integration_id)
    settings = (stage.get("RouteSettings") or {}).get(route["RouteKey"]) or {}
    limited, rate, burst = _limits(settings)
    return Route(
        route["RouteKey"],
        route["RouteKey"].partition(" ")[2],
        route["AuthorizationType"],
        frozenset(route.get("AuthorizationScopes") or ()),
        served.get("authorizer", {}).get(route.get("AuthorizerId", "")),
        _target(integration, variables) if integration else None,
        limited,
        rate,
        burst,
    )


def _limits(settings: dict[str, Any]) -> tuple[bool, float, int]:
    rate, burst = settings.get("ThrottlingRateLimit"), settings.get("ThrottlingBurstLimit")
    if rate is None and burst is None:
        return False, 0.0, 0
    whole = 10_000.0 if rate is None else float(rate)
    return True, whole, 5_000 if burst is None else int(burst)


def _target(integration: dict[str, Any], variables: dict[str, str]) -> Target:
    uri = mapping.fill(
        integration.get("IntegrationUri") or "",
        lambda name: variables.get(name.removeprefix("stageVariables."), ""),
    )
    steps = {
        status: mapping.steps(parameters)
        for status, parameters in (integration.get("ResponseParameters") or {}).items()
    }
    return Target(
        function_of(uri) if integration["IntegrationType"] == "AWS_PROXY" else "",
        uri,
        integration.get("IntegrationMethod") or "ANY",
        integration["PayloadFormatVersion"],
        integration["TimeoutInMillis"] / 1000,
        mapping.steps(integration.get("RequestParameters") or {}),
        steps,
    )
