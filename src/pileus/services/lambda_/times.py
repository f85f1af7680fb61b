"""Times as Lambda's records write them."""

from __future__ import annotations

import time


def iso(now_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds and Z."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ms / 1000))
    return f"{moment}.{now_ms % 1000:03d}Z"
