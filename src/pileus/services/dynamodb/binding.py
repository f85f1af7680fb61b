"""How operations are bound to the room: from a call to parameters, from a result to an answer.

Every operation is *direct*: it reads the body itself, since the service's exact type errors cannot
be told from a parsed input.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse, Submission
from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.answers import respond, with_bytes
from pileus.services.dynamodb.quick import looks_right
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import METER
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.throughput import Meter
from pileus.services.dynamodb.values import Misshapen

SLOW = "slow"
Handler = Callable[[Room, Call, dict[str, Any]], Any]


def params_of(room: Room, call: Call) -> dict[str, Any]:
    """A hot operation's parameters, by the quick look or the exact reader."""
    if looks_right(call.operation, call.params):
        return call.params
    return _exact(room, call)


def _exact(room: Room, call: Call) -> dict[str, Any]:
    call.params = room.parse(call.operation, call.params)
    call.scratch = SLOW
    return call.params


def _reread(room: Room, call: Call) -> dict[str, Any]:
    """After ``Misshapen``: let the exact reader say what is wrong, or mend what it accepts."""
    if call.scratch is SLOW:
        raise AwsError("SerializationException", "Unexpected value type in payload")
    return _exact(room, call)


def now(handler: Handler, room: Room, quick: Handler | None = None) -> Any:
    """A synchronous hot operation, bound. ``quick`` answers its commonest form from the parameters
    as they came, or None."""

    def run(call: Call) -> HttpResponse:
        if quick is not None and type(call.scratch) is Table:
            answer = quick(room, call, call.params)
            if answer is not None:
                return answer  # type: ignore[no-any-return]
        try:
            return handler(room, call, params_of(room, call))  # type: ignore[no-any-return]
        except Misshapen:
            return handler(room, call, _reread(room, call))  # type: ignore[no-any-return]

    return run


def one_entry(handler: Handler, room: Room, quick: Handler | None = None) -> Any:
    """A hot operation that submits one entry, bound. ``quick`` as for ``now``; it is not asked for
    a table whose throughput is limited: that needs to know what a write changes."""

    def run(call: Call) -> Submission:
        try:
            if quick is not None and type(call.scratch) is Table and not call.scratch.metered:
                made = quick(room, call, call.params)
                if made is not None:
                    return made  # type: ignore[no-any-return]
            return handler(room, call, params_of(room, call))  # type: ignore[no-any-return]
        except Misshapen:
            return handler(room, call, _reread(room, call))  # type: ignore[no-any-return]

    return run


def worded(error: Exception) -> Exception:
    """An error of a rule as the door's writer wants it."""
    if isinstance(error, AwsError):
        if error.message == numbers.TOO_PRECISE:  # of a sum: the service calls it an overflow, too
            error.message = numbers.TOO_LARGE
        error.fields = with_bytes(error.fields)
    return error


def submission(
    room: Room,
    call: Call,
    rule: str,
    entry: Sequence[Any],
    finish: Callable[[Any], HttpResponse],
    meter: Meter | None = None,
) -> Submission:
    """The answer of a write: what ``finish`` makes of the rule's result. ``meter``: of a table
    with an allowance; the entry's flags come last."""
    if meter is None:
        return Submission(room.store, rule, entry, call.invocation_id, finish, worded)
    entry = (*entry[:-1], entry[-1] | METER)

    def charged(result: Any) -> HttpResponse:
        meter.charge(result[1])
        return finish(result)

    def charged_failed(error: Exception) -> Exception:
        if isinstance(error, AwsError):
            meter.charge_failed(error)
        return worded(error)

    return Submission(room.store, rule, entry, call.invocation_id, charged, charged_failed)


def later(handler: Handler, room: Room, quick: Handler | None = None) -> Any:
    """An asynchronous hot operation, bound. ``quick`` as for ``now``."""

    async def exactly(call: Call) -> HttpResponse:
        try:
            return await handler(room, call, params_of(room, call))
        except Misshapen:
            return await handler(room, call, _reread(room, call))  # type: ignore[no-any-return]
        except AwsError as error:
            error.fields = with_bytes(error.fields)
            raise

    def run(call: Call) -> Any:
        made = None if quick is None else quick(room, call, call.params)
        return exactly(call) if made is None else made

    return run


def control(handler: Handler, room: Room) -> Any:
    """A table operation: exact parameters in, a dict out that becomes the body, or None for an
    empty one."""

    async def run(call: Call) -> HttpResponse:
        result = handler(room, call, _exact(room, call))
        if inspect.isawaitable(result):
            result = await result
        return respond(call, b"" if result is None else orjson.dumps(result))

    return run
