"""CloudFront's control operations over a real store."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.errors import AwsError
from pileus.services import cloudfront
from pileus.services.call import Call, Parts, Principal
from pileus.state.store import Store
from tests.services.apigateway.conftest import Wall

ROOT = Principal.owner("123456789012")
OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"


def config(reference: str = "r1", **more: Any) -> dict[str, Any]:
    origin = {
        "Id": "o",
        "DomainName": "page.s3.us-east-1.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    behaviour = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "allow-all",
        "CachePolicyId": OPTIMIZED,
    }
    return {
        "CallerReference": reference,
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behaviour,
        **more,
    }


Caller = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Caller], Coroutine[Any, Any, None]]], None]:
    def go(body: Callable[[Caller], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            store = await Store.open(tmp_path, {}, Wall())

            async def no_dispatch(*args: Any, **how: Any) -> dict[str, Any]:
                raise AssertionError("the control operations call no other service")

            parts = Parts(store, None, Wall(), Config(home=tmp_path), no_dispatch)
            service = cloudfront.build(parts)

            async def caller(operation: str, **params: Any) -> Any:
                call = Call("cloudfront", operation, ROOT, "us-east-1", params)
                assert service.access(call)
                answer = service.operations[operation](call)
                return await answer if inspect.isawaitable(answer) else answer

            try:
                await body(caller)
            finally:
                await store.close()

        asyncio.run(whole())

    return go


def test_life_of_a_distribution(run: Any) -> None:
    async def body(cf: Caller) -> None:
        made = await cf("CreateDistribution", DistributionConfig=config())
        id_ = made["Distribution"]["Id"]
        assert made["Distribution"]["DomainName"] == f"{id_.lower()}.cloudfront.localhost"
        again = await cf("CreateDistribution", DistributionConfig=config())
        assert again["Distribution"]["Id"] == id_
        with pytest.raises(AwsError) as caught:
            await cf("CreateDistribution", DistributionConfig=config(Comment="other"))
        assert caught.value.code == "DistributionAlreadyExists"
        with pytest.raises(AwsError) as caught:
            await cf("DeleteDistribution", Id=id_, IfMatch=made["ETag"])
        assert caught.value.code == "DistributionNotDisabled"
        with pytest.raises(AwsError) as caught:
            await cf("UpdateDistribution", Id=id_, IfMatch="x", DistributionConfig=config())
        assert (caught.value.code, caught.value.status) == ("PreconditionFailed", 412)
        off = await cf(
            "UpdateDistribution",
            Id=id_,
            IfMatch=made["ETag"],
            DistributionConfig=config(Enabled=False),
        )
        listed = (await cf("ListDistributions"))["DistributionList"]
        assert listed["Quantity"] == 1 and listed["Items"][0]["Enabled"] is False
        await cf("DeleteDistribution", Id=id_, IfMatch=off["ETag"])
        with pytest.raises(AwsError) as caught:
            await cf("GetDistribution", Id=id_)
        assert caught.value.code == "NoSuchDistribution"

    run(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"DefaultRootObject": "/index.html"}, "InvalidDefaultRootObject"),
        ({"Aliases": {"Quantity": 2, "Items": ["a"]}}, "InconsistentQuantities"),
        ({"WebACLId": "x"}, "InvalidWebACLId"),
        (
            {"CustomErrorResponses": {"Quantity": 1, "Items": [{"ErrorCode": 418}]}},
            "InvalidErrorCode",
        ),
        (
            {
                "DefaultCacheBehavior": {
                    "TargetOriginId": "no",
                    "ViewerProtocolPolicy": "allow-all",
                    "CachePolicyId": OPTIMIZED,
                }
            },
            "NoSuchOrigin",
        ),
        (
            {
                "DefaultCacheBehavior": {
                    "TargetOriginId": "o",
                    "ViewerProtocolPolicy": "allow-all",
                    "CachePolicyId": "no",
                }
            },
            "NoSuchCachePolicy",
        ),
    ],
)
def test_what_is_refused(run: Any, change: dict[str, Any], code: str) -> None:
    async def body(cf: Caller) -> None:
        with pytest.raises(AwsError) as caught:
            await cf("CreateDistribution", DistributionConfig=config(**change))
        assert caught.value.code == code

    run(body)


def test_identities_and_their_use(run: Any) -> None:
    async def body(cf: Caller) -> None:
        wish = {"CallerReference": "i", "Comment": "c"}
        noun = "CloudFrontOriginAccessIdentity"
        made = await cf(f"Create{noun}", CloudFrontOriginAccessIdentityConfig=wish)
        identity = made[noun]
        assert len(identity["S3CanonicalUserId"]) == 96
        given = config()
        path = f"origin-access-identity/cloudfront/{identity['Id']}"
        given["Origins"]["Items"][0]["S3OriginConfig"]["OriginAccessIdentity"] = path
        await cf("CreateDistribution", DistributionConfig=given)
        with pytest.raises(AwsError) as caught:
            await cf(f"Delete{noun}", Id=identity["Id"], IfMatch=made["ETag"])
        assert caught.value.code == f"{noun}InUse"
        told = await cf("ListCloudFrontOriginAccessIdentities")
        items = told["CloudFrontOriginAccessIdentityList"]["Items"]
        assert items[0]["Comment"] == "c"
        given["CallerReference"] = "r2"
        given["Origins"]["Items"][0]["S3OriginConfig"]["OriginAccessIdentity"] = path + "X"
        with pytest.raises(AwsError) as caught:
            await cf("CreateDistribution", DistributionConfig=given)
        assert caught.value.code == "InvalidOriginAccessIdentity"

    run(body)


def test_policies_managed_and_own(run: Any) -> None:
    async def body(cf: Caller) -> None:
        known = await cf("GetCachePolicy", Id=OPTIMIZED)
        assert known["CachePolicy"]["CachePolicyConfig"]["Name"] == "Managed-CachingOptimized"
        wish = {"Name": "mine", "MinTTL": 5}
        made = await cf("CreateCachePolicy", CachePolicyConfig=wish)
        assert made["CachePolicy"]["CachePolicyConfig"]["DefaultTTL"] == 86_400
        with pytest.raises(AwsError) as caught:
            await cf("CreateCachePolicy", CachePolicyConfig=wish)
        assert caught.value.code == "CachePolicyAlreadyExists"
        own = (await cf("ListCachePolicies", Type="custom"))["CachePolicyList"]
        assert [i["CachePolicy"]["Id"] for i in own["Items"]] == [made["CachePolicy"]["Id"]]
        await cf("DeleteCachePolicy", Id=made["CachePolicy"]["Id"], IfMatch=made["ETag"])

    run(body)


def test_invalidations_and_tags(run: Any) -> None:
    async def body(cf: Caller) -> None:
        made = (await cf("CreateDistribution", DistributionConfig=config()))["Distribution"]
        batch = {"CallerReference": "a", "Paths": {"Quantity": 1, "Items": ["/*"]}}
        first = await cf("CreateInvalidation", DistributionId=made["Id"], InvalidationBatch=batch)
        again = await cf("CreateInvalidation", DistributionId=made["Id"], InvalidationBatch=batch)
        assert first["Invalidation"]["Id"] == again["Invalidation"]["Id"]
        listed = await cf("ListInvalidations", DistributionId=made["Id"])
        assert listed["InvalidationList"]["Quantity"] == 1
        tags = {"Items": [{"Key": "k", "Value": "v"}]}
        await cf("TagResource", Resource=made["ARN"], Tags=tags)
        assert (await cf("ListTagsForResource", Resource=made["ARN"]))["Tags"] == tags
        await cf("UntagResource", Resource=made["ARN"], TagKeys={"Items": ["k"]})
        assert (await cf("ListTagsForResource", Resource=made["ARN"]))["Tags"] == {"Items": []}

    run(body)
