"""The short way of an entry that writes an object leaves what the long way leaves (B1, B2)."""

from __future__ import annotations

import random
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.s3 import rows, rules
from pileus.services.s3.rows import Lock, Meta
from pileus.state.tx import Row, Tx

BUCKETS: list[dict[str, Any]] = [
    {},
    {"versioning": ""},
    {"versioning": "Enabled"},
    {"versioning": "Suspended"},
    {"versioning": "Enabled", "lock": {}},
]


class Rows:
    """Rows in memory, as ``Tx`` reads them."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Row] = {}

    def row(self, key: bytes) -> Row | None:
        return self.kept.get(key)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        found = sorted(k for k in self.kept if start <= k < end)
        return [self.kept[k] for k in (reversed(found) if reverse else found)][:limit]

    def apply(self, sequence: int, writes: dict[bytes, bytes | None]) -> None:
        for key, value in writes.items():
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = Row(key, value, sequence)


def meta(dice: random.Random, at: int) -> Meta:
    made = Meta(f"{at:032x}", dice.choice([0, 0, 5, 900]), at, {"content-type": "a/b"}, "owner")
    if dice.random() < 0.3:
        made.headers["x-amz-storage-class"] = dice.choice(["STANDARD_IA", "STANDARD"])
    if dice.random() < 0.3:
        made.blob = f"{dice.randrange(3):064x}"
    if dice.random() < 0.05:
        made.lock = Lock()
    if dice.random() < 0.1:
        made.tags = {"a": "b"}
    return made


def test_the_same_writes_in_the_same_order(monkeypatch: Any) -> None:
    dice, kept = random.Random(11), Rows()
    short = 0

    def both(sequence: int, rule: str, args: list[Any]) -> None:
        nonlocal short
        told: list[Any] = []
        inner = rules.replace
        for allowed in (True, False):

            def way(*given: Any, allowed: bool = allowed) -> bool:
                nonlocal short
                if not allowed:
                    return False
                taken = inner(*given)
                short += taken
                return taken

            monkeypatch.setattr(rules, "replace", way)
            tx = Tx(kept, sequence, sequence, b"")
            try:
                answer: Any = rules.RULES[rule](tx, args)
            except AwsError as error:
                answer, tx.writes = error.code, {}
            told.append((answer, list(tx.writes.items())))
        monkeypatch.setattr(rules, "replace", inner)
        assert told[0] == told[1], (sequence, rule, args)
        kept.apply(sequence, dict(told[0][1]))

    for sequence in range(1, 4000):
        if sequence % 40 == 1:
            kept.apply(sequence, {rows.bucket("b"): orjson.dumps(dice.choice(BUCKETS))})
        key, token = dice.choice("abc"), dice.randbytes(16)
        conditions: dict[str, Any] = {"none_match": "*"} if dice.random() < 0.2 else {}
        if dice.random() < 0.25:
            version = dice.choice([None, None, "null"])
            both(sequence, "s3.delete", ["b", key, version, {}, token, "owner"])
            continue
        made = meta(dice, sequence)
        body = b"" if made.blob else bytes(made.size)
        args = ["b", key, rows.pack_meta(made), body, conditions, token, []]
        both(sequence, "s3.put", args)
    assert short > 300
