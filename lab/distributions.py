"""Distributions that many need who try a cloud."""

from __future__ import annotations

from typing import Any

OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"  # AWS's policy CachingOptimized


def of_bucket(bucket: str, region: str = "us-east-1", **behaviour: Any) -> dict[str, Any]:
    """A distribution's configuration: all of a bucket, to everyone. ``behaviour``: what else is
    said of how it answers; nothing: as ``CachingOptimized`` says."""
    origin = {
        "Id": "o",
        "DomainName": f"{bucket}.s3.{region}.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    usual = {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"}
    return {
        "CallerReference": bucket,
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": usual | (behaviour or {"CachePolicyId": OPTIMIZED}),
    }


def forwarding(seconds: int) -> dict[str, Any]:
    """A behaviour in the older words: kept for so long, whatever its origin says; neither queries
    nor cookies are handed on."""
    return {
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
        "MinTTL": seconds,
        "DefaultTTL": seconds,
        "MaxTTL": seconds,
    }
