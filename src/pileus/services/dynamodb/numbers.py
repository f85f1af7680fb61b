"""DynamoDB numbers: canonical text, size, order-preserving bytes, exact arithmetic.

A number has up to 38 significant digits and a magnitude from 1E-130 to 9.99…E+125 (Developer
Guide, "Supported data types"). It travels as text; the canonical text has no exponent, no leading
and no trailing zeros. Sizes and messages are as the service reports them.
"""

from __future__ import annotations

import re
from decimal import Context as DecimalContext
from decimal import Decimal
from functools import lru_cache

from pileus.services.dynamodb.faults import invalid

EXPONENT_MAX = 125
EXPONENT_MIN = -130
DIGITS_MAX = 38
TOO_LARGE = (
    "Number overflow. Attempting to store a number with magnitude larger than supported range"
)
TOO_PRECISE = "Attempting to store more than 38 significant digits in a Number"

_PLAIN = re.compile(r"(?:0|-?[1-9][0-9]{0,36})\Z")
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,9}))?\Z")
_EXACT = DecimalContext(prec=600, Emin=-2000, Emax=2000)


def parts(text: str) -> tuple[bool, str, int]:
    """(negative, significant digits, exponent of the first digit) of any numeric text; zero is
    (False, "", 0). ``AwsError`` ValidationException where the service has one."""
    found = _NUMBER.match(text)
    if found is None or not (found[2] or found[3]):
        shown = f": {text}" if text else ""
        raise invalid(f"The parameter cannot be converted to a numeric value{shown}")
    whole, fraction = found[2], found[3] or ""
    raw = whole + fraction
    digits = raw.lstrip("0")
    if not digits:
        return False, "", 0
    exponent = int(found[4] or 0) + len(whole) - (len(raw) - len(digits)) - 1
    digits = digits.rstrip("0")
    if exponent > EXPONENT_MAX:
        raise invalid(TOO_LARGE)
    if exponent < EXPONENT_MIN:
        raise invalid(
            "Number underflow. Attempting to store a number with magnitude smaller than supported"
            " range"
        )
    if len(digits) > DIGITS_MAX:
        raise invalid(TOO_PRECISE)
    return found[1] == "-", digits, exponent


def canonical(text: str) -> str:
    """The service's own text of a number: ``"+01.50e1"`` → ``"15"``."""
    if _PLAIN.match(text):
        return text
    negative, digits, exponent = parts(text)
    if not digits:
        return "0"
    if exponent < 0:
        plain = "0." + "0" * (-exponent - 1) + digits
    elif len(digits) <= exponent + 1:
        plain = digits + "0" * (exponent + 1 - len(digits))
    else:
        plain = digits[: exponent + 1] + "." + digits[exponent + 1 :]
    return "-" + plain if negative else plain


def size(text: str) -> int:
    """Bytes a canonical number counts for: one per base-100 digit, one more, one for the sign."""
    body = text
    negative = text[0] == "-"
    if negative:
        body = text[1:]
    if "." not in body:
        digits = len(body.rstrip("0"))
        if digits == 0:
            return 1
        exponent = len(body) - 1
    else:
        _, significant, exponent = parts(body)
        digits = len(significant)
    pairs = (digits + 1) // 2 + (0 if digits % 2 or exponent % 2 else 1)
    return 1 + pairs + negative


_DIGIT_BYTES = bytes.maketrans(b"0123456789", bytes(range(1, 11)))
_COMPLEMENT = bytes.maketrans(bytes(range(256)), bytes(255 - i for i in range(256)))


def order_bytes(text: str) -> bytes:
    """Bytes that compare as the numbers do: sign, exponent, digits; complemented when negative."""
    if text.isdigit() and text.isascii() and text[0] != "0" and len(text) < DIGITS_MAX:
        negative, digits, exponent = False, text.rstrip("0"), len(text) - 1
    else:
        negative, digits, exponent = parts(text)
    if not digits:
        return b"\x80"
    body = bytes([exponent + 130]) + digits.encode().translate(_DIGIT_BYTES)
    if negative:
        return b"\x7f" + body.translate(_COMPLEMENT) + b"\xff"
    return b"\x81" + body


@lru_cache(maxsize=4096)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


def compare(a: str, b: str) -> int:
    """-1, 0 or 1 for two canonical numbers."""
    if a == b:
        return 0
    return -1 if _decimal(a) < _decimal(b) else 1


def add(a: str, b: str) -> str:
    """The canonical sum; ``AwsError`` where it leaves the supported range or precision."""
    return canonical(str(_EXACT.add(Decimal(a), Decimal(b))))


def subtract(a: str, b: str) -> str:
    """The canonical difference; ``AwsError`` as ``add``."""
    return canonical(str(_EXACT.subtract(Decimal(a), Decimal(b))))
