"""Forms of bodies: one regular expression for all texts that differ in some attribute values alone.

A form is a body's text but for its *holes*: attribute values of type S or N, whose contents the
expression's groups cut out. A read's key takes any text (``MADE``). Other holes take plain texts
(printable ASCII that JSON need not escape)
and plain whole numbers: what they are in JSON, parsed, checked and written again, they are in the
bytes already.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.schema import TEXT_MAX

Match = Callable[[bytes], "re.Match[bytes] | None"]
FORM_BYTES_MAX = 16 * 1024
HOLES_MAX = 90  # a pattern has up to a hundred groups
_SPACED, _PACKED = (", ", ": "), (",", ":")
# The common ways to write JSON: boto3, the CLI; the other SDKs; both where a text is not ASCII.
_STYLES = ((_SPACED, True), (_PACKED, False), (_PACKED, True), (_SPACED, False))
_MARK = "\ufdd0"  # no character: no client's text means it
FIRST_NUMBER, NUMBER_BYTES = 0xE000, 3  # a character of private use for each hole
KEY = b"([ !#-\\[\\]-~]{1,%d})" % TEXT_MAX
TOKEN = b"([ !#-\\[\\]-~]{1,36})"
# Any text, as JSON spells it. Nothing in it is tried twice: it takes no longer than it is.
SPELT = rb'((?>(?:[ !#-\[\]-~\x80-\xff]++|\\u[0-9a-fA-F]{4}|\\["\\/bfnrt])+))'
TEXT = b"([ !#-\\[\\]-~]*)"
NUMBER = b"(0|-?[1-9][0-9]{0,36})"


class Hole(NamedTuple):
    """A member whose content differs, mostly an attribute value's, and the content's pattern."""

    value: dict[str, Any]
    member: str
    pattern: bytes


def key_hole(value: Any) -> Hole | None:
    """A key's value: a text that is not empty."""
    return Hole(value, "S", KEY) if _kind(value) == "S" else None


def read_hole(value: Any, kind: str) -> Hole | None:
    """The value of a key that is only looked for, of the key's type, text or number: ``MADE`` makes
    its bytes."""
    if _kind(value) != kind:
        return None
    return Hole(value, kind, SPELT if kind == "S" else NUMBER)


def _text(spelt: bytes) -> bytes | None:
    """The bytes of a text as JSON spells it; ``ValueError`` where it is none; None: a long one."""
    found = spelt
    if b"\\" in spelt or not spelt.isascii():
        found = orjson.loads(b'"%b"' % spelt).encode()
    return found if len(found) <= TEXT_MAX else None


def _number(told: bytes) -> bytes:
    return numbers.order_bytes(told.decode())


MADE: dict[str, Callable[[bytes], bytes | None]] = {"S": _text, "N": _number}


def hole(value: Any) -> Hole | None:
    """A value that is a text or a number; None: one of another kind."""
    kind = _kind(value)
    return None if not kind else Hole(value, kind, TEXT if kind == "S" else NUMBER)


def _kind(value: Any) -> str:
    if type(value) is not dict or len(value) != 1:
        return ""
    ((kind, content),) = value.items()
    return kind if kind in ("S", "N") and type(content) is str else ""


def form(body: bytes, params: Any, holes: Sequence[Hole | None]) -> Match | None:
    """What matches ``body`` and every text like it with other contents in ``holes``, which lie
    within ``params`` in this order. None where the body is not written in a common way."""
    if len(body) > FORM_BYTES_MAX or len(holes) > HOLES_MAX or None in holes:
        return None
    for style, escaped in _STYLES:
        write = json.JSONEncoder(ensure_ascii=escaped, separators=style).encode
        if write(params).encode() == body:
            break
    else:
        return None
    spelt = write(_MARK)[1:-1].encode()
    pieces = _marked(holes, lambda: write(params).encode()).split(spelt)
    if len(pieces) != len(holes) + 1:
        return None
    pattern = re.escape(pieces[0])
    for found, piece in zip(holes, pieces[1:], strict=True):
        pattern += found.pattern + re.escape(piece)  # type: ignore[union-attr]
    return _compiled(pattern)


def stored(item: Any, holes: Sequence[Hole]) -> bytes | None:
    """The stored text of ``item``, with ``%b`` for the contents of ``holes``."""
    pieces = _marked(holes, lambda: orjson.dumps(item)).split(_MARK.encode())
    if len(pieces) != len(holes) + 1:
        return None
    return b"%b".join(piece.replace(b"%", b"%%") for piece in pieces)


def numbered(write: Callable[[], bytes], holes: Sequence[Hole]) -> tuple[bytes, list[int]]:
    """A text that holds the holes in another order than the body does, with ``%b`` for each, and
    their numbers in its order."""
    text = _marked(holes, write, lambda at: _MARK + chr(FIRST_NUMBER + at))
    pieces = text.split(_MARK.encode())
    order = [ord(piece[:NUMBER_BYTES].decode()) - FIRST_NUMBER for piece in pieces[1:]]
    rest = [pieces[0], *(piece[NUMBER_BYTES:] for piece in pieces[1:])]
    return b"%b".join(piece.replace(b"%", b"%%") for piece in rest), order


def _marked(
    holes: Sequence[Any], write: Callable[[], bytes], mark: Callable[[int], str] = lambda at: _MARK
) -> bytes:
    """What ``write`` writes, a mark in each hole."""
    kept = [found.value[found.member] for found in holes]
    for at, found in enumerate(holes):
        found.value[found.member] = mark(at)
    try:
        return write()
    finally:
        for found, before in zip(holes, kept, strict=True):
            found.value[found.member] = before


@functools.lru_cache(512)
def _compiled(pattern: bytes) -> Match:
    return re.compile(pattern).fullmatch
