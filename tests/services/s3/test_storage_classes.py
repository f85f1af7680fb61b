"""Storage classes, archives and what is restored of them (B5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.s3.clocked import Clocked, refused, timed

COLD = {"x_amz_storage_class": "GLACIER"}
MINUTE_MS = 60_000


@pytest.mark.parametrize(
    "name",
    [
        *("REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"),
        *("GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"),
    ],
)
def test_a_class_comes_back_with_every_answer(name: str) -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", x_amz_storage_class=name)
        assert (await s3.object("HeadObject", "a"))[1]["x-amz-storage-class"] == name
        assert await s3.classes() == {"a": name}
        told = await s3.bucket("GetObjectAttributes", Key="a", ObjectAttributes=["StorageClass"])
        assert told["StorageClass"] == name
        made = await s3.bucket("CreateMultipartUpload", Key="b", StorageClass=name)
        listed = await s3.bucket("ListMultipartUploads")
        assert listed["Uploads"][0]["StorageClass"] == name
        part = {"query": {"uploadId": made["UploadId"], "partNumber": "1"}, "body": b"part"}
        etag = (await s3.object("UploadPart", "b", **part))[1]["etag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        upload = {"Key": "b", "UploadId": made["UploadId"], "MultipartUpload": parts}
        await s3.bucket("CompleteMultipartUpload", **upload)
        assert (await s3.classes())["b"] == name

    timed(work)


def test_the_standard_class_is_not_told_and_an_unknown_one_refused() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", x_amz_storage_class="STANDARD")
        assert "x-amz-storage-class" not in (await s3.object("GetObject", "a"))[1]
        assert await s3.classes() == {"a": "STANDARD"}
        assert await refused(s3.put("b", x_amz_storage_class="COLD")) == "InvalidStorageClass"

    timed(work)


def test_archived_bytes_cannot_be_read_or_copied() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", **COLD)
        assert await refused(s3.object("GetObject", "a")) == "InvalidObjectState"
        copy = s3.bucket("CopyObject", Key="b", CopySource="clocked/a")
        assert await refused(copy) == "ObjectNotInActiveTierError"
        assert (await s3.object("HeadObject", "a"))[0] == 200

    timed(work)


def restore(days: int, tier: str = "Standard") -> dict[str, Any]:
    return {"Key": "a", "RestoreRequest": {"Days": days, "GlacierJobParameters": {"Tier": tier}}}


def test_a_restore_takes_its_time_and_lasts_its_days() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", b"cold", **COLD)
        answer = await s3.bucket("RestoreObject", **restore(2))
        assert answer.status == 202
        head = (await s3.object("HeadObject", "a"))[1]
        assert head["x-amz-restore"] == 'ongoing-request="true"'
        assert await refused(s3.object("GetObject", "a")) == "InvalidObjectState"
        again = s3.bucket("RestoreObject", **restore(2))
        assert await refused(again) == "RestoreAlreadyInProgress"
        s3.clock.step(MINUTE_MS)
        _, headers, body = await s3.object("GetObject", "a")
        assert body == b"cold" and headers["x-amz-storage-class"] == "GLACIER"
        until = "Sun, 04 Jan 2026 00:00:00 GMT"
        assert headers["x-amz-restore"] == f'ongoing-request="false", expiry-date="{until}"'
        await s3.bucket("CopyObject", Key="b", CopySource="clocked/a")
        assert (await s3.object("GetObject", "b"))[2] == b"cold"
        assert await s3.classes() == {"a": "GLACIER", "b": "STANDARD"}
        await s3.days(3)
        assert "x-amz-restore" not in (await s3.object("HeadObject", "a"))[1]
        assert await refused(s3.object("GetObject", "a")) == "InvalidObjectState"

    timed(work)


def test_a_faster_tier_hastens_and_a_repeat_prolongs() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", **COLD)
        await s3.bucket("RestoreObject", **restore(1, "Bulk"))
        assert (await s3.bucket("RestoreObject", **restore(1, "Expedited"))).status == 202
        s3.clock.step(MINUTE_MS // 60)
        assert (await s3.object("GetObject", "a"))[0] == 200
        assert (await s3.bucket("RestoreObject", **restore(5))).status == 200
        await s3.days(4)
        assert (await s3.object("GetObject", "a"))[0] == 200

    timed(work)


def test_what_cannot_be_restored() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a")
        assert await refused(s3.bucket("RestoreObject", **restore(1))) == "InvalidObjectState"
        await s3.put("a", x_amz_storage_class="DEEP_ARCHIVE")
        hurry = s3.bucket("RestoreObject", **restore(1, "Expedited"))
        assert await refused(hurry) == "InvalidArgument"
        assert await refused(s3.bucket("RestoreObject", **restore(0))) == "InvalidArgument"
        assert await refused(s3.bucket("RestoreObject", Key="a")) == "MalformedXML"
        missing = {**restore(1), "Key": "b"}
        assert await refused(s3.bucket("RestoreObject", **missing)) == "NoSuchKey"

    timed(work)


def test_a_copy_onto_itself_changes_the_class() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", x_amz_meta_told="yes", x_amz_storage_class="STANDARD_IA")
        copied = {"Key": "a", "CopySource": "clocked/a", "StorageClass": "ONEZONE_IA"}
        await s3.bucket("CopyObject", **copied)
        headers = (await s3.object("GetObject", "a"))[1]
        assert headers["x-amz-storage-class"] == "ONEZONE_IA"
        assert headers["x-amz-meta-told"] == "yes"
        await s3.bucket("CopyObject", Key="b", CopySource="clocked/a")  # not inherited
        assert (await s3.classes())["b"] == "STANDARD"

    timed(work)


def test_listings_tell_of_restores_where_asked() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", **COLD)
        await s3.put("b")
        await s3.bucket("RestoreObject", **restore(1))
        asked = {"OptionalObjectAttributes": ["RestoreStatus"]}
        a, b = (await s3.bucket("ListObjectsV2", **asked))["Contents"]
        assert a["RestoreStatus"] == {"IsRestoreInProgress": True} and "RestoreStatus" not in b
        s3.clock.step(MINUTE_MS)
        a, b = (await s3.bucket("ListObjects", **asked))["Contents"]
        assert a["RestoreStatus"]["RestoreExpiryDate"].day == 3
        assert "RestoreStatus" not in (await s3.bucket("ListObjectsV2"))["Contents"][0]
        versions = (await s3.bucket("ListObjectVersions", **asked))["Versions"]
        assert versions[0]["RestoreStatus"] == a["RestoreStatus"]

    timed(work)
