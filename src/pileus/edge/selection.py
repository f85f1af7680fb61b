"""Which headers, cookies and query strings count: for the cache key, or for the origin.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/controlling-the-cache-key.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.services.cloudfront.rows import items


@dataclass(frozen=True, slots=True)
class Selection:
    """``mode``: none, all, whitelist (only ``names``) or allExcept (all but ``names``)."""

    mode: str = "none"
    names: frozenset[str] = frozenset()

    def takes(self, name: str) -> bool:
        if self.mode == "whitelist":
            return name in self.names
        if self.mode == "allExcept":
            return name not in self.names
        return self.mode == "all"

    def query(self, query: str) -> str:
        """The parts of a raw query string that count, in their order."""
        if self.mode == "none" or not query:
            return ""
        if self.mode == "all":
            return query
        return "&".join(p for p in query.split("&") if p and self.takes(p.partition("=")[0]))

    def cookies(self, cookie: str) -> str:
        """The cookies of a Cookie header that count."""
        if self.mode == "none" or not cookie:
            return ""
        if self.mode == "all":
            return cookie
        parts = [part.strip() for part in cookie.split(";")]
        return "; ".join(p for p in parts if p and self.takes(p.partition("=")[0]))


def of(
    config: dict[str, Any] | None, behaviour: str, member: str, lower: bool = False
) -> Selection:
    """A policy's ``HeadersConfig``, ``CookiesConfig`` or ``QueryStringsConfig``."""
    config = config or {}
    mode = config.get(behaviour, "none")
    names = items(config.get(member))
    return Selection(
        {"allViewer": "all", "allViewerAndWhitelistCloudFront": "all"}.get(mode, mode),
        frozenset(n.lower() if lower else n for n in names),
    )


def legacy(values: dict[str, Any]) -> tuple[Selection, Selection, Selection]:
    """(headers, cookies, queries) of ForwardedValues; they are both key and forwarded."""
    names = frozenset(n.lower() for n in items(values.get("Headers")))
    headers = Selection("all") if "*" in names else Selection("whitelist", names)
    cookies = values.get("Cookies") or {}
    chosen = frozenset(items(cookies.get("WhitelistedNames")))
    queries = Selection("all" if values.get("QueryString") else "none")
    listed = frozenset(items(values.get("QueryStringCacheKeys")))
    if values.get("QueryString") and listed:
        queries = Selection("whitelist", listed)
    return headers, Selection(cookies.get("Forward", "none"), chosen), queries


def union(first: Selection, second: Selection) -> Selection:
    """What either takes."""
    for one, other in ((first, second), (second, first)):
        if one.mode == "none" or other.mode == "all":
            return other
    if first.mode == second.mode == "whitelist":
        return Selection("whitelist", first.names | second.names)
    if first.mode == second.mode == "allExcept":
        return Selection("allExcept", first.names & second.names)
    excepted, listed = (first, second) if first.mode == "allExcept" else (second, first)
    return Selection("allExcept", excepted.names - listed.names)
