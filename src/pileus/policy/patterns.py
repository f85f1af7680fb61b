"""AWS's wildcards and policy variables.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

Context = Mapping[str, Any]
VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SPECIAL = frozenset("*?$")


Piece = str | None  # a piece of a regular expression; None: any run of characters


def _pieces(pattern: str) -> list[Piece]:
    return [None if c == "*" else "." if c == "?" else re.escape(c) for c in pattern]


def _compiled(pieces: list[Piece]) -> re.Pattern[str]:
    """Each run between two stars is taken at its first place and kept (atomic): what follows can
    only gain by that, and no pattern makes the match slow."""
    runs = [""]
    for piece in pieces:
        if piece is None:
            runs.append("")
        else:
            runs[-1] += piece
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    middle = "".join(f"(?>.*?{run})" for run in runs[1:-1] if run)
    return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", re.DOTALL)


@functools.lru_cache(maxsize=8192)
def glob(pattern: str) -> Callable[[str], bool]:
    """A test for ``*`` (any run of characters) and ``?`` (one character). Case matters."""
    if pattern == "*":
        return lambda text: True
    head = pattern[:-1]
    if "*" not in head and "?" not in head:
        if pattern.endswith("*"):
            return lambda text: text.startswith(head)
        if not pattern.endswith("?"):
            return lambda text: text == pattern
    compiled = _compiled(_pieces(pattern))
    return lambda text: compiled.fullmatch(text) is not None


def _value(variable: str, context: Context) -> str | None:
    """What ``${variable}`` stands for; ``${key, 'default'}`` falls back. None: nothing, and then
    the pattern matches nothing. A key with several values stands for none of them."""
    if variable in _SPECIAL:
        return variable
    name, comma, default = variable.partition(",")
    value = context.get(name.strip().lower())
    if value is None or isinstance(value, list | tuple):
        return default.strip().strip("'") if comma else None
    return text_of(value)


def text_of(value: Any) -> str:
    """A context value as policies compare it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def fill(pattern: str, context: Context) -> str | None:
    """``pattern`` with its variables replaced, for comparisons without wildcards."""
    out, at = [], 0
    for match in VARIABLE.finditer(pattern):
        value = _value(match[1], context)
        if value is None:
            return None
        out += [pattern[at : match.start()], value]
        at = match.end()
    return "".join([*out, pattern[at:]])


def matches(pattern: str, text: str, context: Context) -> bool:
    """Whether ``text`` fits ``pattern``; wildcards in a variable's value stand for themselves."""
    if "${" not in pattern:
        return glob(pattern)(text)
    out: list[Piece] = []
    at = 0
    for match in VARIABLE.finditer(pattern):
        value = _value(match[1], context)
        if value is None:
            return False
        out += [*_pieces(pattern[at : match.start()]), re.escape(value)]
        at = match.end()
    out += _pieces(pattern[at:])
    return _compiled(out).fullmatch(text) is not None
