"""Parameter mapping: what an integration changes in requests and responses.

``{"append:header.x": "$request.header.y", "overwrite:path": "/static", "remove:querystring.q":
"''"}``; values are text, ``$request.…``, ``$context.…``, ``$stageVariables.…``, or text with such
in ``${…}``.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pileus.services.apigateway import rows

KEY = re.compile(r"(append|overwrite|remove):(?:(header|querystring)\.([^\s]+)|(path|statuscode))")
VARIABLE = re.compile(r"\$\{?((?:request|response|context|stageVariables)[A-Za-z0-9_.\-$\[\]]*)\}?")
RESERVED = ("access-control-", "apigw-", "x-amz-", "x-amzn-", "authorization", "connection")
MAPPINGS_MAX = 25
Resolve = Callable[[str], str]


def check_request(parameters: dict[str, str]) -> None:
    """``BadRequestException`` for a request mapping AWS would refuse."""
    _check(parameters, ("header", "querystring", "path"))


def check_response(by_status: dict[str, Any]) -> None:
    """Response parameters: ``{status: {"append:header.x": …}}``."""
    for status, parameters in by_status.items():
        if not re.fullmatch(r"[2-5]\d\d", status):
            raise rows.bad(f"Invalid status code for response parameters: {status}")
        _check(parameters, ("header", "statuscode"))


def _check(parameters: dict[str, str], places: tuple[str, ...]) -> None:
    if len(parameters) > MAPPINGS_MAX:
        raise rows.bad("Too many parameter mappings")
    for key in parameters:
        match = KEY.fullmatch(key)
        if match is None or (match[2] or match[4]) not in places:
            raise rows.bad(f"Invalid mapping expression specified: {key}")
        name = (match[3] or "").lower()
        if match[2] == "header" and name.startswith(RESERVED):
            raise rows.bad(f"Operations on header {name} are restricted")


def steps(parameters: dict[str, str]) -> list[tuple[str, str, str, str]]:
    """(operation, place, name, expression) of each mapping."""
    out = []
    for key, expression in parameters.items():
        match = KEY.fullmatch(key)
        if match is not None:
            name = match[3] or ""
            lowered = name.lower() if match[2] == "header" else name
            out.append((match[1], match[2] or match[4], lowered, expression))
    return out


def fill(expression: str, resolve: Resolve) -> str:
    """The expression with every variable replaced by what ``resolve(name)`` answers."""
    return VARIABLE.sub(lambda match: resolve(match[1]), expression)
