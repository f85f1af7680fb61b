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
    assert told(s3, bucket, "m", PartNumber=1) == {}
    asked = {"Bucket": bucket, "Key": "m", "ObjectAttributes": ["ObjectParts"]}
    assert s3.get_object_attributes(**asked)["ObjectParts"] == {"TotalPartsCount": 2}


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


# What the algorithms' own descriptions say of no bytes at all.
OF_NOTHING = {
    "MD5": "d41d8cd98f00b204e9800998ecf8427e",
    "SHA512": "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    "XXHASH64": "ef46db3751d8e999",
    "XXHASH3": "2d06800538d394c2",
    "XXHASH128": "99aa06d3014798d86001c324468d497f",
}


@pytest.mark.parametrize("algorithm", OF_NOTHING)
@pytest.mark.parametrize("size", (0, 100, 100_000))
def test_hashes_since_2026(s3: Any, bucket: str, algorithm: str, size: int) -> None:
    data = os.urandom(size)
    ((_, value),) = checksums.of(algorithm, data).items()
    if not size:
        assert base64.b64decode(value).hex() == OF_NOTHING[algorithm]
    member = f"Checksum{algorithm}"
    put: dict[str, Any] = {"Bucket": bucket, "Key": "k", "Body": data}
    ((_, wrong),) = checksums.of(algorithm, data + b"more").items()
    assert refused(s3.put_object, **put, **{member: wrong})["Code"] == "BadDigest"
    assert refused(s3.put_object, **put, **{member: "AAAA"})["Code"] == "InvalidRequest"
    assert s3.put_object(**put, **{member: value})[member] == value
    assert told(s3, bucket, "k") == {member: value, "ChecksumType": "FULL_OBJECT"}
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert listed["ChecksumAlgorithm"] == [algorithm]
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA1")
    s3.copy_object(
        Bucket=bucket, Key="k", CopySource=f"{bucket}/other", ChecksumAlgorithm=algorithm
    )
    assert told(s3, bucket, "k")[member] == value


@pytest.mark.parametrize("algorithm", OF_NOTHING)
def test_they_are_of_parts_only(s3: Any, bucket: str, algorithm: str) -> None:
    how = {"ChecksumAlgorithm": algorithm}
    at = {"Bucket": bucket, "Key": "m"}
    error = refused(s3.create_multipart_upload, **at, **how, ChecksumType="FULL_OBJECT")
    assert f"cannot be used with the {algorithm.lower()} checksum" in error["Message"]
    at["UploadId"] = s3.create_multipart_upload(**at, **how)["UploadId"]
    error = refused(s3.upload_part, **at, PartNumber=1, Body=b"part")
    assert error["Message"].endswith("actual checksum Type: null")
    member = f"Checksum{algorithm}"
    value = checksums.of(algorithm, b"part")[algorithm]
    sent = s3.upload_part(**at, PartNumber=1, Body=b"part", **{member: value})
    part = {"PartNumber": 1, "ETag": sent["ETag"], member: sent[member]}
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [part]})
    whole = checksums.of(algorithm, base64.b64decode(value))[algorithm]
    assert (done[member], done["ChecksumType"]) == (f"{whole}-1", "COMPOSITE")


def test_a_part_may_come_without_the_checksum_of_a_whole(s3: Any, bucket: str) -> None:
    how = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    done = uploaded(s3, bucket, [b"part"], how, {})
    answer = s3.complete_multipart_upload(**done)
    assert answer["ChecksumCRC32"] == checksums.of("CRC32", b"part")["CRC32"]


def test_what_the_list_of_parts_may_tell(s3: Any, bucket: str) -> None:
    """By S3's answers: one checksum a part, in base64, and of another algorithm it is wrong."""
    how = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
    done = uploaded(s3, bucket, [b"part"], how, {})
    (named,) = done["MultipartUpload"]["Parts"]

    def answered(**more: str) -> tuple[str, str]:
        listed = {"Parts": [{**named, **more}]}
        error = refused(s3.complete_multipart_upload, **{**done, "MultipartUpload": listed})
        return error["Code"], error["Message"]

    crc32c, sha1 = (checksums.of(a, b"part")[a] for a in ("CRC32C", "SHA1"))
    invalid = "Invalid Base64 or multiple checksums present in request"
    both = {"ChecksumCRC32C": crc32c, "ChecksumSHA1": sha1}
    assert answered(**both) == ("InvalidArgument", invalid)
    assert answered(ChecksumCRC32C="no base64") == ("InvalidArgument", invalid)
    told = "The sha1 you specified for part 1 did not match what we received."
    assert answered(ChecksumSHA1=sha1) == ("BadDigest", told)
    error = refused(s3.complete_multipart_upload, **done, ChecksumCRC32C="no base64")
    assert error["Message"] == "Value for x-amz-checksum-crc32c header is invalid."
    named["ChecksumCRC32C"] = crc32c
    s3.complete_multipart_upload(**done)


@pytest.mark.parametrize("algorithm", ("CRC32", "CRC32C", "CRC64NVME"))
def test_the_crc_of_a_whole_comes_from_its_parts(algorithm: str) -> None:
    parts = [os.urandom(n) for n in (0, 1, 1000, 12345)]

    def one(data: bytes) -> str:
        running = checksums.new(algorithm)
        running.update(data)
        return checksums.encoded(running.digest())

    assert checksums.combined(algorithm, [(one(p), len(p)) for p in parts]) == one(b"".join(parts))
