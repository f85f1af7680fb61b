"""How long an answer may be kept, and how long it may serve after that (RFC 9111, RFC 5861).

CloudFront's rules over MinTTL, DefaultTTL and MaxTTL, with one difference that errs towards
privacy: ``private`` and ``no-store`` are never kept, whatever MinTTL says.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Expiration.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

DIRECTIVE = re.compile(r'([A-Za-z\-]+)(?:=(?:"([^"]*)"|([^,\s]*)))?')
STALE_S_MAX = 7 * 86_400
ERRORS = frozenset({400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504})
ERROR_TTL_S = 1
KEPT = frozenset({200, 203, 204, 300, 301, 302, 307, 308, 410})


@dataclass(frozen=True, slots=True)
class Life:
    """Seconds: fresh, then usable while the origin fails, then usable while it is asked again.
    ``keep`` False: not to be stored at all."""

    keep: bool
    fresh_s: int = 0
    stale_on_error_s: int = 0
    stale_while_asking_s: int = 0


NEVER = Life(False)


def directives(text: str) -> dict[str, str]:
    """A Cache-Control header as {name: value or ''}. What is said twice counts in its stricter
    form (RFC 9111, 4.2.1)."""
    told: dict[str, str] = {}
    for match in DIRECTIVE.finditer(text):
        name, value = match[1].lower(), match[2] or match[3] or ""
        if name in told and (_seconds(value) or 0) >= (_seconds(told[name]) or 0):
            continue
        told[name] = value
    return told


def life(
    status: int,
    headers: Mapping[str, str],
    ttls: tuple[int, int, int],
    error_ttl_s: int | None,
    now_s: float,
) -> Life:
    """The life of an answer under (MinTTL, DefaultTTL, MaxTTL)."""
    told = directives(headers.get("cache-control", ""))
    if "no-store" in told or "private" in told or headers.get("vary", "").strip() == "*":
        return NEVER
    least, default, most = ttls
    if status in ERRORS:
        seconds = ERROR_TTL_S if error_ttl_s is None else error_ttl_s
        return Life(seconds > 0 and most > 0, seconds)
    if status not in KEPT or most == 0:
        return NEVER
    asked = _asked(told, headers, now_s)
    if "no-cache" in told:
        fresh = 0
    elif asked is None:
        fresh = min(max(default, least), most)
    else:
        fresh = min(max(asked, least), most)
    return Life(True, fresh, _stale(told), _seconds(told.get("stale-while-revalidate")) or 0)


def _asked(told: dict[str, str], headers: Mapping[str, str], now_s: float) -> int | None:
    for name in ("s-maxage", "max-age"):
        if name in told:
            return _seconds(told[name]) or 0  # a value that makes no sense is no time at all
    expires = headers.get("expires")
    if expires is None:
        return None
    try:
        return max(0, int(parsedate_to_datetime(expires).timestamp() - now_s))
    except (ValueError, TypeError, OverflowError):
        return 0  # RFC 9111, 5.3: an invalid date is in the past


def _stale(told: dict[str, str]) -> int:
    if {"must-revalidate", "proxy-revalidate", "no-cache"} & told.keys():
        return 0
    asked = _seconds(told.get("stale-if-error"))
    return STALE_S_MAX if asked is None else min(asked, STALE_S_MAX)


def _seconds(text: str | None) -> int | None:
    return min(int(text), 10**9) if text and text.isdigit() else None
