"""How operations are bound to the room: from a call to parameters, from a result to an answer.

Every operation is *direct*: it reads the body itself, since the service's exact type errors cannot
be told from a parsed input. A dispatched call (from another service) has no request: it brings
boto-shaped parameters and gets a boto-shaped dict.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.quick import looks_right
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.values import Misshapen

SLOW = "slow"
Handler = Callable[[Room, Call, dict[str, Any]], Any]


def params_of(room: Room, call: Call) -> dict[str, Any]:
    """A hot operation's parameters, by the quick look or the exact reader."""
    if call.request is not None and looks_right(call.operation, call.params):
        return call.params
    return _exact(room, call)


def _exact(room: Room, call: Call) -> dict[str, Any]:
    body = call.params if call.request is not None else to_wire(call.params)
    call.params = room.parse(call.operation, body)
    call.scratch = SLOW
    return call.params


def _reread(room: Room, call: Call) -> dict[str, Any]:
    """After ``Misshapen``: let the exact reader say what is wrong, or mend what it accepts."""
    if call.scratch is SLOW:
        raise AwsError("SerializationException", "Unexpected value type in payload")
    return _exact(room, call)


def now(handler: Handler, room: Room) -> Any:
    """A synchronous hot operation, bound."""

    def run(call: Call) -> Any:
        try:
            answer = handler(room, call, params_of(room, call))
        except Misshapen:
            answer = handler(room, call, _reread(room, call))
        return answer if call.request is not None else from_wire(orjson.loads(answer.body))

    return run


def later(handler: Handler, room: Room) -> Any:
    """An asynchronous hot operation, bound."""

    async def run(call: Call) -> Any:
        try:
            answer = await handler(room, call, params_of(room, call))
        except Misshapen:
            answer = await handler(room, call, _reread(room, call))
        return answer if call.request is not None else from_wire(orjson.loads(answer.body))

    return run


def control(handler: Handler, room: Room) -> Any:
    """A table operation: exact parameters in, a dict out."""

    async def run(call: Call) -> HttpResponse | dict[str, Any]:
        result = handler(room, call, _exact(room, call))
        if inspect.isawaitable(result):
            result = await result
        return respond(call, orjson.dumps(result)) if call.request is not None else result

    return run


def to_wire(value: Any) -> Any:
    """Boto-shaped parameters as the wire has them: bytes become base64."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {n: to_wire(v) for n, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(v) for v in value]
    return value


def from_wire(value: Any) -> Any:
    """A wire answer as boto shapes it: binary attribute values become bytes."""
    if isinstance(value, list):
        return [from_wire(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        if isinstance(value.get("B"), str):
            return {"B": base64.b64decode(value["B"])}
        if isinstance(value.get("BS"), list) and all(isinstance(x, str) for x in value["BS"]):
            return {"BS": [base64.b64decode(x) for x in value["BS"]]}
    return {n: from_wire(v) for n, v in value.items()}
