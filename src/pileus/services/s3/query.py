"""The query of a direct operation, parsed once."""

from __future__ import annotations

from urllib.parse import parse_qsl

from pileus.services.call import Call
from pileus.services.s3 import faults

FIELDS_MAX = 200
_NONE: dict[str, str] = {}


def query_of(call: Call) -> dict[str, str]:
    """Parameters of the request's query; a repeated one counts once, the first."""
    request = call.request
    if request is None or not request.query:
        return _NONE
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise faults.invalid_argument("Too many query parameters.") from None
    out: dict[str, str] = {}
    for name, value in pairs:
        out.setdefault(name, value)
    return out
