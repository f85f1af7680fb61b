"""Random DynamoDB operations beside a plain model: a dictionary of items, a list of changes."""

from __future__ import annotations

import base64
import copy
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from pileus.errors import AwsError
from tests.simulation.expressions import (
    BadPath,
    Bindings,
    Item,
    condition,
    number,
    some_item,
    some_text,
    update,
)
from tests.simulation.machines import Machine
from tests.simulation.promises import require

FAILED = "ConditionalCheckFailedException"
Key = tuple[str, Any]


def updated(item: Item, there: bool, text: str, change: Callable[[Item], None]) -> Item | None:
    """The item an update leaves, None where it makes none: it only takes away, from nothing.
    ``BadPath`` when it cannot be."""
    if not there and not {"SET", "ADD"} & set(text.split()):
        return None
    new = copy.deepcopy(item)
    change(new)
    return new


class Model:
    """One table: ``p`` and ``r`` are its keys, ``r`` of type S, N or B. ``g`` and ``h`` key the
    sparse index by-g, ``r``'s partition and ``n`` the local index by-n."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.rng = rng
        self.kind = rng.choice("SNB")
        self.items: dict[str, Item] = {}
        self.changes: list[tuple[Item | None, Item | None]] = []
        self.indexed = ["by-g"]

    def definition(self) -> dict[str, Any]:
        types = {"p": "S", "r": self.kind, "g": "S", "h": "N", "n": "N"}
        only = {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["s"]}
        return {
            "TableName": self.name,
            "AttributeDefinitions": [
                {"AttributeName": n, "AttributeType": t} for n, t in types.items()
            ],
            "KeySchema": schema("p", "r"),
            "BillingMode": "PAY_PER_REQUEST",
            "GlobalSecondaryIndexes": [by_g("by-g", {"ProjectionType": "ALL"})],
            "LocalSecondaryIndexes": [
                {"IndexName": "by-n", "KeySchema": schema("p", "n"), "Projection": only}
            ],
            "StreamSpecification": {
                "StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }  # fmt: skip

    # -- values --------------------------------------------------------------------------------

    def key(self) -> Item:
        rng = self.rng
        range_values: dict[str, Callable[[], Any]] = {
            "S": lambda: {"S": rng.choice(("a", "a\x00", "a\x00b", "b", "ä", "𝄞", "zz"))},
            "N": lambda: number(Decimal(rng.choice((-100, -10, -2, -1, 0, 1, 2, 10, 15))) / 10),
            "B": lambda: {"B": base64.b64encode(bytes(rng.choices((0, 1, 255), k=2))).decode()},
        }
        return {"p": {"S": rng.choice("AB")}, "r": range_values[self.kind]()}

    def item(self) -> Item:
        rng = self.rng
        made = some_item(rng)
        if rng.random() < 0.6:
            made["g"] = {"S": rng.choice("xy")}
        if rng.random() < 0.7:
            made["h"] = number(rng.randint(-3, 3))
        return {**self.key(), **made}

    def find(self, key: Item) -> Item | None:
        return self.items.get(place(key))

    def order(self, item: Item) -> Any:
        return ordinal(item["r"])

    # -- changes -------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        self._note(item, copy.deepcopy(item))

    def delete(self, key: Item) -> None:
        self._note(key, None)

    def _note(self, key: Item, new: Item | None) -> None:
        old = self.items.get(place(key))
        if new is None:
            self.items.pop(place(key), None)
        else:
            self.items[place(key)] = new
        if same(old) != same(new):
            self.changes.append((copy.deepcopy(old), copy.deepcopy(new)))


def schema(*names: str) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [{"AttributeName": n, "KeyType": k} for n, k in zip(names, kinds, strict=False)]


def by_g(name: str, projection: dict[str, Any]) -> dict[str, Any]:
    return {"IndexName": name, "KeySchema": schema("g", "h"), "Projection": projection}


def place(key: Item) -> str:
    return f"{key['p']}{key['r']}"


def ordinal(value: dict[str, Any]) -> Any:
    """A key attribute's place in its order."""
    kind, content = next(iter(value.items()))
    if kind == "N":
        return Decimal(content)
    return content.encode() if kind == "S" else base64.b64decode(content)


