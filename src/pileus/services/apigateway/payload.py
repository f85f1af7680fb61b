"""The event a function gets: payload formats 1.0 and 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from pileus.services.apigateway.compiled import Api, Route, Stage
from pileus.services.call import HttpRequest

TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


@dataclass(slots=True)
class Exchange:
    """One request on its way through an API: what payloads, logs and mappings speak of."""

    request: HttpRequest
    api: Api
    stage: Stage
    route: Route
    path: str  # decoded nothing: the path as asked, stage included
    parameters: dict[str, str]  # path variables
    request_id: str
    now_ms: int
    host: str
    inner: str  # the path below stage or mapping
    authorizer: dict[str, Any] = field(default_factory=dict)
    integration_status: str = ""
    integration_error: str = ""
    integration_ms: int = -1

    @property
    def source_ip(self) -> str:
        return self.request.remote

    @property
    def arn(self) -> str:
        """``arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/path``, as permissions name it."""
        api, where = self.api, self.route.path
        tail = f"{self.request.method}{where}" if where else "$default"
        return (
            f"arn:aws:execute-api:{api.region}:{api.account}:{api.api_id}/{self.stage.name}/{tail}"
        )

    @property
    def asked_arn(self) -> str:
        """The same with the path as asked for: what a caller's policies are compared with."""
        api = self.api
        place = f"{api.region}:{api.account}:{api.api_id}/{self.stage.name}"
        return f"arn:aws:execute-api:{place}/{self.request.method}{self.inner}"


def text_or_base64(body: bytes, content_type: str) -> tuple[str | None, bool]:
    """(body as text, whether it is base64). Text types stay text when they are UTF-8."""
    if not body:
        return None, False
    kind = content_type.lower()
    if not kind or kind.startswith(TEXT_TYPES) or "+json" in kind or "+xml" in kind:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            return base64.b64encode(body).decode(), True
    return base64.b64encode(body).decode(), True


def clock_text(now_ms: int) -> str:
    """``12/Mar/2020:19:03:58 +0000``"""
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now_ms // 1000))


def _headers(x: Exchange) -> dict[str, str]:
    """The request's headers with those API Gateway adds."""
    request = x.request
    port = request.headers.get("host", "").rpartition(":")[2]
    default_port = "443" if request.scheme == "https" else "80"
    added = {
        "x-forwarded-for": x.source_ip,
        "x-forwarded-proto": request.scheme,
        "x-forwarded-port": port if port.isdigit() else default_port,
        "x-amzn-trace-id": f"Root=1-{x.now_ms // 1000:08x}-{_hex(x.request_id)}",
        "content-length": str(len(request.body)),
    }
    known = request.headers
    if "x-forwarded-for" in known:
        added["x-forwarded-for"] = f"{known['x-forwarded-for']}, {x.source_ip}"
    if "x-amzn-trace-id" in known:
        del added["x-amzn-trace-id"]
    return {**known, **added}


def _hex(request_id: str) -> str:
    return base64.b64decode(request_id).hex()[:24].ljust(24, "0")


def format_2(x: Exchange) -> dict[str, Any]:
    """Format 2.0: repeated values joined by commas, cookies apart."""
    request = x.request
    headers = _headers(x)
    cookie = headers.pop("cookie", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": x.route.key,
        "rawPath": x.path,
        "rawQueryString": request.query,
    }
    if cookie:
        event["cookies"] = [part.strip() for part in cookie.split(";") if part.strip()]
    event["headers"] = headers
    if request.query:
        joined: dict[str, str] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        event["queryStringParameters"] = joined
    event["requestContext"] = context_2(x)
    if x.parameters:
        event["pathParameters"] = x.parameters
    if x.stage.variables:
        event["stageVariables"] = x.stage.variables
    body, encoded = text_or_base64(request.body, headers.get("content-type", ""))
    if body is not None:
        event["body"] = body
    event["isBase64Encoded"] = encoded
    return event


def context_2(x: Exchange) -> dict[str, Any]:
    request = x.request
    context: dict[str, Any] = {
        "accountId": x.api.account,
        "apiId": x.api.api_id,
        "domainName": x.host,
        "domainPrefix": x.host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": unquote(x.path),
            "protocol": "HTTP/1.1",
            "sourceIp": x.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": x.request_id,
        "routeKey": x.route.key,
        "stage": x.stage.name,
        "time": clock_text(x.now_ms),
        "timeEpoch": x.now_ms,
    }
    if x.authorizer:
        context["authorizer"] = x.authorizer
    return context


def format_1(x: Exchange) -> dict[str, Any]:
    """Format 1.0: as a REST API's, with multi-value maps."""
    request = x.request
    headers = _headers(x)
    many: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        many.setdefault(name, []).append(value)
    body, encoded = text_or_base64(request.body, headers.get("content-type", ""))
    return {
        "version": "1.0",
        "resource": x.route.path or "$default",
        "path": unquote(x.path),
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {k: v[-1] for k, v in many.items()} or None,
        "multiValueQueryStringParameters": many or None,
        "requestContext": context_1(x),
        "pathParameters": x.parameters or None,
        "stageVariables": x.stage.variables or None,
        "body": body,
        "isBase64Encoded": encoded,
    }


def context_1(x: Exchange) -> dict[str, Any]:
    request = x.request
    authorizer = x.authorizer
    if "lambda" in authorizer:  # format 1.0 tells a function's context flat
        authorizer = authorizer["lambda"]
    elif "jwt" in authorizer:
        authorizer = authorizer["jwt"]
    iam = authorizer.get("iam", {})
    if iam:
        authorizer = {}
    return {
        "accountId": x.api.account,
        "apiId": x.api.api_id,
        "authorizer": authorizer,
        "domainName": x.host,
        "domainPrefix": x.host.partition(".")[0],
        "extendedRequestId": x.request_id,
        "httpMethod": request.method,
        "identity": {
            "accessKey": iam.get("accessKey"),
            "accountId": iam.get("accountId"),
            "caller": iam.get("callerId"),
            "cognitoAuthenticationProvider": None,
            "cognitoAuthenticationType": None,
            "cognitoIdentityId": None,
            "cognitoIdentityPoolId": None,
            "principalOrgId": None,
            "sourceIp": x.source_ip,
            "user": iam.get("userId"),
            "userAgent": request.headers.get("user-agent", ""),
            "userArn": iam.get("userArn"),
        },
        "path": unquote(x.path),
        "protocol": "HTTP/1.1",
        "requestId": x.request_id,
        "requestTime": clock_text(x.now_ms),
        "requestTimeEpoch": x.now_ms,
        "resourceId": x.route.key,
        "resourcePath": x.route.path or "$default",
        "stage": x.stage.name,
    }
