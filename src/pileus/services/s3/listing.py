"""A page of keys in exact UTF-8 binary order, common prefixes rolled up by seeking past them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pileus.services.s3 import rows
from pileus.services.s3.rows import Meta

STEP = 250


@dataclass(slots=True)
class Page:
    """``items``: (key, description) in order, ``prefixes`` rolled up; ``last`` the last key or
    prefix of a page that is cut short."""

    items: list[tuple[str, Meta]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    truncated: bool = False
    last: str = ""


def rolled_up(key: str, prefix: str, delimiter: str) -> str:
    """The common prefix a key belongs to, '' for none."""
    if not delimiter:
        return ""
    at = key.find(delimiter, len(prefix))
    return "" if at < 0 else key[: at + len(delimiter)]


def first_after(
    start: bytes, name: str, marker: str, prefix: str, delimiter: str, inside: bool
) -> bytes:
    """Where reading goes on after ``marker``: past all of the common prefix that it is, or
    (``inside``) that it lies in."""
    if not marker:
        return start
    shared = rolled_up(marker, prefix, delimiter) if marker.startswith(prefix) else ""
    if shared and (inside or shared == marker):
        _, past = rows.prefix_range(rows.OBJECTS, name, shared)
    else:
        past = rows.current(name, marker) + b"\x00"
    return max(start, past)


def list_keys(
    store: Any,
    name: str,
    prefix: str,
    delimiter: str,
    marker: str,
    limit: int,
    inside: bool = False,
) -> Page:
    """At most ``limit`` keys and common prefixes above ``marker``; ``inside``: nor the prefix the
    marker lies in."""
    page = Page()
    if limit <= 0:
        return page
    start, end = rows.prefix_range(rows.OBJECTS, name, prefix)
    start = first_after(start, name, marker, prefix, delimiter, inside)
    while start < end:
        step = min(STEP, limit - len(page.items) - len(page.prefixes) + 1)
        found = store.range(start, end, step)
        if not found:
            return page
        start = _take(page, found, name, prefix, delimiter, limit)
        if page.truncated:
            return page
    return page


def _take(
    page: Page, found: list[Any], name: str, prefix: str, delimiter: str, limit: int
) -> bytes:
    """Add rows to the page; answers where to read on."""
    for row in found:
        if len(page.items) + len(page.prefixes) == limit:
            page.truncated = True
            return b""
        key = rows.key_of(row.key)
        shared = rolled_up(key, prefix, delimiter)
        if shared:
            page.prefixes.append(shared)
            page.last = shared
            return rows.prefix_range(rows.OBJECTS, name, shared)[1]
        page.items.append((key, rows.describe(row.value)))
        page.last = key
    return bytes(found[-1].key) + b"\x00"


class Merged:
    """Versions of a bucket in listing order: by key, the current one first, then newest first.
    ``skip`` answers where to go on when a prefix is rolled up."""

    def __init__(self, store: Any, name: str, prefix: str) -> None:
        self._store = store
        self._name = name
        self._current = rows.prefix_range(rows.OBJECTS, name, prefix)
        self._older = rows.prefix_range(rows.VERSIONS, name, prefix)
        self._heads: list[list[Any]] = [[], []]

    def seek(self, key: str, order: int | None) -> None:
        """Start after ``key`` (all its versions), or after its version at ``order``: the current
        one too may be older, when what was above it is gone."""
        past = rows.current(self._name, key)
        value = None if order is None else self._store.get(past)
        if value is None or order is None or rows.describe(value).order >= order:
            past += b"\x00"
        self._current = (max(self._current[0], past), self._current[1])
        if order is None:
            older = rows.versions_of(self._name, key)[1]
        else:
            older = rows.version(self._name, key, order) + b"\x00"
        self._older = (max(self._older[0], older), self._older[1])
        self._heads = [[], []]

    def skip(self, shared: str) -> None:
        """Go past every key that starts with ``shared``."""
        end = rows.prefix_range(rows.OBJECTS, self._name, shared)[1]
        self._current = (max(self._current[0], end), self._current[1])
        end = rows.prefix_range(rows.VERSIONS, self._name, shared)[1]
        self._older = (max(self._older[0], end), self._older[1])
        self._heads = [[], []]

    def _head(self, which: int) -> Any:
        """The next (key bytes, row) of a stream, None at its end."""
        if not self._heads[which]:
            start, end = self._current if which == 0 else self._older
            if start >= end:
                return None
            found = self._store.range(start, end, STEP)
            place: Callable[[bytes], str] = (
                rows.key_of if which == 0 else lambda k: rows.compound_of(k)[0]
            )
            self._heads[which] = [(place(r.key).encode(), r) for r in reversed(found)]
            if not found:
                self._set(which, end, end)
                return None
        return self._heads[which][-1]

    def _set(self, which: int, start: bytes, end: bytes) -> None:
        if which == 0:
            self._current = (start, end)
        else:
            self._older = (start, end)

    def next(self) -> tuple[str, Meta, bool] | None:
        """(key, description, whether it comes from the current table)."""
        a, b = self._head(0), self._head(1)
        if a is None and b is None:
            return None
        which = 0 if b is None or (a is not None and a[0] <= b[0]) else 1
        key, row = self._heads[which].pop()
        end = (self._current if which == 0 else self._older)[1]
        self._set(which, bytes(row.key) + b"\x00", end)
        return key.decode(), rows.describe(row.value), which == 0


def has_current(store: Any, name: str, key: str) -> bool:
    """Whether a key's newest version is an object."""
    return store.get(rows.current(name, key)) is not None


__all__ = ["Merged", "Page", "has_current", "list_keys", "rolled_up"]
