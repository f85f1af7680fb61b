"""The door of HTTP APIs: ``{api-id}.execute-api.…/``, ``/_api/{api-id}/…`` and custom domains.

A request goes: API and stage → CORS preflight → route → throttle → authorizer → integration →
CORS headers → access log.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any
from urllib.parse import unquote

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.apigateway import answers
from pileus.services.apigateway.accesslog import AccessLog
from pileus.services.apigateway.authorizing import Admit, Authorizing
from pileus.services.apigateway.compiled import Api, Apis, Route, Stage
from pileus.services.apigateway.payload import Exchange, format_1, format_2
from pileus.services.apigateway.proxying import proxy
from pileus.services.call import HttpRequest, HttpResponse, Parts, Principal
from pileus.services.outbound import Outbound
from pileus.services.rates import Rates

LOG = logging.getLogger("pileus.apigateway")
BODY_BYTES_MAX = 10 * 1024 * 1024
THROTTLES = ("TooManyRequestsException", "EC2ThrottledException", "ThrottlingException")


# API, stage, path, host, and what of the path's start names the stage or mapping
Found = tuple[Api, Stage, str, str, str]
NO_ROUTE = Route("-", "", "NONE", frozenset(), None, None, False, 0.0, 0)


class Door:
    """Serves every HTTP API of this process's cloud. One per process."""

    def __init__(self, parts: Parts, admit: Admit | None = None) -> None:
        """``admit`` checks signatures and permissions of AWS_IAM routes."""
        self._parts = parts
        self._apis = Apis(parts.store)
        self._outbound: Outbound = parts.outbound
        self._authorizing = Authorizing(parts, self._outbound, self.call_function, admit)
        self._log = AccessLog(parts)
        self._blocks: dict[str, int] = {}
        self._rates = Rates(parts.config.path("run", "rates"))

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """Answer one request addressed to an API, by host or by path."""
        found = self._find(request)
        if found is None:
            return answers.not_found()
        api, stage, path, host, base = found
        request.meter = self._blocks.get(api.api_id) or self._block(api)
        origin = request.headers.get("origin")
        if api.cors is not None and origin and _is_preflight(request):
            return api.cors.preflight(origin)
        response = await self._answer(request, api, stage, path, host, base)
        return api.cors.dress(response, origin) if api.cors is not None else response

    def _block(self, api: Api) -> int:
        """What counts this API's requests."""
        labels = {"api": api.api_id, "account": api.account, "region": api.region}
        block = self._parts.meters.requests(
            "pileus_request", service="execute-api", operation="", **labels
        )
        self._blocks[api.api_id] = block
        return block

    def owns(self, host: str) -> bool:
        """Is ``host`` (no port, lower case) a custom domain name?"""
        return bool(host) and self._apis.mappings(host) is not None

    async def close(self) -> None:
        """Put what the access logs still hold."""
        await self._log.flush()

    def _find(self, request: HttpRequest) -> Found | None:
        path = request.path or "/"
        host = request.headers.get("host", "").partition(":")[0].lower()
        if path.startswith("/_api/"):
            api_id, _, rest = path[6:].partition("/")
            api, path = self._apis.get(api_id), "/" + rest
            host = f"{api_id}.execute-api.localhost"
        elif ".execute-api." in host:
            api = self._apis.get(host.partition(".")[0])
            if api is not None and api.disabled:
                return None
        else:
            return self._find_by_domain(host, path)
        if api is None:
            return None
        first = path[1:].partition("/")[0]
        stage = api.stages.get(first) if first and first != "$default" else None
        if stage is not None:
            return api, stage, path, host, f"/{first}"
        stage = api.stages.get("$default")
        return None if stage is None else (api, stage, path, host, "")

    def _find_by_domain(self, host: str, path: str) -> Found | None:
        """The longest mapping key that starts the path decides."""
        for mapping in self._apis.mappings(host) or []:
            key = mapping.get("ApiMappingKey") or ""
            if key and path != f"/{key}" and not path.startswith(f"/{key}/"):
                continue
            api = self._apis.get(mapping["ApiId"])
            stage = api.stages.get(mapping["Stage"]) if api else None
            if api is None or stage is None:
                return None
            return api, stage, path, host, f"/{key}" if key else ""
        return None

    async def _answer(
        self, request: HttpRequest, api: Api, stage: Stage, path: str, host: str, base: str
    ) -> HttpResponse:
        inner = path[len(base) :] or "/"
        segments = [unquote(s) for s in inner.split("/")[1:]]
        route, parameters = stage.routes.match(request.method, segments) or (NO_ROUTE, {})
        clock = self._parts.clock
        request_id = base64.b64encode(clock.random_bytes(12)).decode()
        now_ms = clock.now_ms()
        x = Exchange(request, api, stage, route, path, parameters, request_id, now_ms, host, inner)
        if route is NO_ROUTE:
            response = answers.not_found()
        else:
            response = await self._serve_route(x, route)
        response.headers.append(("apigw-requestid", request_id))
        if stage.log_arn:
            self._log.add(x, response, clock.now_ms() - now_ms)
        return response

    async def _serve_route(self, x: Exchange, route: Route) -> HttpResponse:
        target = route.target
        if target is None:
            return answers.internal()
        if not self._within_rate(x, route):
            return answers.error(429, "Too Many Requests")
        try:
            await x.request.read(BODY_BYTES_MAX)
        except AwsError as e:
            return answers.unread(e)
        if route.authorization != "NONE":
            refusal = await self._authorizing.refusal(x)
            if refusal is not None:
                return refusal
        began = self._parts.clock.monotonic()
        if target.function:
            event = format_2(x) if target.version == "2.0" else format_1(x)
            response = await self._invoke(
                x, target.function, event, target.version, target.timeout_s
            )
        else:
            response = await proxy(self._outbound, x, target)
        x.integration_ms = int((self._parts.clock.monotonic() - began) * 1000)
        return response

    def _within_rate(self, x: Exchange, route: Route) -> bool:
        """The route's own limit, else its stage's."""
        name, rate, burst = f"{x.api.api_id}/{x.stage.name}", x.stage.rate, x.stage.burst
        if route.limited:
            name, rate, burst = f"{name}/{route.key}", route.rate, route.burst
        elif not x.stage.limited:
            return True
        return self._rates.allow(name, rate, burst, self._parts.clock.monotonic())

    async def _invoke(
        self, x: Exchange, function: str, event: dict[str, Any], version: str, timeout_s: float
    ) -> HttpResponse:
        """Run the integration's function and read its answer."""
        try:
            async with asyncio.timeout(timeout_s):
                result = await self.call_function(x.api, function, event, x.arn)
        except TimeoutError:
            x.integration_error = "Integration timed out"
            return answers.error(504, "Gateway Timeout")
        except Unavailable as e:
            x.integration_error = str(e)
            LOG.warning("%s cannot be invoked: %s (%s)", function, e, e.hint)
            return answers.error(503, "Service Unavailable")
        except AwsError as e:
            x.integration_error, x.integration_status = e.message, str(e.status)
            if e.code in THROTTLES or e.status in (429, 503):
                return answers.error(503, "Service Unavailable")
            LOG.info("invoking %s for %s: %r", function, x.arn, e)
            return answers.internal()
        x.integration_status = "200"
        if result is None:
            x.integration_error = "The function failed"
            return answers.internal()
        return answers.from_result(result, version)

    async def call_function(
        self, api: Api, function: str, event: dict[str, Any], source_arn: str
    ) -> bytes | None:
        """Invoke as API Gateway on behalf of ``source_arn``; None when the function failed."""
        outcome = await self._parts.dispatch(
            "lambda",
            "Invoke",
            {
                "FunctionName": function,
                "InvocationType": "RequestResponse",
                "Payload": orjson.dumps(event),
            },
            principal=Principal(
                "service",
                api.account,
                "apigateway.amazonaws.com",
                "apigateway.amazonaws.com",
            ),
            region=function.split(":")[3],
            context={"aws:SourceArn": source_arn, "aws:SourceAccount": api.account},
        )
        return None if outcome.get("FunctionError") else bytes(outcome["Payload"])


def _is_preflight(request: HttpRequest) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers
