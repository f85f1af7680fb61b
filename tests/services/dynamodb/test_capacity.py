"""ConsumedCapacity against the Developer Guide's arithmetic, worked out a second time here.

"Read and write operations", "Item sizes and formats", "Global secondary indexes: provisioned
throughput considerations": sizes are of names and values; an index entry counts what it holds.
"""

from __future__ import annotations

import random
from math import ceil
from typing import Any

from tests.services.dynamodb.desk import Desk, at_desk, index

Item = dict[str, dict[str, Any]]
ONE = {"TableName": "tab"}
LOCAL = ("local",)
KEPT = {
    "keys": {"p", "s", "g"},
    "some": {"p", "s", "h", "v"},
    "all": None,
    "local": {"p", "s", "l"},
}
KEYS = {"keys": ("g",), "some": ("h", "s"), "all": ("g", "h"), "local": ("p", "l")}


def size(item: Item) -> int:
    return sum(len(n.encode()) + value_size(v) for n, v in item.items())


def value_size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":  # small whole numbers only: two digits to a byte, and one
        return 1 + ceil(len(content.strip("-0")) / 2) + content.startswith("-")
    if kind == "L":
        return 3 + sum(1 + value_size(v) for v in content)
    if kind == "M":
        return 3 + sum(1 + len(n.encode()) + value_size(v) for n, v in content.items())
    if kind == "SS":
        return sum(len(x.encode()) for x in content)
    return 1


def entry(name: str, item: Item | None) -> Item | None:
    """What index ``name`` holds of an item."""
    if item is None or not all(k in item for k in KEYS[name]):
        return None
    kept = KEPT[name]
    return item if kept is None else {n: v for n, v in item.items() if n in kept}


def writes(size_bytes: int) -> float:
    return float(max(1, ceil(size_bytes / 1024)))


def write_price(old: Item | None, new: Item | None) -> tuple[float, dict[str, float]]:
    """(table's units, {index: units})."""
    by_index: dict[str, float] = {}
    for name, key in KEYS.items():
        was, becomes = entry(name, old), entry(name, new)
        if was == becomes:
            continue
        if was and becomes and all(was[k] == becomes[k] for k in key):
            by_index[name] = writes(max(size(was), size(becomes)))
        else:
            by_index[name] = sum(writes(size(e)) for e in (was, becomes) if e)
    return writes(max(size(old or {}), size(new or {}))), by_index


def read(size_bytes: int, consistent: bool) -> float:
    return max(1, ceil(size_bytes / 4096)) / (1 if consistent else 2)


def shown(base: float, by_index: dict[str, float], extra: str = "") -> dict[str, Any]:
    """ConsumedCapacity with INDEXES."""

    def units(n: float) -> dict[str, float]:
        return {"CapacityUnits": n, **({extra: n} if extra else {})}

    out = {**ONE, **units(base + sum(by_index.values())), "Table": units(base)}
    for member, local in (("LocalSecondaryIndexes", True), ("GlobalSecondaryIndexes", False)):
        found = {n: units(u) for n, u in by_index.items() if (n in LOCAL) == local}
        if found:
            out[member] = found
    return out


