"""Pages of a list that is made anew for each: the token is the place where the next one begins."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

from pileus.services.cloudwatch import faults

T = TypeVar("T")


def cut(found: list[T], token: Any, size: int) -> tuple[list[T], str]:
    """(the page, the token of the next one or '')."""
    first = place_of(token)
    rest = first + size
    return found[first:rest], token_of(rest) if rest < len(found) else ""


def token_of(place: int) -> str:
    return base64.urlsafe_b64encode(f"at:{place}".encode()).decode()


def place_of(token: Any) -> int:
    if not token:
        return 0
    try:
        told = base64.urlsafe_b64decode(str(token)).decode()
    except (binascii.Error, ValueError):
        raise faults.bad_token() from None
    if not told.startswith("at:") or not told[3:].isdecimal():
        raise faults.bad_token()
    return int(told[3:])


def size_of(params: dict[str, Any], name: str, default: int, most: int) -> int:
    """A page's size within its bounds."""
    told = params.get(name)
    if told is None:
        return default
    if not 1 <= told <= most:
        raise faults.validation(
            f"1 validation error detected: Value '{told}' at '{name[0].lower()}{name[1:]}' failed"
            f" to satisfy constraint: Member must have value between 1 and {most}"
        )
    return int(told)
