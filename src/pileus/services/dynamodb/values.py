"""Attribute values: check and make canonical, measure, compare.

An attribute value is DynamoDB JSON: ``{"S": "text"}``, ``{"N": "1"}``, ``{"B": base64}``,
``{"SS"|"NS"|"BS": [...]}``, ``{"L": [...]}``, ``{"M": {...}}``, ``{"BOOL": true}``,
``{"NULL": true}``. Sizes follow the Developer Guide's "Item sizes and formats".
"""

from __future__ import annotations

import binascii
from typing import Any

from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.faults import bad_parameter, invalid, unserializable

Value = dict[str, Any]
Item = dict[str, Value]

ITEM_BYTES_MAX = 400 * 1024
NAME_BYTES_MAX = 65535
DEPTH_MAX = 32  # levels, the attribute's own value the first
TOO_DEEP = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels"
    " beyond supported limit"
)
EMPTY = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
SEVERAL = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the"
    " supported datatypes"
)
TYPES = ("S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL")


class Misshapen(Exception):
    """The value does not even have the wire's shape; the slow reader says what is wrong."""


def text_size(text: str) -> int:
    """UTF-8 bytes of ``text``."""
    return len(text) if text.isascii() else len(text.encode())


def check_item(item: Any) -> int:
    """Check every attribute of ``item``, make it canonical in place, answer its size in bytes.

    Raises ``AwsError`` ValidationException, or ``Misshapen``.
    """
    if type(item) is not dict:
        raise Misshapen
    size = 0
    for name, value in item.items():
        length = len(name) if name.isascii() else len(name.encode())
        if not 0 < length <= NAME_BYTES_MAX:
            check_name(name)
        size += length + check(value, 1)
    return size


def check_name(name: str) -> None:
    """An attribute's name: not empty, less than 64 KB."""
    if not name:
        raise invalid("Empty attribute name")
    if text_size(name) > NAME_BYTES_MAX:
        raise invalid("Attribute name is too large, must be less than 65536 bytes")


def check_shape(item: Item) -> None:
    """``check_item`` without the size, for an item whose text is known to be short enough that
    neither it nor a name in it can be too large."""
    if "" in item:
        check_name("")
    for value in item.values():
        if type(value) is dict and len(value) == 1:
            ((kind, content),) = value.items()
            if type(content) is str:
                if kind == "S":
                    continue
                if kind == "N":
                    value["N"] = numbers.canonical(content)
                    continue
        check(value, 1)


def check(value: Any, depth: int = 1) -> int:
    """Check one value, make it canonical in place, answer its size in bytes."""
    if type(value) is not dict or len(value) != 1:
        return _check_several(value, depth)
    for kind, content in value.items():
        if kind == "S":
            if type(content) is not str:
                raise Misshapen
            return len(content) if content.isascii() else len(content.encode())
        if kind == "N":
            if type(content) is not str:
                raise Misshapen
            text = numbers.canonical(content)
            if text is not content:
                value["N"] = text
            return numbers.size(text)
        checker = _CHECKS.get(kind)
        if checker is None:
            raise Misshapen
        return checker(content, depth)
    raise Misshapen


def _check_several(value: Any, depth: int) -> int:
    """Not exactly one type: each is checked before the count is refused, as the service does."""
    if type(value) is not dict:
        raise Misshapen
    if not value:
        raise invalid(EMPTY)
    for kind, content in value.items():
        if kind not in TYPES:
            raise Misshapen
        check({kind: content}, depth)
    raise invalid(SEVERAL)


def _check_b(content: Any, depth: int) -> int:
    return len(decode(content))


def _check_bool(content: Any, depth: int) -> int:
    if type(content) is not bool:
        raise Misshapen
    return 1


def _check_null(content: Any, depth: int) -> int:
    if type(content) is not bool:
        raise Misshapen
    if not content:
        raise bad_parameter("Null attribute value types must have the value of true")
    return 1


def _check_list(content: Any, depth: int) -> int:
    if type(content) is not list:
        raise Misshapen
    if content:
        _deeper(depth)
    return 3 + len(content) + sum(check(v, depth + 1) for v in content)


def _check_map(content: Any, depth: int) -> int:
    if type(content) is not dict:
        raise Misshapen
    if content:
        _deeper(depth)
    return 3 + len(content) + sum(text_size(n) + check(v, depth + 1) for n, v in content.items())


def _deeper(depth: int) -> None:
    """A value at level ``depth`` has members, which are a level deeper."""
    if depth >= DEPTH_MAX:
        raise invalid(TOO_DEEP)


def _strings(content: Any) -> list[str]:
    if type(content) is not list or not all(type(x) is str for x in content):
        raise Misshapen
    return content


def _check_ss(content: Any, depth: int) -> int:
    if not _strings(content):
        raise bad_parameter("An string set  may not be empty")
    if len(set(content)) != len(content):
        raise bad_parameter(f"Input collection [{', '.join(content)}] contains duplicates.")
    return sum(text_size(x) for x in content)


