"""A pytest plugin: clients of S3 Control put the account before the endpoint's host, and no
resolver knows ``ACCOUNT.127.0.0.1``."""

from __future__ import annotations

import re
import socket
from typing import Any

ACCOUNT = re.compile(r"\d{12}\.(127\.0\.0\.1)")
_resolve = socket.getaddrinfo


def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
    found = ACCOUNT.fullmatch(host) if isinstance(host, str) else None
    return _resolve(found[1] if found else host, *args, **more)


def pytest_configure() -> None:
    socket.getaddrinfo = getaddrinfo
