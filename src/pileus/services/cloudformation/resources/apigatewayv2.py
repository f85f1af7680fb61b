"""AWS::ApiGatewayV2 resources: Api and what is in it, DomainName, ApiMapping. What a template no
longer names goes back to its default.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pileus.services.cloudformation.resources.kind import Made, Properties, Site, tag_map, whole

SERVICE = "apigatewayv2"
TEXTS = (
    "Name", "Description", "Version", "PayloadFormatVersion", "AuthorizerPayloadFormatVersion",
    "IntegrationUri", "StageName", "DeploymentId",
)  # fmt: skip
# Maps from names to texts; a name is taken out by an empty text.
NAMED_TEXTS = ("RequestParameters", "StageVariables")
PLAIN = {"DetailedMetricsEnabled": False}  # of a stage that tells no DefaultRouteSettings


def _value(name: str, value: Any) -> Any:
    """A property as the API takes it."""
    if name in TEXTS:
        return str(value)
    if name in NAMED_TEXTS:
        return {k: str(v) for k, v in value.items()}
    if name == "ResponseParameters":
        return {status: _mapped(told) for status, told in value.items()}
    return whole(value)


def _mapped(told: Any) -> dict[str, str]:
    """A response's mapping: templates have a list of pairs."""
    pairs = told.get("ResponseParameters")
    return {p["Destination"]: str(p["Source"]) for p in pairs} if pairs is not None else told