def _check_ns(content: Any, depth: int) -> int:
    if not _strings(content):
        raise bad_parameter("An number set  may not be empty")
    content[:] = [numbers.canonical(x) for x in content]
    if len(set(content)) != len(content):
        raise invalid("Input collection contains duplicates")
    return sum(numbers.size(x) for x in content)


def _check_bs(content: Any, depth: int) -> int:
    if not _strings(content):
        raise bad_parameter("Binary sets should not be empty")
    size = sum(len(decode(x)) for x in content)
    if len(set(content)) != len(content):
        raise bad_parameter(
            f"Input collection [{', '.join(content)}]of type BS contains duplicates."
        )
    return size


_CHECKS = {
    "B": _check_b,
    "BOOL": _check_bool,
    "NULL": _check_null,
    "L": _check_list,
    "M": _check_map,
    "SS": _check_ss,
    "NS": _check_ns,
    "BS": _check_bs,
}


def decode(text: Any) -> bytes:
    """The bytes of a base64 text; ``AwsError`` SerializationException when it is none."""
    if type(text) is not str:
        raise Misshapen
    if len(text) % 4:
        raise unserializable(
            f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(text)}"
        )
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise unserializable("Invalid last non-pad Base64 character dectected") from None
    if binascii.b2a_base64(data, newline=False).decode() != text:
        raise unserializable("Invalid last non-pad Base64 character dectected")
    return data


# -- measuring what is stored -----------------------------------------------------------------


def size_of(value: Value) -> int:
    """Size in bytes of a stored (canonical) value."""
    for kind, content in value.items():
        if kind == "S":
            return text_size(content)
        if kind == "N":
            return numbers.size(content)
        if kind == "B":
            return len(content) // 4 * 3 - content[-2:].count("=")
        if kind == "M":
            return 3 + len(content) + item_size(content)
        if kind == "L":
            return 3 + len(content) + sum(map(size_of, content))
        if kind in ("SS", "NS", "BS"):
            return sum(size_of({kind[0]: x}) for x in content)
    return 1


def item_size(item: Item) -> int:
    """Size in bytes of a stored item: names and values."""
    return sum(text_size(name) + size_of(value) for name, value in item.items())


def type_of(value: Value) -> str:
    """The type letter(s) of a value."""
    return next(iter(value))


# -- comparing --------------------------------------------------------------------------------


def equal(a: Value | None, b: Value | None) -> bool:
    """Same type and content; sets ignore order."""
    if a is None or b is None:
        return False
    if a == b:
        return True
    kind = type_of(a)
    if kind not in b:
        return False
    x, y = a[kind], b[kind]
    if kind in ("SS", "NS", "BS"):
        return len(x) == len(y) and set(x) == set(y)
    if kind == "L":
        return len(x) == len(y) and all(map(equal, x, y))
    if kind == "M":
        return x.keys() == y.keys() and all(equal(v, y[n]) for n, v in x.items())
    return False


def order(a: Value | None, b: Value | None) -> int | None:
    """-1, 0, 1 for two strings, numbers or binaries; None where they have no order."""
    if a is None or b is None:
        return None
    kind = type_of(a)
    if kind not in b:
        return None
    x, y = a[kind], b[kind]
    if kind == "N":
        return numbers.compare(x, y)
    if kind == "B":
        x, y = binascii.a2b_base64(x), binascii.a2b_base64(y)
    elif kind != "S":
        return None
    return (x > y) - (x < y)


def begins_with(a: Value | None, b: Value | None) -> bool:
    """String or binary prefix."""
    if a is None or b is None:
        return False
    if "S" in a and "S" in b:
        return bool(a["S"].startswith(b["S"]))
    if "B" in a and "B" in b:
        return binascii.a2b_base64(a["B"]).startswith(binascii.a2b_base64(b["B"]))
    return False


def contains(a: Value | None, b: Value | None) -> bool:
    """Substring, or member of a set or list."""
    if a is None or b is None:
        return False
    kind = type_of(a)
    if kind == "S":
        return "S" in b and b["S"] in a["S"]
    if kind == "B":
        return "B" in b and binascii.a2b_base64(b["B"]) in binascii.a2b_base64(a["B"])
    if kind in ("SS", "NS", "BS"):
        return b.get(kind[0]) in a[kind]
    if kind == "L":
        return any(equal(x, b) for x in a["L"])
    return False


def length(a: Value | None) -> int | None:
    """What ``size()`` answers: characters, bytes or members; None where it has no meaning."""
    if a is None:
        return None
    for kind, content in a.items():
        if kind == "S":
            return len(content)
        if kind == "B":
            return size_of(a)
        if kind in ("SS", "NS", "BS", "L", "M"):
            return len(content)
    return None
