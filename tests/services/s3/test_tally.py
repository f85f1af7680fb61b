"""A bucket's figures are what lies in it (B5, L4)."""

from __future__ import annotations

import json
import uuid

from pileus.services.s3 import storage_classes, tally
from pileus.services.s3.tally import Held
from pileus.services.s3.usage import GIB, USD_GIB_MONTH, Usage
from tests.conftest import Cloud, pileus
from tests.services.s3.clocked import BUCKET, Clocked, timed


def held(s3: Clocked) -> dict[str, Held]:
    return tally.read(s3.store, BUCKET)


def test_every_change_is_counted_where_it_belongs() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", b"12345")
        await s3.put("a", b"123")  # takes its place
        await s3.put("b", b"x" * 20_000, x_amz_storage_class="STANDARD_IA")
        assert held(s3) == {"STANDARD": Held(1, 3), "STANDARD_IA": Held(1, 20_000)}
        copied = {"Key": "a", "CopySource": f"{BUCKET}/a", "StorageClass": "GLACIER"}
        await s3.bucket("CopyObject", **copied)
        assert held(s3) == {"GLACIER": Held(1, 3), "STANDARD_IA": Held(1, 20_000)}
        await s3.versioning("Enabled")
        await s3.object("DeleteObject", "a")
        assert held(s3)[tally.MARKERS] == Held(1, 0) and held(s3)["GLACIER"] == Held(1, 3)
        await s3.rules({"Expiration": {"Days": 1}, "NoncurrentVersionExpiration": NONCURRENT})
        await s3.days(3)
        await s3.days(3)
        await s3.days(1)
        assert held(s3) == {}

    timed(work)


NONCURRENT = {"NoncurrentDays": 1}


def test_parts_count_until_they_are_an_object() -> None:
    async def work(s3: Clocked) -> None:
        made = await s3.bucket("CreateMultipartUpload", Key="a", StorageClass="ONEZONE_IA")
        query = {"uploadId": made["UploadId"]}
        etags = []
        for number, size in ((1, 5 * 2**20), (2, 7), (2, 9), (3, 11)):
            part = {"query": {**query, "partNumber": str(number)}, "body": b"x" * size}
            etags.append((await s3.object("UploadPart", "a", **part))[1]["etag"])
        assert held(s3) == {tally.UPLOADS: Held(3, 5 * 2**20 + 20)}
        chosen = [{"PartNumber": n, "ETag": e} for n, e in ((1, etags[0]), (2, etags[2]))]
        upload = {"Key": "a", "UploadId": made["UploadId"], "MultipartUpload": {"Parts": chosen}}
        await s3.bucket("CompleteMultipartUpload", **upload)
        assert held(s3) == {"ONEZONE_IA": Held(1, 5 * 2**20 + 9)}
        again = await s3.bucket("CreateMultipartUpload", Key="a")
        part = {"query": {"uploadId": again["UploadId"], "partNumber": "1"}, "body": b"x"}
        await s3.object("UploadPart", "a", **part)
        await s3.bucket("AbortMultipartUpload", Key="a", UploadId=again["UploadId"])
        await s3.object("DeleteObject", "a")
        assert held(s3) == {}

    timed(work)


def test_transitions_move_figures_and_a_recount_finds_the_same() -> None:
    async def work(s3: Clocked) -> None:
        for key in ("a", "b"):
            for _ in range(3):
                await s3.put(key, b"x" * 200_000)
        await s3.object("DeleteObject", "b")
        await s3.put("c", b"tiny")
        made = await s3.bucket("CreateMultipartUpload", Key="d")
        part = {"query": {"uploadId": made["UploadId"], "partNumber": "1"}, "body": b"part"}
        await s3.object("UploadPart", "d", **part)
        move = {"NoncurrentDays": 1, "StorageClass": "GLACIER"}
        await s3.rules({"NoncurrentVersionTransitions": [move]})
        await s3.days(2)
        told = held(s3)
        assert told == {
            "STANDARD": Held(2, 200_004),
            "GLACIER": Held(5, 1_000_000),
            tally.MARKERS: Held(1, 0),
            tally.UPLOADS: Held(1, 4),
        }
        await s3.store.submit("s3.recount", [BUCKET])
        assert held(s3) == told

    timed(work, "Enabled")


def test_a_month_is_priced_by_class() -> None:
    held = {"STANDARD": Held(3, 100 * GIB), "DEEP_ARCHIVE": Held(1, 1000 * GIB)}
    found = Usage("b", "000000000000", "us-east-1", held | {tally.MARKERS: Held(5, 0)})
    assert round(found.aws_usd_month, 4) == 2.3 + 0.99
    assert set(storage_classes.RANKS) <= set(USD_GIB_MONTH)


def test_the_command_tells_what_a_bucket_holds(cloud: Cloud) -> None:
    s3, name = cloud.client("s3"), f"held-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a", Body=b"1234", StorageClass="GLACIER_IR")
    told = json.loads(pileus("buckets", "--home", str(cloud.home), "--json").stdout)
    (found,) = (each for each in told if each["bucket"] == name)
    assert found["held"] == {"GLACIER_IR": {"objects": 1, "size": 4}}
    assert found["aws_usd_month"] == 0.0  # four bytes
    assert name in pileus("buckets", "--home", str(cloud.home)).stdout
