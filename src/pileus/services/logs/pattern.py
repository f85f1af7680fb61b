"""Filter patterns: terms, regular expressions, JSON selectors, space-delimited fields.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html

``compile_pattern`` parses once and answers a predicate over messages. Text matching is
case-sensitive; a term matches anywhere in the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pileus.services.logs import pattern_fields, pattern_json
from pileus.services.logs.pattern_regex import compile_regex
from pileus.services.logs.rows import invalid

PATTERN_LENGTH_MAX = 1024
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%((?:[^%\\]|\\.)+)%|([^\s"]+))')

Matches = Callable[[str], bool]


def compile_pattern(pattern: str) -> Matches:
    """The predicate a pattern stands for; ``InvalidParameterException`` when it does not parse."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        raise invalid(f"filterPattern is longer than {PATTERN_LENGTH_MAX} characters.")
    text = pattern.strip()
    if text.startswith("{"):
        return pattern_json.compile_selector(text)
    if text.startswith("["):
        return pattern_fields.compile_fields(text)
    return _compile_terms(text)


def extract(pattern: str, message: str) -> dict[str, str]:
    """The named fields a space-delimited pattern cuts from a line; {} for other patterns."""
    text = pattern.strip()
    return pattern_fields.extract(text, message) if text.startswith("[") else {}


def _compile_terms(text: str) -> Matches:
    needed: list[Matches] = []
    optional: list[Matches] = []
    refused: list[Matches] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise invalid("Invalid filter pattern")
        at = found.end()
        sign, quoted, regex, word = found.groups()
        test = _test(quoted, regex, word)
        {"": needed, "?": optional, "-": refused}[sign].append(test)
    if needed:
        optional = []  # AWS ignores ?terms beside plain ones

    def matches(message: str) -> bool:
        if any(test(message) for test in refused):
            return False
        if optional:
            return any(test(message) for test in optional)
        return all(test(message) for test in needed)

    return matches


def _test(quoted: str | None, regex: str | None, word: str | None) -> Matches:
    if regex is not None:
        return compile_regex(regex)
    term = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else word or ""
    return lambda message: term in message
