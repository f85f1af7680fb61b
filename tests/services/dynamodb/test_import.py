"""Imports: every format and compression, what is wrong with items, runs that are cut off."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
import zstandard

from lab.tables import keyed
from pileus.services.dynamodb.copying import ion
from tests.services.dynamodb.desk import ROOT, Desk, at_desk, index
from tests.services.dynamodb.shelf import Shelf
from tests.services.dynamodb.test_backups import scan

Told = dict[str, Any]


def lines(*items: Any) -> bytes:
    return b"".join(orjson.dumps({"Item": i}) + b"\n" for i in items)


def item(key: str, **more: str) -> Told:
    return {"p": {"S": key}, **{n: {"S": v} for n, v in more.items()}}


def asked(name: str = "new", **more: Any) -> Told:
    made: Told = {
        "TableName": name,
        **keyed(p="S"),
        **more.pop("made", {}),
    }
    return {
        "S3BucketSource": {"S3Bucket": "shelf", "S3KeyPrefix": "in/"},
        "InputFormat": "DYNAMODB_JSON",
        "TableCreationParameters": made,
        **more,
    }


async def imported(desk: Desk, **more: Any) -> Told:
    """Import to the end; answers the last description."""
    promised = (await desk.ImportTable(**asked(**more)))["ImportTableDescription"]
    assert promised["ImportStatus"] == "IN_PROGRESS"
    await desk.chores.jobs.finish()
    return await described(desk, promised["ImportArn"])


async def described(desk: Desk, arn: str) -> Told:
    told = await desk.DescribeImport(ImportArn=arn)
    return dict(told["ImportTableDescription"])


@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        ("NONE", lambda data: data),
        ("GZIP", lambda data: gzip.compress(data[:900]) + gzip.compress(data[900:])),
        (
            "ZSTD",
            lambda data: zstandard.compress(data[:900]) + zstandard.compress(data[900:]),
        ),
    ],
)
def test_every_compression(compression: str, pack: Any) -> None:
    items = [item(f"k{i}", v="x" * 40) for i in range(300)]

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        for n in range(3):
            shelf.objects["shelf"][f"in/{n}"] = pack(lines(*items[n::3]).rstrip(b"\n"))
        shelf.objects["shelf"]["other"] = b"not of this import"
        told = await imported(desk, InputCompressionType=compression)
        assert told["ImportStatus"] == "COMPLETED", told
        assert told["ImportedItemCount"] == told["ProcessedItemCount"] == 300
        assert told["ProcessedSizeBytes"] == len(lines(*items)) - 3
        assert await scan(desk, "new") == {i["p"]["S"]: i for i in items}
        table = (await desk.DescribeTable(TableName="new"))["Table"]
        assert table["TableStatus"] == "ACTIVE"
        assert {p for _, _, p in shelf.calls} == {ROOT}

    at_desk(test)


def test_lines_of_ion_text() -> None:
    good = [item("one", v="x"), {**item("two"), "n": {"N": "2000"}, "s": {"NS": ["1", "2.5"]}}]
    text = ion.line({"Item": good[0]}) + b"{Item:{p:" + b"\n\n" + ion.line({"Item": good[1]})

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        shelf.objects["shelf"]["in/a.ion.gz"] = gzip.compress(text + b"{Item:{q:1}}")
        told = await imported(desk, InputFormat="ION", InputCompressionType="GZIP")
        assert (told["ImportedItemCount"], told["ErrorCount"]) == (2, 2)
        assert await scan(desk, "new") == {i["p"]["S"]: i for i in good}

    at_desk(test)


def test_csv_with_indexes_quotes_and_types() -> None:
    text = (
        'p,n,g,"a note"\r\n'
        'one,1,x,"said ""hello"",\nthen left"\r\n'
        "two,2.50,,\r\n"
        "\r\n"
        "three,none,x,y\r\n"
        "four,4,x\r\n"
        "five,5,z,last"
    )
    note = 'said "hello",\nthen left'
    made = {
        "AttributeDefinitions": [
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
            {"AttributeName": "g", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "p", "KeyType": "HASH"},
            {"AttributeName": "n", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [index("by-g", "g")],
    }

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        shelf.objects["shelf"]["in/a.csv"] = b"\xef\xbb\xbf" + text.encode()
        told = await imported(desk, InputFormat="CSV", made=made)
        assert (told["ImportedItemCount"], told["ErrorCount"]) == (3, 2)
        assert (told["ImportStatus"], told["FailureCode"]) == ("FAILED", "ItemValidationError")
        assert await scan(desk, "new") == {
            "one": {
                **item("one", g="x"),
                "n": {"N": "1"},
                "a note": {"S": note},
            },
            "two": {"p": {"S": "two"}, "n": {"N": "2.5"}, "a note": {"S": ""}},
            "five": {**item("five", g="z"), "n": {"N": "5"}, "a note": {"S": "last"}},
        }
        assert (await scan(desk, "new", IndexName="by-g")).keys() == {"one", "five"}
        wrong = [orjson.loads(x) for x in shelf.lines]
        assert [w["itemS3Pointer"]["itemIndex"] for w in wrong] == [2, 3]
        assert "3 fields, the header 4" in wrong[1]["errorMessages"][0]

    at_desk(test)


def test_a_header_list_and_another_delimiter() -> None:
    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        shelf.objects["shelf"]["in/a"] = b"1|a, b\n2|c\n"
        options = {"Csv": {"Delimiter": "|", "HeaderList": ["p", "v"]}}
        await imported(desk, InputFormat="CSV", InputFormatOptions=options)
        assert await scan(desk, "new") == {"1": item("1", v="a, b"), "2": item("2", v="c")}

    at_desk(test)


def test_what_is_wrong_with_items_is_told_and_left_out() -> None:
    bad = [
        b"{",
        b'{"Item": []}',
        b'{"Item": {"p": {"N": "1"}}}',
        b'{"Item": {"q": {"S": "1"}}}',
        b'{"Item": {"p": "1"}}',
        b'{"Item": {"p": {"S": "1"}, "n": {"N": "one"}}}',
        lines(item("big", v="x" * 410_000)).rstrip(),
    ]

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        held = shelf.objects["shelf"]
        held["in/0"] = lines(item("first")) + b"\n".join(bad) + b"\n" + lines(item("last"))
        held["in/1"] = b"no gzip at all"
        held["in/2"] = lines(item("more"))
        told = await imported(desk)
        assert (told["ImportedItemCount"], told["ErrorCount"]) == (3, len(bad) + 1)
        assert (await scan(desk, "new")).keys() == {"first", "last", "more"}
        assert len(shelf.lines) == len(bad) + 1
        places = [orjson.loads(x)["itemS3Pointer"] for x in shelf.lines]
        assert [p["itemIndex"] for p in places if p["key"] == "in/0"] == list(range(1, 8))
        held["in/0"] = gzip.compress(lines(*(item(f"k{i}") for i in range(9))))[:-9]
        held["in/2"] = gzip.compress(lines(item("more")))
        told = await imported(desk, name="zipped", InputCompressionType="GZIP")
        assert (told["ErrorCount"], told["FailureCode"]) == (2, "ItemValidationError")
        assert "more" in await scan(desk, "zipped")

    at_desk(test)


def test_a_run_that_was_cut_off_goes_on() -> None:
    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        for n in range(4):
            items = [item(f"k{n}-{i}") for i in range(50)]
            shelf.objects["shelf"][f"in/{n}"] = lines(*items) + b"wrong\n"
        shelf.fail_after = 4  # two pages of keys, two objects
        promised = (await desk.ImportTable(**asked(ClientToken="t")))["ImportTableDescription"]
        await desk.chores.jobs.settle()
        await shelf.failed.wait()
        await desk.chores.jobs.stop()
        told = await described(desk, promised["ImportArn"])
        assert told["ImportedItemCount"] == 100
        assert (await desk.refused("DeleteTable", TableName="new")).code == "ResourceInUseException"
        shelf.fail_after = 10**9
        again = (await desk.ImportTable(**asked(ClientToken="t")))["ImportTableDescription"]
        assert again["ImportArn"] == promised["ImportArn"]
        await desk.chores.jobs.finish()
        told = await described(desk, promised["ImportArn"])
        assert (told["ImportedItemCount"], told["ErrorCount"]) == (200, 4)
        assert len(await scan(desk, "new")) == 200
        reads = [op for _, op, _ in shelf.calls if op == "GetObject"]
        assert len(reads) == 5  # the third was refused once

    at_desk(test)


def test_imports_that_cannot_be() -> None:
    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        told = await imported(desk, S3BucketSource={"S3Bucket": "elsewhere"})
        assert (told["ImportStatus"], told["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
        assert (await desk.ListTables())["TableNames"] == []
        await desk.chores.settle()
        assert not desk.store.range(b"d:", b"d;")

        async def code(**more: Any) -> str:
            return (await desk.refused("ImportTable", **asked(**more))).code

        assert await code(made={"KeySchema": []}) == "ValidationException"
        await desk.table("there", "p:S")
        assert await code(name="there") == "ResourceInUseException"
        shelf.objects["shelf"]["in/0"] = lines(item("k"))
        desk.clock.ahead_ms += 1000  # the newest is listed first
        told = await imported(desk, ClientToken="t")
        assert told["ImportStatus"] == "COMPLETED"
        assert await code(name="another", ClientToken="t") == "ImportConflictException"
        refused = await desk.refused("DescribeImport", ImportArn=told["ImportArn"] + "x")
        assert refused.code == "ImportNotFoundException"
        found = (await desk.ListImports(TableArn=told["TableArn"]))["ImportSummaryList"]
        assert [f["ImportStatus"] for f in found] == ["COMPLETED", "FAILED"]

    at_desk(test)


def test_nothing_to_import_makes_an_empty_table() -> None:
    async def test(desk: Desk) -> None:
        desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        told = await imported(desk)
        assert (told["ImportStatus"], told["ProcessedItemCount"]) == ("COMPLETED", 0)
        assert await scan(desk, "new") == {}

    at_desk(test)


def test_values_with_no_line_break_between_them() -> None:
    items = [item(f"k{i}", v="not }{ the end") for i in range(4)]
    one, two, three, four = (lines(i).rstrip() for i in items)
    text = one + two + b" \t" + three + b"\r\n " + four + b'{"Item": '
    deep = b"{}" + b'{"Item":' * 100_000

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        shelf.objects["shelf"] |= {"in/a": text, "in/b": deep, "in/c": b"{}{\xff}"}
        told = await imported(desk)
        assert (told["ImportedItemCount"], told["ErrorCount"]) == (4, 4)
        assert await scan(desk, "new") == {i["p"]["S"]: i for i in items}

    at_desk(test)


@pytest.mark.parametrize("compression", ["GZIP", "ZSTD"])
def test_a_bomb_does_not_fill_the_memory(compression: str) -> None:
    data = b" " * 200_000_000
    packed = gzip.compress(data, 9) if compression == "GZIP" else zstandard.compress(data, 19)

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        shelf.objects["shelf"]["in/0"] = packed
        told = await imported(desk, InputCompressionType=compression)
        assert told["ErrorCount"] == 1
        assert told["ProcessedSizeBytes"] <= 32_000_000

    at_desk(test)
