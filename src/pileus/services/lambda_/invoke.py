"""Invoke: run a function now (RequestResponse), later (Event), or only check (DryRun).

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
The hot path: a warm invocation reads no row and writes none; its lines go to the log afterwards.
"""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import (
    PAYLOAD_BYTES_MAX,
    FunctionSpec,
    Invocation,
    InvokeOutcome,
    NotBegun,
    Throttled,
)
from pileus.runtime.streaming import Streamed, StreamedAnswer
from pileus.services.call import Call, HttpResponse
from pileus.services.event_stream import CONTENT_TYPE
from pileus.services.lambda_ import rows
from pileus.services.lambda_.counts import Counts
from pileus.services.lambda_.elsewhere import Elsewhere
from pileus.services.lambda_.names import USER, FunctionName, function_name, invalid, validation
from pileus.services.lambda_.queue import EventQueue
from pileus.services.lambda_.room import Room
from pileus.services.lambda_.stream import Events
from pileus.services.lambda_.targets import Target, Targets, Version
from pileus.services.logship import LogShip

EVENT_BYTES_MAX = 1_048_576
CLIENT_CONTEXT_BYTES_MAX = 3583
TYPES = ("RequestResponse", "Event", "DryRun")


@dataclass(slots=True)
class Asked:
    """What an Invoke request asks for."""

    name: FunctionName
    kind: str
    tail: bool
    client_context: str | None
    payload: bytes
    trace_id: str = ""


