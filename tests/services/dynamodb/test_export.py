"""Exports: files as AWS lays them out, a table as of a moment, what changed between two."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import random
from typing import Any

import orjson
import pytest

from pileus.services.dynamodb.copying import datafiles, ion, records
from tests.services.dynamodb.desk import ROOT, Desk, at_desk
from tests.services.dynamodb.shelf import Shelf
from tests.services.dynamodb.test_backups import Items, put, scan
from tests.services.dynamodb.test_point_in_time import recover, room_of, step

MINUTE_MS = 60_000


def lines(shelf: Shelf, folder: str) -> list[Any]:
    """What the manifest's data files hold."""
    found = []
    held = shelf.objects["shelf"]
    for told in map(orjson.loads, held[folder + "manifest-files.json"].splitlines()):
        data = held[told["dataFileS3Key"]]
        digest = hashlib.md5(data).digest()
        assert told["md5Checksum"] == base64.b64encode(digest).decode()
        assert told["etag"] == digest.hex()
        items = [orjson.loads(x) for x in gzip.decompress(data).splitlines()]
        assert told["itemCount"] == len(items)
        found += items
    return found


async def export(desk: Desk, table: str, **more: Any) -> dict[str, Any]:
    arn = desk.service_table(table).arn
    told = await desk.ExportTableToPointInTime(TableArn=arn, S3Bucket="shelf", **more)
    description: dict[str, Any] = told["ExportDescription"]
    return description


async def described(desk: Desk, arn: str) -> dict[str, Any]:
    told = await desk.DescribeExport(ExportArn=arn)
    return dict(told["ExportDescription"])


def test_a_full_export_is_the_table_at_a_moment() -> None:
    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("shop", "p:S")
        desk.clock.fixed_ms = desk.clock.now_ms()
        await recover(desk, table)
        for i in range(250):
            await put(desk, table, f"k{i}", f"{i}")
        before = await scan(desk, table)
        at = desk.clock.now_ms() / 1000
        desk.clock.ahead_ms += 5000
        for i in range(0, 250, 3):
            await put(desk, table, f"k{i}", "changed")
        promised = await export(desk, table, S3Prefix="year/", ExportTime=at, ClientToken="t")
        assert promised["ExportStatus"] == "IN_PROGRESS"
        again = await export(desk, table, S3Prefix="year/", ExportTime=at, ClientToken="t")
        assert again["ExportArn"] == promised["ExportArn"]
        for i in range(1, 250, 3):
            await desk.DeleteItem(TableName=table, Key={"p": {"S": f"k{i}"}})
        await desk.chores.jobs.finish()
        told = await described(desk, promised["ExportArn"])
        assert told["ExportStatus"] == "COMPLETED"
        assert told["ItemCount"] == 250
        export_id = promised["ExportArn"].rpartition("/")[2]
        folder = f"year/AWSDynamoDB/{export_id}/"
        assert told["ExportManifest"] == folder + "manifest-summary.json"
        held = shelf.objects["shelf"]
        names = {k.removeprefix(folder) for k in held if "/data/" not in k}
        assert names == {
            "_started",
            *(f"manifest-{x}" for x in ("files.json", "files.md5", "summary.json", "summary.md5")),
        }
        assert all(k.startswith(folder) for k in held)
        assert {i["Item"]["p"]["S"]: i["Item"] for i in lines(shelf, folder)} == before
        text = held[told["ExportManifest"]]
        digest = base64.b64encode(hashlib.md5(text).digest())
        assert held[folder + "manifest-summary.md5"] == digest
        summary = orjson.loads(text)
        assert summary["manifestFilesS3Key"] == folder + "manifest-files.json"
        assert summary["itemCount"] == 250
        assert summary["exportTime"] == datafiles.moment(at)
        assert summary["version"] == "2020-06-30"
        assert {p for _, _, p in shelf.calls} == {ROOT}
        (listed,) = (await desk.ListExports())["ExportSummaries"]
        assert listed["ExportArn"] == promised["ExportArn"]

    at_desk(test)


