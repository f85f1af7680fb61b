"""AWS::S3::Bucket and AWS::S3::BucketPolicy."""

from __future__ import annotations

import json
import re
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources import s3_rules
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
    whole,
)


def _cors(value: Any) -> dict[str, Any]:
    names = {
        "AllowedHeaders": "AllowedHeaders",
        "AllowedMethods": "AllowedMethods",
        "AllowedOrigins": "AllowedOrigins",
        "ExposedHeaders": "ExposeHeaders",
        "MaxAge": "MaxAgeSeconds",
        "Id": "ID",
    }
    rules = [{names[k]: whole(v) for k, v in r.items() if k in names} for r in value["CorsRules"]]
    return {"CORSConfiguration": {"CORSRules": rules}}


def _website(value: Any) -> dict[str, Any]:
    site: dict[str, Any] = {}
    if "IndexDocument" in value:
        site["IndexDocument"] = {"Suffix": value["IndexDocument"]}
    if "ErrorDocument" in value:
        site["ErrorDocument"] = {"Key": value["ErrorDocument"]}
    if "RedirectAllRequestsTo" in value:
        site["RedirectAllRequestsTo"] = value["RedirectAllRequestsTo"]
    if "RoutingRules" in value:
        site["RoutingRules"] = [
            {
                "Redirect": r["RedirectRule"],
                **({"Condition": r["RoutingRuleCondition"]} if "RoutingRuleCondition" in r else {}),
            }
            for r in value["RoutingRules"]
        ]
    return {"WebsiteConfiguration": site}


def _encryption(value: Any) -> dict[str, Any]:
    names = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    told = value["ServerSideEncryptionConfiguration"]
    rules = [{names.get(k, k): whole(v) for k, v in rule.items()} for rule in told]
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _canned(value: Any) -> dict[str, Any]:
    """``PublicRead`` as S3 names it; nothing is private. Lists that speak of a bucket's owner are
    an object's, and ignored (user guide, canned ACL)."""
    name = "Private" if not value or str(value).startswith("BucketOwner") else str(value)
    return {"ACL": re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()}


# property -> (operation that sets it, operation that removes it, its parameters)
SETTINGS: dict[str, tuple[str, str, Any]] = {
    "PublicAccessBlockConfiguration": (
        "PutPublicAccessBlock",
        "DeletePublicAccessBlock",
        lambda v: {"PublicAccessBlockConfiguration": whole(v)},
    ),
    "OwnershipControls": (
        "PutBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
        lambda v: {"OwnershipControls": v},
    ),
    "AccessControl": ("PutBucketAcl", "PutBucketAcl", _canned),
    "CorsConfiguration": ("PutBucketCors", "DeleteBucketCors", _cors),
    "WebsiteConfiguration": ("PutBucketWebsite", "DeleteBucketWebsite", _website),
    "BucketEncryption": ("PutBucketEncryption", "DeleteBucketEncryption", _encryption),
    "VersioningConfiguration": (
        "PutBucketVersioning",
        "",
        lambda v: {"VersioningConfiguration": v},
    ),
    "ObjectLockConfiguration": (
        "PutObjectLockConfiguration",
        "",
        lambda v: {"ObjectLockConfiguration": whole(v)},
    ),
    "LifecycleConfiguration": (
        "PutBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
        s3_rules.lifecycle,
    ),
    "NotificationConfiguration": (
        "PutBucketNotificationConfiguration",
        "PutBucketNotificationConfiguration",
        s3_rules.notification,
    ),
    "LoggingConfiguration": ("PutBucketLogging", "PutBucketLogging", s3_rules.logging),
    "AccelerateConfiguration": (
        "PutBucketAccelerateConfiguration",
        "",
        lambda v: {"AccelerateConfiguration": {"Status": v["AccelerationStatus"]}},
    ),
}
INVENTORIES = "InventoryConfigurations"
# Better said than left out: a bucket without them is not what the template asks for.
NOT_MADE = (
    *("AnalyticsConfigurations", "IntelligentTieringConfigurations", "MetadataConfiguration"),
    *("MetadataTableConfiguration", "MetricsConfigurations", "ReplicationConfiguration"),
)


class Bucket:
    replacing = frozenset({"BucketName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("BucketName") or site.name(63, lower=True)
        where = None if site.region == "us-east-1" else {"LocationConstraint": site.region}
        lock = True if whole(wish.get("ObjectLockEnabled")) else None
        _check(wish)
        await site.call(
            "s3",
            "CreateBucket",
            Bucket=name,
            CreateBucketConfiguration=where,
            ObjectLockEnabledForBucket=lock,
        )
        site.begun = Made(name)
        await self._settings(site, name, {}, wish)
        return self._made(site, name)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        _check(wish)
        await self._settings(site, made.physical_id, old, wish)
        return self._made(site, made.physical_id)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("s3", "DeleteBucket", Bucket=made.physical_id)

    @staticmethod
    async def _settings(site: Site, name: str, old: Properties, wish: Properties) -> None:
        for setting, (put, remove, params) in SETTINGS.items():
            if wish.get(setting) == old.get(setting):
                continue
            if setting == "AccessControl" and params(wish.get(setting)) == params(old.get(setting)):
                continue  # private as before, which may be said where lists are disabled, too
            if setting in wish:
                await site.call("s3", put, Bucket=name, **params(wish[setting]))
            elif remove:
                cleared = params({}) if remove == put else {}
                await site.gone("s3", remove, Bucket=name, **cleared)
        await _inventories(site, name, old, wish)
        tags = tag_list(wish, site)
        if tags and (not old or wish.get("Tags") != old.get("Tags")):
            await site.call("s3", "PutBucketTagging", Bucket=name, Tagging={"TagSet": tags})

    @staticmethod
    def _made(site: Site, name: str) -> Made:
        host = f"{name}.s3-website.localhost:{site.config.port}"
        return Made(
            name,
            {
                "Arn": f"arn:aws:s3:::{name}",
                "DomainName": f"{name}.s3.amazonaws.com",
                "DualStackDomainName": f"{name}.s3.dualstack.{site.region}.amazonaws.com",
                "RegionalDomainName": f"{name}.s3.{site.region}.amazonaws.com",
                "WebsiteURL": f"http://{host}",
            },
        )


async def _inventories(site: Site, name: str, old: Properties, wish: Properties) -> None:
    """Each by its id: what is new or other is put, what is no longer told removed."""
    had, has = ({str(i["Id"]): i for i in p.get(INVENTORIES, [])} for p in (old, wish))
    for number, told in has.items():
        if told != had.get(number):
            given = s3_rules.inventory(told)
            await site.call("s3", "PutBucketInventoryConfiguration", Bucket=name, **given)
    for number in had.keys() - has.keys():
        await site.gone("s3", "DeleteBucketInventoryConfiguration", Bucket=name, Id=number)


def _check(wish: Properties) -> None:
    for name in NOT_MADE:
        if name in wish:
            raise AwsError("ValidationError", f"{name} of a bucket is not offered by Pileus")


class BucketPolicy:
    replacing = frozenset({"Bucket"})

    async def create(self, site: Site, wish: Properties) -> Made:
        bucket, document = need(wish, "Bucket", "PolicyDocument")
        text = document if isinstance(document, str) else json.dumps(document)
        await site.call("s3", "PutBucketPolicy", Bucket=bucket, Policy=text)
        return Made(bucket, {})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return await self.create(site, wish)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("s3", "DeleteBucketPolicy", Bucket=made.physical_id)


KINDS: dict[str, Any] = {"AWS::S3::Bucket": Bucket(), "AWS::S3::BucketPolicy": BucketPolicy()}
