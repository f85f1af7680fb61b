"""Random histories under random rules, beside the plainest reading of what rules mean (B5)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from tests.services.s3.clocked import Clocked, timed

DAY_MS = 86_400_000
COLDER = ["STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE"]
KEYS = ("a", "ab", "b/1", "b/2", "ü")
SIZES = (10, 200_000)


@dataclass(eq=False)
class Version:
    made_ms: int
    size: int = 0
    kind: str = "STANDARD"
    red: bool = False
    marker: bool = False


@dataclass
class Plain:
    """Versions of each key, newest first; ``rules`` as they were put."""

    versioned: bool
    rules: list[dict[str, Any]]
    keys: dict[str, list[Version]] = field(default_factory=dict)

    def put(self, key: str, version: Version) -> None:
        there = self.keys.setdefault(key, [])
        if not self.versioned:
            there.clear()
        there.insert(0, version)

    def run(self, now_ms: int) -> None:
        for key in list(self.keys):
            self._current(key, now_ms)
            self._older(key, now_ms)
            if not self.keys[key]:
                del self.keys[key]

    def _current(self, key: str, now_ms: int) -> None:
        newest = self.keys[key][0]
        if newest.marker:
            return
        mine = [r for r in self.rules if covers(r, key, newest)]
        days = [r["Expiration"].get("Days") for r in mine if "Expiration" in r]
        over = any(d is not None and past(newest.made_ms, d, now_ms) for d in days)
        if over and not self.versioned:
            self.keys[key].clear()
            return
        moves = [
            (rule, move["StorageClass"])
            for rule in mine
            for move in rule.get("Transitions", [])
            if past(newest.made_ms, move["Days"], now_ms)
        ]
        if not moved(newest, moves) and over:
            self.keys[key].insert(0, Version(now_ms, marker=True))

    def _older(self, key: str, now_ms: int) -> None:
        there = list(self.keys[key])
        for n, (newer, version) in enumerate(pairwise(there)):
            mine = [r for r in self.rules if covers(r, key, version)]
            ends = [e for r in mine if (e := r.get("NoncurrentVersionExpiration"))]
            due = [
                e
                for e in ends
                if n >= e.get("NewerNoncurrentVersions", 0)
                and past(newer.made_ms, e["NoncurrentDays"], now_ms)
            ]
            if due:
                self.keys[key].remove(version)
                continue
            moves = [
                (rule, m["StorageClass"])
                for rule in mine
                for m in rule.get("NoncurrentVersionTransitions", [])
                if past(newer.made_ms, m["NoncurrentDays"], now_ms)
            ]
            if not version.marker:
                moved(version, moves)
        if len(there) == 1 and there[0].marker:
            for rule in self.rules:
                told = rule.get("Expiration") or {}
                aged = "Days" in told and past(there[0].made_ms, told["Days"], now_ms)
                gone = told.get("ExpiredObjectDeleteMarker") or aged
                if covers(rule, key, there[0]) and gone:
                    self.keys[key].clear()

    def shown(self) -> list[tuple[str, bool, str, int, bool]]:
        return [
            (key, n == 0, "" if v.marker else v.kind, v.size, v.marker)
            for key in sorted(self.keys, key=str.encode)
            for n, v in enumerate(self.keys[key])
        ]


def past(from_ms: int, days: int, now_ms: int) -> bool:
    """Whether the midnight after so many days has come."""
    return -(-(from_ms + days * DAY_MS) // DAY_MS) * DAY_MS <= now_ms


def covers(rule: dict[str, Any], key: str, version: Version) -> bool:
    told = rule["Filter"]
    if "Tag" in told:
        return version.red and not version.marker
    if "ObjectSizeLessThan" in told:
        return version.size < told["ObjectSizeLessThan"] and not version.marker
    return key.startswith(told["Prefix"])


def moved(version: Version, moves: list[tuple[dict[str, Any], str]]) -> bool:
    """Take the coldest class that is colder; small ones only where the rule speaks of sizes."""
    fit = [
        COLDER.index(kind)
        for rule, kind in moves
        if version.size >= 128 * 1024 or "ObjectSizeLessThan" in rule["Filter"]
    ]
    rank = max(fit, default=0)
    if rank <= COLDER.index(version.kind):
        return False
    version.kind = COLDER[rank]
    return True


def drawn(rng: random.Random) -> list[dict[str, Any]]:
    """One to four rules."""
    rules = []
    for number in range(rng.randint(1, 4)):
        filters: list[dict[str, Any]] = [{"Prefix": p} for p in ("", "a", "b/")]
        filters += [{"Tag": {"Key": "colour", "Value": "red"}}, {"ObjectSizeLessThan": 1000}]
        rule: dict[str, Any] = {
            "ID": f"r{number}",
            "Status": "Enabled",
            "Filter": rng.choice(filters),
        }
        if rng.random() < 0.4:
            rule["Expiration"] = {"Days": rng.randint(40, 60)}
        elif rng.random() < 0.3 and "Prefix" in rule["Filter"]:
            rule["Expiration"] = {"ExpiredObjectDeleteMarker": True}
        if rng.random() < 0.5:
            rule["Transitions"] = [{"Days": rng.randint(30, 39), "StorageClass": "STANDARD_IA"}]
        if rng.random() < 0.5:
            rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": rng.randint(10, 30)}
            if rng.random() < 0.5:
                rule["NoncurrentVersionExpiration"]["NewerNoncurrentVersions"] = rng.randint(1, 3)
        if rng.random() < 0.4 or len(rule) == 3:
            move = {"NoncurrentDays": rng.randint(1, 9), "StorageClass": rng.choice(COLDER[3:])}
            rule["NoncurrentVersionTransitions"] = [move]
        rules.append(rule)
    return rules


async def shown(s3: Clocked) -> list[tuple[str, bool, str, int, bool]]:
    page = await s3.bucket("ListObjectVersions")
    found = [
        (v["Key"], v["IsLatest"], v["StorageClass"], v["Size"], False) for v in page["Versions"]
    ]
    found += [(m["Key"], m["IsLatest"], "", 0, True) for m in page["DeleteMarkers"]]
    return sorted(found)


async def one_day(s3: Clocked, plain: Plain, rng: random.Random) -> None:
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        s3.clock.step(rng.randint(1, DAY_MS // 5))
        key = rng.choice(KEYS)
        if rng.random() < 0.25:
            await s3.object("DeleteObject", key)
            if plain.versioned:
                plain.put(key, Version(s3.clock.now_ms(), marker=True))
            else:
                plain.keys.pop(key, None)
            continue
        size, red, kind = rng.choice(SIZES), rng.random() < 0.5, rng.choice(COLDER[:3])
        tags = {"x_amz_tagging": "colour=red"} if red else {}
        await s3.put(key, b"x" * size, x_amz_storage_class=kind, **tags)
        plain.put(key, Version(s3.clock.now_ms(), size, kind, red))
    s3.clock.step(DAY_MS - s3.clock.now_ms() % DAY_MS + rng.randint(0, 1000))


@pytest.mark.parametrize("seed", range(8))
def test_rules_do_what_a_plain_reading_says(seed: int) -> None:
    rng = random.Random(seed)
    versioned = rng.random() < 0.75

    async def work(s3: Clocked) -> None:
        plain = Plain(versioned, drawn(rng))
        told = {"LifecycleConfiguration": {"Rules": plain.rules}}
        await s3.bucket("PutBucketLifecycleConfiguration", **told)
        await s3.work()
        for day in range(100):
            await one_day(s3, plain, rng)
            if rng.random() < 0.1:
                s3.restarted()
            plain.run(s3.clock.now_ms())
            await s3.work()
            if day % 5 == 0:
                assert await shown(s3) == sorted(plain.shown()), f"day {day}: {plain.rules}"

    timed(work, "Enabled" if versioned else "")
