"""AWS's managed policies, by their ids.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
and the pages on managed origin request and response headers policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

YEAR, DAY = 31_536_000, 86_400


def _some(member: str, behaviour_member: str, behaviour: str, names: tuple[str, ...]) -> Any:
    out: dict[str, Any] = {behaviour_member: behaviour}
    if names:
        out[member] = {"Quantity": len(names), "Items": list(names)}
    return out


def _cache(
    name: str,
    ttls: tuple[int, int, int],
    *,
    encodings: bool = True,
    headers: tuple[str, ...] = (),
    cookies: str = "none",
    queries: str = "none",
) -> dict[str, Any]:
    return {
        "Name": f"Managed-{name}",
        "Comment": "",
        "MinTTL": ttls[0],
        "DefaultTTL": ttls[1],
        "MaxTTL": ttls[2],
        "ParametersInCacheKeyAndForwardedToOrigin": {
            "EnableAcceptEncodingGzip": encodings,
            "EnableAcceptEncodingBrotli": encodings,
            "HeadersConfig": _some(
                "Headers", "HeaderBehavior", "whitelist" if headers else "none", headers
            ),
            "CookiesConfig": {"CookieBehavior": cookies},
            "QueryStringsConfig": {"QueryStringBehavior": queries},
        },
    }


def _forward(
    name: str, header_behaviour: str, headers: tuple[str, ...], cookies: str, queries: str
) -> dict[str, Any]:
    return {
        "Name": f"Managed-{name}",
        "Comment": "",
        "HeadersConfig": _some("Headers", "HeaderBehavior", header_behaviour, headers),
        "CookiesConfig": {"CookieBehavior": cookies},
        "QueryStringsConfig": {"QueryStringBehavior": queries},
    }


def _listed(*values: str) -> dict[str, Any]:
    return {"Quantity": len(values), "Items": list(values)}


_SECURITY = {
    "XSSProtection": {"Override": False, "Protection": True, "ModeBlock": True},
    "FrameOptions": {"Override": False, "FrameOption": "SAMEORIGIN"},
    "ReferrerPolicy": {"Override": False, "ReferrerPolicy": "strict-origin-when-cross-origin"},
    "ContentTypeOptions": {"Override": True},
    "StrictTransportSecurity": {"Override": False, "AccessControlMaxAgeSec": YEAR},
}
_SIMPLE_CORS = {
    "AccessControlAllowOrigins": _listed("*"),
    "AccessControlAllowHeaders": _listed(),
    "AccessControlAllowMethods": _listed(),
    "AccessControlAllowCredentials": False,
    "OriginOverride": False,
}
_PREFLIGHT = {
    **_SIMPLE_CORS,
    "AccessControlAllowHeaders": _listed("*"),
    "AccessControlAllowMethods": _listed(
        "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"
    ),
    "AccessControlExposeHeaders": _listed("*"),
}


def _answer(name: str, cors: Any = None, security: Any = None) -> dict[str, Any]:
    config: dict[str, Any] = {"Name": f"Managed-{name}", "Comment": ""}
    if cors:
        config["CorsConfig"] = cors
    if security:
        config["SecurityHeadersConfig"] = security
    return config


_ORIGIN_HEADERS = ("origin", "access-control-request-headers", "access-control-request-method")
_QUERY_ALL: dict[str, Any] = {"headers": ("host", "origin"), "cookies": "all", "queries": "all"}
KINDS: Mapping[str, Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "cache-policy": {
            "658327ea-f89d-4fab-a63d-7e88639e58f6": _cache("CachingOptimized", (1, DAY, YEAR)),
            "b2884449-e4de-46a7-ac36-70bc7f1ddd6d": _cache(
                "CachingOptimizedForUncompressedObjects", (1, DAY, YEAR), encodings=False
            ),
            "4135ea2d-6df8-44a3-9df3-4b5a84be39ad": _cache(
                "CachingDisabled", (0, 0, 0), encodings=False
            ),
            "08627262-05a9-4f76-9ded-b50ca2e3a84f": _cache(
                "Elemental-MediaPackage", (0, DAY, YEAR), headers=("origin",)
            ),
            "83da9c7e-98b4-4e11-a168-04f0df8e2c65": _cache(
                "UseOriginCacheControlHeaders", (0, 0, YEAR), **_QUERY_ALL | {"queries": "none"}
            ),
            "4cc15a8a-d715-48a4-82b8-cc0b614638fe": _cache(
                "UseOriginCacheControlHeaders-QueryStrings", (0, 0, YEAR), **_QUERY_ALL
            ),
        },
        "origin-request-policy": {
            "216adef6-5c7f-47e4-b989-5492eafa07d3": _forward(
                "AllViewer", "allViewer", (), "all", "all"
            ),
            "b689b0a8-53d0-40ab-baf2-68738e2966ac": _forward(
                "AllViewerExceptHostHeader", "allExcept", ("Host",), "all", "all"
            ),
            "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf": _forward(
                "CORS-S3Origin", "whitelist", _ORIGIN_HEADERS, "none", "none"
            ),
            "59781a5b-3903-41f3-afcb-af62929ccde1": _forward(
                "CORS-CustomOrigin", "whitelist", ("origin",), "none", "none"
            ),
            "acba4595-bd28-49b8-b9fe-13317c0390fa": _forward(
                "UserAgentRefererHeaders", "whitelist", ("user-agent", "referer"), "none", "none"
            ),
            "bf0718e1-ba1e-49d1-88b1-f726733018ae": _forward(
                "HostHeaderOnly", "whitelist", ("host",), "none", "none"
            ),
        },
        "response-headers-policy": {
            "60669652-455b-4ae9-85a4-c4c02393f86c": _answer("SimpleCORS", _SIMPLE_CORS),
            "5cc3b908-e619-4b99-88e5-2cf7f45965bd": _answer("CORS-With-Preflight", _PREFLIGHT),
            "67f7725c-6f97-4210-82d7-5512b31e9d03": _answer(
                "SecurityHeadersPolicy", None, _SECURITY
            ),
            "e61eb60c-9c35-4d20-a928-2b84e02af89c": _answer(
                "CORS-and-SecurityHeadersPolicy", _SIMPLE_CORS, _SECURITY
            ),
            "eaab4381-ed33-4a86-88ca-d9558dc6cd63": _answer(
                "CORS-with-preflight-and-SecurityHeadersPolicy", _PREFLIGHT, _SECURITY
            ),
        },
    }
)


def row(config: dict[str, Any]) -> dict[str, Any]:
    """A managed policy in the form of a state row."""
    return {"etag": "E23ZP02F085DFQ", "modified": 0, "config": config, "told": {}, "tags": {}}


def find(kind: str, id_: str) -> dict[str, Any] | None:
    """The managed policy ``id_`` as a row, or None."""
    config = KINDS.get(kind, {}).get(id_)
    return None if config is None else row(config)
