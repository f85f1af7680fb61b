"""FilterCriteria of event source mappings: which records a function wants to see.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
A record passes when one of the patterns holds.
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.event_pattern import Test, Wrong, pattern
from pileus.services.lambda_.names import invalid

FILTERS_MAX = 10
PATTERN_CHARS_MAX = 4096
WORDS = "Invalid filter pattern definition."


def compiled(criteria: dict[str, Any] | None) -> Test:
    """What says of a record whether it passes; everything passes without filters.
    ``InvalidParameterValueException`` for what is no pattern."""
    filters = (criteria or {}).get("Filters") or []
    if len(filters) > FILTERS_MAX:
        raise invalid(f"The number of filters cannot exceed {FILTERS_MAX}.")
    tests = [_pattern((f or {}).get("Pattern") or "{}") for f in filters]
    if not tests:
        return lambda record: True
    return lambda record: any(test(record) for test in tests)


def _pattern(text: str) -> Test:
    if len(text) > PATTERN_CHARS_MAX:
        raise invalid(WORDS)
    try:
        return pattern(orjson.loads(text))
    except (orjson.JSONDecodeError, Wrong):
        raise invalid(WORDS) from None
