"""AWS::ApiGatewayV2 resources: Api and what is in it, DomainName, ApiMapping."""

from __future__ import annotations

import json
from typing import Any

from pileus.services.cloudformation.resources.kind import Made, Properties, Site, tag_map, whole

SERVICE = "apigatewayv2"


class Api:
    replacing = frozenset({"ProtocolType"})

    async def create(self, site: Site, wish: Properties) -> Made:
        if "Body" in wish:
            made = await site.call(SERVICE, "ImportApi", **self._document(wish))
            more = self._beside_body(wish)
            if more:
                site.begun = Made(made["ApiId"])
                await site.call(SERVICE, "UpdateApi", ApiId=made["ApiId"], **more)
        else:
            params = {k: whole(v) for k, v in wish.items() if k != "Tags"}
            params["Name"] = str(wish.get("Name", site.stack))
            made = await site.call(SERVICE, "CreateApi", Tags=tag_map(wish, site) or None, **params)
        return self._made(made)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        if "Body" in wish:
            id_ = made.physical_id
            told = await site.call(SERVICE, "ReimportApi", ApiId=id_, **self._document(wish))
            more = self._beside_body(wish)
            if more:
                await site.call(SERVICE, "UpdateApi", ApiId=id_, **more)
            return self._made(told)
        if "CorsConfiguration" in old and "CorsConfiguration" not in wish:
            await site.gone(SERVICE, "DeleteCorsConfiguration", ApiId=made.physical_id)
        params = {k: whole(v) for k, v in wish.items() if k not in ("Tags", "ProtocolType")}
        return self._made(await site.call(SERVICE, "UpdateApi", ApiId=made.physical_id, **params))

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

    def __init__(self, noun: str, id_member: str, replacing: frozenset[str]) -> None:
        self.noun = noun
        self.id_member = id_member
        self.replacing = replacing | {"ApiId"}

    async def create(self, site: Site, wish: Properties) -> Made:
        return self._made(await site.call(SERVICE, f"Create{self.noun}", **self._params(wish)))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        params = self._params(wish) | {self.id_member: made.physical_id}
        return self._made(await site.call(SERVICE, f"Update{self.noun}", **params))

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        params = {"ApiId": had["ApiId"], self.id_member: made.physical_id}
        await site.gone(SERVICE, f"Delete{self.noun}", **params)

    def _params(self, wish: Properties) -> dict[str, Any]:
        text = ("PayloadFormatVersion", "IntegrationUri", "StageName", "DeploymentId")
        return {k: str(v) if k in text else whole(v) for k, v in wish.items() if k != "Tags"}

    def _made(self, told: dict[str, Any]) -> Made:
        return Made(told[self.id_member], {self.id_member: told[self.id_member]})


class DomainName:
    replacing = frozenset({"DomainName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        params = {k: whole(v) for k, v in wish.items() if k not in ("Tags", "DomainName")}
        params["DomainName"] = str(wish["DomainName"])
        return self._made(await site.call(SERVICE, "CreateDomainName", **params))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        params = {"DomainName": made.physical_id}
        if "DomainNameConfigurations" in wish:
            params["DomainNameConfigurations"] = whole(wish["DomainNameConfigurations"])
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
        params = self._params(wish) | {"ApiMappingId": made.physical_id}
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
    "AWS::ApiGatewayV2::Integration": Part("Integration", "IntegrationId", frozenset()),
    "AWS::ApiGatewayV2::Route": Part("Route", "RouteId", frozenset()),
    "AWS::ApiGatewayV2::Stage": Part("Stage", "StageName", frozenset({"StageName"})),
    "AWS::ApiGatewayV2::Deployment": Part("Deployment", "DeploymentId", frozenset()),
    "AWS::ApiGatewayV2::Authorizer": Part("Authorizer", "AuthorizerId", frozenset()),
}
