"""Objects as boto3 sees them."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Cloud


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    """A bucket of the test's own, emptied and deleted afterwards."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    yield name
    page = s3.list_object_versions(Bucket=name)
    for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    s3.delete_bucket(Bucket=name)


def refused(call: Any, **params: Any) -> dict[str, Any]:
    """The error of a call that must fail."""
    with pytest.raises(ClientError) as told:
        call(**params)
    error: dict[str, Any] = told.value.response["Error"]
    return {**error, "Status": told.value.response["ResponseMetadata"]["HTTPStatusCode"]}


@pytest.mark.parametrize("size", [0, 5, 16_384, 16_385, 3_000_000])
def test_bytes_come_back(s3: Any, bucket: str, size: int) -> None:
    body = os.urandom(size)
    put = s3.put_object(
        Bucket=bucket,
        Key="päth/to key",
        Body=body,
        ContentType="text/x",
        CacheControl="no-store",
        Metadata={"colour": "blue"},
    )
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="päth/to key")
    assert got["Body"].read() == body
    assert got["ContentType"] == "text/x"
    assert got["CacheControl"] == "no-store"
    assert got["Metadata"] == {"colour": "blue"}
    head = s3.head_object(Bucket=bucket, Key="päth/to key")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])


@pytest.mark.parametrize("size", [1000, 100_000])
def test_ranges(s3: Any, bucket: str, size: int) -> None:
    body = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for told, wanted in (
        ("bytes=0-0", body[:1]),
        ("bytes=10-19", body[10:20]),
        ("bytes=-5", body[-5:]),
        (f"bytes={size - 3}-{size + 50}", body[-3:]),
    ):
        got = s3.get_object(Bucket=bucket, Key="k", Range=told)
        assert got["Body"].read() == wanted
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    error = refused(s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={size}-")
    assert (error["Code"], error["Status"]) == ("InvalidRange", 416)
    assert error["ActualObjectSize"] == str(size)


def test_conditions(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    error = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert (error["Code"], error["Condition"]) == ("PreconditionFailed", "If-None-Match")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)
    error = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"3", IfMatch=first)
    assert error["Status"] == 412
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch=first)["Status"] == 412
    now = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=now)["Status"] == 304
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=first)["Status"] == 412
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


def test_absent_things_are_named(s3: Any, bucket: str) -> None:
    error = refused(s3.get_object, Bucket=bucket, Key="nope")
    assert (error["Code"], error["Key"]) == ("NoSuchKey", "nope")
    error = refused(s3.list_objects_v2, Bucket=bucket + "x")
    assert (error["Code"], error["BucketName"]) == ("NoSuchBucket", bucket + "x")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket=bucket)["Code"] == "BucketNotEmpty"


def test_a_wrong_digest_stores_nothing(s3: Any, bucket: str) -> None:
    wrong = "AAAAAAAAAAAAAAAAAAAAAA=="
    error = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x" * 50_000, ContentMD5=wrong)
    assert error["Code"] == "BadDigest"
    error = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ChecksumCRC32="AAAAAA==")
    assert error["Code"] == "BadDigest"
    assert refused(s3.head_object, Bucket=bucket, Key="k")["Status"] == 404


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept(s3: Any, bucket: str, algorithm: str) -> None:
    member = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert put[member] == head[member]


def test_parts_become_an_object(s3: Any, bucket: str) -> None:
    parts = [os.urandom(5 * 1024 * 1024), os.urandom(1000)]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="m", ContentType="a/b")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": begun["UploadId"]}
    told = [
        {"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=body)["ETag"]}
        for n, body in enumerate(parts, 1)
    ]
    small = {"Parts": [told[1], {**told[0], "PartNumber": 1}]}
    error = refused(s3.complete_multipart_upload, **upload, MultipartUpload=small)
    assert error["Code"] == "InvalidPartOrder"
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": told})
    assert done["ETag"].endswith('-2"')
    whole = b"".join(parts)
    assert s3.get_object(Bucket=bucket, Key="m")["Body"].read() == whole
    cut = s3.get_object(Bucket=bucket, Key="m", Range="bytes=5242875-5242884")["Body"].read()
    assert cut == whole[5242875:5242885]
    second = s3.get_object(Bucket=bucket, Key="m", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (parts[1], 2)
    source = {"Bucket": bucket, "Key": "m"}
    copied = s3.copy_object(Bucket=bucket, Key="c", CopySource=source)["CopyObjectResult"]
    assert copied["ETag"] == f'"{hashlib.md5(whole).hexdigest()}"'
    s3.delete_object(Bucket=bucket, Key="m")
    got = s3.get_object(Bucket=bucket, Key="c")
    assert (got["Body"].read(), got["ContentType"]) == (whole, "a/b")


def test_an_aborted_upload_is_gone(s3: Any, bucket: str) -> None:
    begun = s3.create_multipart_upload(Bucket=bucket, Key="m")
    upload = {"Bucket": bucket, "Key": "m", "UploadId": begun["UploadId"]}
    s3.upload_part(**upload, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(**upload)
    assert refused(s3.list_parts, **upload)["Code"] == "NoSuchUpload"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_many_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for n in range(5):
        s3.put_object(Bucket=bucket, Key=f"k{n}", Body=b"x")
    told = {"Objects": [{"Key": f"k{n}"} for n in range(4)] + [{"Key": "absent"}]}
    assert len(s3.delete_objects(Bucket=bucket, Delete=told)["Deleted"]) == 5
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k4"]


def test_what_is_not_built_is_refused_by_name(s3: Any, bucket: str) -> None:
    error = refused(
        s3.put_object, Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms:dsse"
    )
    told = error["Code"], error["Header"], error["additionalMessage"]
    assert told == ("NotImplemented", "x-amz-server-side-encryption", "aws:kms:dsse")
    error = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", StorageClass="SNOW")
    assert (error["Code"], "SNOW" in error["Message"]) == ("NotImplemented", True)


def test_another_owner_was_expected(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for call in (s3.get_object, s3.head_object, s3.delete_object):
        error = refused(call, Bucket=bucket, Key="k", ExpectedBucketOwner="999999999999")
        assert error["Status"] == 403
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
