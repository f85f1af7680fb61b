"""Eventual reads: they may be old, but within a session never older than before, and never without
what the session itself wrote (spec S5).

A session keeps to one node, through whatever befalls it. Each has a row of its own, whose number it
lets grow, and reads all rows eventually through its node. Numbers only grow (UpdateItem ADD), so an
answer below one that the session has seen, or was told of its own write, went back.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.history.asking import shaped
from lab.history.names import one_of
from lab.ledger import ONCE, Door
from lab.threads import Threads

PACE_S = 0.05
WRITES = 0.25  # of what a session asks


class Sessions(Threads):
    """One at each of ``doors``. ``tables``: the rows are spread over them; ``run``: what their keys
    begin with. ``reads``: how many were answered."""

    def __init__(self, doors: Sequence[Door], tables: Sequence[str], run: str, seed: int) -> None:
        self._doors, self._tables = list(doors), tables
        self._rows = [f"{run}/session{n}" for n in range(len(doors))]
        self.reads = 0
        self.wrong: list[str] = []
        super().__init__(
            partial(self._go_on, n, random.Random(f"{seed}/session{n}")) for n in range(len(doors))
        )

    def _go_on(self, number: int, rng: random.Random) -> None:
        door, own = self._doors[number], self._rows[number]
        seen = dict.fromkeys(self._rows, 0)
        try:
            while not self._stop.wait(PACE_S):
                try:
                    if rng.random() < WRITES:
                        seen[own] = max(seen[own], self._write(door, own))
                    else:
                        self._read(door, rng.choice(self._rows), seen)
                except (BotoCoreError, ClientError) as error:
                    if isinstance(error, ClientError):
                        shaped(error)
        except BaseException as error:
            self.wrong.append(f"the session at {door.name} ended with {error!r}")

    def _write(self, door: Door, row: str) -> int:
        """The number that the row has by this write."""
        told = door.client("dynamodb", ONCE).update_item(
            **self._at(row),
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(told["Attributes"]["n"]["N"])

    def _read(self, door: Door, row: str, seen: dict[str, int]) -> None:
        item = door.client("dynamodb", ONCE).get_item(**self._at(row)).get("Item", {})
        found = int(item.get("n", {"N": "0"})["N"])
        self.reads += 1
        if found < seen[row]:
            self.wrong.append(f"{door.name} told {found} of {row} after {seen[row]}")
        seen[row] = max(seen[row], found)

    def _at(self, row: str) -> dict[str, Any]:
        return {"TableName": one_of(self._tables, row), "Key": {"PK": {"S": row}}}
