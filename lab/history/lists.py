"""Lists changed by transactions: requests, what their answers tell, what to ask next.

Each key holds a list; every value is appended once. A transaction appends to some lists and may
state the lists of others as its caller last saw them (ConditionCheck): it is refused when one has
changed, so those count as read by it.
"""

from __future__ import annotations

import random
from typing import Any

from lab.history.asking import Refused
from lab.history.names import one_of
from lab.history.registers import FOUND, Request

Steps = tuple[tuple[Any, ...], ...]


class Lists:
    """Lists of numbers in a table whose only key is ``PK``; of several tables a key says in which.

    ``kind``: ``read`` of one key (GetItem) or several (TransactGetItems), ``append`` to one
    (UpdateItem, which tells what the list was), ``transact`` for TransactWriteItems.
    """

    service = "dynamodb"

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def request(self, kind: str, steps: Steps) -> Request:
        """The operation and its parameters."""
        first = steps[0]
        if kind == "append":
            return "UpdateItem", {**self._appending(*first[1:]), "ReturnValues": "ALL_NEW"}
        if kind == "read" and len(steps) == 1:
            return "GetItem", {**self._at(first[1]), "ConsistentRead": True}
        if kind == "read":
            return "TransactGetItems", {"TransactItems": [{"Get": self._at(s[1])} for s in steps]}
        items = [
            {"Update": self._appending(key, value)}
            if step == "append"
            else {"ConditionCheck": self._stating(key, value)}
            for step, key, value in steps
        ]
        return "TransactWriteItems", {"TransactItems": items}

    def _at(self, key: str) -> dict[str, Any]:
        return {"TableName": one_of(self.tables, key), "Key": {"PK": {"S": key}}}

    def _appending(self, key: str, value: int) -> dict[str, Any]:
        return {
            **self._at(key),
            "UpdateExpression": "SET l = list_append(if_not_exists(l, :none), :new)",
            "ExpressionAttributeValues": {":none": {"L": []}, ":new": listed((value,))},
        }

    def _stating(self, key: str, values: tuple[int, ...]) -> dict[str, Any]:
        if not values:
            return {**self._at(key), "ConditionExpression": "attribute_not_exists(l)", **FOUND}
        return {
            **self._at(key),
            "ConditionExpression": "l = :seen",
            "ExpressionAttributeValues": {":seen": listed(values)},
            **FOUND,
        }

    def done(self, kind: str, steps: Steps, answer: dict[str, Any]) -> Steps:
        """The steps that happened, as the answer tells."""
        if kind == "transact":
            return steps
        if kind == "append":
            now = values_of(answer["Attributes"])
            return (("read", steps[0][1], now[:-1]), ("append", steps[0][1], now[-1]))
        held = [answer] if len(steps) == 1 else answer["Responses"]
        return tuple(
            ("read", step[1], values_of(part.get("Item")))
            for step, part in zip(steps, held, strict=True)
        )

    def refused(self, kind: str, verdict: Refused) -> None:
        """Raises the verdict where it is none of the model."""
        if kind == "append" or verdict.code != "TransactionCanceledException":
            raise verdict


def listed(values: tuple[int, ...]) -> dict[str, Any]:
    return {"L": [{"N": str(v)} for v in values]}


def values_of(item: Any) -> tuple[int, ...]:
    """The list in an item; empty where there is none."""
    return tuple(int(v["N"]) for v in item["l"]["L"]) if item and "l" in item else ()


class ListPlan:
    """What one caller asks next."""

    def __init__(self, process: str, rng: random.Random, keys: tuple[str, ...]) -> None:
        self.process, self.rng, self.keys = process, rng, keys
        self._seen: dict[str, tuple[int, ...]] = {}
        self._minted = rng.randrange(10**9) * 10**6

    def _mint(self) -> int:
        self._minted += 1
        return self._minted

    def next(self) -> tuple[str, Steps]:
        """(kind, steps)."""
        keys = self.rng.sample(self.keys, self.rng.randint(1, 3))
        kind = self.rng.choice(("read", "append", "transact", "transact"))
        if kind == "read":
            return kind, tuple(("read", k, ()) for k in keys)
        if kind == "append":
            return kind, (("append", keys[0], self._mint()),)
        stated = [k for k in keys[1:] if k in self._seen and self.rng.random() < 0.6]
        return kind, tuple(
            ("read", k, self._seen[k]) if k in stated else ("append", k, self._mint()) for k in keys
        )

    def note(self, done: Steps | None) -> None:
        """Remember what the lists hold; after a refusal look again."""
        if done is None:
            self._seen.clear()
        for step, key, value in done or ():
            held = value if step == "read" else (*self._seen.get(key, ()), value)
            if step == "read" or key in self._seen:
                self._seen[key] = held
