"""What is kept of an origin's answer, and for how long."""

from __future__ import annotations

from pileus.edge import freshness
from pileus.edge.cache import Entry
from pileus.edge.distribution import Behaviour, Distribution
from pileus.edge.freshness import Life
from pileus.edge.keeping import varies
from pileus.edge.origins import Fetched
from pileus.services.call import Headers, HttpRequest

UNCACHED = frozenset({"content-length", "age", "x-cache", "via", "x-amz-cf-id", "set-cookie2"})


def entry_of(
    d: Distribution,
    b: Behaviour,
    key: str,
    path: str,
    request: HttpRequest,
    got: Fetched,
    body: bytes,
    sequence: int,
    now_ms: int,
) -> Entry | None:
    """What to keep of an answer; None when it must not be kept."""
    told = dict(got.headers)
    life = _life(d, b, got.status, told, now_ms)
    if not life.keep or varies(b, told):
        return None
    if "set-cookie" in told and b.forward_cookies.mode != "none":
        return None  # made for one viewer
    kept = [h for h in got.headers if h[0] not in UNCACHED and h[0] != "set-cookie"]
    query = b.key_queries.query(request.query)
    asked = f"{path}?{query}" if query else path
    fresh, on_error, asking = _ends(life, now_ms)
    return Entry(
        *(key, d.id, asked, sequence, got.status, kept, body),
        *(now_ms, fresh, on_error, asking),
        told.get("etag", ""),
        told.get("last-modified", ""),
    )


def renew(
    d: Distribution, b: Behaviour, old: Entry, got: Fetched, sequence: int, now_ms: int
) -> tuple[Entry, bool]:
    """The old entry with a new life, after 304; and whether it may be kept still."""
    told = {n: v for n, v in got.headers if n not in UNCACHED and n != "set-cookie"}
    headers: Headers = [h for h in old.headers if h[0] not in told] + list(told.items())
    life = _life(d, b, old.status, dict(headers), now_ms)
    fresh, on_error, asking = _ends(life, now_ms)
    entry = Entry(
        *(old.key, old.distribution, old.path, sequence, old.status, headers, old.body),
        *(now_ms, fresh, on_error, asking, old.etag, old.modified),
        packed=old.packed,
    )
    return entry, life.keep


def _life(d: Distribution, b: Behaviour, status: int, told: dict[str, str], now_ms: int) -> Life:
    least = d.errors.get(status, {}).get("ErrorCachingMinTTL")
    ttls = (b.ttl_min, b.ttl_default, b.ttl_max)
    return freshness.life(status, told, ttls, least, now_ms / 1000)


def _ends(life: Life, now_ms: int) -> tuple[int, int, int]:
    """Milliseconds since 1970: fresh until, usable on errors until, while asking again until."""
    fresh = now_ms + life.fresh_s * 1000
    return fresh, fresh + life.stale_on_error_s * 1000, fresh + life.stale_while_asking_s * 1000
