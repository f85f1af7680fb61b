"""Items as lines of Amazon Ion text, and back (Developer Guide, "DynamoDB table export output
format" and "Amazon S3 import formats for DynamoDB"; the Amazon Ion 1.0 specification).

Each line is a version marker and a struct: ``$ion_1_0 {Item:{Id:103.,Tags:$dynamodb_SS::["a"]}}``.
A number is a decimal, binary a blob, a set a list with an annotation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.values import DEPTH_MAX, Item, Value

MARKER = "$ion_1_0"
SETS = {"$dynamodb_SS": "S", "$dynamodb_NS": "N", "$dynamodb_BS": "B"}
KEYWORDS = frozenset({"null", "true", "false", "nan"})
LEVELS_MAX = DEPTH_MAX + 4  # the struct of the line, that of the item, a set in the last level
INTEGER_CHARS_MAX = 500  # in base 2 or 16: more than 10^125 has
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")  # $ is left to symbols of the system
_ESCAPED = re.compile(r'[\x00-\x1f\x7f-\x9f"\\]')
_NAMES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class NotIon(ValueError):
    """A line that is no Ion text of an item, and why."""


# -- writing --------------------------------------------------------------------------------------


def line(members: dict[str, Item]) -> bytes:
    """One line of a data file, with its break; ``members`` are items, maps of attributes."""
    return f"{MARKER} {_struct({n: {'M': item} for n, item in members.items()})}\n".encode()


def _struct(fields: Item) -> str:
    return "{" + ",".join(f"{_field(n)}:{_text(v)}" for n, v in fields.items()) + "}"


def _field(name: str) -> str:
    if _BARE.match(name) and name not in KEYWORDS:
        return name
    return "'" + _escape(name).replace("'", "\\'") + "'"


def _escape(text: str) -> str:
    def escaped(found: re.Match[str]) -> str:
        return _NAMES.get(found[0]) or f"\\x{ord(found[0]):02x}"

    return _ESCAPED.sub(escaped, text)


def _text(value: Value) -> str:
    ((kind, content),) = value.items()
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(content)
    members = ",".join(_text({kind[0]: one}) for one in content)
    return f"$dynamodb_{kind}::[{members}]"


def _decimal(text: str) -> str:
    """A number as Ion writes a decimal without trailing zeros: ``2000`` is ``2d3``."""
    negative, digits, first = numbers.parts(text)
    last = first - len(digits) + 1  # exponent of the last digit
    sign = "-" if negative else ""
    if not digits or last == 0:
        return f"{sign}{digits or '0'}."
    if 0 < -last < len(digits):
        return f"{sign}{digits[:last]}.{digits[last:]}"
    return f"{sign}{digits}d{last}"


_WRITERS: dict[str, Callable[[Any], str]] = {
    "S": lambda content: f'"{_escape(content)}"',
    "N": _decimal,
    "B": lambda content: "{{" + content + "}}",
    "BOOL": lambda content: "true" if content else "false",
    "NULL": lambda content: "null",
    "L": lambda content: "[" + ",".join(map(_text, content)) + "]",
    "M": _struct,
}

# -- reading --------------------------------------------------------------------------------------

# Possessive: what was read as space or as a comment is never looked at as anything else.
_SPACE = r"(?:[\x09-\x0d\x20]++|//[^\n\r]*+|/\*(?>.*?\*/))*+"
_TOKEN = re.compile(
    _SPACE
    + r"""(?:
      (?P<long>'''(?:[^'\\]|\\.|'(?!''))*''')
    | (?P<string>"(?:[^"\\\n\r]|\\.)*")
    | (?P<quoted>'(?:[^'\\\n\r]|\\.)*')
    | (?P<blob>\{\{[\x09-\x0d\x20A-Za-z0-9+/=]*\}\})
    | (?P<number>-?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+
        |(?:0|[1-9](?:_?[0-9])*)(?:\.(?:[0-9](?:_?[0-9])*)?)?(?:[dDeE][+-]?[0-9]+)?)
        (?![A-Za-z0-9_$.:-]))
    | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*(?:\.[a-z]+)?)
    | (?P<mark>::|[][{},:])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(\r\n|.))", re.DOTALL
)
_CHARACTERS = {
    **{"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "v": "\v"},
    **{c: c for c in "\"'?\\/"},
    **{"\n": "", "\r": "", "\r\n": ""},
}


def item(text: bytes) -> Item | None:
    """The item of a line; None where it is empty. ``NotIon``."""
    try:
        reader = _Reader(text.decode())
    except UnicodeDecodeError:
        raise NotIon("The line is not UTF-8") from None
    if reader.kind == "word" and reader.shown == MARKER:
        reader.step()
    if reader.kind == "end":
        return None
    value = reader.value(0)
    if reader.kind != "end":
        raise NotIon("The line goes on after its item")
    members = value.get("M")
    if type(members) is not dict or members.keys() != {"Item"} or "M" not in members["Item"]:
        raise NotIon("The line is not of the form $ion_1_0 {Item:{…}}")
    found: Item = members["Item"]["M"]
    return found


class _Reader:
    """Tokens of a text, one looked at: its ``kind`` and what is ``shown``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.step()

    def step(self) -> str:
        """Go to the next token; answers the one left."""
        shown = getattr(self, "shown", "")
        found = _TOKEN.match(self._text, self._at)
        if found is None or found.lastgroup is None:
            raise NotIon(f"The line is not Ion text at character {self._at}")
        self.kind, self.shown = found.lastgroup, found[found.lastgroup]
        self._at = found.end()
        return shown

    def value(self, level: int) -> Value:
        """The value that begins here, in DynamoDB JSON."""
        if level > LEVELS_MAX:
            raise NotIon("The line is nested too deeply")
        kind = self.kind
        if kind == "mark" and self.shown == "{":
            return {"M": self._fields(level)}
        if kind == "mark" and self.shown == "[":
            return {"L": self._members(level)}
        if kind in ("string", "long"):
            return {"S": self._string()}
        if kind == "number":
            return {"N": _number(self.step())}
        if kind == "blob":
            return {"B": "".join(self.step()[2:-2].split())}
        if kind in ("word", "quoted"):
            return self._word(level)
        self._unexpected()

    def _word(self, level: int) -> Value:
        quoted, shown = self.kind == "quoted", self.step()
        if self.shown == "::" and self.kind == "mark":
            self.step()
            return self._annotated(shown if not quoted else _unescape(shown[1:-1]), level)
        if quoted or shown.partition(".")[0] not in KEYWORDS:
            raise NotIon(f"The symbol {shown} is of no type that an attribute has")
        if shown == "nan":
            raise NotIon("nan is no number that an attribute can have")
        return {"NULL": True} if shown.startswith("null") else {"BOOL": shown == "true"}

    def _annotated(self, annotation: str, level: int) -> Value:
        kind = SETS.get(annotation)
        if kind is None or self.shown != "[":
            raise NotIon(f"The annotation {annotation} stands before no set")
        members = self._members(level)
        if any(kind not in one for one in members):
            raise NotIon(f"A set {annotation} has a member of another type")
        return {kind + "S": [one[kind] for one in members]}

    def _members(self, level: int) -> list[Value]:
        found: list[Value] = []
        self.step()
        while self.shown != "]" or self.kind != "mark":
            found.append(self.value(level + 1))
            self._comma("]")
        self.step()
        return found

    def _fields(self, level: int) -> Item:
        found: Item = {}
        self.step()
        while self.shown != "}" or self.kind != "mark":
            name = self._name()
            if self.shown != ":":
                self._unexpected()
            self.step()
            if name in found:
                raise NotIon(f"The field {name} is there twice")
            found[name] = self.value(level + 1)
            self._comma("}")
        self.step()
        return found

    def _comma(self, end: str) -> None:
        """A comma, which may stand before the end too."""
        if self.kind == "mark" and self.shown == ",":
            self.step()
        elif self.shown != end or self.kind != "mark":
            self._unexpected()

    def _name(self) -> str:
        if self.kind in ("string", "long"):
            return self._string()
        if self.kind == "quoted":
            return _unescape(self.step()[1:-1])
        if self.kind != "word" or self.shown in KEYWORDS or "." in self.shown:
            self._unexpected()
        return self.step()

    def _string(self) -> str:
        """A string; long ones that follow each other are one."""
        if self.kind == "string":
            return _unescape(self.step()[1:-1])
        parts = []
        while self.kind == "long":
            parts.append(_unescape(self.step()[3:-3]))
        return "".join(parts)

    def _unexpected(self) -> NoReturn:
        raise NotIon(f"Unexpected {self.shown or 'end'} before character {self._at}")


def _number(text: str) -> str:
    """Digits as DynamoDB JSON has them; integers of Ion may be of base 2 or 16."""
    plain = text.replace("_", "")
    if plain.lstrip("-")[:2].lower() in ("0x", "0b"):
        if len(plain) > INTEGER_CHARS_MAX:
            raise NotIon("A number is longer than any that an attribute can have")
        return str(int(plain, 0))
    return plain.replace("d", "e").replace("D", "e")


def _unescape(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code is None:
            if found[4] not in _CHARACTERS:
                raise NotIon(f"Unknown escape \\{found[4]}")
            return _CHARACTERS[found[4]]
        number = int(code, 16)
        if number > 0x10FFFF:
            raise NotIon(f"Unknown escape \\U{code}")
        return chr(number)

    if "\\" not in text:
        return text
    whole = _ESCAPE.sub(character, text)
    try:  # a character beyond the first plane may be two escapes of sixteen bits
        return whole.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise NotIon("A string has half of a character") from None
