"""What one client may cost the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bytes and seconds, as the names say.

    ``buffered_bytes``: bodies of a known length up to this are read before the handler starts;
    longer or chunked ones arrive as a stream. ``body_rate_bytes_s`` is asked for after
    ``body_idle_s``; time in which the handler itself holds the stream back does not count.
    ``queued_s``: for the request of who was let in when the server was told to stop.
    """

    head_bytes: int = 64 * 1024
    headers: int = 200
    uri_bytes: int = 32 * 1024
    body_bytes: int = 5 * 1024**3 + 64 * 1024**2
    buffered_bytes: int = 256 * 1024
    stream_high_bytes: int = 1024 * 1024
    write_high_bytes: int = 256 * 1024
    pipelined: int = 32
    connections: int = 20_000
    connections_per_address: int = 10_000
    head_s: float = 15.0
    body_idle_s: float = 20.0
    body_rate_bytes_s: int = 128
    keep_alive_s: float = 75.0
    write_stall_s: float = 30.0
    linger_s: float = 3.0
    linger_bytes: int = 16 * 1024 * 1024
    stop_s: float = 20.0
    queued_s: float = 0.5
