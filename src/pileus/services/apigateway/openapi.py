"""OpenAPI 3.0 documents with API Gateway's extensions, read into the resources of an HTTP API.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from pileus.services.apigateway import rows
from pileus.services.apigateway.routes import check_route_key

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
X = "x-amazon-apigateway-"
ANY = f"{X}any-method"
DOCUMENT_BYTES_MAX = 6 * 1024 * 1024
DEPTH_MAX = 64
NODES_MAX = 1_000_000
# extension member → member of CreateIntegration
INTEGRATION = {
    "uri": "IntegrationUri",
    "httpMethod": "IntegrationMethod",
    "payloadFormatVersion": "PayloadFormatVersion",
    "timeoutInMillis": "TimeoutInMillis",
    "requestParameters": "RequestParameters",
    "responseParameters": "ResponseParameters",
    "connectionType": "ConnectionType",
    "connectionId": "ConnectionId",
    "credentials": "CredentialsArn",
    "subtype": "IntegrationSubtype",
}


@dataclass(slots=True)
class Wish:
    """What a document asks for: members of CreateApi, CreateIntegration and so on.

    ``routes``: (key, members, the integration's members or None, the authorizer's name or '').
    """

    api: dict[str, Any]
    routes: list[tuple[str, dict[str, Any], dict[str, Any] | None, str]] = field(
        default_factory=list
    )
    authorizers: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read(body: str, base_path: str) -> Wish:
    """The wish of a JSON or YAML document. ``base_path``: ignore or prepend (the path of the first
    server goes before every route). Raises ``BadRequestException``."""
    document = _parse(body)
    try:
        return _wish(document, base_path)
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise rows.bad(f"Unable to parse the document: {e}") from None


def _wish(document: dict[str, Any], base_path: str) -> Wish:
    if not str(document.get("openapi", "")).startswith("3.0"):
        raise rows.bad("Unable to parse the document: only OpenAPI 3.0 definitions are supported")
    if base_path not in ("ignore", "prepend"):
        raise rows.bad(f"basepath {base_path!r} is not offered yet: use ignore or prepend")
    prefix = _prefix(document) if base_path == "prepend" else ""
    wish = Wish(_api(document))
    for path, item in (document.get("paths") or {}).items():
        for method, operation in _operations(item):
            _add(wish, document, prefix, str(path), method, operation)
    return wish


def _parse(body: str) -> dict[str, Any]:
    if len(body) > DOCUMENT_BYTES_MAX:
        raise rows.bad("The definition is larger than 6 MB")
    try:
        found = yaml.load(body, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        raise rows.bad(f"Unable to parse the document: {e}") from None
    if not isinstance(found, dict):
        raise rows.bad("Unable to parse the document: it is no OpenAPI definition")
    _check_size(found)
    return found


def _check_size(document: Any) -> None:
    """Aliases let a short text stand for an endless tree: count what it means, not what it says."""
    left, waiting = NODES_MAX, [document]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            waiting.extend(each.values() if isinstance(each, dict) else each)
            left -= 1 + len(each)
        if left < 0:
            raise rows.bad("Unable to parse the document: it is too large")


def _prefix(document: dict[str, Any]) -> str:
    servers = document.get("servers") or [{}]
    url = str(servers[0].get("url", "")).replace("{basePath}", _base_variable(servers[0]))
    return urlsplit(url).path.rstrip("/")


def _base_variable(server: dict[str, Any]) -> str:
    variable = (server.get("variables") or {}).get("basePath") or {}
    return str(variable.get("default", "")).strip("/")


def _api(document: dict[str, Any]) -> dict[str, Any]:
    info = document.get("info") or {}
    api: dict[str, Any] = {"Name": str(info.get("title") or "")}
    for name, member in (("version", "Version"), ("description", "Description")):
        if info.get(name) is not None:
            api[member] = str(info[name])
    value = f"{X}tag-value"
    tags = {t["name"]: str(t[value]) for t in document.get("tags") or [] if value in t}
    if tags:
        api["Tags"] = tags
    cors = document.get(f"{X}cors")
    if cors:
        api["CorsConfiguration"] = {n[:1].upper() + n[1:]: v for n, v in cors.items()}
    return api


def _operations(item: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(item, dict):
        raise rows.bad("Unable to parse the document: a path holds no operations")
    found = [(m.upper(), item[m] or {}) for m in METHODS if m in item]
    return [*found, ("ANY", item[ANY] or {})] if ANY in item else found


def _add(
    wish: Wish,
    document: dict[str, Any],
    prefix: str,
    path: str,
    method: str,
    operation: dict[str, Any],
) -> None:
    default = path.lstrip("/") == "$default" or bool(operation.get("isDefaultRoute"))
    key = check_route_key("$default" if default else f"{method} {prefix}{path}")
    route: dict[str, Any] = {"AuthorizationType": "NONE"}
    if operation.get("operationId"):
        route["OperationName"] = str(operation["operationId"])
    authorizer = _authorize(wish, document, operation, route)
    integration = _resolve(document, operation.get(f"{X}integration"))
    if integration is None:
        wish.warnings.append(f"No integration is defined for {key}")
    told = None if integration is None else _integration(integration)
    wish.routes.append((key, route, told, authorizer))


def _integration(told: dict[str, Any]) -> dict[str, Any]:
    out = {member: told[name] for name, member in INTEGRATION.items() if name in told}
    out["IntegrationType"] = str(told.get("type", "")).upper()
    out["PayloadFormatVersion"] = str(out.get("PayloadFormatVersion", "1.0"))
    out["TimeoutInMillis"] = int(out.get("TimeoutInMillis", 30_000))
    if "tlsConfig" in told:
        name = told["tlsConfig"].get("serverNameToVerify")
        out["TlsConfig"] = {"ServerNameToVerify": name}
    if "responseParameters" in told:
        by_status = told["responseParameters"].items()
        out["ResponseParameters"] = {str(status): each for status, each in by_status}
    return out


def _resolve(document: dict[str, Any], value: Any) -> Any:
    """``value``, or what its ``$ref`` within the document names."""
    for _ in range(DEPTH_MAX):
        if not isinstance(value, dict) or "$ref" not in value:
            return value
        reference = str(value["$ref"])
        value = document
        for part in reference.removeprefix("#/").split("/"):
            value = value.get(part.replace("~1", "/")) if isinstance(value, dict) else None
        if value is None:
            raise rows.bad(f"Unable to resolve the reference {reference}")
    raise rows.bad("A reference refers to itself")


def _authorize(
    wish: Wish, document: dict[str, Any], operation: dict[str, Any], route: dict[str, Any]
) -> str:
    """Set the route's authorization; the name of the authorizer it needs, or ''."""
    security = operation.get("security", document.get("security")) or []
    wanted = next((each for each in security if each), None)
    if wanted is None:
        return ""
    name, scopes = next(iter(wanted.items()))
    schemes = (document.get("components") or {}).get("securitySchemes") or {}
    scheme = _resolve(document, schemes.get(name))
    if scheme is None:
        raise rows.bad(f"The security scheme {name} is not defined")
    if str(scheme.get(f"{X}authtype", "")).lower() == "awssigv4":
        route["AuthorizationType"] = "AWS_IAM"
        return ""
    told = _resolve(document, scheme.get(f"{X}authorizer"))
    if told is None:
        wish.warnings.append(f"The security scheme {name} is not supported for HTTP APIs")
        return ""
    wish.authorizers[name] = _authorizer(name, scheme, told)
    route["AuthorizationType"] = "JWT" if str(told.get("type")).lower() == "jwt" else "CUSTOM"
    if scopes:
        route["AuthorizationScopes"] = [str(s) for s in scopes]
    return str(name)


