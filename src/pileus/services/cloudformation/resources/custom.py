"""AWS::CloudFormation::CustomResource and ``Custom::NAME``: what a function makes,
changes and removes.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.answers import ANSWER_BYTES_MAX, Name
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    Unchanged,
    Unfinished,
    need,
)

TIMEOUT_S_MAX = 3600
PHYSICAL_ID_BYTES_MAX = 1024
SUCCESS, FAILED = "SUCCESS", "FAILED"


class CustomResource:
    """One step is one request to the function. A new physical id as the answer to an update tells
    that the resource was replaced: what was before is deleted in the clean-up."""

    replacing: frozenset[str] = frozenset()

    async def create(self, site: Site, wish: Properties) -> Made:
        try:
            return await _ask(site, "Create", wish)
        except _Unsuccessful as failure:
            # It may have made something all the same: the rollback asks it to delete that.
            made = Made(failure.physical_id or site.name(128))
            raise Unfinished(made, str(failure)) from failure

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        if wish.get("ServiceToken") != old.get("ServiceToken"):
            raise Unchanged("ValidationError", "Modifying service token is not allowed.")
        try:
            return await _ask(site, "Update", wish, made.physical_id, old)
        except AwsError as error:
            raise Unchanged(error.code, error.message) from error
        except _Unsuccessful as failure:
            raise Unfinished(made, str(failure)) from failure

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        try:
            await _ask(site, "Delete", had, made.physical_id)
        except _Unsuccessful as failure:
            raise AwsError("NotStabilized", str(failure)) from failure


class _Unsuccessful(Exception):
    """The function was asked, and did not answer, or not with success; the text is the reason."""

    def __init__(self, reason: str, physical_id: str = "") -> None:
        super().__init__(reason)
        self.physical_id = physical_id


async def _ask(
    site: Site, kind: str, wish: Properties, physical_id: str = "", old: Properties | None = None
) -> Made:
    """One request and its answer. ``_Unsuccessful`` when there is none, or a failure; ``AwsError``
    when it could not be asked."""
    token, timeout_s = _function(site, wish), _timeout_s(wish)
    seed = f"{site.step}/{site.logical}/{kind}/{physical_id}"
    number = uuid.UUID(bytes=hashlib.blake2b(seed.encode(), digest_size=16).digest(), version=4)
    name = Name(site.stack_id, site.logical, str(number))
    opened = await site.answers.expect(name, timeout_s)
    if not opened["sent"] and not site.given_up.is_set():
        event = {
            "RequestType": kind,
            "ServiceToken": token,
            "ResponseURL": opened["address"],
            "StackId": site.stack_id,
            "RequestId": name.request_id,
            "LogicalResourceId": site.logical,
            "ResourceType": site.type,
            "ResourceProperties": as_text(wish),
        }
        if kind != "Create":
            event["PhysicalResourceId"] = physical_id
        if old is not None:
            event["OldResourceProperties"] = as_text(old)
        await site.dispatch(
            "lambda",
            "Invoke",
            {
                "FunctionName": token,
                "InvocationType": "Event",
                "Payload": json.dumps(event).encode(),
            },
            principal=site.principal,
            region=site.region,
            invocation_id=number.bytes,
        )
        await site.answers.sent(name)
    answer = await site.answers.wait(name, site.given_up)
    if answer is None and site.given_up.is_set():
        raise _Unsuccessful(f"Resource {_step(kind)} cancelled")
    if answer is None:
        raise _Unsuccessful(
            "CloudFormation did not receive a response from your Custom Resource. Please check"
            f" your logs for requestId [{name.request_id}]. If you are using the Python"
            " cfn-response module, you may need to update your Lambda function code so that"
            " CloudFormation can attach the updated version."
        )
    return _told(answer, name)


def _step(kind: str) -> str:
    return {"Create": "creation", "Update": "update", "Delete": "deletion"}[kind]


def _function(site: Site, wish: Properties) -> str:
    token = str(need(wish, "ServiceToken")[0])
    part = token.split(":")
    if part[:1] == ["arn"] and part[2:3] == ["sns"]:
        text = "A ServiceToken that is an SNS topic is not offered by Pileus: name a function"
        raise AwsError("ValidationError", text)
    if len(part) < 7 or part[2] != "lambda" or part[5] != "function":
        raise AwsError("ValidationError", "Invalid service token.")
    if part[3] != site.region:
        raise AwsError(
            "ValidationError",
            f"Functions from '{part[3]}' are not reachable in this region ('{site.region}')",
        )
    return token


def _timeout_s(wish: Properties) -> int:
    text = str(wish.get("ServiceTimeout", TIMEOUT_S_MAX))
    if not text.isdecimal() or not 1 <= int(text) <= TIMEOUT_S_MAX:
        raise AwsError("ValidationError", f"ServiceTimeout is 1 to {TIMEOUT_S_MAX} seconds")
    return int(text)


def _told(answer: str, name: Name) -> Made:
    """What an answer says. ``_Unsuccessful`` for a failure, and for what is no answer."""
    if len(answer.encode()) > ANSWER_BYTES_MAX:
        raise _Unsuccessful("Response object is too long.")
    try:
        told = json.loads(answer)
    except ValueError as error:
        raise _Unsuccessful("Invalid Response object: it is no JSON.") from error
    if not isinstance(told, dict) or told.get("Status") not in (SUCCESS, FAILED):
        raise _Unsuccessful("Invalid Response object: Value of property Status must be valid.")
    physical_id = told.get("PhysicalResourceId")
    fits = isinstance(physical_id, str) and 0 < len(physical_id.encode()) <= PHYSICAL_ID_BYTES_MAX
    if told["Status"] == FAILED:
        raise _Unsuccessful(
            "Received response status [FAILED] from custom resource. Message returned:"
            f" {told.get('Reason') or ''} (RequestId: {name.request_id})",
            str(physical_id) if fits else "",
        )
    if not fits:
        raise _Unsuccessful("Invalid PhysicalResourceId")
    about = {"StackId": name.stack_id, "RequestId": name.request_id}
    about["LogicalResourceId"] = name.logical
    for member, value in about.items():
        if told.get(member) != value:
            text = f"Invalid Response object: Value of property {member} must be the request's."
            raise _Unsuccessful(text, str(physical_id))
    data = told.get("Data") or {}
    if not isinstance(data, dict):
        text = "Invalid Response object: Value of property Data must be an object."
        raise _Unsuccessful(text, str(physical_id))
    return Made(str(physical_id), data)


def as_text(value: Any) -> Any:
    """Properties as functions get them: every number and boolean is a text."""
    if isinstance(value, dict):
        return {str(k): as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_text(v) for v in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


TYPE = "AWS::CloudFormation::CustomResource"
KINDS: dict[str, Any] = {TYPE: CustomResource()}
