"""May an answer be shared? And the small answers the edge makes itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pileus.edge.distribution import Behaviour
from pileus.services.call import HttpResponse


def varies(b: Behaviour, told: dict[str, str]) -> bool:
    """Does it vary by a header the origin saw and the key does not hold?"""
    for name in told.get("vary", "").lower().split(","):
        name = name.strip()
        if name in ("", "accept-encoding") or name in b.key_headers:
            continue
        seen = b.forward_cookies.mode if name == "cookie" else ""
        if name == "cookie" and seen in ("none", b.key_cookies.mode):
            continue
        if name == "*" or name == "cookie" or b.forward_headers.takes(name):
            return True
    return False


async def chain(chunks: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What was read already, then the rest."""
    try:
        for chunk in chunks:
            yield chunk
        async for chunk in rest:
            yield chunk
    finally:
        aclose = getattr(rest, "aclose", None)
        if aclose is not None:
            await aclose()


def own_error(status: int, text: str) -> HttpResponse:
    """CloudFront's own page for an error it found itself."""
    body = (
        f"<!DOCTYPE html><html><head><title>ERROR: The request could not be satisfied</title>"
        f"</head><body><h1>{status} ERROR</h1><h2>The request could not be satisfied.</h2>"
        f"<p>{text}</p></body></html>"
    ).encode()
    return HttpResponse(status, [("content-type", "text/html")], body)