def _changes(old: Properties, wish: Properties, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What an update sets: all the template names, and the defaults of what it no longer does."""
    gone = {n: v for n, v in defaults.items() if n in old and n not in wish}
    told = gone | {n: _value(n, v) for n, v in wish.items() if n != "Tags"}
    for name in NAMED_TEXTS:
        if name in old:
            told[name] = {k: "" for k in old[name]} | told.get(name, {})
    return told


async def _retag(site: Site, place: str, old: Properties, wish: Properties) -> None:
    """Tags of an API (``apis/ID``) or a stage (``apis/ID/stages/NAME``)."""
    arn = f"arn:aws:apigateway:{site.region}::/{place}"
    before, after = tag_map(old, site), tag_map(wish, site)
    gone = sorted(before.keys() - after.keys())
    if gone:
        await site.call(SERVICE, "UntagResource", ResourceArn=arn, TagKeys=gone)
    if after and after != before:
        await site.call(SERVICE, "TagResource", ResourceArn=arn, Tags=after)


class Api:
    replacing = frozenset({"ProtocolType"})
    defaults: Mapping[str, Any] = {
        "Description": "", "Version": "", "DisableExecuteApiEndpoint": False,
        "IpAddressType": "ipv4", "ApiKeySelectionExpression": "$request.header.x-api-key",
        "RouteSelectionExpression": "$request.method $request.path",
    }  # fmt: skip

    async def create(self, site: Site, wish: Properties) -> Made:
        if "Body" in wish:
            made = await site.call(SERVICE, "ImportApi", **self._document(wish))
            site.begun = Made(made["ApiId"])
            more = self._beside_body(wish)
            if more:
                await site.call(SERVICE, "UpdateApi", ApiId=made["ApiId"], **more)
            if "Tags" in wish:
                await _retag(site, f"apis/{made['ApiId']}", {"Tags": {}}, wish)
        else:
            params = {k: _value(k, v) for k, v in wish.items() if k != "Tags"}
            params["Name"] = str(wish.get("Name", site.stack))
            made = await site.call(SERVICE, "CreateApi", Tags=tag_map(wish, site) or None, **params)
        return self._made(made)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        id_ = made.physical_id
        if wish.get("Tags") != old.get("Tags"):
            await _retag(site, f"apis/{id_}", old, wish)
        if "Body" in wish:
            told = await site.call(SERVICE, "ReimportApi", ApiId=id_, **self._document(wish))
            name = "DisableExecuteApiEndpoint"  # what a document leaves as it was
            more: dict[str, Any] = {name: False} if name in old else {}
            more |= self._beside_body(wish)
            if more:
                await site.call(SERVICE, "UpdateApi", ApiId=id_, **more)
            return self._made(told)
        if "CorsConfiguration" in old and "CorsConfiguration" not in wish:
            await site.gone(SERVICE, "DeleteCorsConfiguration", ApiId=id_)
        params = _changes(old, wish, {**self.defaults, "Name": site.stack})
        params.pop("ProtocolType", None)
        return self._made(await site.call(SERVICE, "UpdateApi", ApiId=id_, **params))

    @staticmethod
    def _document(wish: Properties) -> dict[str, Any]:
        body = wish["Body"] if isinstance(wish["Body"], str) else json.dumps(wish["Body"])
        params: dict[str, Any] = {"Body": body}
        if "BasePath" in wish:
            params["Basepath"] = str(wish["BasePath"])
        if "FailOnWarnings" in wish:
            params["FailOnWarnings"] = whole(wish["FailOnWarnings"])
        return params

    @staticmethod
    def _beside_body(wish: Properties) -> dict[str, Any]:
        """Properties that hold beside a document, by AWS's names."""
        names = ("Name", "Description", "Version", "CorsConfiguration", "DisableExecuteApiEndpoint")
        texts = ("Name", "Description", "Version")
        return {n: str(wish[n]) if n in texts else whole(wish[n]) for n in names if n in wish}

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(SERVICE, "DeleteApi", ApiId=made.physical_id)

    @staticmethod
    def _made(told: dict[str, Any]) -> Made:
        return Made(told["ApiId"], {"ApiId": told["ApiId"], "ApiEndpoint": told["ApiEndpoint"]})


class Part:
    """Something inside an API, made, changed and removed by operations of one noun."""

    def __init__(
        self,
        noun: str,
        id_member: str,
        replacing: frozenset[str] = frozenset(),
        **defaults: Any,
    ) -> None:
        self.noun = noun
        self.id_member = id_member
        self.replacing = replacing | {"ApiId"}
        self.defaults = defaults

    async def create(self, site: Site, wish: Properties) -> Made:
        params = {k: _value(k, v) for k, v in wish.items() if k != "Tags"}
        return self._made(await site.call(SERVICE, f"Create{self.noun}", **params))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        params = _changes(old, wish, self._defaults(wish)) | {self.id_member: made.physical_id}
        return self._made(await site.call(SERVICE, f"Update{self.noun}", **params))

    def _defaults(self, wish: Properties) -> Mapping[str, Any]:
        """``wish``: what other properties a default goes by."""
        return self.defaults

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        params = {"ApiId": had["ApiId"], self.id_member: made.physical_id}
        await site.gone(SERVICE, f"Delete{self.noun}", **params)

    def _made(self, told: dict[str, Any]) -> Made:
        return Made(told[self.id_member], {self.id_member: told[self.id_member]})


class Stage(Part):
    async def create(self, site: Site, wish: Properties) -> Made:
        made = await super().create(site, wish)
        site.begun = made
        if tag_map(wish, site):
            await _retag(site, self._place(made, wish), {}, wish)
        return made

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        stage = {"ApiId": wish["ApiId"], "StageName": made.physical_id}
        if "AccessLogSettings" in old and "AccessLogSettings" not in wish:
            await site.gone(SERVICE, "DeleteAccessLogSettings", **stage)
        for route in sorted(old.get("RouteSettings", {}).keys() - wish.get("RouteSettings", {})):
            await site.gone(SERVICE, "DeleteRouteSettings", RouteKey=route, **stage)
        if wish.get("Tags") != old.get("Tags"):
            await _retag(site, self._place(made, wish), old, wish)
        return await super().update(site, made, old, wish)

    @staticmethod
    def _place(made: Made, wish: Properties) -> str:
        return f"apis/{wish['ApiId']}/stages/{made.physical_id}"


class Integration(Part):
    def _defaults(self, wish: Properties) -> Mapping[str, Any]:
        is_function = wish.get("IntegrationType") == "AWS_PROXY"
        return {**self.defaults, **({"IntegrationMethod": "POST"} if is_function else {})}


class Authorizer(Part):
    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name = "AuthorizerResultTtlInSeconds"
        if name not in wish and "IdentitySource" in old:
            old = old | {name: 0}  # its default goes by whether there is one
        return await super().update(site, made, old, wish)

    def _defaults(self, wish: Properties) -> Mapping[str, Any]:
        if wish.get("AuthorizerType") != "REQUEST":
            return self.defaults
        cached_s = 300 if wish.get("IdentitySource") else 0
        return {**self.defaults, "AuthorizerResultTtlInSeconds": cached_s}


class DomainName:
    replacing = frozenset({"DomainName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        params = {k: whole(v) for k, v in wish.items() if k not in ("Tags", "DomainName")}
        params["DomainName"] = str(wish["DomainName"])
        tags = tag_map(wish, site) or None
        return self._made(await site.call(SERVICE, "CreateDomainName", Tags=tags, **params))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        params: dict[str, Any] = {"DomainName": made.physical_id}
        if "DomainNameConfigurations" in wish:
            params["DomainNameConfigurations"] = whole(wish["DomainNameConfigurations"])
        elif "DomainNameConfigurations" in old:
            params["DomainNameConfigurations"] = [{}]
        return self._made(await site.call(SERVICE, "UpdateDomainName", **params))

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(SERVICE, "DeleteDomainName", DomainName=made.physical_id)

    @staticmethod
    def _made(told: dict[str, Any]) -> Made:
        name = told["DomainName"]
        regional = told["DomainNameConfigurations"][0]["ApiGatewayDomainName"]
        return Made(name, {"RegionalDomainName": regional, "DomainNameArn": told["DomainNameArn"]})


class ApiMapping:
    replacing = frozenset({"DomainName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        return self._made(await site.call(SERVICE, "CreateApiMapping", **self._params(wish)))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        params = {"ApiMappingKey": ""} | self._params(wish) | {"ApiMappingId": made.physical_id}
        return self._made(await site.call(SERVICE, "UpdateApiMapping", **params))

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        params = {"DomainName": str(had["DomainName"]), "ApiMappingId": made.physical_id}
        await site.gone(SERVICE, "DeleteApiMapping", **params)

    @staticmethod
    def _params(wish: Properties) -> dict[str, str]:
        return {name: str(value) for name, value in wish.items()}

    @staticmethod
    def _made(told: dict[str, Any]) -> Made:
        return Made(told["ApiMappingId"], {"ApiMappingId": told["ApiMappingId"]})


KINDS: dict[str, Any] = {
    "AWS::ApiGatewayV2::Api": Api(),
    "AWS::ApiGatewayV2::DomainName": DomainName(),
    "AWS::ApiGatewayV2::ApiMapping": ApiMapping(),
    "AWS::ApiGatewayV2::Integration": Integration(
        "Integration", "IntegrationId",
        Description="", TimeoutInMillis=30_000, PayloadFormatVersion="1.0", ResponseParameters={},
        TlsConfig={}, ConnectionType="INTERNET",
    ),
    "AWS::ApiGatewayV2::Route": Part(
        "Route", "RouteId",
        OperationName="", AuthorizationType="NONE", AuthorizationScopes=[], ApiKeyRequired=False,
        ModelSelectionExpression="", RequestModels={}, RouteResponseSelectionExpression="",
        Target="",
    ),
    "AWS::ApiGatewayV2::Stage": Stage(
        "Stage", "StageName", frozenset({"StageName"}),
        Description="", AutoDeploy=False, DefaultRouteSettings=PLAIN,
    ),
    "AWS::ApiGatewayV2::Deployment": Part("Deployment", "DeploymentId", Description=""),
    "AWS::ApiGatewayV2::Authorizer": Authorizer(
        "Authorizer", "AuthorizerId", EnableSimpleResponses=False, IdentitySource=[],
    ),
}  # fmt: skip
