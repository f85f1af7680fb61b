"""What lifecycle rules mean: which action is due for a version at a moment. Pure functions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
A day lasts ``day_ms``; where it is a real day, what falls due within one waits for midnight UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pileus.services.s3 import storage_classes
from pileus.services.s3.locks import DAY_MS, LATEST_MS
from pileus.services.s3.rows import Meta

TRANSITION_BYTES_MIN = 128 * 1024
ALL_128K, VARIES = "all_storage_classes_128K", "varies_by_storage_class"


@dataclass(frozen=True, slots=True)
class When:
    """Days after something, or a date."""

    days: int | None = None
    date_ms: int = 0

    def due_ms(self, from_ms: int, day_ms: int) -> int:
        """The moment an action falls due for what began at ``from_ms``."""
        if self.days is None:
            return self.date_ms
        at = min(from_ms + self.days * day_ms, LATEST_MS)
        return -(-at // DAY_MS) * DAY_MS if day_ms == DAY_MS else at


@dataclass(frozen=True, slots=True)
class Filter:
    """Which versions a rule is for."""

    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    over: int | None = None
    under: int | None = None

    def matches(self, meta: Meta) -> bool:
        """Of a key with this prefix. Delete markers have neither tags nor a size."""
        if meta.marker:
            return not self.tags and not self.sized
        if any(meta.tags.get(k) != v for k, v in self.tags):
            return False
        return (self.over is None or meta.size > self.over) and (
            self.under is None or meta.size < self.under
        )

    @property
    def sized(self) -> bool:
        return self.over is not None or self.under is not None


@dataclass(frozen=True, slots=True)
class Noncurrent:
    """An action on versions that are no longer current: ``days`` after they were superseded, and
    only behind ``keep`` newer noncurrent ones. ``target`` '': they expire."""

    days: int
    keep: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """One enabled rule."""

    name: str
    filter: Filter
    expiration: When | None = None
    markers: bool = False
    transitions: tuple[tuple[When, str], ...] = ()
    noncurrent: tuple[Noncurrent, ...] = ()
    abort_days: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """A bucket's rules. ``least_bytes``: what is smaller stays in its class, unless the rule's
    filter speaks of sizes; ``varies``: archives take small ones all the same."""

    rules: tuple[Term, ...] = ()
    varies: bool = False
    day_ms: int = DAY_MS
    least_bytes: int = TRANSITION_BYTES_MIN
    by_prefix: Mapping[str, Sequence[Term]] = field(default_factory=dict)
    lengths: Sequence[int] = ()  # of the prefixes that occur

    def about(self, key: str) -> list[Term]:
        """The rules whose prefix fits a key."""
        starts = (key[:length] for length in self.lengths if length <= len(key))
        return [rule for start in starts for rule in self.by_prefix.get(start, ())]

    def expiry(self, key: str, meta: Meta) -> tuple[int, str] | None:
        """(moment, rule) at which a current version expires first; None: never. Of several rules at
        one moment the one told first (recorded of AWS)."""
        found = [
            (rule.expiration.due_ms(meta.modified_ms, self.day_ms), self.rules.index(rule), rule)
            for rule in self.about(key)
            if rule.expiration is not None and rule.filter.matches(meta)
        ]
        at, _, first = min(found, default=(0, 0, None))
        return None if first is None else (at, first.name)

    def current(self, key: str, meta: Meta, now_ms: int, versioned: bool) -> tuple[str, ...] | None:
        """What is due for a current version: ``("expire",)``, ``("move", class)`` or nothing. In a
        conflict deletion for good comes first, then a transition, then a delete marker."""
        expiry = self.expiry(key, meta)
        expired = expiry is not None and expiry[0] <= now_ms
        if expired and not versioned:
            return ("expire",)
        target = self._target(
            meta,
            [
                (rule, name)
                for rule in self.about(key)
                for when, name in rule.transitions
                if when.due_ms(meta.modified_ms, self.day_ms) <= now_ms
                and rule.filter.matches(meta)
            ],
        )
        if target:
            return ("move", target)
        return ("expire",) if expired else None

    def old(
        self, key: str, meta: Meta, since_ms: int, newer: int, now_ms: int
    ) -> tuple[str, ...] | None:
        """What is due for a noncurrent version, superseded at ``since_ms``, behind ``newer`` newer
        noncurrent ones: ``("remove",)``, ``("move", class)`` or nothing."""
        due = [
            (rule, action.target)
            for rule in self.about(key)
            for action in rule.noncurrent
            if newer >= action.keep
            and When(action.days).due_ms(since_ms, self.day_ms) <= now_ms
            and rule.filter.matches(meta)
        ]
        if any(not target for _, target in due):
            return ("remove",)
        target = "" if meta.marker else self._target(meta, due)
        return ("move", target) if target else None

    def marker(self, key: str, meta: Meta, now_ms: int) -> bool:
        """Whether a delete marker that is all there is of its key goes."""
        for rule in self.about(key):
            if not rule.filter.matches(meta):
                continue
            aged = rule.expiration is not None and rule.expiration.days is not None
            if rule.markers or (
                aged
                and rule.expiration is not None
                and rule.expiration.due_ms(meta.modified_ms, self.day_ms) <= now_ms
            ):
                return True
        return False

    def upload(self, key: str, begun_ms: int, now_ms: int) -> bool:
        """Whether an unfinished upload is to be aborted."""
        found = self.abortion(key, begun_ms)
        return found is not None and found[0] <= now_ms

    def abortion(self, key: str, begun_ms: int) -> tuple[int, str] | None:
        """(moment, rule) at which an unfinished upload is aborted."""
        found = [
            (When(rule.abort_days).due_ms(begun_ms, self.day_ms), rule.name)
            for rule in self.about(key)
            if rule.abort_days is not None
        ]
        return min(found, default=None)

    def _target(self, meta: Meta, due: Sequence[tuple[Term, str]]) -> str:
        """The coldest of the classes due that is colder than the version's own."""
        ranks = storage_classes.RANKS
        best, rank = "", ranks[storage_classes.of(meta)]
        for rule, name in due:
            small = meta.size < self.least_bytes and not rule.filter.sized
            if small and not (self.varies and name in storage_classes.ARCHIVES):
                continue
            if ranks[name] > rank:
                best, rank = name, ranks[name]
        return best


