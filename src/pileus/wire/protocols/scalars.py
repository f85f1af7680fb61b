"""Scalar values on the wire: times, numbers, blobs (Smithy, "Protocol traits").

Inside Pileus a timestamp is a number of seconds since 1970 (int or float; answers may also give a
``datetime``) and a blob is ``bytes``.
"""

from __future__ import annotations

import base64
import binascii
import math
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

from pileus.errors import AwsError

Convert = Callable[[Any], Any]
LONG = 1 << 63


class Missing(Exception):
    """A required member is absent; ``path`` grows while the structure readers unwind."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def under(self, name: str) -> Missing:
        self.path = f"{name}.{self.path}"
        return self


def lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def bad(message: str) -> AwsError:
    """The body cannot be read as the model says."""
    return AwsError("SerializationException", message)


def seconds(value: Any) -> float | int:
    """A timestamp an answer carries, as seconds since 1970."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return value  # type: ignore[no-any-return]


def to_iso(value: Any) -> str:
    """``2026-11-21T05:06:07Z``; milliseconds where there are any."""
    at = datetime.fromtimestamp(round(seconds(value), 3), UTC)
    if at.microsecond:
        return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def to_iso_milliseconds(value: Any) -> str:
    """``2026-11-21T05:06:07.000Z``, as S3 writes every time."""
    at = datetime.fromtimestamp(round(seconds(value), 3), UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def to_rfc822(value: Any) -> str:
    return formatdate(math.floor(seconds(value)), usegmt=True)


def to_unix(value: Any) -> float | int:
    at = round(seconds(value), 3)
    return int(at) if at == int(at) else at


WRITE_TIME: dict[str, Callable[[Any], Any]] = {
    "iso8601": to_iso,
    "milliseconds": to_iso_milliseconds,
    "rfc822": to_rfc822,
    "unixtimestamp": to_unix,
}


def read_time(value: Any) -> float | int:
    """Any of AWS's three forms. Raises ``SerializationException``."""
    if isinstance(value, bool | list | dict):
        raise bad("Unexpected value for a timestamp")
    if isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > 253402300799:
            raise bad("Timestamp is out of range")
        return value
    if isinstance(value, datetime):
        return value.timestamp()
    text = str(value).strip()
    try:
        return read_time(float(text) if "." in text or "e" in text.lower() else int(text))
    except ValueError:
        pass
    try:
        if text[:4].isdigit():
            at = datetime.fromisoformat(text)
        else:
            at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise bad(f"Unable to parse the timestamp {text[:64]!r}") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def read_blob(value: Any) -> bytes:
    """A base64 text."""
    if type(value) is not str:
        raise _not_text(value, "blob")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise bad("Invalid Base64 text") from None


def _not_text(value: Any, wanted: str) -> AwsError:
    if isinstance(value, dict | list):
        return wrong(value, "java.nio.ByteBuffer")
    return bad("only base-64-encoded strings are convertible to bytes")


def write_blob(value: Any) -> str:
    data = value.encode() if isinstance(value, str) else bytes(value)
    return base64.b64encode(data).decode()


def wrong(value: Any, wanted: str) -> AwsError:
    """Coral's words for a JSON value of another type than the model says."""
    if isinstance(value, dict):
        return bad("Start of structure or map found where not expected")
    if isinstance(value, list):
        return bad(f"Unrecognized collection type class {wanted}")
    if isinstance(value, bool):
        kind = "TRUE_VALUE" if value else "FALSE_VALUE"
    elif isinstance(value, str):
        kind = "STRING_VALUE"
    else:
        kind = "NUMBER_VALUE" if isinstance(value, int) else "DECIMAL_VALUE"
    return bad(f"{kind} cannot be converted to {wanted.rpartition('.')[2]}")


def read_string(value: Any) -> str:
    if type(value) is str:
        return value
    raise wrong(value, "java.lang.String")


def read_integer(value: Any) -> int:
    if type(value) is float and math.isfinite(value):
        value = int(value)
    if type(value) is int:
        if -LONG <= value < LONG:
            return value
        raise bad("Numeric value out of range of long")
    raise wrong(value, "java.lang.Integer")


def read_float(value: Any) -> float | int:
    if type(value) is float or type(value) is int:
        return value
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    raise wrong(value, "java.lang.Double")


def read_boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise wrong(value, "java.lang.Boolean")


def write_float(value: Any) -> Any:
    """JSON has no NaN: Smithy writes it as a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    return value


READ_JSON: dict[str, Convert] = {
    "string": read_string,
    "character": read_string,
    "integer": read_integer,
    "long": read_integer,
    "float": read_float,
    "double": read_float,
    "boolean": read_boolean,
    "timestamp": read_time,
    "blob": read_blob,
}


def _text_integer(value: str) -> int:
    try:
        if len(value) <= 40:
            return int(value)
    except ValueError:
        pass
    raise bad(f"{value[:64]!r} is not an integer")


def _text_float(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise bad(f"{value[:64]!r} is not a number") from None


def _text_boolean(value: str) -> bool:
    text = value.strip().lower()
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise bad(f"{value[:64]!r} is not a boolean")


# From text: query members, headers, query strings, XML.
READ_TEXT: dict[str, Convert] = {
    "string": str,
    "character": str,
    "integer": _text_integer,
    "long": _text_integer,
    "float": _text_float,
    "double": _text_float,
    "boolean": _text_boolean,
    "timestamp": read_time,
    "blob": read_blob,
}


def text_writer(type_name: str, time_format: str) -> Callable[[Any], str]:
    """How a scalar of this type is written as text."""
    if type_name == "boolean":
        return lambda value: "true" if value else "false"
    if type_name == "timestamp":
        write = WRITE_TIME[time_format]
        return lambda value: str(write(value))
    if type_name == "blob":
        return write_blob
    if type_name in ("float", "double"):
        return lambda value: str(write_float(value))
    return str


def uuid_text() -> str:
    """An idempotency token for a request that brought none."""
    return str(uuid.uuid4())
