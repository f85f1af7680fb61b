"""Versioning, tags, website and the smaller settings of a bucket; tags of objects.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.s3 import faults
from pileus.services.s3.headers import BUCKET_TAGS_MAX, check_tags
from pileus.services.s3.room import Room

ROUTING_RULES_MAX = 50


# -- versioning --------------------------------------------------------------------------------


def get_versioning(room: Room, call: Call) -> dict[str, Any]:
    state = room.bucket(call.params["Bucket"]).versioning
    return {"Status": state} if state else {}


async def put_versioning(room: Room, call: Call) -> None:
    told = call.params.get("VersioningConfiguration") or {}
    if told.get("MFADelete") == "Enabled":
        raise AwsError(
            "NotImplemented",
            "MFA Delete is not offered by Pileus: there are no MFA devices. Object Lock keeps"
            " versions from being deleted.",
            501,
        )
    if told.get("MFADelete") not in (None, "Disabled"):
        raise faults.malformed_xml()
    if told.get("Status") not in (None, "Enabled", "Suspended"):
        raise faults.malformed_xml()
    if not told.get("Status"):
        raise AwsError(
            "IllegalVersioningConfigurationException",
            "The Versioning element must be specified",
        )
    args = [call.params["Bucket"], {"versioning": told["Status"]}]
    await room.submit("s3.update_bucket", args, call)


# -- tags --------------------------------------------------------------------------------------


def _pairs(tagging: dict[str, Any] | None) -> list[tuple[str, str]]:
    if tagging is None:
        raise faults.malformed_xml()
    return [(t["Key"], t["Value"]) for t in tagging.get("TagSet") or []]


def _tag_set(tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]}


def get_bucket_tagging(room: Room, call: Call) -> dict[str, Any]:
    return _tag_set(room.setting(call, "tagging", "NoSuchTagSet", "The TagSet does not exist"))


async def put_bucket_tagging(room: Room, call: Call) -> HttpResponse:
    """No tags: none are kept. (204, though the model says nothing of it.)"""
    tags = check_tags(_pairs(call.params.get("Tagging")), BUCKET_TAGS_MAX)
    await room.configure(call, call.params["Bucket"], "tagging", tags or None)
    return HttpResponse(204, [])


async def delete_bucket_tagging(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], "tagging", None)


def get_object_tagging(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    try:
        meta = room.version(call, "GET")
    except AwsError as error:
        if error.code == "NoSuchKey":  # which AWS tells with its bucket here (recorded)
            error.fields = {"Key": f"{params['Bucket']}/{params['Key']}"}
        raise
    answer = _tag_set(meta.tags)
    if room.bucket(params["Bucket"]).versioning:
        answer["VersionId"] = meta.version or "null"
    return answer


async def put_object_tagging(room: Room, call: Call) -> dict[str, Any]:
    return await _retag(room, call, check_tags(_pairs(call.params.get("Tagging"))))


async def delete_object_tagging(room: Room, call: Call) -> dict[str, Any]:
    return await _retag(room, call, {})


async def _retag(room: Room, call: Call, tags: dict[str, str]) -> dict[str, Any]:
    params = call.params
    room.version(call, "PUT" if call.operation == "PutObjectTagging" else "DELETE")
    args = [params["Bucket"], params["Key"], params.get("VersionId"), {"tags": tags}]
    version = await room.submit("s3.edit", args, call)
    versioned = room.bucket(params["Bucket"]).versioning
    return {"VersionId": version or "null"} if versioned else {}


# -- website -----------------------------------------------------------------------------------


def get_website(room: Room, call: Call) -> dict[str, Any]:
    absent = (
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    )
    return dict(room.setting(call, "website", *absent))


async def put_website(room: Room, call: Call) -> None:
    told = call.params.get("WebsiteConfiguration") or {}
    everything = told.get("RedirectAllRequestsTo")
    if everything is not None:
        if set(told) - {"RedirectAllRequestsTo"}:
            raise faults.invalid_argument(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                "RedirectAllRequestsTo",
                "not null",
            )
        if not everything.get("HostName"):
            raise faults.malformed_xml()
        _check_protocol(everything.get("Protocol"))
    else:
        suffix = (told.get("IndexDocument") or {}).get("Suffix")
        if not suffix or "/" in suffix:
            raise faults.invalid_argument(
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is"
                " empty"
                if suffix is None
                else "The IndexDocument Suffix is not well formed",
                "IndexDocument",
                "null" if suffix is None else suffix,
            )
        if "ErrorDocument" in told and not told["ErrorDocument"].get("Key"):
            raise faults.malformed_xml()
        rules = told.get("RoutingRules") or []
        if "RoutingRules" in told and not rules:
            raise faults.malformed_xml()
        if len(rules) > ROUTING_RULES_MAX:
            raise faults.invalid_request(
                f"{len(rules)} routing rules provided, the number of routing rules in a website"
                f" configuration is limited to {ROUTING_RULES_MAX}."
            )
        for rule in rules:
            _check_rule(rule)
    await room.configure(call, call.params["Bucket"], "website", told)


def _check_protocol(told: str | None) -> None:
    if told not in (None, "http", "https"):
        raise faults.invalid_request(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be"
            " selected automatically."
        )


def _check_rule(rule: dict[str, Any]) -> None:
    redirect = rule.get("Redirect")
    if not redirect:
        raise faults.malformed_xml()
    if "ReplaceKeyWith" in redirect and "ReplaceKeyPrefixWith" in redirect:
        raise faults.invalid_request(
            "You can only define ReplaceKeyPrefix or ReplaceKey but not both."
        )
    _check_protocol(redirect.get("Protocol"))
    condition = rule.get("Condition")
    if condition is not None and not condition:
        raise faults.invalid_request(
            "Condition cannot be empty. To redirect all requests without a condition, the condition"
            " element shouldn't be present."
        )
    code = redirect.get("HttpRedirectCode")
    if code is not None and not (code.isdigit() and 301 <= int(code) <= 399):
        raise faults.invalid_request(
            f"The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except"
            " 300."
        )
    error = (condition or {}).get("HttpErrorCodeReturnedEquals")
    if error is not None and not (error.isdigit() and 400 <= int(error) <= 599):
        raise faults.invalid_request(
            f"The provided HTTP error code ({error}) is not valid. Valid codes are 4XX or 5XX."
        )


async def delete_website(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], "website", None)