@dataclass(slots=True)
class Invoker:
    """Runs versions and sends their lines to the log."""

    room: Room
    targets: Targets
    ship: LogShip
    counts: Counts
    queue: EventQueue | None = None
    elsewhere: Elsewhere | None = None

    async def run(self, version: Version, invocation: Invocation) -> InvokeOutcome:
        """One invocation. ``TooManyRequestsException`` when the concurrency is used up."""
        try:
            if self.elsewhere is None:
                return await self.here(version, invocation)
            return await self.elsewhere.run(version, invocation)
        except (Throttled, Unavailable) as error:
            raise self._refused(version, error) from error

    async def here(self, version: Version, invocation: Invocation) -> InvokeOutcome:
        """One invocation, on this machine. Raises as the runtime does."""
        spec = await self._ready(version)
        outcome: InvokeOutcome = await self.room.runtime.invoke(spec, invocation)
        self._ended(version, spec, outcome)
        return outcome

    async def stream(self, version: Version, invocation: Invocation) -> Streamed:
        """One invocation, answered when the function begins to: read it to its end, or close it.
        Refused as by ``run``."""
        try:
            if self.elsewhere is None:
                return await self.stream_here(version, invocation)
            return await self.elsewhere.stream(version, invocation)
        except (Throttled, Unavailable) as error:
            raise self._refused(version, error) from error

    async def stream_here(self, version: Version, invocation: Invocation) -> Streamed:
        """The same on this machine. Raises as the runtime does."""
        spec = await self._ready(version)
        answer: StreamedAnswer = await self.room.runtime.stream(spec, invocation)

        def ended(outcome: asyncio.Future[InvokeOutcome]) -> None:
            if not outcome.cancelled() and outcome.exception() is None:
                self._ended(version, spec, outcome.result())

        answer.outcome.add_done_callback(ended)  # whoever reads it may be gone by then
        try:
            await answer.begun()
        except (Throttled, Unavailable):
            raise
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def _refused(self, version: Version, error: Throttled | Unavailable) -> AwsError:
        """A refusal of the runtime as the API tells it."""
        if isinstance(error, Throttled):
            self.counts.throttled(version.function)
            told = {"Reason": error.reason, **USER}
            return AwsError("TooManyRequestsException", "Rate Exceeded.", 429, fields=told)
        text = f"{error} {error.hint}".strip()
        return AwsError("ServiceException", text, 500, fields=_SERVICE)

    def _ended(self, version: Version, spec: FunctionSpec, outcome: InvokeOutcome) -> None:
        """Count it, and send its lines to the log."""
        self.counts.ended(version.function, outcome)
        session = self.room.roles.cached(version.role, version.function.name)
        if session is not None:
            region = version.function.region
            self.ship.put(
                session.principal, region, spec.log_group, outcome.log_stream, outcome.log
            )

    async def _ready(self, version: Version) -> FunctionSpec:
        """What this machine runs. ``NotBegun`` when its code or credentials cannot be had."""
        plain, share = version.plain, None
        if self.elsewhere is not None and plain.reserved:
            share = self.elsewhere.share(version, plain.concurrency_max)
        try:
            spec = await version.spec(self.room.roles, share)
            await self.room.bring(spec)
        except Unavailable as error:
            raise NotBegun(str(error), error.hint) from error
        return spec

    # -- the two doors --------------------------------------------------------------------

    async def direct(self, call: Call) -> HttpResponse:
        """Invoke from the network."""
        asked = await _from_request(call)
        target = self._check(asked)
        if asked.kind != "RequestResponse":
            return HttpResponse(await self._not_now(call, asked, target))
        version = target.choose()
        outcome = await self._now(call, asked, version)
        headers = [
            ("content-type", "application/json"),
            ("X-Amz-Executed-Version", version.number),
            ("x-amzn-RequestId", call.request_id),
        ]
        if outcome.function_error:
            headers.append(("X-Amz-Function-Error", outcome.function_error))
        if asked.tail:
            headers.append(("X-Amz-Log-Result", b64encode(outcome.log_tail).decode()))
        return HttpResponse(200, headers, outcome.payload)

    async def streamed(self, call: Call) -> HttpResponse:
        """InvokeWithResponseStream from the network."""
        asked = await _from_request(call)
        if asked.kind == "Event":
            raise validation(asked.kind, "invocationType", "RequestResponse|DryRun")
        target = self._check(asked)
        if asked.kind == "DryRun":
            return HttpResponse(204)
        version = target.choose()
        answer = await self.stream(version, self._invocation(call, asked))
        headers = [
            ("content-type", CONTENT_TYPE),
            ("X-Amz-Executed-Version", version.number),
            ("x-amzn-RequestId", call.request_id),
        ]
        return HttpResponse(200, headers, Events(answer, asked.tail))

    async def operation(self, call: Call) -> dict[str, Any]:
        """Invoke from another service: parameters in, members out."""
        asked = await _from_params(call)
        target = self._check(asked)
        if asked.kind != "RequestResponse":
            return {"StatusCode": await self._not_now(call, asked, target), "Payload": b""}
        version = target.choose()
        outcome = await self._now(call, asked, version)
        answer: dict[str, Any] = {
            "StatusCode": 200,
            "ExecutedVersion": version.number,
            "Payload": outcome.payload,
        }
        if outcome.function_error:
            answer["FunctionError"] = outcome.function_error
        if asked.tail:
            answer["LogResult"] = b64encode(outcome.log_tail).decode()
        return answer

    async def invoke_url(self, call: Call) -> dict[str, Any]:
        """A function URL's request (not an AWS operation: only the URL door dispatches it): as
        ``Invoke``, or, with ``InvokeMode`` RESPONSE_STREAM, its ``Stream``."""
        if call.params.get("InvokeMode") != "RESPONSE_STREAM":
            return await self.operation(call)
        asked = await _from_params(call)
        version = self._check(asked).choose()
        return {"Stream": await self.stream(version, self._invocation(call, asked))}

    async def invoke_async(self, call: Call) -> dict[str, Any]:
        """The older InvokeAsync: always an event."""
        name = name_of(call)
        payload = await _bytes(call.params["InvokeArgs"])
        asked = Asked(name, "Event", False, None, payload)
        _check_json(payload, 262_144)
        return {"Status": await self._not_now(call, asked, self.targets.find(name))}

    def _check(self, asked: Asked) -> Target:
        if asked.kind not in TYPES:
            raise validation(asked.kind, "invocationType", "RequestResponse|Event|DryRun")
        target = self.targets.find(asked.name)
        _check_json(asked.payload, EVENT_BYTES_MAX if asked.kind == "Event" else PAYLOAD_BYTES_MAX)
        return target

    async def _now(self, call: Call, asked: Asked, version: Version) -> InvokeOutcome:
        outcome = await self.run(version, self._invocation(call, asked))
        if len(outcome.payload) > PAYLOAD_BYTES_MAX:
            raise AwsError("RequestTooLargeException", "The response is too large.", 413)
        return outcome

    def _invocation(self, call: Call, asked: Asked) -> Invocation:
        return Invocation(
            asked.payload or b"{}",
            call.request_id or rows.new_id(self.room.clock),
            asked.client_context,
            trace_id=asked.trace_id,
            invoked_arn=asked.name.qualified_arn,
        )

    async def _not_now(self, call: Call, asked: Asked, target: Target) -> int:
        """DryRun: 204. Event: 202, once the event is durable."""
        if asked.kind == "DryRun":
            return 204
        assert self.queue is not None
        await self.queue.put(
            asked.name,
            call.request_id or rows.new_id(self.room.clock),
            asked.payload or b"{}",
            asked.client_context,
            call.invocation_id,
        )
        return 202


