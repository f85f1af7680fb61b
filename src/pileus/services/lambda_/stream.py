"""InvokeWithResponseStream: the answer as an event stream.

https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
Frames follow Smithy's ``application/vnd.amazon.eventstream``. A function's answer is whole before
the first frame leaves: the runtime does not hand over parts yet.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

import orjson

from pileus.runtime.function import InvokeOutcome

CHUNK_BYTES = 64 * 1024
_STRING = 7  # the header type


def frames(outcome: InvokeOutcome, tail: bool) -> bytes:
    """PayloadChunk events with the answer, then InvokeComplete (with the error, if any)."""
    payload, parts = outcome.payload, []
    if not outcome.function_error:
        for at in range(0, len(payload), CHUNK_BYTES):
            chunk = payload[at : at + CHUNK_BYTES]
            parts.append(_frame("PayloadChunk", "application/octet-stream", chunk))
    complete: dict[str, Any] = {}
    if outcome.function_error:
        complete["ErrorCode"] = outcome.function_error
        complete["ErrorDetails"] = payload.decode("utf-8", "replace")
    if tail:
        complete["LogResult"] = b64encode(outcome.log_tail).decode()
    parts.append(_frame("InvokeComplete", "application/json", orjson.dumps(complete)))
    return b"".join(parts)


def _frame(kind: str, content_type: str, payload: bytes) -> bytes:
    """Prelude (lengths and their CRC), headers, payload, CRC of all of it."""
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (":event-type", kind),
            (":content-type", content_type),
            (":message-type", "event"),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    told, text = name.encode(), value.encode()
    return struct.pack(">B", len(told)) + told + struct.pack(">BH", _STRING, len(text)) + text
