"""JSON selectors: ``{ ($.status >= 400 || $.error EXISTS) && $.path = "/api/*" }``.

A recursive-descent parser over a token list; each node compiles to a predicate of the parsed line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from pileus.services.logs.pattern_regex import compile_regex
from pileus.services.logs.rows import invalid

_TOKEN = re.compile(
    r"""\s*(?:(?P<op>&&|\|\||!=|>=|<=|=|>|<|\(|\))
    |(?P<path>\$(?:\.[\w\-@/]+|\.\*|\[\s*(?:\d+|\*|'[^']+'|"[^"]+")\s*\])*)
    |"(?P<text>(?:[^"\\]|\\.)*)"
    |%(?P<regex>(?:[^%\\]|\\.)+)%
    |(?P<word>[^\s()=!<>&|"%]+))""",
    re.VERBOSE,
)
_STEP = re.compile(r"""\.([\w\-@/]+|\*)|\[\s*(?:(\d+|\*)|'([^']+)'|"([^"]+)")\s*\]""", re.VERBOSE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DEPTH_MAX = 32

Predicate = Callable[[Any], bool]
Token = tuple[str, str]


def compile_selector(text: str) -> Callable[[str], bool]:
    """A predicate over lines: those that are JSON and for which the selector holds."""
    if not text.endswith("}"):
        raise invalid("Invalid filter pattern: '}' is missing")
    parser = _Parser(_tokens(text[1:-1]))
    holds = parser.either(0)
    parser.expect_end()

    def matches(message: str) -> bool:
        try:
            document = orjson.loads(message)
        except orjson.JSONDecodeError:
            return False
        return isinstance(document, dict | list) and holds(document)

    return matches


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.end() == at:
            raise invalid(f"Invalid character(s) in term '{text[at:]}'")
        kind = found.lastgroup or ""
        tokens.append((kind, found.group(kind)))
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def either(self, depth: int) -> Predicate:
        """terms joined by ``||``; ``&&`` binds closer."""
        if depth > DEPTH_MAX:
            raise invalid("Invalid filter pattern: nested too deep")
        options = [self._both(depth)]
        while self._accept("||"):
            options.append(self._both(depth))
        return lambda document: any(option(document) for option in options)

    def _both(self, depth: int) -> Predicate:
        parts = [self._primary(depth)]
        while self._accept("&&"):
            parts.append(self._primary(depth))
        return lambda document: all(part(document) for part in parts)

    def _primary(self, depth: int) -> Predicate:
        if self._accept("("):
            inner = self.either(depth + 1)
            if not self._accept(")"):
                raise invalid("Invalid filter pattern: ')' is missing")
            return inner
        kind, path = self._next()
        if kind != "path":
            raise invalid(f"Invalid filter pattern: a selector is expected, not '{path}'")
        return self._condition(_steps(path))

    def _condition(self, steps: list[str | int]) -> Predicate:
        kind, op = self._next()
        if kind == "op" and op in _COMPARE:
            return _comparison(steps, op, self._next())
        words = [op.upper()] if kind == "word" else []
        if words in (["IS"], ["NOT"]):
            words.append(self._next()[1].upper())
        match words:
            case ["IS", "TRUE"]:
                return lambda document: any(v is True for v in _select(document, steps))
            case ["IS", "FALSE"]:
                return lambda document: any(v is False for v in _select(document, steps))
            case ["IS", "NULL"]:
                return lambda document: any(v is None for v in _select(document, steps))
            case ["NOT", "EXISTS"]:
                return lambda document: not _select(document, steps)
            case ["EXISTS"]:
                return lambda document: bool(_select(document, steps))
        raise invalid(f"Invalid filter pattern near '{op}'")

    def expect_end(self) -> None:
        if self._at != len(self._tokens):
            raise invalid(f"Invalid filter pattern near '{self._tokens[self._at][1]}'")

    def _accept(self, op: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("op", op):
            self._at += 1
            return True
        return False

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise invalid("Invalid filter pattern: it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


def _comparison(steps: list[str | int], op: str, token: Token) -> Predicate:
    kind, text = token
    if kind == "word" and _NUMBER.fullmatch(text):
        return _numeric(steps, op, float(text))
    if op not in ("=", "!="):
        raise invalid(f"Invalid filter pattern: {op} needs a number, not '{text}'")
    if kind not in ("text", "word", "regex"):
        raise invalid(f"Invalid filter pattern near '{text}'")
    test = text_test(kind, text)
    equal = op == "="

    def holds(document: Any) -> bool:
        return any(
            test(_as_text(v)) == equal
            for v in _select(document, steps)
            if not isinstance(v, dict | list) and v is not None
        )

    return holds


def _numeric(steps: list[str | int], op: str, number: float) -> Predicate:
    compare = _COMPARE[op]
    return lambda document: any(
        compare(v, number)
        for v in _select(document, steps)
        if isinstance(v, int | float) and not isinstance(v, bool)
    )


def text_test(kind: str, text: str) -> Callable[[str], bool]:
    """Whether a value equals ``text`` (``*`` stands for anything), or fits a regex."""
    if kind == "regex":
        return compile_regex(text)
    if kind == "text":
        text = re.sub(r'\\(["\\])', r"\1", text)
    if "*" not in text:
        return lambda value: value == text
    pieces = re.split(r"\*+", text)
    return lambda value: _fits_wildcard(value, pieces)


def _fits_wildcard(value: str, pieces: list[str]) -> bool:
    """Whether ``value`` is the pieces in order with anything between them. Linear: the leftmost
    place of each piece leaves most room for the next."""
    if len(value) < len(pieces[0]) + len(pieces[-1]):
        return False
    if not value.startswith(pieces[0]) or not value.endswith(pieces[-1]):
        return False
    at, end = len(pieces[0]), len(value) - len(pieces[-1])
    for piece in pieces[1:-1]:
        at = value.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for name, index, single, double in _STEP.findall(path):
        if index and index != "*":
            steps.append(int(index))
        else:
            steps.append(name or single or double or "*")
    return steps


def _select(document: Any, steps: list[str | int]) -> list[Any]:
    """Every value the path leads to; [] when there is none."""
    values = [document]
    for step in steps:
        values = [inner for value in values for inner in _step(value, step)]
    return values


def _step(value: Any, step: str | int) -> list[Any]:
    if isinstance(value, list):
        if step == "*":
            return value
        return [value[step]] if isinstance(step, int) and step < len(value) else []
    if isinstance(value, dict):
        if step == "*":
            return list(value.values())
        return [value[step]] if step in value else []
    return []
