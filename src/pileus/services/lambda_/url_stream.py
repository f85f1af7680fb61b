"""A function URL's answer as the function writes it (``InvokeMode: RESPONSE_STREAM``).

https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html. An answer of
the type ``WITH_METADATA`` begins with JSON (``statusCode``, ``headers``, ``cookies``) and eight NUL
bytes; any other is the body of a 200 as it is, a buffered handler's JSON too.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import orjson

from pileus.errors import Unavailable
from pileus.runtime.streaming import Streamed
from pileus.services.call import HttpResponse
from pileus.services.lambda_.url_event import FAILED, head

WITH_METADATA = "application/vnd.awslambda.http-integration-response"
DELIMITER = bytes(8)
METADATA_BYTES_MAX = 64 * 1024

log = logging.getLogger(__name__)


class Body(AsyncIterator[bytes]):
    """``first``, then what follows in ``answer``. A function that fails amid its answer breaks
    the connection (``ConnectionAbortedError``): nothing else tells a client of a 200."""

    def __init__(self, first: bytes, answer: Streamed) -> None:
        self._first = first
        self._answer = answer

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            return await anext(self._answer)
        except StopAsyncIteration:
            if self._answer.outcome.done() and self._answer.outcome.result().function_error:
                raise ConnectionAbortedError("the function failed amid its answer") from None
            raise
        except Unavailable as error:
            log.error("a streamed answer was cut: %s", error)
            raise ConnectionAbortedError(str(error)) from error

    async def aclose(self) -> None:
        await self._answer.aclose()


async def response(answer: Streamed) -> HttpResponse:
    """The answer's head and, to be read, its body; 502 where the function fails before it has
    told a head."""
    try:
        made = await _response(answer)
    except (ValueError, TypeError, Unavailable):
        made = None
    except BaseException:
        await answer.aclose()
        raise
    if made is None:
        await answer.aclose()
        return HttpResponse(502, [("content-type", "application/json")], FAILED)
    return made


async def _response(answer: Streamed) -> HttpResponse | None:
    kind = answer.content_type.partition(";")[0].strip().lower()
    if kind == WITH_METADATA:
        metadata, first = await _metadata(answer)
        status, headers = head(metadata)
        return HttpResponse(status, headers, Body(first, answer))
    first = await anext(answer, b"")
    if not first and answer.outcome.done() and answer.outcome.result().function_error:
        return None
    return HttpResponse(200, [("content-type", _clean(answer.content_type))], Body(first, answer))


async def _metadata(answer: Streamed) -> tuple[dict[str, object], bytes]:
    """The metadata and what followed them in the same part. ``ValueError`` for none."""
    held = b""
    async for part in answer:
        held += part
        told, mark, first = held.partition(DELIMITER)
        if len(told) > METADATA_BYTES_MAX:
            break
        if mark:
            metadata = orjson.loads(told)
            if isinstance(metadata, dict):
                return metadata, first
            break
    raise ValueError("the answer has no metadata")


def _clean(content_type: str) -> str:
    return "".join(c for c in content_type if c.isprintable())
