"""Which permission each operation needs: API Gateway's actions are HTTP verbs over paths.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagementv2.html
"""

from __future__ import annotations

from urllib.parse import quote

from pileus.services.call import Access, Call

VERBS = {
    "Create": "POST",
    "Get": "GET",
    "Export": "GET",
    "Update": "PATCH",
    "Delete": "DELETE",
    "Reset": "DELETE",
    "Import": "PUT",
    "Reimport": "PUT",
    "Tag": "POST",
    "Untag": "DELETE",
}
# noun → (collection below the API, the parameter that names one)
PLACES = {
    "Route": ("routes", "RouteId"),
    "Integration": ("integrations", "IntegrationId"),
    "Stage": ("stages", "StageName"),
    "Deployment": ("deployments", "DeploymentId"),
    "Authorizer": ("authorizers", "AuthorizerId"),
    "Model": ("models", "ModelId"),
}


def access(call: Call) -> list[Access]:
    verb = next(v for v in sorted(VERBS, key=len, reverse=True) if call.operation.startswith(v))
    context = {}
    tags = call.params.get("Tags")
    if tags:
        context = {f"aws:RequestTag/{k}": v for k, v in tags.items()}
        context["aws:TagKeys"] = list(tags)
    resource = f"arn:aws:apigateway:{call.region}::{_path(call, call.operation[len(verb) :])}"
    needed = [Access(f"apigateway:{VERBS[verb]}", resource, context=context)]
    if call.params.get("AccessLogSettings"):  # the service will write there on their behalf
        needed.append(Access("logs:CreateLogDelivery", "*"))
    return needed


def _path(call: Call, noun: str) -> str:
    params = call.params
    if "ResourceArn" in params:
        return f"/tags/{quote(params['ResourceArn'], safe='')}"
    if noun.startswith(("DomainName", "ApiMapping")):
        return _domain_path(params, noun)
    api = f"/apis/{params['ApiId']}" if params.get("ApiId") else "/apis"
    if noun in ("CorsConfiguration", "AuthorizersCache", "AccessLogSettings", "RouteSettings"):
        tail = {"CorsConfiguration": "/cors"}.get(noun) or f"/stages/{params['StageName']}"
        return api + tail
    collection, member = PLACES.get(noun.removesuffix("s"), ("", ""))
    if not collection:
        return api
    one = f"/{params[member]}" if member in params and not _creates(call) else ""
    return f"{api}/{collection}{one}"


def _creates(call: Call) -> bool:
    return call.operation.startswith("Create")


def _domain_path(params: dict[str, str], noun: str) -> str:
    if not params.get("DomainName") or (noun == "DomainName" and "ApiMappingId" in params):
        return "/domainnames"
    base = f"/domainnames/{params['DomainName']}"
    if noun.startswith("DomainName"):
        return base
    mapping = f"/{params['ApiMappingId']}" if "ApiMappingId" in params else ""
    return f"{base}/apimappings{mapping}"
