"""InvokeWithResponseStream: an answer as events, each sent when its part comes.

https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

import orjson

from pileus.errors import Unavailable
from pileus.runtime.streaming import Streamed
from pileus.services.event_stream import event


class Events(AsyncIterator[bytes]):
    """``PayloadChunk`` for each part, then ``InvokeComplete``, with the error, if any, and with
    the log's tail where that was asked for. Closed early, the function goes on unheard."""

    def __init__(self, answer: Streamed, tail: bool) -> None:
        self._answer = answer
        self._tail = tail
        self._complete = False

    async def __anext__(self) -> bytes:
        if self._complete:
            raise StopAsyncIteration
        try:
            part = await anext(self._answer)
        except StopAsyncIteration:
            return self._end(self._told())
        except Unavailable as error:
            code = {"ErrorCode": "ServiceException", "ErrorDetails": f"{error} {error.hint}"}
            return self._end(code)
        return event("PayloadChunk", "application/octet-stream", part)

    def _told(self) -> dict[str, str]:
        outcome, told = self._answer.outcome.result(), {}
        if outcome.function_error:
            told["ErrorCode"] = outcome.function_error
            told["ErrorDetails"] = outcome.payload.decode("utf-8", "replace")
        if self._tail:
            told["LogResult"] = b64encode(outcome.log_tail).decode()
        return told

    def _end(self, told: dict[str, str]) -> bytes:
        self._complete = True
        return event("InvokeComplete", "application/json", orjson.dumps(told))

    async def aclose(self) -> None:
        await self._answer.aclose()
