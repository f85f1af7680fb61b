"""Inventory configurations and the reports that come of them (B5)."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from pileus.services.s3 import inventory_run
from pileus.services.s3.inventory_run import Inventories
from pileus.services.s3.locks import DAY_MS
from tests.conftest import new_cloud_up
from tests.services.s3.clocked import BUCKET, Clocked, refused, timed

FIELDS = ["Size", "StorageClass", "ETag", "LifecycleExpirationDate"]


def configured(**more: Any) -> dict[str, Any]:
    """The parameters of a put."""
    place = {"Bucket": "arn:aws:s3:::reports", "Format": "CSV", "Prefix": "in"}
    told = {
        "Id": "all",
        "IsEnabled": True,
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"},
        "Destination": {"S3BucketDestination": place},
        "OptionalFields": FIELDS,
    }
    return {"Id": told["Id"], "InventoryConfiguration": told | more}


class Reported:
    """A bucket with an inventory, the bucket its reports go to, and the chore."""

    def __init__(self, s3: Clocked) -> None:
        self.s3 = s3
        self.chore = Inventories(s3.chore._room)

    async def begin(self, **more: Any) -> None:
        await self.s3.desk.bucket("CreateBucket", b"", Bucket="reports")
        await self.s3.bucket("PutBucketInventoryConfiguration", **configured(**more))

    async def days(self, days: float) -> None:
        self.s3.clock.step(round(days * 86_400_000))
        await self.chore.turn()

    async def names(self, ending: str) -> list[str]:
        told = await self.s3.desk.bucket("ListObjectsV2", b"", Bucket="reports")
        return [o["Key"] for o in told["Contents"] if o["Key"].endswith(ending)]

    async def read(self, key: str) -> bytes:
        return (await self.s3.desk.object("GetObject", b"", "reports", key))[2]

    async def last(self) -> tuple[dict[str, Any], list[list[str]]]:
        """The newest manifest and the lines it names."""
        manifest = json.loads(await self.read((await self.names("manifest.json"))[-1]))
        lines: list[list[str]] = []
        for file in manifest["files"]:
            data = await self.read(file["key"])
            assert hashlib.md5(data).hexdigest() == file["MD5checksum"]
            assert len(data) == file["size"]
            lines += csv.reader(io.StringIO(gzip.decompress(data).decode()))
        return manifest, lines


def test_a_report_names_every_object() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a b/ä", b"12345")
        await s3.put("cold", b"1", x_amz_storage_class="GLACIER")
        await s3.rules({"Expiration": {"Days": 9}, "Filter": {"Prefix": "cold"}})
        made = Reported(s3)
        await made.begin()
        await made.chore.turn()
        manifest, lines = await made.last()
        columns = "Bucket, Key, Size, ETag, StorageClass, LifecycleExpirationDate"
        assert manifest["fileSchema"] == columns and manifest["fileFormat"] == "CSV"
        assert manifest["sourceBucket"] == BUCKET
        assert manifest["destinationBucket"] == "arn:aws:s3:::reports"
        etags = [hashlib.md5(b).hexdigest() for b in (b"12345", b"1")]
        assert [[unquote(c) for c in line] for line in lines] == [
            [BUCKET, "a b/ä", "5", etags[0], "STANDARD", ""],
            [BUCKET, "cold", "1", etags[1], "GLACIER", "2026-01-10T00:00:00.000Z"],
        ]
        (digest,) = await made.names("manifest.checksum")
        (told,) = await made.names("manifest.json")
        assert told == f"in/{BUCKET}/all/2026-01-01T00-00Z/manifest.json"
        wanted = hashlib.md5(await made.read(told)).hexdigest().encode()
        assert await made.read(digest) == wanted
        (links,) = await made.names("symlink.txt")
        told = f"s3://reports/{manifest['files'][0]['key']}\n"
        assert await made.read(links) == told.encode()

    timed(work)


def test_all_versions_are_told_apart() -> None:
    async def work(s3: Clocked) -> None:
        one = (await s3.put("a", b"1"))["x-amz-version-id"]
        two = (await s3.put("a", b"22"))["x-amz-version-id"]
        marker = (await s3.object("DeleteObject", "a"))[1]["x-amz-version-id"]
        await s3.put("b", b"333")
        made = Reported(s3)
        filtered = {"Filter": {"Prefix": "a"}}
        fields = ["EncryptionStatus", "Size", "BucketKeyStatus"]
        await made.begin(IncludedObjectVersions="All", OptionalFields=fields, **filtered)
        await made.chore.turn()
        manifest, lines = await made.last()
        columns = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"
        columns += ", EncryptionStatus, BucketKeyStatus"
        assert manifest["fileSchema"] == columns
        assert lines == [
            [BUCKET, "a", marker, "true", "true", "", "", ""],
            [BUCKET, "a", two, "false", "false", "2", "SSE-S3", "DISABLED"],
            [BUCKET, "a", one, "false", "false", "1", "SSE-S3", "DISABLED"],
        ]

    timed(work, "Enabled")


@pytest.mark.parametrize(("frequency", "reports"), [("Daily", 15), ("Weekly", 3)])
def test_reports_come_when_they_are_due(frequency: str, reports: int) -> None:
    async def work(s3: Clocked) -> None:
        made = Reported(s3)
        await made.begin(Schedule={"Frequency": frequency})
        for _ in range(28):  # fourteen days, and the first at once
            await made.chore.turn()
            await made.days(0.5)
        assert len(await made.names("manifest.json")) == reports
        await s3.bucket("DeleteBucketInventoryConfiguration", Id="all")
        await made.days(8)
        assert len(await made.names("manifest.json")) == reports

    timed(work)


def test_a_clock_that_was_ahead_puts_no_report_off() -> None:
    async def work(s3: Clocked) -> None:
        made = Reported(s3)
        await made.begin(Schedule={"Frequency": "Daily"})
        await made.days(400)
        reports = len(await made.names("manifest.json"))
        s3.clock.step(-400 * DAY_MS)
        for more in (1, 2, 3):
            await made.days(1)
            assert len(await made.names("manifest.json")) == reports + more

    timed(work)


def test_a_long_list_fills_several_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_run, "FILE_LINES_MAX", 100)
    monkeypatch.setattr(inventory_run, "SLICE", 30)

    async def work(s3: Clocked) -> None:
        keys = [f"{n:04}" for n in range(230)]
        for key in keys:
            await s3.put(key)
        made = Reported(s3)
        await made.begin()
        await made.chore.turn()
        manifest, lines = await made.last()
        assert len(manifest["files"]) == 3
        assert [line[1] for line in lines] == keys

    timed(work)


def test_configurations_are_kept_listed_and_removed() -> None:
    async def work(s3: Clocked) -> None:
        made = Reported(s3)
        await made.begin()
        asked = {"Id": "all"}
        found = await s3.bucket("GetBucketInventoryConfiguration", **asked)
        assert found == {"InventoryConfiguration": configured()["InventoryConfiguration"]}
        for n in range(120):
            told = configured(Id=f"i{n:03}", IsEnabled=False) | {"Id": f"i{n:03}"}
            await s3.bucket("PutBucketInventoryConfiguration", **told)
        page = await s3.bucket("ListBucketInventoryConfigurations")
        token = {"ContinuationToken": page["NextContinuationToken"]}
        rest = await s3.bucket("ListBucketInventoryConfigurations", **token)
        names = [c["Id"] for p in (page, rest) for c in p["InventoryConfigurationList"]]
        assert names == ["all", *(f"i{n:03}" for n in range(120))]
        await s3.bucket("DeleteBucketInventoryConfiguration", **asked)
        for operation in ("GetBucketInventoryConfiguration", "DeleteBucketInventoryConfiguration"):
            assert await refused(s3.bucket(operation, **asked)) == "NoSuchConfiguration"

    timed(work)


PLACE = {"Bucket": "arn:aws:s3:::reports", "Format": "CSV"}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Schedule": {"Frequency": "Hourly"}}, "MalformedXML"),
        ({"IncludedObjectVersions": "Some"}, "MalformedXML"),
        ({"OptionalFields": ["Size", "Size"]}, "MalformedXML"),
        ({"OptionalFields": ["ObjectAccessControlList"]}, "NotImplemented"),
        ({"Destination": {"S3BucketDestination": PLACE | {"Format": "ORC"}}}, "NotImplemented"),
        (
            {"Destination": {"S3BucketDestination": PLACE | {"Bucket": "arn:aws:s3:::absent"}}},
            "InvalidS3DestinationBucket",
        ),
        ({"Id": "other"}, "IdMismatch"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(more: dict[str, Any], code: str) -> None:
    async def work(s3: Clocked) -> None:
        await s3.desk.bucket("CreateBucket", b"", Bucket="reports")
        told = configured(**more)
        assert await refused(s3.bucket("PutBucketInventoryConfiguration", **told)) == code

    timed(work)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of a cloud whose days last a second."""
    with new_cloud_up("s3_day_s = 1\n") as made:
        yield made.client("s3")


