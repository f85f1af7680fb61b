"""Where the outcome of an asynchronous invocation goes: destinations and dead-letter queues.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
Delivered through the target's own API as the function's role. What cannot be delivered is told to
the caller, which keeps it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import InvokeOutcome
from pileus.services.call import Principal
from pileus.services.lambda_.room import Room
from pileus.services.lambda_.rows import new_id
from pileus.services.lambda_.targets import Version
from pileus.services.lambda_.times import iso

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished event. ``outcome`` is None when it never ran."""

    version: Version
    event: dict[str, Any]
    payload: bytes
    outcome: InvokeOutcome | None


@dataclass(frozen=True, slots=True)
class Destinations:
    room: Room

    async def succeeded(self, policy: dict[str, Any], ended: Ended) -> None:
        """Tell ``OnSuccess``; a failure is logged, as AWS counts it in a metric and goes on."""
        if policy["on_success"]:
            record = self._record(ended, "Success")
            error = await self.tell(policy["on_success"], ended.version, record, _place(ended))
            if error:
                log.error("destination %s: %s", policy["on_success"], error)

    async def failed(self, policy: dict[str, Any], ended: Ended, condition: str) -> str:
        """Tell ``OnFailure`` and the dead-letter queue. Answers why not ('' = told, or no one
        wants to know)."""
        errors = []
        if policy["on_failure"]:
            record = self._record(ended, condition)
            target = policy["on_failure"]
            errors.append(await self.tell(target, ended.version, record, _place(ended)))
        if policy["dead_letter"]:
            errors.append(await self._dead_letter(policy["dead_letter"], ended))
        told = "; ".join(error for error in errors if error)
        if told:
            log.error("event %s undelivered: %s", ended.event["request_id"], told)
        return told

    def _record(self, ended: Ended, condition: str) -> dict[str, Any]:
        version, outcome = ended.version, ended.outcome
        record: dict[str, Any] = {
            "version": "1.0",
            "timestamp": iso(self.room.clock.now_ms()),
            "requestContext": {
                "requestId": ended.event["request_id"],
                "functionArn": f"{version.function.arn}:{version.number}",
                "condition": condition,
                "approximateInvokeCount": ended.event["attempts"] + (1 if outcome else 0),
            },
            "requestPayload": orjson.loads(ended.payload),
        }
        if outcome is not None:
            context = {"statusCode": 200, "executedVersion": version.number}
            if outcome.function_error:
                context["functionError"] = outcome.function_error
            record["responseContext"] = context
            record["responsePayload"] = _loads(outcome.payload)
        return record

    async def tell(self, target: str, version: Version, record: dict[str, Any], place: str) -> str:
        """Hand ``record`` to ``target`` as the function's role; answers why not, or ''. ``place``:
        what the keys of objects begin with, where it is a bucket."""
        text = orjson.dumps(record).decode()
        service, region, account, name = _split(target)
        params: dict[str, Any]
        if service == "sqs":
            params = {"QueueUrl": self._queue_url(account, name), "MessageBody": text}
            return await self._dispatch("sqs", "SendMessage", params, version, region)
        if service == "sns":
            params = {"TopicArn": target, "Message": text}
            return await self._dispatch("sns", "Publish", params, version, region)
        if service == "lambda":
            params = {"FunctionName": target, "InvocationType": "Event", "Payload": text.encode()}
            return await self._dispatch("lambda", "Invoke", params, version, region)
        if service == "s3":
            moment = iso(self.room.clock.now_ms())
            day, at = moment[:10], moment[:19].replace(":", ".")
            name = f"{place}/{day.replace('-', '/')}/{at}-{new_id(self.room.clock)}"
            params = {"Bucket": target.rpartition(":")[2], "Key": name, "Body": text.encode()}
            return await self._dispatch("s3", "PutObject", params, version, "")
        if service == "events":
            state = record["requestContext"]["condition"]
            kind = "Success" if state == "Success" else "Failure"
            entry = {
                "Source": "lambda",
                "DetailType": f"Lambda Function Invocation Result - {kind}",
                "Detail": text,
                "EventBusName": target,
                "Resources": [target, record["requestContext"]["functionArn"]],
            }
            params = {"Entries": [entry]}
            return await self._dispatch("events", "PutEvents", params, version, region)
        return f"a destination of the service {service} is not built"

    async def _dead_letter(self, target: str, ended: Ended) -> str:
        service, region, account, name = _split(target)
        outcome = ended.outcome
        error = _loads(outcome.payload) if outcome else {}
        message = error.get("errorMessage", "") if isinstance(error, dict) else ""
        attributes = {
            "RequestID": ended.event["request_id"],
            "ErrorCode": "200" if outcome else "429",
            "ErrorMessage": str(message)[:1024] or "unknown",
        }
        typed = {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()}
        text = ended.payload.decode()
        if service == "sqs":
            params = {
                "QueueUrl": self._queue_url(account, name),
                "MessageBody": text,
                "MessageAttributes": typed,
            }
            return await self._dispatch("sqs", "SendMessage", params, ended.version, region)
        params = {"TopicArn": target, "Message": text, "MessageAttributes": typed}
        return await self._dispatch("sns", "Publish", params, ended.version, region)

    def _queue_url(self, account: str, name: str) -> str:
        return f"http://127.0.0.1:{self.room.config.port}/{account}/{name}"

    async def _dispatch(
        self, service: str, operation: str, params: dict[str, Any], version: Version, region: str
    ) -> str:
        """Why it failed, or ''."""
        try:
            principal = await self._principal(version)
            await self.room.dispatch(service, operation, params, principal=principal, region=region)
        except AwsError as error:
            return f"{service}:{operation}: {error.code}: {error.message}"
        except Unavailable as error:
            return f"{service}:{operation}: {error}"
        return ""

    async def _principal(self, version: Version) -> Principal:
        session = await self.room.roles.session(version.role, version.function.name)
        return session.principal


def _place(ended: Ended) -> str:
    return f"aws/lambda/async/{ended.version.function.name}"


def _split(arn: str) -> tuple[str, str, str, str]:
    """(service, region, account, name) of an ARN."""
    parts = arn.split(":", 5)
    return parts[2], parts[3], parts[4], parts[5]


def _loads(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode("utf-8", "replace")
