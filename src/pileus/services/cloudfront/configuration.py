"""A distribution's configuration: AWS's checks, and the members AWS fills in.

https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_DistributionConfig.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudfront import managed, rows
from pileus.services.cloudfront.room import Room

METHODS = (
    {"GET", "HEAD"},
    {"GET", "HEAD", "OPTIONS"},
    {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"},
)
ERROR_CODES = {400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}
NONE: dict[str, Any] = {"Quantity": 0}
POLICIES = {
    "CachePolicyId": ("cache-policy", "NoSuchCachePolicy"),
    "OriginRequestPolicyId": ("origin-request-policy", "NoSuchOriginRequestPolicy"),
    "ResponseHeadersPolicyId": ("response-headers-policy", "NoSuchResponseHeadersPolicy"),
}
NOT_OFFERED = ("FieldLevelEncryptionId", "RealtimeLogConfigArn")


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` with the defaults AWS answers."""
    whole = {
        "Aliases": NONE,
        "DefaultRootObject": "",
        "OriginGroups": NONE,
        "CacheBehaviors": NONE,
        "CustomErrorResponses": NONE,
        "Logging": {"Enabled": False, "IncludeCookies": False, "Bucket": "", "Prefix": ""},
        "PriceClass": "PriceClass_All",
        "ViewerCertificate": {
            "CloudFrontDefaultCertificate": True,
            "SSLSupportMethod": "vip",
            "MinimumProtocolVersion": "TLSv1",
            "CertificateSource": "cloudfront",
        },
        "Restrictions": {"GeoRestriction": {"RestrictionType": "none", "Quantity": 0}},
        "WebACLId": "",
        "HttpVersion": "http2",
        "IsIPV6Enabled": True,
        "Staging": False,
        "ContinuousDeploymentPolicyId": "",
        **{k: v for k, v in config.items() if v is not None},
    }
    whole["Origins"] = _wrapped([_origin(o) for o in rows.items(config["Origins"])])
    whole["DefaultCacheBehavior"] = _behaviour(config["DefaultCacheBehavior"])
    behaviours = [_behaviour(b) for b in rows.items(config.get("CacheBehaviors"))]
    whole["CacheBehaviors"] = _wrapped(behaviours) if behaviours else NONE
    return whole


def _wrapped(values: list[Any]) -> dict[str, Any]:
    return {"Quantity": len(values), "Items": values}


def _origin(origin: dict[str, Any]) -> dict[str, Any]:
    return {
        "OriginPath": "",
        "CustomHeaders": NONE,
        "ConnectionAttempts": 3,
        "ConnectionTimeout": 10,
        "OriginShield": {"Enabled": False},
        "OriginAccessControlId": "",
        **{k: v for k, v in origin.items() if v is not None},
    }


def _behaviour(behaviour: dict[str, Any]) -> dict[str, Any]:
    whole = {
        "TrustedSigners": {"Enabled": False, "Quantity": 0},
        "TrustedKeyGroups": {"Enabled": False, "Quantity": 0},
        "SmoothStreaming": False,
        "Compress": False,
        "LambdaFunctionAssociations": NONE,
        "FunctionAssociations": NONE,
        "FieldLevelEncryptionId": "",
        **{k: v for k, v in behaviour.items() if v is not None},
    }
    allowed = whole.get("AllowedMethods") or _wrapped(["HEAD", "GET"])
    whole["AllowedMethods"] = {"CachedMethods": _wrapped(["HEAD", "GET"]), **allowed}
    if "ForwardedValues" in whole:
        for name, default in (("MinTTL", 0), ("DefaultTTL", 86_400), ("MaxTTL", 31_536_000)):
            whole.setdefault(name, default)
    return whole


def check(room: Room, call: Call, config: dict[str, Any]) -> None:
    """Raises the modelled error of the first thing that cannot be served."""
    rows.check_quantities(config)
    if not config.get("CallerReference"):
        raise rows.bad("The parameter CallerReference is required.")
    if config["DefaultRootObject"].startswith("/"):
        raise rows.bad(
            "The default root object file name is too big or contains an invalid character.",
            "InvalidDefaultRootObject",
        )
    origins = rows.items(config["Origins"])
    ids = {origin["Id"] for origin in origins}
    if not origins or len(ids) != len(origins):
        raise rows.bad("Origins need at least one, with distinct ids.")
    for origin in origins:
        _check_origin(room, call, origin)
    _check_behaviour(room, call, config["DefaultCacheBehavior"], ids)
    patterns = set()
    for behaviour in rows.items(config["CacheBehaviors"]):
        _check_behaviour(room, call, behaviour, ids)
        if behaviour["PathPattern"] in patterns:
            raise rows.bad("The parameter PathPattern contains duplicates.")
        patterns.add(behaviour["PathPattern"])
    for error in rows.items(config["CustomErrorResponses"]):
        _check_error(error)
    _check_not_offered(config)


