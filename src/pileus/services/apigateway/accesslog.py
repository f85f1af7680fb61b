"""Access logs of stages: one line per request, put into the log group the stage names.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.apigateway.payload import Exchange, clock_text
from pileus.services.call import HttpResponse, Parts, Principal

LOG = logging.getLogger("pileus.apigateway")
VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.\-]+)")
GROUP = re.compile(r"arn:aws[a-z\-]*:logs:([a-z0-9\-]+):(\d{12}):log-group:([^:*\s]+)(:\*)?")
FLUSH_S, LINES_MAX, BATCH_LINES = 0.5, 10_000, 1_000
ROLE = "aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway"


class AccessLog:
    """Collects lines and puts them twice a second. One per process; what does not fit is counted
    and told, never kept back from the viewer."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lines: dict[str, list[dict[str, Any]]] = {}
        self._count = self._lost = 0
        self._known: set[str] = set()
        self._stream = f"{parts.clock.random_bytes(8).hex()}"
        self._task: asyncio.Task[None] | None = None

    def add(self, x: Exchange, response: HttpResponse, latency_ms: int) -> None:
        """Note one finished request."""
        if self._count >= LINES_MAX:
            self._lost += 1
            return
        self._count += 1
        message = line(x, response, latency_ms)
        event = {"timestamp": x.now_ms, "message": message}
        self._lines.setdefault(x.stage.log_arn, []).append(event)
        if self._task is None:
            self._task = asyncio.create_task(self._later(), name="access-log")

    async def flush(self) -> None:
        """Put everything noted so far."""
        while self._lines:
            arn, lines = self._lines.popitem()
            self._count -= len(lines)
            lines.sort(key=lambda event: int(event["timestamp"]))
            for at in range(0, len(lines), BATCH_LINES):
                await self._put(arn, lines[at : at + BATCH_LINES])
        if self._lost:
            LOG.warning("%d lines of access logs were dropped: too many at once", self._lost)
            self._lost = 0

    async def _later(self) -> None:
        try:
            await asyncio.sleep(FLUSH_S)
            await self.flush()
        finally:
            self._task = None
            if self._lines:
                self._task = asyncio.create_task(self._later(), name="access-log")

    async def _put(self, arn: str, lines: list[dict[str, Any]]) -> None:
        """As the service's own role in the account, which may write logs there."""
        region, account, group = place(arn)
        names = {"logGroupName": group, "logStreamName": self._stream}
        who = Principal.owner(account, ROLE)
        try:
            if arn not in self._known:
                await self._call("CreateLogStream", names, who, region)
                self._known.add(arn)
            await self._call("PutLogEvents", names | {"logEvents": lines}, who, region)
        except (AwsError, Unavailable) as e:
            self._known.discard(arn)
            LOG.warning("%d lines of the access log %s are lost: %s", len(lines), group, e)

    async def _call(
        self, operation: str, params: dict[str, Any], who: Principal, region: str
    ) -> None:
        try:
            await self._parts.dispatch("logs", operation, params, principal=who, region=region)
        except AwsError as e:
            if e.code != "ResourceAlreadyExistsException":
                raise


def place(arn: str) -> tuple[str, str, str]:
    """(region, account, group) of a log group's ARN; three '' for anything else."""
    match = GROUP.fullmatch(arn)
    return (match[1], match[2], match[3]) if match else ("", "", "")


def line(x: Exchange, response: HttpResponse, latency_ms: int) -> str:
    """The stage's format with its ``$context`` variables filled in; an unknown one is ``-``."""
    known = variables(x, response, latency_ms)

    def fill(match: re.Match[str]) -> str:
        text = _plain(_value(known, x, match[1]))
        return f'"{text}"' if match[1] == "error.messageString" else text

    return VARIABLE.sub(fill, x.stage.log_format)


def variables(x: Exchange, response: HttpResponse, latency_ms: int) -> dict[str, Any]:
    body = response.body
    iam = x.authorizer.get("iam", {})
    failed = response.status >= 400 and not x.integration_status
    message = _message(response) if failed else "-"
    return {
        "accountId": x.api.account,
        "apiId": x.api.api_id,
        "authorizer.error": message if failed and response.status in (401, 403) else "-",
        "awsEndpointRequestId": x.request_id,
        "domainName": x.host,
        "domainPrefix": x.host.partition(".")[0],
        "error.message": message,
        "error.messageString": message,
        "error.responseType": "-",
        "extendedRequestId": x.request_id,
        "httpMethod": x.request.method,
        "identity.accountId": iam.get("accountId", "-"),
        "identity.caller": iam.get("callerId", "-"),
        "identity.sourceIp": x.source_ip,
        "identity.user": iam.get("userId", "-"),
        "identity.userAgent": x.request.headers.get("user-agent", "-"),
        "identity.userArn": iam.get("userArn", "-"),
        "integrationErrorMessage": x.integration_error or "-",
        "integration.error": x.integration_error or "-",
        "integrationLatency": x.integration_ms if x.integration_ms >= 0 else "-",
        "integration.latency": x.integration_ms if x.integration_ms >= 0 else "-",
        "integrationStatus": x.integration_status or "-",
        "integration.integrationStatus": x.integration_status or "-",
        "integration.status": response.status if x.integration_status else "-",
        "path": x.path,
        "protocol": "HTTP/1.1",
        "requestId": x.request_id,
        "requestTime": clock_text(x.now_ms),
        "requestTimeEpoch": x.now_ms,
        "responseLatency": latency_ms,
        "responseLength": len(body) if isinstance(body, bytes) else response.length,
        "routeKey": x.route.key,
        "stage": x.stage.name,
        "status": response.status,
    }


def _message(response: HttpResponse) -> str:
    try:
        return str(orjson.loads(response.body)["message"])  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError):
        return "-"


def _value(known: dict[str, Any], x: Exchange, name: str) -> Any:
    if name in known:
        return known[name]
    if name.startswith("authorizer.claims."):
        return x.authorizer.get("jwt", {}).get("claims", {}).get(name[18:], "-")
    if name.startswith("authorizer."):
        return x.authorizer.get("lambda", {}).get(name[11:], "-")
    return "-"


def _plain(value: Any) -> str:
    """One line that cannot break out of the quotes of a JSON format: a viewer chose the text."""
    return orjson.dumps(str(value)).decode()[1:-1]
