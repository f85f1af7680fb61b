"""A statement's tokens, with their places, and the errors that name them.

One pass of one expression without nested repetition: time grows with the text, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from pileus.errors import AwsError
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.syntax import Node
from pileus.services.dynamodb.partiql.words import RESERVED

_TOKEN = re.compile(
    r"(?P<skip>[ \t\r\n\f\v]+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<word>[A-Za-z_$][A-Za-z0-9_$]*)"
    r"|(?P<quoted>\"[^\"]*(?:\"\"[^\"]*)*\")"
    r"|(?P<string>'[^']*(?:''[^']*)*')"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<parameter>\?)"
    r"|(?P<sign>/\*|<<|>>|<=|>=|<>|!=|\|\||[-+*/%=<>(){}\[\],.:;])",
    re.DOTALL,
)
DEPTH_MAX = 96
INT_MAX = 2**31 - 1


class Token(NamedTuple):
    """``kind``: word, quoted, string, number, parameter, sign or end. ``text`` has its quotes
    taken off; ``word`` is a bare word in capitals; ``place`` is line:column:length."""

    kind: str
    text: str
    word: str
    place: str

    @property
    def reserved(self) -> bool:
        return self.word in RESERVED


def malformed(detail: str = "") -> AwsError:
    """The service's answer to a statement that its grammar does not have."""
    return invalid(f"Statement wasn't well formed, can't be processed: {detail}")


def tokenize(text: str) -> list[Token]:
    """The tokens of ``text``, the last one of kind ``end``; ``AwsError`` for what is none."""
    out = []
    at, line, line_start, size = 0, 1, 0, len(text)
    while at < size:
        found = _TOKEN.match(text, at)
        if found is None or found[0] == "/*":
            raise malformed()
        kind, raw = str(found.lastgroup), found[0]
        if kind == "skip":
            breaks = raw.count("\n")
            if breaks:
                line += breaks
                line_start = at + raw.rindex("\n") + 1
        else:
            out.append(_token(kind, raw, f"{line}:{at - line_start + 1}:{len(raw)}"))
        at = found.end()
    out.append(Token("end", "", "", f"{line}:{at - line_start + 1}:0"))
    return out


def _token(kind: str, raw: str, place: str) -> Token:
    if kind == "word":
        return Token(kind, raw, raw.upper(), place)
    if kind == "string":
        return Token(kind, raw[1:-1].replace("''", "'"), "", place)
    if kind == "quoted":
        return Token(kind, raw[1:-1].replace('""', '"'), "", place)
    if kind == "number":
        _check_scale(raw)
    return Token(kind, raw, "", place)


def _check_scale(raw: str) -> None:
    """A decimal's exponent and scale are 32-bit integers in the service's reader."""
    mantissa, _, exponent = raw.lower().partition("e")
    if not exponent:
        return
    if len(exponent) > 12:
        raise malformed()
    scale = len(mantissa.partition(".")[2]) - int(exponent)
    if abs(int(exponent)) > INT_MAX or not -INT_MAX <= scale <= INT_MAX:
        raise malformed()


class Cursor:
    """A place among a statement's tokens. ``statements``: what to do where a statement's first
    word stands inside an expression."""

    def __init__(self, text: str, statements: dict[str, Callable[[Cursor], Node]]) -> None:
        self.tokens = tokenize(text)
        self.statements = statements
        self.at = 0
        self.depth = 0
        self.parameters = 0

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    @property
    def ended(self) -> bool:
        return self.now.kind == "end"

    def peek(self) -> Token:
        """The token after the present one."""
        return self.tokens[min(self.at + 1, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def accept(self, sign: str) -> bool:
        """Step over ``sign`` if it stands here."""
        token = self.tokens[self.at]
        if token.kind == "sign" and token.text == sign:
            self.at += 1
            return True
        return False

    def accept_word(self, word: str) -> bool:
        """Step over the bare word ``word`` if it stands here."""
        if self.tokens[self.at].word == word:
            self.at += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise malformed(f"Expected {sign}")

    def enter(self) -> None:
        """One level deeper; hostile nesting ends here, not in a stack overflow."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise malformed("Statement is nested too deeply")

    def leave(self) -> None:
        self.depth -= 1