def _authorizer(name: str, scheme: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The members of CreateAuthorizer."""
    source = told.get("identitySource")
    if isinstance(source, str):
        source = [s.strip() for s in source.split(",") if s.strip()]
    out: dict[str, Any] = {"Name": name, "IdentitySource": source or []}
    if str(told.get("type")).lower() == "jwt":
        jwt = told.get("jwtConfiguration") or {}
        url = str(scheme.get("openIdConnectUrl", ""))
        issuer = jwt.get("issuer") or url.removesuffix("/.well-known/openid-configuration")
        audience = [str(a) for a in jwt.get("audience") or []]
        out |= {"AuthorizerType": "JWT"}
        out["IdentitySource"] = out["IdentitySource"] or ["$request.header.Authorization"]
        return out | {"JwtConfiguration": {"Issuer": issuer, "Audience": audience}}
    out |= {"AuthorizerType": "REQUEST", "AuthorizerUri": told.get("authorizerUri") or ""}
    out["AuthorizerPayloadFormatVersion"] = str(told.get("authorizerPayloadFormatVersion", ""))
    out["EnableSimpleResponses"] = bool(told.get("enableSimpleResponses"))
    if told.get("authorizerCredentials"):
        out["AuthorizerCredentialsArn"] = told["authorizerCredentials"]
    if told.get("authorizerResultTtlInSeconds") is not None:
        out["AuthorizerResultTtlInSeconds"] = int(told["authorizerResultTtlInSeconds"])
    return out
