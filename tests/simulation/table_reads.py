"""What a table's readers must find: queries, scans, indexes, the stream, all against the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.simulation.expressions import Bindings, Item, number
from tests.simulation.promises import require
from tests.simulation.tables import Model, Tables, ordinal, same

Bound = Callable[[Any], bool]


async def pages(tables: Tables, operation: str, **params: Any) -> list[Item]:
    """All pages; each no larger than asked."""
    out: list[Item] = []
    start: dict[str, Any] = {}
    while True:
        answer = await tables.run(operation, **params, **start)
        require(answer["Count"] == len(answer["Items"]), f"{operation}: Count {answer['Count']}")
        require(answer["ScannedCount"] <= params.get("Limit", 1000), f"{operation}: too much read")
        out += answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return out
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


async def check(tables: Tables) -> None:
    """Random reads of each table, then its stream from the beginning."""
    for model in tables.models:
        for _ in range(6):
            await query(tables, model)
        await scan(tables, model)
        for name in model.indexed:
            await index(tables, model, name)
        await local_index(tables, model)
        await stream(tables, model)


def range_condition(tables: Tables, model: Model, b: Bindings) -> tuple[str, Bound]:
    """A condition on the sort key, and what it means."""
    low, high = sorted((model.key()["r"], model.key()["r"]), key=ordinal)
    a, z = ordinal(low), ordinal(high)
    choices: list[tuple[Callable[[], str], Bound]] = [
        (lambda: "", lambda o: True),
        (lambda: f" AND r = {b.value(low)}", lambda o: o == a),
        (lambda: f" AND r < {b.value(low)}", lambda o: o < a),
        (lambda: f" AND r <= {b.value(low)}", lambda o: o <= a),
        (lambda: f" AND r > {b.value(low)}", lambda o: o > a),
        (lambda: f" AND r >= {b.value(low)}", lambda o: o >= a),
        (
            lambda: f" AND r BETWEEN {b.value(low)} AND {b.value(high)}",
            lambda o: a <= o <= z,
        ),
    ]
    if model.kind != "N":
        choices.append((lambda: f" AND begins_with(r, {b.value(low)})", lambda o: o.startswith(a)))
    text, holds = tables.rng.choice(choices)
    return text(), holds


async def query(tables: Tables, model: Model) -> None:
    rng = tables.rng
    b, p, down = Bindings(rng), rng.choice("AB"), rng.random() < 0.5
    more, holds = range_condition(tables, model, b)
    text = f"p = {b.value({'S': p})}{more}"
    filtered, passes = tables.some_filter()
    values = filtered.pop("ExpressionAttributeValues", {})
    renamed = {f"{k}f": v for k, v in values.items()}
    expression = re.sub(r":v\d+", r"\g<0>f", filtered.get("FilterExpression", ""))
    params: dict[str, Any] = {
        **filtered,
        **({"FilterExpression": expression} if expression else {}),
        "TableName": model.name,
        "KeyConditionExpression": text,
        "ExpressionAttributeValues": {**b.values, **renamed},
        "ScanIndexForward": not down,
    }
    if rng.random() < 0.6:
        params["Limit"] = rng.randint(1, 3)
    found = await pages(tables, "Query", **params)
    wanted = [i for i in model.items.values() if i["p"] == {"S": p} and holds(ordinal(i["r"]))]
    wanted.sort(key=model.order, reverse=down)
    wanted = [i for i in wanted if passes(i)]
    require(
        [same(i) for i in found] == [same(i) for i in wanted],
        f"Query {params}: {found}, not {wanted}",
    )


async def scan(tables: Tables, model: Model) -> None:
    """In segments, in pages: every item once."""
    filtered, passes = tables.some_filter()
    segments = tables.rng.randint(1, 3)
    found: list[Item] = []
    for segment in range(segments):
        told = {"Segment": segment, "TotalSegments": segments} if segments > 1 else {}
        limit = tables.rng.randint(1, 4)
        found += await pages(tables, "Scan", TableName=model.name, Limit=limit, **told, **filtered)
    wanted = [i for i in model.items.values() if passes(i)]
    require(bag(found) == bag(wanted), f"Scan {filtered}: {found}, not {wanted}")


async def index(tables: Tables, model: Model, name: str) -> None:
    for g in "xy":
        found = await pages(
            tables,
            "Query",
            TableName=model.name,
            IndexName=name,
            KeyConditionExpression="g = :g AND h >= :h",
            ExpressionAttributeValues={":g": {"S": g}, ":h": number(-1)},
            Limit=tables.rng.randint(1, 4),
        )
        wanted = [
            i
            for i in model.items.values()
            if i.get("g") == {"S": g} and "h" in i and ordinal(i["h"]) >= -1
        ]
        if name == "late":
            wanted = [{n: v for n, v in i.items() if n in "prgh"} for i in wanted]
        require(bag(found) == bag(wanted), f"{name} {g}: {found}, not {wanted}")
        places = [ordinal(i["h"]) for i in found]
        require(places == sorted(places), f"{name} {g} is out of order: {places}")


async def local_index(tables: Tables, model: Model) -> None:
    found = await pages(
        tables,
        "Query",
        TableName=model.name,
        IndexName="by-n",
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": {"S": "A"}},
        ScanIndexForward=False,
    )
    held = [i for i in model.items.values() if i["p"] == {"S": "A"} and "n" in i]
    wanted = [{n: v for n, v in i.items() if n in "prns"} for i in held]
    require(bag(found) == bag(wanted), f"by-n: {found}, not {wanted}")
    places = [ordinal(i["n"]) for i in found]
    require(places == sorted(places, reverse=True), f"by-n is out of order: {places}")


async def stream(tables: Tables, model: Model) -> None:
    """Every change once, in order, with both images."""
    described = await tables.run("DescribeTable", TableName=model.name)
    arn = described["Table"]["LatestStreamArn"]
    told = await tables.run("DescribeStream", StreamArn=arn)
    shard = told["StreamDescription"]["Shards"][0]["ShardId"]
    at = await tables.run(
        "GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )
    found: list[tuple[str, Any, Any]] = []
    iterator = at["ShardIterator"]
    while True:
        answer = await tables.run("GetRecords", ShardIterator=iterator, Limit=7)
        for record in answer["Records"]:
            images = record["dynamodb"]
            old, new = same(images.get("OldImage")), same(images.get("NewImage"))
            found.append((record["eventName"], old, new))
        if not answer["Records"]:
            break
        iterator = answer["NextShardIterator"]
    wanted = [(event(old, new), same(old), same(new)) for old, new in model.changes]
    require(found == wanted, f"the stream of {model.name}: {found}, not {wanted}")


def event(old: Item | None, new: Item | None) -> str:
    return "REMOVE" if new is None else "INSERT" if old is None else "MODIFY"


def bag(items: list[Item]) -> list[str]:
    """Items without order."""
    return sorted(repr(sorted((same(i) or {}).items())) for i in items)
