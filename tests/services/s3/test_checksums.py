"""Every object has a checksum: the one told, else CRC64NVME (S3 user guide, "Checking object
integrity"). By recorded answers of S3 where the guide leaves things open."""

from __future__ import annotations

import base64
import os
import uuid
from typing import Any

import pytest
from awscrt.checksums import crc64nvme
from botocore.config import Config

from pileus.services.s3 import checksums
from tests.conftest import Cloud
from tests.services.s3.test_objects import refused

MEGA = 1024 * 1024


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    """A client that tells no checksum unless it must."""
    return cloud.client("s3", config=Config(request_checksum_calculation="when_required"))


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"checks-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def crc(data: bytes) -> str:
    return base64.b64encode(crc64nvme(data).to_bytes(8, "big")).decode()


def told(s3: Any, bucket: str, key: str, **more: Any) -> dict[str, str]:
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **more)
    return {n: v for n, v in head.items() if n.startswith("Checksum")}


@pytest.mark.parametrize("size", (0, 100, 100_000, 3 * MEGA))
def test_an_object_sent_without_one_gets_crc64nvme(s3: Any, bucket: str, size: int) -> None:
    data = os.urandom(size)
    wanted = {"ChecksumCRC64NVME": crc(data), "ChecksumType": "FULL_OBJECT"}
    put = s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert {n: put.get(n) for n in wanted} == wanted
    assert told(s3, bucket, "k") == wanted
    assert "ChecksumCRC64NVME" not in s3.head_object(Bucket=bucket, Key="k")
    found = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])
    assert found["Checksum"] == wanted
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert listed["ChecksumAlgorithm"] == ["CRC64NVME"]
    copy = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert copy["CopyObjectResult"]["ChecksumCRC64NVME"] == crc(data)
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/k", ChecksumAlgorithm="CRC32")
    assert set(told(s3, bucket, "other")) == {"ChecksumCRC32", "ChecksumType"}


def test_a_wrong_one_stores_nothing(s3: Any, bucket: str) -> None:
    put: dict[str, Any] = {"Bucket": bucket, "Key": "k", "Body": b"data"}
    error = refused(s3.put_object, **put, ChecksumCRC64NVME=crc(b"other"))
    assert error["Code"] == "BadDigest"
    s3.put_object(**put, ChecksumSHA1=base64.b64encode(bytes.fromhex(SHA1)).decode())
    assert set(told(s3, bucket, "k")) == {"ChecksumSHA1", "ChecksumType"}


SHA1 = "a17c9aaa61e80a1bf71d0d850af4e5baa9800bbd"  # of b"data"


def uploaded(s3: Any, bucket: str, bodies: list[bytes], how: Any, part: Any) -> dict[str, Any]:
    """What completing needs."""
    at = {"Bucket": bucket, "Key": "m"}
    at["UploadId"] = s3.create_multipart_upload(**at, **how)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        sent = s3.upload_part(**at, PartNumber=number, Body=body, **part)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    return {**at, "MultipartUpload": {"Parts": parts}}


@pytest.mark.parametrize("part", ({}, {"ChecksumAlgorithm": "CRC32"}))
def test_so_does_an_upload_in_parts(s3: Any, bucket: str, part: dict[str, str]) -> None:
    bodies = [os.urandom(5 * MEGA), os.urandom(1000)]
    done = uploaded(s3, bucket, bodies, {}, part)
    (first, _) = s3.list_parts(**{n: done[n] for n in ("Bucket", "Key", "UploadId")})["Parts"]
    assert not any(n.startswith("Checksum") for n in first)
    wanted = {"ChecksumCRC64NVME": crc(b"".join(bodies)), "ChecksumType": "FULL_OBJECT"}
    assert refused(s3.complete_multipart_upload, **done, ChecksumCRC64NVME=crc(b""))["Code"] == (
        "BadDigest"
    )
    answer = s3.complete_multipart_upload(**done)
    assert {n: answer[n] for n in wanted} == wanted
    assert told(s3, bucket, "m") == wanted
    wanted["ChecksumCRC64NVME"] = crc(bodies[0])
    assert told(s3, bucket, "m", PartNumber=1) == wanted
    asked = {"Bucket": bucket, "Key": "m", "ObjectAttributes": ["ObjectParts"]}
    (first, _) = s3.get_object_attributes(**asked)["ObjectParts"]["Parts"]
    assert first == {"PartNumber": 1, "Size": 5 * MEGA, "ChecksumCRC64NVME": crc(bodies[0])}


def test_parts_may_be_copies(s3: Any, bucket: str) -> None:
    data = os.urandom(5 * MEGA)
    s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm="SHA256")
    at = {"Bucket": bucket, "Key": "m"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    parts = []
    for number, more in ((1, {}), (2, {"CopySourceRange": "bytes=5-99"})):
        sent = s3.upload_part_copy(**at, PartNumber=number, CopySource=f"{bucket}/k", **more)
        parts.append({"PartNumber": number, "ETag": sent["CopyPartResult"]["ETag"]})
    answer = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    assert answer["ChecksumCRC64NVME"] == crc(data + data[5:100])


def test_the_list_of_parts_is_of_the_uploads_kind(s3: Any, bucket: str) -> None:
    part = {"ChecksumAlgorithm": "CRC32C"}
    done = uploaded(s3, bucket, [b"one"], {}, part)
    named = done["MultipartUpload"]["Parts"][0]
    wrong = {**done, "MultipartUpload": {"Parts": [{**named, "ChecksumCRC32C": "45fn2Q=="}]}}
    assert refused(s3.complete_multipart_upload, **wrong)["Code"] == "InvalidPart"
    error = refused(s3.complete_multipart_upload, **done, ChecksumType="COMPOSITE")
    assert "null checksum mode" in error["Message"]
    s3.complete_multipart_upload(**done)
    error = refused(s3.complete_multipart_upload, **uploaded(s3, bucket, [b"one"], part, part))
    assert "missing for part 1" in error["Message"]


@pytest.mark.parametrize("algorithm", ("CRC32", "CRC32C", "CRC64NVME"))
def test_the_crc_of_a_whole_comes_from_its_parts(algorithm: str) -> None:
    parts = [os.urandom(n) for n in (0, 1, 1000, 12345)]

    def one(data: bytes) -> str:
        running = checksums.new(algorithm)
        running.update(data)
        return checksums.encoded(running.digest())

    assert checksums.combined(algorithm, [(one(p), len(p)) for p in parts]) == one(b"".join(parts))