def terms_of(setting: dict[str, Any], day_ms: int, least_bytes: int) -> Terms:
    """The enabled rules of a stored configuration."""
    rules = tuple(_term(r) for r in setting["rules"] if r["Status"] == "Enabled")
    by_prefix: dict[str, list[Term]] = {}
    for rule in rules:
        by_prefix.setdefault(rule.filter.prefix, []).append(rule)
    lengths = sorted({len(prefix) for prefix in by_prefix})
    return Terms(rules, setting["least"] == VARIES, day_ms, least_bytes, by_prefix, lengths)


def _term(rule: dict[str, Any]) -> Term:
    expiration = rule.get("Expiration") or {}
    timed = "Days" in expiration or "Date" in expiration
    noncurrent = [
        Noncurrent(a["NoncurrentDays"], a.get("NewerNoncurrentVersions") or 0, a["StorageClass"])
        for a in rule.get("NoncurrentVersionTransitions") or []
    ]
    ending = rule.get("NoncurrentVersionExpiration")
    if ending:
        keep = ending.get("NewerNoncurrentVersions") or 0
        noncurrent.append(Noncurrent(ending["NoncurrentDays"], keep))
    abort = rule.get("AbortIncompleteMultipartUpload") or {}
    return Term(
        rule["ID"],
        filter_of(rule),
        _when(expiration) if timed else None,
        bool(expiration.get("ExpiredObjectDeleteMarker")),
        tuple((_when(t), t["StorageClass"]) for t in rule.get("Transitions") or []),
        tuple(noncurrent),
        abort.get("DaysAfterInitiation"),
    )


def filter_of(rule: dict[str, Any]) -> Filter:
    """A rule's filter, of the new form or the old."""
    told = rule.get("Filter") or {}
    joined = told.get("And") or told
    tags = list(joined.get("Tags") or [])
    if told.get("Tag"):
        tags.append(told["Tag"])
    return Filter(
        joined.get("Prefix") or rule.get("Prefix") or "",
        tuple((t["Key"], t["Value"]) for t in tags),
        joined.get("ObjectSizeGreaterThan"),
        joined.get("ObjectSizeLessThan"),
    )


def _when(told: dict[str, Any]) -> When:
    if told.get("Days") is not None:
        return When(told["Days"])
    return When(None, int(datetime.fromtimestamp(told["Date"], UTC).timestamp() * 1000))