def _check_origin(room: Room, call: Call, origin: dict[str, Any]) -> None:
    s3, custom = origin.get("S3OriginConfig"), origin.get("CustomOriginConfig")
    if (s3 is None) == (custom is None):
        raise rows.bad(
            "The specified origin server does not exist or is not valid.", "InvalidOrigin"
        )
    path = origin["OriginPath"]
    if path and (not path.startswith("/") or path.endswith("/")):
        raise rows.bad("The parameter OriginPath must start with / and not end with it.")
    identity = (s3 or {}).get("OriginAccessIdentity") or ""
    control = origin["OriginAccessControlId"]
    if s3 is not None and not is_bucket_name(origin["DomainName"]):
        raise rows.bad(
            "The parameter Origin DomainName does not refer to a valid S3 bucket.",
            "InvalidArgument",
        )
    if identity and control:
        raise rows.bad(
            "An origin access identity and an origin access control exclude each other.",
            "IllegalOriginAccessConfiguration",
        )
    if identity:
        id_ = identity.removeprefix("origin-access-identity/cloudfront/")
        if id_ == identity or room.find(call, "origin-access-identity", id_) is None:
            raise rows.bad(
                "The specified origin access identity does not exist or is not valid.",
                "InvalidOriginAccessIdentity",
            )
    if control and room.find(call, "origin-access-control", control) is None:
        raise rows.bad(
            "The origin access control is not valid or does not exist.",
            "InvalidOriginAccessControl",
        )


def is_bucket_name(domain: str) -> bool:
    """``BUCKET.s3.REGION.amazonaws.com`` in its forms (website endpoints are custom origins)."""
    return bool(domain) and (".s3." in domain or ".s3-" in domain) and ".s3-website" not in domain


def _check_behaviour(
    room: Room, call: Call, behaviour: dict[str, Any], origin_ids: set[str]
) -> None:
    if behaviour["TargetOriginId"] not in origin_ids:
        raise AwsError(
            "NoSuchOrigin", "One or more of your origins or origin groups do not exist.", 404
        )
    if behaviour["ViewerProtocolPolicy"] not in ("allow-all", "https-only", "redirect-to-https"):
        raise rows.bad("The parameter ViewerProtocolPolicy is not valid.")
    allowed = behaviour["AllowedMethods"]
    cached = set(rows.items(allowed["CachedMethods"]))
    if set(rows.items(allowed)) not in METHODS or cached not in METHODS[:2]:
        raise rows.bad("The parameter AllowedMethods contains a combination that is not valid.")
    policy, legacy = behaviour.get("CachePolicyId"), behaviour.get("ForwardedValues")
    if policy and legacy:
        raise rows.bad(
            "The parameter ForwardedValues cannot be used when a cache policy is associated to"
            " the cache behavior."
        )
    if not policy and not legacy:
        raise rows.bad("The parameter ForwardedValues is required.")
    if legacy and not behaviour["MinTTL"] <= behaviour["DefaultTTL"] <= behaviour["MaxTTL"]:
        raise rows.bad(
            "The order of TTL values is not valid: MinTTL, DefaultTTL, MaxTTL.", "InvalidTTLOrder"
        )
    for member, (kind, code) in POLICIES.items():
        id_ = behaviour.get(member)
        if id_ and not (managed.find(kind, id_) or room.find(call, kind, id_)):
            raise AwsError(code, f"The specified {kind} does not exist.", 404)
    for id_ in rows.items(behaviour["TrustedKeyGroups"]):
        if room.find(call, "key-group", id_) is None:
            raise rows.bad("The specified key group does not exist.", "TrustedKeyGroupDoesNotExist")


def _check_error(error: dict[str, Any]) -> None:
    if error["ErrorCode"] not in ERROR_CODES:
        raise rows.bad(f"The error code {error['ErrorCode']} is not valid.", "InvalidErrorCode")
    page, code = error.get("ResponsePagePath") or "", error.get("ResponseCode") or ""
    if bool(page) != bool(code):
        raise rows.bad("ResponsePagePath and ResponseCode come together.", "InvalidResponseCode")
    if page and not page.startswith("/"):
        raise rows.bad("The parameter ResponsePagePath must begin with /.")
    if code and not (code.isdigit() and 200 <= int(code) <= 599):
        raise rows.bad("The parameter ResponseCode is not valid.", "InvalidResponseCode")


def _check_not_offered(config: dict[str, Any]) -> None:
    """What would be a lie to accept: it guards or computes something we do not do yet."""
    if config["WebACLId"]:
        raise rows.bad("Web ACLs are not offered.", "InvalidWebACLId")
    if config["Restrictions"]["GeoRestriction"]["RestrictionType"] != "none":
        raise rows.bad(
            "Geographic restrictions are not offered: addresses are not mapped to countries.",
            "InvalidGeoRestrictionParameter",
        )
    if rows.items(config["OriginGroups"]):
        raise rows.bad("Origin groups are not offered yet.")
    if config["Staging"] or config["ContinuousDeploymentPolicyId"]:
        raise rows.bad("Staging distributions are not offered.")
    for behaviour in (config["DefaultCacheBehavior"], *rows.items(config["CacheBehaviors"])):
        for member in ("LambdaFunctionAssociations", "FunctionAssociations"):
            if rows.items(behaviour[member]):
                what = "CloudFront Functions" if member.startswith("F") else "Lambda@Edge functions"
                raise rows.bad(
                    f"{member}: {what} (viewer and origin events) are not offered yet.",
                    "InvalidFunctionAssociation",
                )
        if behaviour["TrustedSigners"]["Enabled"]:
            raise rows.bad(
                "Trusted signers are not offered: use trusted key groups.",
                "TrustedSignerDoesNotExist",
            )
        if any(behaviour.get(member) for member in NOT_OFFERED):
            raise rows.bad(f"{' and '.join(NOT_OFFERED)} are not offered.")