class Account:
    """The table as it should be, beside the one on the desk."""

    def __init__(self, desk: Desk, dice: random.Random) -> None:
        self.desk, self.dice = desk, dice
        self.items: dict[tuple[str, str], Item] = {}

    def item(self) -> Item:
        """An item of some size with some of the index keys."""
        dice = self.dice
        item: Item = {"p": {"S": dice.choice("ab")}, "s": {"S": dice.choice("xyz")}}
        for name in ("g", "h", "l"):
            if dice.random() < 0.6:
                item[name] = {"S": dice.choice(["k", "ä" * 300])}
        if dice.random() < 0.7:
            item["v"] = {"S": "v" * dice.choice([0, 10, 900, 1010, 1024, 3000, 5000])}
        if dice.random() < 0.3:
            nested = [{"N": "12"}, {"BOOL": True}, {"SS": ["ü", "zz"]}]
            item["deep"] = {"M": {"ö": {"L": nested}, "n": {"N": "-7"}}}
        return item

    def old(self, item: Item) -> Item | None:
        return self.items.get((item["p"]["S"], item["s"]["S"]))

    def note(self, item: Item, new: Item | None) -> None:
        place = (item["p"]["S"], item["s"]["S"])
        if new is None:
            self.items.pop(place, None)
        else:
            self.items[place] = new

    async def put(self) -> None:
        item = self.item()
        answer = await self.desk.PutItem(**ONE, Item=item, ReturnConsumedCapacity="INDEXES")
        assert answer["ConsumedCapacity"] == shown(*write_price(self.old(item), item))
        self.note(item, item)

    async def delete(self) -> None:
        key = {n: v for n, v in self.item().items() if n in "ps"}
        answer = await self.desk.DeleteItem(**ONE, Key=key, ReturnConsumedCapacity="TOTAL")
        base, by_index = write_price(self.old(key), None)
        total = base + sum(by_index.values())
        assert answer["ConsumedCapacity"] == {**ONE, "CapacityUnits": total}
        self.note(key, None)

    async def update(self) -> None:
        whole = self.item()
        key = {n: whole[n] for n in "ps"}
        old, rest = self.old(key), {n: v for n, v in whole.items() if n not in "ps"}
        gone = [n for n in ("g", "h", "l", "v") if n not in rest and self.dice.random() < 0.5]
        text = "".join(f" SET {', '.join(f'{n} = :{n}' for n in rest)}" if rest else "")
        text += f" REMOVE {', '.join(gone)}" if gone else ""
        params = {"UpdateExpression": text} if text else {}
        if rest:
            params["ExpressionAttributeValues"] = {f":{n}": v for n, v in rest.items()}  # type: ignore[assignment]
        answer = await self.desk.UpdateItem(
            **ONE, Key=key, ReturnConsumedCapacity="INDEXES", **params
        )
        new = {n: v for n, v in {**(old or key), **rest}.items() if n not in gone}
        assert answer["ConsumedCapacity"] == shown(*write_price(old, new))
        self.note(key, new)

    async def batch(self) -> None:
        await self._several("BatchWriteItem")

    async def transaction(self) -> None:
        await self._several("TransactWriteItems")

    async def _several(self, operation: str) -> None:
        items = {(i["p"]["S"], i["s"]["S"]): i for i in (self.item() for _ in range(4))}
        prices, requests = [], []
        for place, item in items.items():
            put = self.dice.random() < 0.7
            key = {n: item[n] for n in "ps"}
            old = self.items.get(place)
            prices.append(write_price(old, item if put else None))
            self.note(item, item if put else None)
            if operation == "BatchWriteItem":
                requests.append(
                    {"PutRequest": {"Item": item}} if put else {"DeleteRequest": {"Key": key}}
                )
            else:
                requests.append(
                    {"Put": {**ONE, "Item": item}} if put else {"Delete": {**ONE, "Key": key}}
                )
        doubled, extra = (2, "WriteCapacityUnits") if operation == "TransactWriteItems" else (1, "")
        more: dict[str, Any] = (
            {"TransactItems": requests} if doubled == 2 else {"RequestItems": {"tab": requests}}
        )
        answer = await getattr(self.desk, operation)(**more, ReturnConsumedCapacity="INDEXES")
        by_index: dict[str, float] = {}
        for _, used in prices:
            for name, n in used.items():
                by_index[name] = by_index.get(name, 0.0) + n
        base = doubled * sum(b for b, _ in prices)
        assert answer["ConsumedCapacity"] == [shown(base, by_index, extra)]

    async def reads(self) -> None:
        consistent = self.dice.random() < 0.5
        how = {**ONE, "ConsistentRead": consistent, "ReturnConsumedCapacity": "INDEXES"}
        key = {n: v for n, v in self.item().items() if n in "ps"}
        here = read(size(self.old(key) or {}), consistent)
        more: dict[str, Any] = self.dice.choice([{}, {"ProjectionExpression": "s"}])
        got = await self.desk.GetItem(**how, Key=key, **more)
        assert got["ConsumedCapacity"] == shown(here, {})
        batch = {"tab": {"Keys": [key], "ConsistentRead": consistent}}
        got = await self.desk.BatchGetItem(RequestItems=batch, ReturnConsumedCapacity="INDEXES")
        assert got["ConsumedCapacity"] == [shown(here, {})]
        got = await self.desk.TransactGetItems(
            TransactItems=[{"Get": {**ONE, "Key": key}}], ReturnConsumedCapacity="INDEXES"
        )
        twice = 2 * read(size(self.old(key) or {}), True)
        assert got["ConsumedCapacity"] == [shown(twice, {}, "ReadCapacityUnits")]
        mine = [i for i in self.items.values() if i["p"] == key["p"]]
        found = await self.desk.Query(
            **how,
            KeyConditionExpression="p = :p",
            FilterExpression="v = :p",
            ExpressionAttributeValues={":p": key["p"]},
        )
        assert found["ConsumedCapacity"] == shown(read(sum(map(size, mine)), consistent), {})
        found = await self.desk.Scan(**how, Select="COUNT")
        everything = sum(map(size, self.items.values()))
        assert found["ConsumedCapacity"] == shown(read(everything, consistent), {})

    async def index_reads(self) -> None:
        how = {**ONE, "ReturnConsumedCapacity": "INDEXES"}
        for name in KEYS:
            held = [e for e in (entry(name, i) for i in self.items.values()) if e]
            used = {name: read(sum(map(size, held)), False)}
            found = await self.desk.Scan(**how, IndexName=name)
            assert found["ConsumedCapacity"] == shown(0.0, used)
        held = [i for i in self.items.values() if i["p"]["S"] == "a" and "l" in i]
        kept = [entry("local", i) or {} for i in held]
        whole = sum(read(size(i), False) for i in held)  # each item fetched is rounded on its own
        found = await self.desk.Query(
            **how,
            IndexName="local",
            Select="ALL_ATTRIBUTES",
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": {"S": "a"}},
        )
        assert found["ConsumedCapacity"] == shown(
            whole, {"local": read(sum(map(size, kept)), False)}
        )


def test_every_price_is_the_one_worked_out_here() -> None:
    async def main(desk: Desk) -> None:
        await desk.table(
            "tab",
            "p:S",
            "s:S",
            also=("g:S", "h:S", "l:S"),
            GlobalSecondaryIndexes=[
                index("keys", "g", projection="KEYS_ONLY"),
                index("some", "h", "s", projection="INCLUDE", NonKeyAttributes=["v"]),
                index("all", "g", "h"),
            ],
            LocalSecondaryIndexes=[index("local", "p", "l", projection="KEYS_ONLY")],
        )
        account = Account(desk, random.Random(11))
        steps = (
            *(account.put, account.delete, account.update, account.batch),
            *(account.transaction, account.reads, account.index_reads),
        )
        for _ in range(400):
            await account.dice.choice(steps)()

    at_desk(main)
