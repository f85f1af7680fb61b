"""HTTP_PROXY integrations: the request goes to an address, changed by parameter mappings.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-http.html
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pileus.services.apigateway import answers, authorizing, mapping
from pileus.services.apigateway.compiled import Target
from pileus.services.apigateway.payload import Exchange
from pileus.services.call import Headers, HttpResponse
from pileus.services.outbound import HOP, Outbound, OutboundError

BODY_BYTES_MAX = 10 * 1024 * 1024
VARIABLE = re.compile(r"\{([A-Za-z0-9._:\-]+)\+?\}")
NOT_SENT = HOP | {"host", "content-length", "expect", "accept-encoding"}


async def proxy(outbound: Outbound, x: Exchange, target: Target) -> HttpResponse:
    """Pass the request on and its answer back; 503 when the address cannot be reached, 504 when
    it takes too long."""
    request = x.request
    path, query, headers = _request(x, target)
    parts = urlsplit(target.uri)
    url = f"{parts.scheme}://{parts.netloc}{path}{'?' + query if query else ''}"
    method = request.method if target.method == "ANY" else target.method
    try:
        answer = await outbound.send(
            *(method, url, headers, request.body),
            connect_s=3,
            read_s=target.timeout_s,
            remote=request.remote,
        )
        body = await answer.read(BODY_BYTES_MAX)
    except TimeoutError:
        x.integration_error = "Integration timed out"
        return answers.error(504, "Gateway Timeout")
    except OutboundError as e:
        x.integration_error = str(e)
        return answers.error(503, "Service Unavailable")
    x.integration_status = str(answer.status)
    kept = [h for h in answer.headers if h[0] not in HOP and h[0] not in ("date", "server")]
    kept = [h for h in kept if h[0] != "content-length"]
    response = HttpResponse(answer.status, kept, body)
    _change_response(x, target, response)
    return response


def _request(x: Exchange, target: Target) -> tuple[str, str, Headers]:
    """(path, query, headers) to send."""
    parts = urlsplit(target.uri)
    path = VARIABLE.sub(
        lambda m: quote(x.parameters.get(m[1], ""), safe="/:@!$&'()*+,;=~-._"), parts.path
    )
    query = parse_qsl(parts.query, keep_blank_values=True)
    query += parse_qsl(x.request.query, keep_blank_values=True)
    headers = {n: v for n, v in x.request.headers.items() if n not in NOT_SENT}
    host, proto = x.request.headers.get("host", x.host), x.request.scheme
    headers["forwarded"] = f"for={x.source_ip};host={host};proto={proto}"
    headers["via"] = "HTTP/1.1 AmazonAPIGateway"
    for operation, place, name, expression in target.request_steps:
        value = mapping.fill(expression, lambda variable: resolve(x, variable))
        if place == "path":
            path = value if value.startswith("/") else f"/{value}"
        elif place == "header":
            _change(headers, operation, name, value)
        else:
            query = [q for q in query if operation == "append" or q[0] != name]
            query += [(name, value)] if operation != "remove" else []
    return path or "/", urlencode(query), list(headers.items())


def _change(headers: dict[str, str], operation: str, name: str, value: str) -> None:
    if operation == "remove":
        headers.pop(name, None)
    elif operation == "append" and name in headers:
        headers[name] += f",{value}"
    else:
        headers[name] = value


def _change_response(x: Exchange, target: Target, response: HttpResponse) -> None:
    for operation, place, name, expression in target.response_steps.get(str(response.status), []):
        value = mapping.fill(expression, lambda variable: resolve(x, variable))
        if place == "statuscode":
            response.status = int(value) if value.isdigit() else response.status
            continue
        if operation != "append":
            response.headers = [h for h in response.headers if h[0] != name]
        if operation != "remove":
            response.headers.append((name, value))


def resolve(x: Exchange, variable: str) -> str:
    """The value of ``request.header.x``, ``request.path.id``, ``context.requestId``, …"""
    head, _, rest = variable.partition(".")
    if head == "request" and rest.startswith("path."):
        return x.parameters.get(rest[5:], "")
    if variable == "request.path":
        return x.path
    if variable == "context.requestId":
        return x.request_id
    if head == "context" and rest.startswith("authorizer."):
        known = x.authorizer.get("lambda") or x.authorizer.get("jwt", {}).get("claims") or {}
        return str(known.get(rest[11:].removeprefix("claims."), ""))
    return authorizing.identity(x, f"${variable}")
