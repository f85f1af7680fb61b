"""Writers whose every effect is looked for afterwards: nothing acknowledged lost, nothing doubled.

Items, tokens appended to lists (one that stands twice was applied twice), objects large enough to
be blobs, and cells of the wide table made by CPUT. Each writer keeps to one node and goes on to the
next when it fails, under a new name: what was not acknowledged may be there or not.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.history.asking import patiently, shaped
from lab.history.cells import CellClient
from lab.history.names import Names, one_of
from lab.history.registers import Items
from lab.threads import Threads

OBJECT_BYTES = 300_000
PACE_S = 0.05
DELETED_MAX = 1000  # of one request
ONCE = Config(
    retries={"total_max_attempts": 3, "mode": "standard"}, connect_timeout=1, read_timeout=4
)
PATIENT = Config(retries={"max_attempts": 8}, connect_timeout=2, read_timeout=10)


@dataclass(frozen=True)
class Door:
    """A node's clients. ``client(service, config)``; ``cells()``: of the wide tables."""

    name: str
    client: Callable[[str, Config], Any]
    cells: Callable[[], CellClient]


@dataclass
class Kept:
    """What was acknowledged."""

    items: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    objects: dict[str, str] = field(default_factory=dict)
    cells: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.items) + len(self.tokens) + len(self.objects) + len(self.cells)


class Ledger(Threads):
    """``names``: of the tables and buckets; ``run``: what the keys of this one begin with."""

    def __init__(self, doors: list[Door], names: Names, run: str, seed: int) -> None:
        self.kept = Kept()
        self.failed = 0
        self.died: list[BaseException] = []
        self._doors, self._names, self._run = doors, names.tables, run
        self._items = Items(*self._names)
        super().__init__(
            partial(self._write, n, random.Random(f"{seed}/{n}")) for n in range(len(doors))
        )

    def _write(self, writer: int, rng: random.Random) -> None:
        kinds = (self._item, self._token, self._object, self._cell)
        at = writer
        number = 0
        try:
            while not self._stop.wait(PACE_S):
                number += 1
                kind = rng.choices(kinds, (4, 4, 1, 2))[0]
                try:
                    kind(self._doors[at], f"{self._run}/{writer}-{number}", writer)
                except (BotoCoreError, ClientError) as error:
                    if isinstance(error, ClientError):
                        shaped(error)
                    self.failed += 1
                    at = (at + 1) % len(self._doors)
        except BaseException as error:
            self.died.append(error)

    def _item(self, door: Door, name: str, writer: int) -> None:
        item = {"PK": {"S": name}, "v": {"S": "x"}}
        table = one_of(self._names, name)
        door.client("dynamodb", ONCE).put_item(TableName=table, Item=item)
        self.kept.items.add(name)

    def _token(self, door: Door, name: str, writer: int) -> None:
        held = f"{self._run}/list{writer}"
        door.client("dynamodb", ONCE).update_item(
            TableName=one_of(self._names, held),
            Key={"PK": {"S": held}},
            UpdateExpression="SET l = list_append(if_not_exists(l, :none), :new)",
            ExpressionAttributeValues={":none": {"L": []}, ":new": {"L": [{"S": name}]}},
        )
        self.kept.tokens.add(name)

    def _object(self, door: Door, name: str, writer: int) -> None:
        body = random.Random(name).randbytes(OBJECT_BYTES)
        door.client("s3", ONCE).put_object(Bucket=self._bucket(name), Key=name, Body=body)
        self.kept.objects[name] = hashlib.sha256(body).hexdigest()

    def _cell(self, door: Door, name: str, writer: int) -> None:
        door.cells().request_cell("PUT", name, name.encode())
        self.kept.cells.add(name)

    def forget_objects(self) -> None:
        """Delete them, once they were looked for: the disks of many rounds would be full. (Their
        blobs go an hour later.)"""
        s3 = self._doors[0].client("s3", PATIENT)
        for bucket in self._names:
            keys = [{"Key": name} for name in self.kept.objects if self._bucket(name) == bucket]
            for at in range(0, len(keys), DELETED_MAX):
                some = {"Objects": keys[at : at + DELETED_MAX], "Quiet": True}
                patiently(partial(s3.delete_objects, Bucket=bucket, Delete=some))

    # -- afterwards ------------------------------------------------------------------------------

    def wrong(self) -> tuple[list[str], list[str]]:
        """What is lost, what is doubled: everything is read, each through one node after the
        other."""
        lost: list[str] = [f"a writer ended with {e!r}" for e in self.died]
        doubled: list[str] = []
        for number, door in enumerate(self._doors):
            lost += [f"{door.name}: {said}" for said in self._lost(door, number)]
            for list_of in range(len(self._doors)):
                held = self._list(door, list_of)
                doubled += [f"{door.name}: {t}" for t in sorted(set(held)) if held.count(t) > 1]
        return lost, doubled

    def _lost(self, door: Door, number: int) -> Iterator[str]:
        """Tokens through each door; of the rest every door reads its share."""

        def share(names: Any) -> list[str]:
            return sorted(names)[number :: len(self._doors)]

        held = {t for writer in range(len(self._doors)) for t in self._list(door, writer)}
        yield from sorted(self.kept.tokens - held)
        for name in share(self.kept.items):
            if not self._get(door, name):
                yield f"item {name}"
        s3 = door.client("s3", PATIENT)
        for name in share(self.kept.objects):
            at = {"Bucket": self._bucket(name), "Key": name}
            body = patiently(lambda at=at: s3.get_object(**at)["Body"].read())  # type: ignore[misc]
            if hashlib.sha256(body).hexdigest() != self.kept.objects[name]:
                yield f"object {name}: other bytes"
        cells = door.cells()
        for name in share(self.kept.cells):
            told = patiently(lambda name=name: cells.request_cell("GET", name))  # type: ignore[misc]
            if told["Body"] != name.encode():
                yield f"cell {name}: another value"

    def _bucket(self, key: str) -> str:
        return one_of(self._names, key)

    def _get(self, door: Door, key: str) -> dict[str, Any]:
        asked = self._items.request("read", key, ())[1]
        client = door.client("dynamodb", PATIENT)
        return dict(patiently(lambda: client.get_item(**asked)).get("Item") or {})

    def _list(self, door: Door, writer: int) -> list[str]:
        item = self._get(door, f"{self._run}/list{writer}")
        return [token["S"] for token in item.get("l", {"L": []})["L"]]


def enough(ledger: Ledger, acknowledged: int, seconds_max: float) -> bool:
    """Wait until so much more than now is acknowledged; False: it is not in time."""
    wanted = len(ledger.kept) + acknowledged
    deadline = time.monotonic() + seconds_max
    while len(ledger.kept) < wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
