"""Words of an expression, and the syntax error that names one of them."""

from __future__ import annotations

import re
from typing import NamedTuple

from pileus.services.dynamodb.faults import invalid

_WORD = re.compile(
    r"[ \t\r\n]*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<alias>\#[A-Za-z0-9_]+)"
    r"|(?P<value>:[A-Za-z0-9_]+)|(?P<number>[0-9]+)|(?P<sign><>|<=|>=|[=<>()\[\],.+-])"
    r"|(?P<end>\Z)|(?P<other>.))",
    re.DOTALL,
)

EXPRESSION_BYTES_MAX = 4096
OPERATORS_MAX = 300
DEPTH_MAX = 60


class Fault(Exception):
    """What is wrong with an expression, without the opening that names which one."""


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """A keyword's form: upper case for bare names, '' for everything else."""
        return self.text.upper() if self.kind == "name" else ""


class Tokens:
    """The tokens of one expression and a place among them."""

    def __init__(self, text: str) -> None:
        if not text:
            raise Fault("The expression can not be empty;")
        size = len(text.encode())
        if size > EXPRESSION_BYTES_MAX:
            raise Fault(
                f"Expression size has exceeded the maximum allowed size; expression size: {size}"
            )
        self.text = text
        self.list = [
            Token(m.lastgroup or "", m[m.lastgroup or 0], m.start(m.lastgroup or 0), m.end())
            for m in _WORD.finditer(text)
        ]
        self.at = 0
        self.operators = 0
        self.depth = 0
        self.parens = ""

    @property
    def now(self) -> Token:
        return self.list[self.at]

    def peek(self) -> Token:
        """The token after the present one."""
        return self.list[min(self.at + 1, len(self.list) - 1)]

    def take(self) -> Token:
        token = self.list[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def accept(self, text: str) -> bool:
        """Step over ``text`` (a sign) if it stands here."""
        token = self.list[self.at]
        if token.kind == "sign" and token.text == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.fault()

    def fault(self) -> Fault:
        """Syntax error at the present token, shown with its neighbours."""
        token = self.now
        before = self.list[self.at - 1] if self.at else token
        after = self.peek()
        shown = "<EOF>" if token.kind == "end" else token.text
        near = self.text[before.start : after.end].strip(" \t\r\n")
        return Fault(f'Syntax error; token: "{shown}", near: "{near}"')

    def operator(self) -> None:
        """Count one operator or function against the limit."""
        self.operators += 1
        if self.operators > OPERATORS_MAX:
            raise Fault(
                f"The expression contains too many operators; operator count: {self.operators}"
            )

    def enter(self) -> None:
        """One level deeper; hostile nesting ends here, not in a stack overflow."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise Fault("The expression is nested too deeply;")

    def leave(self) -> None:
        self.depth -= 1


def refuse(which: str, fault: Fault) -> Exception:
    """ValidationException for expression ``which`` (``ConditionExpression``, …)."""
    return invalid(f"Invalid {which}: {fault}")
