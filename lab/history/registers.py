"""Single items and objects as registers: requests, what their answers tell, what to ask next.

Any endpoint that speaks DynamoDB's or S3's API will do. Values are unique; conditions expect what
the caller last saw. Nothing here talks: ``load`` does, and a simulation may.
"""

from __future__ import annotations

import random
from typing import Any

from lab.history.asking import Refused
from lab.history.names import one_of

Request = tuple[str, dict[str, Any]]
Told = tuple[Any, ...]
FOUND = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class Items:
    """Registers and counters in a table whose only key is ``PK``; of several tables a key says in
    which it lies."""

    service = "dynamodb"

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def request(self, kind: str, key: str, given: tuple[Any, ...]) -> Request:
        """The operation and its parameters."""
        table = one_of(self.tables, key)
        at = {"TableName": table, "Key": {"PK": {"S": key}}}
        if kind == "read":
            return "GetItem", {**at, "ConsistentRead": True}
        if kind == "add":
            return "UpdateItem", {
                **at,
                "UpdateExpression": "ADD v :n",
                "ExpressionAttributeValues": {":n": {"N": str(given[0])}},
                "ReturnValues": "UPDATED_NEW",
            }
        if given[-1] is None:
            return "DeleteItem", {**at, "ReturnValues": "ALL_OLD"}
        put = {"TableName": table, "Item": {"PK": {"S": key}, "v": {"S": given[-1]}}}
        if kind == "write":
            return "PutItem", {**put, "ReturnValues": "ALL_OLD"}
        if given[0] is None:
            return "PutItem", {**put, "ConditionExpression": "attribute_not_exists(PK)", **FOUND}
        return "PutItem", {
            **put,
            "ConditionExpression": "v = :old",
            "ExpressionAttributeValues": {":old": {"S": given[0]}},
            **FOUND,
        }

    def told(self, kind: str, given: tuple[Any, ...], answer: dict[str, Any]) -> Told:
        """What the answer says about the register."""
        if kind == "swap":
            return ("done",)
        return (value_of(answer.get("Item" if kind == "read" else "Attributes")),)

    def refused(self, kind: str, verdict: Refused) -> Told:
        """What a verdict says about it; raises the verdict where it is none of the model."""
        if kind != "swap" or verdict.code != "ConditionalCheckFailedException":
            raise verdict
        return ("refused", value_of(verdict.found))


def value_of(item: Any) -> Any:
    """The register's value in an item; None where there is none."""
    if not item or "v" not in item:
        return None
    [(kind, content)] = item["v"].items()
    return int(content) if kind == "N" else content


class Objects:
    """Registers that are objects of a bucket, of several by their keys; a swap is a put with
    If-Match or If-None-Match."""

    service = "s3"

    def __init__(self, *buckets: str) -> None:
        self.buckets = buckets
        self.tags: dict[str, str] = {}

    def request(self, kind: str, key: str, given: tuple[Any, ...]) -> Request:
        at = {"Bucket": one_of(self.buckets, key), "Key": key}
        if kind == "read":
            return "GetObject", at
        if given[-1] is None:
            return "DeleteObject", at
        put = {**at, "Body": given[-1].encode()}
        if kind == "write":
            return "PutObject", put
        if given[0] is None:
            return "PutObject", {**put, "IfNoneMatch": "*"}
        return "PutObject", {**put, "IfMatch": self.tags[given[0]]}

    def told(self, kind: str, given: tuple[Any, ...], answer: dict[str, Any]) -> Told:
        value = answer["Body"].decode() if kind == "read" else given[-1]
        if value is not None:
            self.tags[value] = answer["ETag"]
        return {"read": (value,), "swap": ("done",)}.get(kind, ())

    def refused(self, kind: str, verdict: Refused) -> Told:
        if kind == "read" and verdict.code == "NoSuchKey":
            return (None,)
        # If-Match on a key that is not there is NoSuchKey.
        if kind != "swap" or verdict.code not in ("PreconditionFailed", "NoSuchKey"):
            raise verdict
        return ("refused",)


class RegisterPlan:
    """What one caller asks next. ``counters``: keys that are only added to and read."""

    def __init__(
        self,
        process: str,
        rng: random.Random,
        keys: tuple[str, ...],
        counters: tuple[str, ...] = (),
    ) -> None:
        self.process, self.rng, self.keys, self.counters = process, rng, keys, counters
        self._seen: dict[str, Any] = {}
        self._number = 0

    def next(self) -> tuple[str, str, tuple[Any, ...]]:
        """(kind, key, given)."""
        key = self.rng.choice((*self.keys, *self.counters))
        self._number += 1
        value = f"{self.process}-{self._number}"
        kinds = (
            ("read", "add", "add") if key in self.counters else ("read", "write", "swap", "swap")
        )
        kind = self.rng.choice(kinds)
        return kind, key, {
            "read": (),
            "add": (self.rng.randint(1, 10**6),),
            "write": (None if self.rng.random() < 0.2 else value,),
            "swap": (self._seen.get(key), value),
        }[kind]  # fmt: skip

    def note(self, kind: str, key: str, given: tuple[Any, ...], told: Told) -> None:
        """Remember what the register held, for the next swap."""
        if kind == "write" or told == ("done",):
            self._seen[key] = given[-1]
        elif told == ("refused",):
            self._seen.pop(key, None)
        else:
            self._seen[key] = told[-1]
