"""The encoding of event streams (``application/vnd.amazon.eventstream``), for all services.

https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7  # the header type


def event(kind: str, content_type: str, payload: bytes) -> bytes:
    """One message: prelude (lengths and their CRC), headers, payload, CRC of all of it. ``kind``
    is the event's member name in the model."""
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
