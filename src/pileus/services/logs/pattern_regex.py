"""The regular expressions of filter patterns: AWS's small subset, matched in linear time.

AWS knows ``^ $ ? * + {n,m} [] |`` classes and literals, and no groups. So an expression is a few
alternatives, each a row of items; all places a match may be at are the bits of one integer (shift-
and). No pattern runs longer than a few operations a character, whatever the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.services.logs.rows import invalid

LENGTH_MAX = 256
ITEMS_MAX = 1024
_ITEM = re.compile(
    r"(?P<one>\\[^A-Za-z0-9]|\\[wWdDsStnr]|\[\^?(?:\\.|[^\]\\])+\]|[^\\\[\](){}*+?|^$])"
    r"(?P<repeat>[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?",
    re.DOTALL,
)


@dataclass
class _Row:
    """One alternative. Bit i stands for "item i comes next"; bit ``len(items)`` for a match."""

    items: list[re.Pattern[str]] = field(default_factory=list)
    optional: int = 0
    repeating: int = 0
    at_start: bool = False
    at_end: bool = False
    fits: dict[str, int] = field(default_factory=dict)

    def add(self, item: re.Pattern[str], least: int, most: int | None) -> None:
        copies = max(least, most if most is not None else least + 1, 1)
        for copy in range(copies):
            bit = 1 << len(self.items)
            self.items.append(item)
            if copy >= least:
                self.optional |= bit
                self.repeating |= bit if most is None else 0
        if len(self.items) > ITEMS_MAX:
            raise invalid("The regular expression of the filter pattern is too large.")

    def found_in(self, line: str) -> bool:
        """Whether this alternative matches anywhere in ``line``."""
        start, accept = self._skip(1), 1 << len(self.items)
        states = start
        for char in line:
            if states & accept and not self.at_end:
                return True
            taken = states & self._fitting(char)
            states = self._skip((taken << 1) | (taken & self.repeating))
            if not self.at_start:
                states |= start
        return bool(states & accept)

    def _skip(self, states: int) -> int:
        while True:
            wider = states | ((states & self.optional) << 1)
            if wider == states:
                return states
            states = wider

    def _fitting(self, char: str) -> int:
        bits = self.fits.get(char)
        if bits is None:
            bits = sum(1 << at for at, item in enumerate(self.items) if item.fullmatch(char))
            if len(self.fits) < 1000:
                self.fits[char] = bits
        return bits


def compile_regex(text: str) -> Callable[[str], bool]:
    """Whether the expression between the ``%`` signs matches somewhere in a line."""
    if len(text) > LENGTH_MAX:
        raise invalid(f"A regular expression is longer than {LENGTH_MAX} characters.")
    rows = [_row(part, text) for part in re.split(r"(?<!\\)\|", text)]
    return lambda line: any(row.found_in(line) for row in rows)


def _row(part: str, whole: str) -> _Row:
    row, at, end = _Row(), 0, len(part)
    if part.startswith("^"):
        row.at_start, at = True, 1
    if part.endswith("$") and not part.endswith("\\$"):
        row.at_end, end = True, end - 1
    while at < end:
        found = _ITEM.match(part, at, end)
        if found is None:
            raise invalid(f"Invalid regular expression in filter pattern: {whole}")
        try:
            item = re.compile(found["one"], re.DOTALL)
        except re.error as error:
            raise invalid(f"Invalid regular expression in filter pattern: {error}") from error
        row.add(item, *_times(found["repeat"]))
        at = found.end()
    return row


def _times(repeat: str | None) -> tuple[int, int | None]:
    """(least, most) repetitions; None: without end."""
    match repeat:
        case None:
            return 1, 1
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
    least, comma, most = repeat[1:-1].partition(",")
    if not comma:
        return int(least), int(least)
    return int(least), int(most) if most else None