@pytest.mark.parametrize("seed", range(3))
def test_an_incremental_export_tells_what_changed(seed: int) -> None:
    chance = random.Random(seed)

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("source", "p:S")
        desk.clock.fixed_ms = desk.clock.now_ms()
        await recover(desk, table)
        model: Items = {}

        async def go_on(count: int) -> None:
            for i in range(count):
                desk.clock.ahead_ms += chance.randrange(1, MINUTE_MS)
                await step(desk, table, chance, model)
                if i % 7 == 6:
                    history = desk.service_table(table).history
                    await records.seal(room_of(desk), history, rows_max=chance.randrange(2, 9))
            desk.clock.ahead_ms += 1

        await go_on(10)
        begin_ms, old = desk.clock.now_ms(), dict(model)
        desk.clock.ahead_ms += 16 * MINUTE_MS
        await go_on(20)
        end_ms, new = desk.clock.now_ms(), dict(model)
        await go_on(10)
        view = chance.choice(["NEW_IMAGE", "NEW_AND_OLD_IMAGES"])
        spec = {
            "ExportFromTime": begin_ms / 1000,
            "ExportToTime": end_ms / 1000,
            "ExportViewType": view,
        }
        promised = await export(
            desk, table, ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=spec
        )
        work = asyncio.create_task(desk.chores.jobs.finish())
        await go_on(10)
        await work
        told = await described(desk, promised["ExportArn"])
        assert told["ExportStatus"] == "COMPLETED", told
        folder = f"AWSDynamoDB/{promised['ExportArn'].rpartition('/')[2]}/"
        found = {x["Keys"]["p"]["S"]: x for x in lines(shelf, folder)}
        assert any(k.startswith("AWSDynamoDB/data/") for k in shelf.objects["shelf"])
        moved = {k for k in old.keys() | new.keys() if old.get(k) != new.get(k)}
        assert moved <= found.keys()
        for key, line in found.items():
            assert line.get("NewImage") == new.get(key)
            if view == "NEW_IMAGE":
                assert "OldImage" not in line
            else:
                assert line.get("OldImage") == old.get(key)
            at_ms = int(line["Metadata"]["WriteTimestampMicros"]["N"]) // 1000
            assert begin_ms <= at_ms < end_ms
        summary = orjson.loads(shelf.objects["shelf"][told["ExportManifest"]])
        assert summary["outputView"] == view
        assert summary["exportFromTime"] == datafiles.moment(begin_ms / 1000)

    at_desk(test)


def test_exports_of_ion_text() -> None:
    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("shop", "p:S")
        desk.clock.fixed_ms = desk.clock.now_ms()
        await recover(desk, table)
        await put(desk, table, "kept", "1")
        desk.clock.ahead_ms += MINUTE_MS
        begin = desk.clock.now_ms() / 1000
        desk.clock.ahead_ms += 20 * MINUTE_MS
        at_ms = desk.clock.now_ms()
        await put(desk, table, "new", "2")
        desk.clock.ahead_ms += MINUTE_MS
        spec = {"ExportFromTime": begin, "ExportToTime": desk.clock.now_ms() / 1000}
        for more in (
            {"ExportFormat": "ION"},
            {
                "ExportFormat": "ION",
                "ExportType": "INCREMENTAL_EXPORT",
                "IncrementalExportSpecification": spec,
            },
        ):
            shelf.objects["shelf"].clear()
            promised = await export(desk, table, **more)
            await desk.chores.jobs.finish()
            told = await described(desk, promised["ExportArn"])
            assert (told["ExportStatus"], told["ExportFormat"]) == ("COMPLETED", "ION")
            summary = orjson.loads(shelf.objects["shelf"][told["ExportManifest"]])
            assert summary["outputFormat"] == "ION"
            data = {k: v for k, v in shelf.objects["shelf"].items() if k.endswith(".ion.gz")}
            found = b"".join(map(gzip.decompress, data.values())).splitlines()
            if "ExportType" in more:
                assert found == [
                    b'$ion_1_0 {Record:{Keys:{p:"new"},Metadata:{WriteTimestampMicros:%s},'
                    b'NewImage:{p:"new",g:"g2",v:"2"}}}' % micros(at_ms)
                ]
            else:
                assert {i["p"]["S"]: i for i in map(ion.item, found) if i} == await scan(
                    desk, table
                )

    at_desk(test)


FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"FilterExpression": "v > :v", "ExpressionAttributeValues": {":v": {"S": "5"}}},
        {f"k{i}": {"p": {"S": f"k{i}"}, "g": {"S": f"g{i}"}, "v": {"S": f"{i}"}} for i in (6, 7)},
    ),
    (
        {
            "KeyConditionExpression": "#p = :p",
            "ProjectionExpression": "#p, v",
            "ExpressionAttributeNames": {"#p": "p"},
            "ExpressionAttributeValues": {":p": {"S": "k3"}},
        },
        {"k3": {"p": {"S": "k3"}, "v": {"S": "3"}}},
    ),
    ({"FilterExpression": "attribute_exists(nothing)"}, {}),
]


@pytest.mark.parametrize(("spec", "wanted"), FILTERS)
@pytest.mark.parametrize("form", ["DYNAMODB_JSON", "ION"])
def test_an_export_of_chosen_items(form: str, spec: dict[str, Any], wanted: Any) -> None:
    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("shop", "p:S")
        await recover(desk, table)
        for i in range(8):
            await put(desk, table, f"k{i}", f"{i}")
        promised = await export(desk, table, ExportFormat=form, FilterSpecification=spec)
        assert promised["FilterSpecification"] == spec
        await desk.chores.jobs.finish()
        told = await described(desk, promised["ExportArn"])
        assert (told["ExportStatus"], told["ItemCount"]) == ("COMPLETED", len(wanted))
        (data,) = (v for k, v in shelf.objects["shelf"].items() if "/data/" in k)
        read = ion.item if form == "ION" else lambda line: orjson.loads(line)["Item"]
        found = [read(line) for line in gzip.decompress(data).splitlines()]
        assert {item["p"]["S"]: item for item in found} == wanted

    at_desk(test)