def test_the_service_puts_reports_where_the_policy_lets_it(client: Any) -> None:
    for name in ("source", "reports"):
        client.create_bucket(Bucket=name)
    client.put_object(Bucket="source", Key="a", Body=b"1234")
    told = configured()
    client.put_bucket_inventory_configuration(Bucket="source", **told)
    found = client.get_bucket_inventory_configuration(Bucket="source", Id="all")
    assert found["InventoryConfiguration"] == told["InventoryConfiguration"]
    time.sleep(2)
    assert "Contents" not in client.list_objects_v2(Bucket="reports")  # it is not allowed yet
    source = {"aws:SourceArn": "arn:aws:s3:::source"}
    owned = {"s3:x-amz-acl": "bucket-owner-full-control"}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::reports/*",
        "Condition": {"ArnLike": source, "StringEquals": owned},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.put_bucket_policy(Bucket="reports", Policy=json.dumps(policy))
    end = time.monotonic() + 80
    while True:
        page = client.list_objects_v2(Bucket="reports").get("Contents", [])
        names = [o["Key"] for o in page if o["Key"].endswith("manifest.json")]
        if names:
            break
        assert time.monotonic() < end, "no report came"
        time.sleep(0.2)
    manifest = json.loads(client.get_object(Bucket="reports", Key=names[0])["Body"].read())
    file = client.get_object(Bucket="reports", Key=manifest["files"][0]["key"])["Body"].read()
    assert b'"source","a","4"' in gzip.decompress(file)