_SERVICE = {"Type": "Service"}


def name_of(call: Call) -> FunctionName:
    """The function an Invoke or InvokeAsync names, whichever way the call came."""
    params, request = call.params, call.request
    qualifier = params.get("Qualifier")
    if request is not None and request.query:
        qualifier = dict(parse_qsl(request.query)).get("Qualifier")
    return function_name(call, params["FunctionName"], qualifier)


async def _from_request(call: Call) -> Asked:
    request = call.request
    assert request is not None
    headers = request.headers
    name = call.scratch if isinstance(call.scratch, FunctionName) else name_of(call)
    return Asked(
        name,
        headers.get("x-amz-invocation-type", "RequestResponse"),
        headers.get("x-amz-log-type") == "Tail",
        _context(headers.get("x-amz-client-context")),
        await _read(call),
        headers.get("x-amzn-trace-id", ""),
    )


async def _read(call: Call) -> bytes:
    request = call.request
    assert request is not None
    if request.stream is None:
        return request.body
    try:
        return await request.read(PAYLOAD_BYTES_MAX)
    except AwsError as error:
        raise _too_large(PAYLOAD_BYTES_MAX) from error


async def _from_params(call: Call) -> Asked:
    params = call.params
    return Asked(
        name_of(call),
        params.get("InvocationType") or "RequestResponse",
        params.get("LogType") == "Tail",
        _context(params.get("ClientContext")),
        await _bytes(params.get("Payload") or b""),
        params.get("TraceId", ""),
    )


async def _bytes(payload: Any) -> bytes:
    if isinstance(payload, str):
        return payload.encode()
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    return b"".join([bytes(chunk) async for chunk in payload])


def _context(text: str | None) -> str | None:
    """The client context's JSON; ``InvalidRequestContentException`` when it is none."""
    if not text:
        return None
    if len(text) > CLIENT_CONTEXT_BYTES_MAX:
        raise invalid("Client context must be no more than 3583 bytes when base64-encoded.")
    try:
        return orjson.dumps(orjson.loads(b64decode(text, validate=True))).decode()
    except (binascii.Error, orjson.JSONDecodeError) as error:
        raise AwsError(
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
            400,
            fields=USER,
        ) from error


def _check_json(payload: bytes, most: int) -> None:
    if len(payload) > most:
        raise _too_large(most, len(payload))
    if not payload:
        return
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise AwsError(
            "InvalidRequestContentException",
            f"Could not parse request body into json: {error}",
            400,
            fields=USER,
        ) from error


def _too_large(most: int, size: int = 0) -> AwsError:
    told = f"{size} byte payload" if size else "The payload"
    return AwsError(
        "RequestTooLargeException",
        f"{told} is too large for the invocation type (limit {most} bytes)",
        413,
        fields=USER,
    )
