"""Does a decision hold for every resource of a prefix? Then one answer serves them all."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pileus.policy.document import Statement

_WILD = re.compile(r"[*?]|\$\{")


def uniform(statements: Iterable[Statement], action: str, prefix: str) -> bool:
    """Whether the statements that cover ``action`` (lower case) treat every resource that starts
    with ``prefix`` alike, whatever the request's context. False where it is not plain to see."""
    return all(
        not s.uses_context and all(_all_or_none(p, prefix) for p in s.resources)
        for s in statements
        if s.covers_action(action)
    )


def _all_or_none(pattern: str, prefix: str) -> bool:
    """Whether a resource pattern fits all or none of what starts with ``prefix``."""
    found = _WILD.search(pattern)
    if found is None:
        return not pattern.startswith(prefix)
    head = pattern[: found.start()]
    if pattern[found.start() :] == "*" and prefix.startswith(head):
        return True
    return not prefix.startswith(head) and not head.startswith(prefix)