def test_filters_that_cannot_be() -> None:
    async def test(desk: Desk) -> None:
        desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("shop", "p:S")
        await recover(desk, table)
        arn = desk.service_table(table).arn
        value = {"ExpressionAttributeValues": {":v": {"S": "x"}}}
        for spec, words in (
            ({"FilterExpression": "v > :v"}, "value used in expression is not defined"),
            ({"FilterExpression": "v >"}, "Syntax error"),
            ({"KeyConditionExpression": "v = :v", **value}, "missed key schema element: p"),
            (
                {"KeyConditionExpression": "p = :v", "FilterExpression": "p > :v", **value},
                "can only contain non-primary key attributes",
            ),
            (value, "can only be specified when using expressions"),
        ):
            error = await desk.refused(
                "ExportTableToPointInTime",
                TableArn=arn,
                S3Bucket="shelf",
                FilterSpecification=spec,
            )
            assert error.code == "ValidationException" and words in error.message

    at_desk(test)


def micros(ms: int) -> bytes:
    """A time in millionths of a second as an Ion decimal without trailing zeros."""
    digits = str(ms).rstrip("0")
    return f"{digits}d{len(str(ms)) - len(digits) + 3}".encode()


def test_an_export_that_was_cut_off_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafiles, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(datafiles, "FILE_BYTES", 1)

    async def test(desk: Desk) -> None:
        shelf = desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("shop", "p:S")
        await recover(desk, table)
        for i in range(400):
            await put(desk, table, f"k{i}", "long" * 10)
        before = await scan(desk, table)
        promised = await export(desk, table)
        shelf.fail_after = 4
        await desk.chores.jobs.settle()
        await shelf.failed.wait()
        await desk.chores.jobs.stop()
        for i in range(400):  # what the first run left is another division of the items
            await put(desk, table, f"k{i}", "s")
        shelf.fail_after = 10**9
        monkeypatch.setattr(datafiles, "BLOCK_BYTES", 10**6)
        await desk.chores.jobs.finish()
        told = await described(desk, promised["ExportArn"])
        assert told["ExportStatus"] == "COMPLETED"
        folder = f"AWSDynamoDB/{promised['ExportArn'].rpartition('/')[2]}/"
        assert {i["Item"]["p"]["S"]: i["Item"] for i in lines(shelf, folder)} == before
        data = [v for k, v in shelf.objects["shelf"].items() if "/data/" in k]
        assert len(data) == 4
        assert sum(len(gzip.decompress(v).splitlines()) for v in data) == 400

    at_desk(test)


def test_exports_that_cannot_be() -> None:
    async def test(desk: Desk) -> None:
        desk.parts.dispatch = Shelf("shelf")  # type: ignore[assignment]
        table = await desk.table("shop", "p:S")
        arn = desk.service_table(table).arn
        now = desk.clock.now_ms() / 1000

        async def code(**more: Any) -> str:
            given = {"TableArn": arn, "S3Bucket": "shelf", **more}
            return (await desk.refused("ExportTableToPointInTime", **given)).code

        assert await code() == "PointInTimeRecoveryUnavailableException"
        assert await code(TableArn=arn + "s") == "TableNotFoundException"
        await recover(desk, table)
        assert await code(ExportTime=now - 9e5) == "InvalidExportTimeException"
        assert await code(ExportType="INCREMENTAL_EXPORT") == "ValidationException"
        refused = await desk.refused("DescribeExport", ExportArn=arn + "/export/none")
        assert refused.code == "ExportNotFoundException"
        await export(desk, table, ClientToken="t")
        desk.clock.ahead_ms += 1000  # the newer one is listed first
        assert await code(ClientToken="t", S3Prefix="x") == "ExportConflictException"
        lost = await desk.ExportTableToPointInTime(TableArn=arn, S3Bucket="elsewhere")
        refused = await desk.refused("DeleteTable", TableName=table)
        assert refused.code == "ResourceInUseException"
        await desk.chores.jobs.finish()
        told = await described(desk, lost["ExportDescription"]["ExportArn"])
        assert (told["ExportStatus"], told["FailureCode"]) == ("FAILED", "S3NoSuchBucket")
        first = await desk.ListExports(MaxResults=1)
        second = await desk.ListExports(MaxResults=1, NextToken=first["NextToken"])
        assert first["ExportSummaries"][0]["ExportArn"] == told["ExportArn"]
        assert second["ExportSummaries"][0]["ExportStatus"] == "COMPLETED"
        assert "NextToken" not in second
        desk.clock.ahead_ms += 91 * 86_400_000
        await desk.chores.sweep()
        assert (await desk.ListExports())["ExportSummaries"] == []

    at_desk(test)