def same(item: Item | None) -> Any:
    """An item to compare: sets have no order."""
    if item is None:
        return None
    return {n: {"SS": sorted(v["SS"])} if "SS" in v else v for n, v in item.items()}


class Tables:
    """One caller with two tables of its own."""

    def __init__(self, machine: Machine, rng: random.Random, name: str) -> None:
        self.machine = machine
        self.rng = rng
        self.models = [Model(f"{name}-{i}", rng) for i in range(2)]
        self.done = 0

    async def run(self, operation: str, **params: Any) -> Any:
        return await self.machine.call(lambda desk, id: desk.table(operation, id, **params))

    async def refusal(self, operation: str, **params: Any) -> str:
        """The error's code, '' for success."""
        try:
            await self.run(operation, **params)
        except AwsError as error:
            return error.code
        return ""

    async def begin(self) -> None:
        for model in self.models:
            await self.run("CreateTable", **model.definition())

    async def step(self) -> None:
        """One random operation, compared with the model."""
        model = self.rng.choice(self.models)
        steps: list[tuple[int, Callable[[Model], Awaitable[None]]]] = [
            (4, self._put), (4, self._update), (2, self._delete), (2, self._batch),
            (3, self._transact), (2, self._get), (1, self._late_index),
        ]  # fmt: skip
        work = self.rng.choices([s for _, s in steps], [w for w, _ in steps])[0]
        await work(model)
        self.done += 1

    def _guarded(
        self, b: Bindings, always: bool = False
    ) -> tuple[dict[str, Any], Callable[[Item], bool]]:
        if not always and self.rng.random() < 0.5:
            return {}, lambda item: True
        text, holds = condition(b)
        return {"ConditionExpression": text}, holds

    async def _put(self, model: Model) -> None:
        b, item = Bindings(self.rng), model.item()
        guard, holds = self._guarded(b)
        allowed = holds(model.find(item) or {})
        params = {"TableName": model.name, "Item": item, **guard, **b.params()}
        code = await self.refusal("PutItem", **params)
        require(code == ("" if allowed else FAILED), f"{params}: {code} on {model.find(item)}")
        if allowed:
            model.put(item)

    async def _delete(self, model: Model) -> None:
        b, key = Bindings(self.rng), model.key()
        guard, holds = self._guarded(b)
        allowed = holds(model.find(key) or {})
        params = {"TableName": model.name, "Key": key, **guard, **b.params()}
        code = await self.refusal("DeleteItem", **params)
        require(code == ("" if allowed else FAILED), f"{params}: {code} on {model.find(key)}")
        if allowed:
            model.delete(key)

    async def _update(self, model: Model) -> None:
        b, key = Bindings(self.rng), model.key()
        text, change = update(b)
        guard, holds = self._guarded(b)
        old = model.find(key)
        params = {"TableName": model.name, "Key": key, "UpdateExpression": text}
        params |= {**guard, **b.params(), "ReturnValues": "ALL_NEW"}
        wanted, new = "", None
        if not holds(old or {}):
            wanted = FAILED
        else:
            try:
                new = updated(old or key, old is not None, text, change)
            except BadPath:
                wanted = "ValidationException"
        try:
            answer = await self.run("UpdateItem", **params)
            code = ""
            found = same(answer.get("Attributes"))
            require(found == same(new), f"{params} on {old}: {answer}")
        except AwsError as error:
            code = error.code
        require(code == wanted, f"{params} on {old}: {code!r}, not {wanted!r}")
        if new is not None:
            model.put(new)

    async def _batch(self, model: Model) -> None:
        writes, seen = [], set()
        for _ in range(self.rng.randint(1, 6)):
            item = model.item()
            if place(item) in seen:
                continue
            seen.add(place(item))
            key = {n: item[n] for n in "pr"}
            put = self.rng.random() < 0.7
            writes.append(
                {"PutRequest": {"Item": item}} if put else {"DeleteRequest": {"Key": key}}
            )
        answer = await self.run("BatchWriteItem", RequestItems={model.name: writes})
        require(answer["UnprocessedItems"] == {}, f"unprocessed: {answer}")
        for write in writes:
            if "PutRequest" in write:
                model.put(write["PutRequest"]["Item"])
            else:
                model.delete(write["DeleteRequest"]["Key"])

    async def _transact(self, model: Model) -> None:
        operations, effects, fails = [], [], False
        seen = set()
        for _ in range(self.rng.randint(2, 4)):
            model, b = self.rng.choice(self.models), Bindings(self.rng)
            item = model.item()
            key = {n: item[n] for n in "pr"}
            if (model.name, place(key)) in seen:
                continue
            seen.add((model.name, place(key)))
            kind = self.rng.choice(("Put", "Update", "Delete", "ConditionCheck"))
            guard, holds = self._guarded(b, always=kind == "ConditionCheck")
            old = model.find(key)
            fails = fails or not holds(old or {})
            told: dict[str, Any] = {"TableName": model.name, **guard}
            told |= {"Item": item} if kind == "Put" else {"Key": key}
            new: Item | None = item
            if kind == "Update":
                text, change = update(b)
                told["UpdateExpression"] = text
                try:
                    new = updated(old or key, old is not None, text, change)
                except BadPath:
                    fails = True
            operations.append({kind: told | b.params()})
            effects.append((kind, model, new, key))
        token = {"ClientRequestToken": f"{self.rng.random()}"} if self.rng.random() < 0.5 else {}
        for _ in range(2 if token else 1):  # a token makes the second one no second effect
            code = await self.refusal("TransactWriteItems", TransactItems=operations, **token)
            wanted = "TransactionCanceledException" if fails else ""
            require(code == wanted, f"{operations}: {code!r}, not {wanted!r}")
        if fails:
            return
        for kind, target, new, key in effects:
            if kind in ("Put", "Update") and new is not None:
                target.put(new)
            elif kind == "Delete":
                target.delete(key)

    async def _get(self, model: Model) -> None:
        keys = [model.key() for _ in range(3)]
        keys = [k for i, k in enumerate(keys) if k not in keys[:i]]
        wanted = [same(model.find(k)) for k in keys]
        one = await self.run("GetItem", TableName=model.name, Key=keys[0])
        require(same(one.get("Item")) == wanted[0], f"GetItem {keys[0]}: {one}, not {wanted[0]}")
        gets = [{"Get": {"TableName": model.name, "Key": k}} for k in keys]
        several = await self.run("TransactGetItems", TransactItems=gets)
        found = [same(r.get("Item")) for r in several["Responses"]]
        require(found == wanted, f"TransactGetItems {keys}: {found}, not {wanted}")

    async def _late_index(self, model: Model) -> None:
        """An index made on a live table and filled by the chores, or taken away again."""
        action: dict[str, Any] = {"Create": by_g("late", {"ProjectionType": "KEYS_ONLY"})}
        if "late" in model.indexed:
            action = {"Delete": {"IndexName": "late"}}
            model.indexed.remove("late")
        else:
            model.indexed.append("late")
        definitions = model.definition()["AttributeDefinitions"]
        await self.run(
            "UpdateTable",
            TableName=model.name,
            AttributeDefinitions=definitions,
            GlobalSecondaryIndexUpdates=[action],
        )
        for _ in range(20):  # a disk that fails puts the filling off
            await self.machine.call(lambda desk, id: desk.chores.settle())
            told = await self.run("DescribeTable", TableName=model.name)
            indexes = told["Table"].get("GlobalSecondaryIndexes", [])
            if all(i["IndexStatus"] == "ACTIVE" for i in indexes):
                return
        require(False, f"an index of {model.name} is never filled: {indexes}")

    def some_filter(self) -> tuple[dict[str, Any], Callable[[Item], bool]]:
        b = Bindings(self.rng)
        if self.rng.random() < 0.5:
            return {}, lambda item: True
        text, holds = condition(b)
        return {"FilterExpression": text, **b.params()}, holds


__all__ = [
    "Model",
    "Tables",
    "by_g",
    "ordinal",
    "place",
    "same",
    "some_text",
]
