"""What the operations of this service share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pileus.engine import Clock
from pileus.services.sns import faults
from pileus.state.store import Store

PAGE = 100
T = TypeVar("T")


@dataclass
class Room:
    """``ring``: there are deliveries to make."""

    store: Store
    clock: Clock
    ring: Callable[[], None]


def page(found: list[T], token: str | None) -> tuple[list[T], str | None]:
    """A hundred from the place the token names, and the token of the next ones."""
    if token and not (token.isascii() and token.isdigit() and len(token) < 10):
        raise faults.invalid("NextToken")
    first = int(token or 0)
    rest = first + PAGE
    return found[first:rest], str(rest) if rest < len(found) else None
