"""AWS::CloudFront::Distribution, CloudFrontOriginAccessIdentity, OriginAccessControl,
CachePolicy."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
    whole,
)

SERVICE = "cloudfront"
# Lists that the API wraps as {"Quantity": n, "Items": […]}, wherever they stand in a configuration.
WRAPPED = {
    "Aliases", "Origins", "CacheBehaviors", "CustomErrorResponses", "AllowedMethods",
    "CachedMethods", "TrustedSigners", "TrustedKeyGroups", "FunctionAssociations",
    "LambdaFunctionAssociations", "OriginCustomHeaders", "Headers", "QueryStringCacheKeys",
    "WhitelistedNames", "OriginSslProtocols",
}  # fmt: skip
RENAMED: dict[str, str] = {
    "OriginCustomHeaders": "CustomHeaders", "OriginSSLProtocols": "OriginSslProtocols",
    "AcmCertificateArn": "ACMCertificateArn", "IPV6Enabled": "IsIPV6Enabled",
    "IamCertificateId": "IAMCertificateId", "SslSupportMethod": "SSLSupportMethod",
}  # fmt: skip


def _wrap(value: Any) -> Any:
    if isinstance(value, list):
        return [_wrap(v) for v in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for name, inner in value.items():
        api = str(RENAMED.get(name, name))
        wrapped = _wrap(inner)
        if isinstance(inner, list) and (name in WRAPPED or api in WRAPPED):
            wrapped = {"Quantity": len(inner), "Items": wrapped}
        out[api] = wrapped
    return out


def _behaviour(behaviour: dict[str, Any]) -> None:
    """The API nests CachedMethods in AllowedMethods and wants the forms a template may leave
    out."""
    cached = behaviour.pop("CachedMethods", None)
    if cached:
        allowed = behaviour.setdefault("AllowedMethods", {"Quantity": 2, "Items": ["HEAD", "GET"]})
        allowed["CachedMethods"] = cached
    forwarded = behaviour.get("ForwardedValues")
    if forwarded is not None:
        forwarded.setdefault("QueryString", False)
        forwarded.setdefault("Cookies", {"Forward": "none"})


def configuration(wish: Properties, reference: str) -> dict[str, Any]:
    """A template's DistributionConfig in the API's shape."""
    config: dict[str, Any] = _wrap(whole(wish["DistributionConfig"]))
    config.setdefault("CallerReference", reference)
    config["Comment"] = str(config.get("Comment", ""))
    config.setdefault("Enabled", True)
    _behaviour(config["DefaultCacheBehavior"])
    for behaviour in config.get("CacheBehaviors", {}).get("Items", []):
        _behaviour(behaviour)
    for origin in config["Origins"]["Items"]:
        if "S3OriginConfig" in origin:
            origin["S3OriginConfig"].setdefault("OriginAccessIdentity", "")
        if "CustomOriginConfig" in origin:
            origin["CustomOriginConfig"].setdefault("HTTPPort", 80)
            origin["CustomOriginConfig"].setdefault("HTTPSPort", 443)
    return config


class Distribution:
    replacing: frozenset[str] = frozenset()

    async def create(self, site: Site, wish: Properties) -> Made:
        need(wish, "DistributionConfig")
        config = configuration(wish, site.name())
        tags = tag_list(wish, site)
        told = await site.call(
            SERVICE,
            "CreateDistributionWithTags",
            DistributionConfigWithTags={"DistributionConfig": config, "Tags": {"Items": tags}},
        )
        return self._made(told["Distribution"])

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        now = await site.call(SERVICE, "GetDistributionConfig", Id=made.physical_id)
        config = configuration(wish, now["DistributionConfig"]["CallerReference"])
        told = await site.call(
            SERVICE,
            "UpdateDistribution",
            Id=made.physical_id,
            IfMatch=now["ETag"],
            DistributionConfig=config,
        )
        had, now_tags = tag_list(old, site), tag_list(wish, site)
        await retag(site, told["Distribution"]["ARN"], had, now_tags)
        return self._made(told["Distribution"])

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        try:
            now = await site.call(SERVICE, "GetDistributionConfig", Id=made.physical_id)
        except AwsError as e:
            if e.code != "NoSuchDistribution":
                raise
            return
        etag, config = now["ETag"], now["DistributionConfig"]
        if config["Enabled"]:
            told = await site.call(
                SERVICE,
                "UpdateDistribution",
                Id=made.physical_id,
                IfMatch=etag,
                DistributionConfig=config | {"Enabled": False},
            )
            etag = told["ETag"]
        await site.gone(SERVICE, "DeleteDistribution", Id=made.physical_id, IfMatch=etag)

    @staticmethod
    def _made(told: dict[str, Any]) -> Made:
        return Made(told["Id"], {"DomainName": told["DomainName"], "Id": told["Id"]})


async def retag(site: Site, arn: str, had: list[dict[str, str]], now: list[dict[str, str]]) -> None:
    """Take away the tags that are no longer wished, write the others."""
    names = {t["Key"] for t in now}
    gone = [t["Key"] for t in had if t["Key"] not in names]
    if gone:
        await site.call(SERVICE, "UntagResource", Resource=arn, TagKeys={"Items": gone})
    if now and now != had:
        await site.call(SERVICE, "TagResource", Resource=arn, Tags={"Items": now})


class Identity:
    replacing: frozenset[str] = frozenset()
    config = "CloudFrontOriginAccessIdentityConfig"

    async def create(self, site: Site, wish: Properties) -> Made:
        comment = str(wish.get(self.config, {}).get("Comment", ""))
        told = await site.call(
            SERVICE,
            "CreateCloudFrontOriginAccessIdentity",
            CloudFrontOriginAccessIdentityConfig={
                "CallerReference": site.name(),
                "Comment": comment,
            },
        )
        made = told["CloudFrontOriginAccessIdentity"]
        return Made(made["Id"], {"Id": made["Id"], "S3CanonicalUserId": made["S3CanonicalUserId"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name = "CloudFrontOriginAccessIdentity"
        now = await site.call(SERVICE, f"Get{name}Config", Id=made.physical_id)
        config = now[self.config] | {"Comment": str(wish.get(self.config, {}).get("Comment", ""))}
        await site.call(
            SERVICE,
            f"Update{name}",
            Id=made.physical_id,
            IfMatch=now["ETag"],
            CloudFrontOriginAccessIdentityConfig=config,
        )
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await _delete(site, "CloudFrontOriginAccessIdentity", made.physical_id)


async def _delete(site: Site, noun: str, id_: str) -> None:
    try:
        now = await site.call(SERVICE, f"Get{noun}", Id=id_)
    except AwsError as e:
        if not e.code.startswith("NoSuch"):
            raise
        return
    await site.gone(SERVICE, f"Delete{noun}", Id=id_, IfMatch=now["ETag"])


class Configured:
    """A resource whose whole shape is one ``…Config``: origin access controls, cache policies."""

    replacing: frozenset[str] = frozenset()

    def __init__(self, noun: str) -> None:
        self.noun = noun

    async def create(self, site: Site, wish: Properties) -> Made:
        (config,) = need(wish, f"{self.noun}Config")
        told = await site.call(
            SERVICE, f"Create{self.noun}", **{f"{self.noun}Config": _wrap(whole(config))}
        )
        return Made(told[self.noun]["Id"], {"Id": told[self.noun]["Id"]})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        now = await site.call(SERVICE, f"Get{self.noun}", Id=made.physical_id)
        await site.call(
            SERVICE,
            f"Update{self.noun}",
            Id=made.physical_id,
            IfMatch=now["ETag"],
            **{f"{self.noun}Config": _wrap(whole(wish[f"{self.noun}Config"]))},
        )
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await _delete(site, self.noun, made.physical_id)


KINDS: dict[str, Any] = {
    "AWS::CloudFront::Distribution": Distribution(),
    "AWS::CloudFront::CloudFrontOriginAccessIdentity": Identity(),
    "AWS::CloudFront::OriginAccessControl": Configured("OriginAccessControl"),
    "AWS::CloudFront::CachePolicy": Configured("CachePolicy"),
}
