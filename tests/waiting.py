"""Waiting for what a cloud of a test's own does in a moment, where boto3's waiters look again only
after 5, 20 or 30 seconds."""

from __future__ import annotations

from typing import Any

EVERY_S, SECONDS_MAX = 0.1, 180


def wait(client: Any, what: str, **about: Any) -> None:
    """Until the client's waiter ``what`` is content; ``WaiterError`` where it cannot be, or not
    within three minutes. ``about``: what it looks at."""
    often = {"Delay": EVERY_S, "MaxAttempts": int(SECONDS_MAX / EVERY_S)}
    client.get_waiter(what).wait(**about, WaiterConfig=often)
