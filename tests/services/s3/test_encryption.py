"""Encryption at rest: what is asked for, what is answered, what lies on the disk."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from tests.conftest import Cloud
from tests.services.kms.test_kms import user
from tests.services.s3.test_objects import refused

MB = 1024 * 1024
MARK = b"a plain text nobody may find on the disk "
KEY = os.urandom(32)
OTHER = os.urandom(32)
TEXTS = {  # where boto3 does not encode the key itself
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(KEY).decode(),
    "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(KEY).digest()).decode(),
}
USUAL = {"SSEAlgorithm": "AES256"}


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"e-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def key(cloud: Cloud) -> str:
    return str(cloud.client("kms").create_key()["KeyMetadata"]["Arn"])


def body(s3: Any, bucket: str, name: str, **more: Any) -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=name, **more)["Body"].read())


def customer(secret: bytes = KEY, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": secret}


def default(s3: Any, bucket: str, apply: dict[str, str], **more: Any) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": apply, **more}
    told = {"Rules": [rule]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=told)


SIZES = (0, 1, 1024, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 3 * MB + 7)


@pytest.mark.parametrize("size", SIZES)
def test_everything_is_encrypted_with_s3s_own_keys(s3: Any, bucket: str, size: int) -> None:
    data = os.urandom(size)
    for _ in range(2):  # the second PUT and GET of a small object go by the short way
        told = s3.put_object(Bucket=bucket, Key="k", Body=data)
        assert told["ServerSideEncryption"] == "AES256"
        assert told["ETag"].strip('"') == hashlib.md5(data).hexdigest()
        found = s3.get_object(Bucket=bucket, Key="k")
        assert (found["ServerSideEncryption"], found["ContentLength"]) == ("AES256", size)
        assert found["Body"].read() == data
        assert s3.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == "AES256"
    for start, end in ((0, 0), (65_530, 65_545), (size // 2, size - 1), (size - 1, size + 9)):
        if 0 <= start < size:
            part = body(s3, bucket, "k", Range=f"bytes={start}-{end}")
            assert part == data[start : end + 1]


@pytest.mark.parametrize("size", (11, 200_000, MB + 1))
def test_a_kms_key_encrypts(cloud: Cloud, s3: Any, bucket: str, key: str, size: int) -> None:
    data = os.urandom(size)
    how = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    context = base64.b64encode(json.dumps({"for": "tests"}).encode()).decode()
    told = s3.put_object(
        Bucket=bucket, Key="k", Body=data, SSEKMSEncryptionContext=context,
        BucketKeyEnabled=True, **how,
    )  # fmt: skip
    assert {n: told[n] for n in how} == how
    assert told["BucketKeyEnabled"] is True
    assert told["ETag"].strip('"') != hashlib.md5(data).hexdigest()
    found = s3.head_object(Bucket=bucket, Key="k")
    assert (found["SSEKMSKeyId"], found["ETag"]) == (key, told["ETag"])
    assert body(s3, bucket, "k") == data
    assert body(s3, bucket, "k", Range="bytes=5-9") == data[5:10]
    kms = cloud.client("kms")
    kms.disable_key(KeyId=key)
    with pytest.raises(ClientError, match=r"KMS\.DisabledException"):
        body(s3, bucket, "k")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size
    kms.enable_key(KeyId=key)
    assert body(s3, bucket, "k") == data


def test_without_a_key_id_the_accounts_own_s3_key_is_used(cloud: Cloud, s3: Any, bucket: str):  # type: ignore[no-untyped-def]
    told = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    described = cloud.client("kms").describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert told["SSEKMSKeyId"] == described["Arn"]
    assert body(s3, bucket, "k") == b"x"
    error = refused(
        s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms",
        SSEKMSKeyId=str(uuid.uuid4()),
    )  # fmt: skip
    assert error["Code"] == "KMS.NotFoundException"


def test_who_may_read_the_object_needs_the_key_too(
    cloud: Cloud, s3: Any, bucket: str, key: str
) -> None:
    how = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 100_000, **how)
    name = user(cloud, "s3:*")[1].rpartition("/")[2]
    iam = cloud.client("iam")
    made = iam.create_access_key(UserName=name)["AccessKey"]
    theirs = cloud.client("s3", access_key=made["AccessKeyId"], secret_key=made["SecretAccessKey"])
    with pytest.raises(ClientError, match="kms:Decrypt") as caught:
        body(theirs, bucket, "k")
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    error = refused(theirs.put_object, Bucket=bucket, Key="k", Body=b"y", **how)
    assert "kms:GenerateDataKey" in error["Message"]
    assert theirs.head_object(Bucket=bucket, Key="k")["ContentLength"] == 100_000
    statement = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": key}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="keys", PolicyDocument=document)
    assert len(body(theirs, bucket, "k")) == 100_000


@pytest.mark.parametrize("size", (0, 100, 300_000))
def test_a_customers_key_opens_its_object_only(s3: Any, bucket: str, size: int) -> None:
    data = os.urandom(size)
    told = s3.put_object(Bucket=bucket, Key="k", Body=data, **customer())
    assert told["SSECustomerAlgorithm"] == "AES256"
    assert told["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()
    assert told["ETag"].strip('"') != hashlib.md5(data).hexdigest()
    assert body(s3, bucket, "k", **customer()) == data
    head = s3.head_object(Bucket=bucket, Key="k", **customer())
    assert head["ContentLength"] == size
    if size:
        assert body(s3, bucket, "k", Range="bytes=1-9", **customer()) == data[1:10]
    asked = ["ObjectSize"]
    error = refused(s3.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=asked)
    assert error["Code"] == "InvalidRequest"
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=asked, **TEXTS)
    assert told["ObjectSize"] == size
    for call in (s3.get_object, s3.head_object):
        assert refused(call, Bucket=bucket, Key="k")["Status"] == 400
        assert refused(call, Bucket=bucket, Key="k", **customer(OTHER))["Status"] == 403
    s3.put_object(Bucket=bucket, Key="plain", Body=data)
    error = refused(s3.get_object, Bucket=bucket, Key="plain", **customer())
    assert (error["Code"], error["Message"]) == (
        "InvalidRequest",
        "The encryption parameters are not applicable to this object.",
    )


def test_wrong_parameters_are_refused(cloud: Cloud, s3: Any, bucket: str) -> None:
    def put(**more: Any) -> dict[str, Any]:
        return refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **more)

    md5 = base64.b64encode(hashlib.md5(OTHER).digest()).decode()
    short = base64.b64encode(b"short").decode()
    cases = (
        (put(SSECustomerAlgorithm="AES256"), "must provide an appropriate secret key"),
        (put(SSECustomerKey=KEY), "must provide a valid encryption algorithm"),
        (
            put(
                SSECustomerAlgorithm="AES256",
                SSECustomerKey=base64.b64encode(KEY).decode(),
                SSECustomerKeyMD5=md5,
            ),
            "did not match the hash",
        ),
        (put(**customer(b"short")), "secret key was invalid"),
        (put(ServerSideEncryption="AES256", **customer()), "incompatible with the encryption"),
        (put(ServerSideEncryption="AES256", SSEKMSKeyId="k"), "requires HTTP header"),
        (put(SSEKMSKeyId="k"), "requires HTTP header"),
        (put(ServerSideEncryption="aes:kms"), "method specified is not supported"),
        (put(ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=short), "string-string map"),
    )
    for error, text in cases:
        assert (error["Code"], error["Status"]) == ("InvalidArgument", 400), error
        assert text in error["Message"]
    error = put(SSECustomerAlgorithm="AES192", SSECustomerKey=KEY)
    assert error["Code"] == "InvalidEncryptionAlgorithmError"
    assert not s3.list_objects_v2(Bucket=bucket)["KeyCount"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    answer = urllib3.request("GET", url, headers={"x-amz-server-side-encryption": "AES256"})
    assert answer.status in (400, 403)  # on a read the header means nothing


def test_a_bucket_says_how(s3: Any, bucket: str, key: str) -> None:
    told = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert told["Rules"][0]["ApplyServerSideEncryptionByDefault"] == USUAL
    apply = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    default(s3, bucket, apply, BucketKeyEnabled=True)
    told = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert told["Rules"][0]["ApplyServerSideEncryptionByDefault"] == apply
    made = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert (made["ServerSideEncryption"], made["SSEKMSKeyId"]) == ("aws:kms", key)
    assert made["BucketKeyEnabled"] is True
    own = s3.put_object(Bucket=bucket, Key="own", Body=b"x", ServerSideEncryption="AES256")
    assert own["ServerSideEncryption"] == "AES256"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert s3.put_object(Bucket=bucket, Key="k2", Body=b"x")["ServerSideEncryption"] == "AES256"
    assert body(s3, bucket, "k") == b"x"
    default(s3, bucket, USUAL, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]})
    error = refused(s3.put_object, Bucket=bucket, Key="c", Body=b"x", **customer())
    assert error["Code"] == "AccessDenied"


def multipart(s3: Any, bucket: str, name: str, parts: list[bytes], part: Any, **how: Any) -> Any:
    made = s3.create_multipart_upload(Bucket=bucket, Key=name, **how)
    place = {"Bucket": bucket, "Key": name, "UploadId": made["UploadId"]}
    told = []
    for number, data in enumerate(parts, 1):
        sent = s3.upload_part(PartNumber=number, Body=data, **place, **part)
        told.append({"PartNumber": number, "ETag": sent["ETag"]})
    return s3.complete_multipart_upload(MultipartUpload={"Parts": told}, **place)


@pytest.mark.parametrize("kind", ("AES256", "aws:kms", "customer"))
def test_parts_are_encrypted_and_copied(s3: Any, bucket: str, key: str, kind: str) -> None:
    parts = [os.urandom(5 * MB + 3), os.urandom(70_000)]
    data = b"".join(parts)
    how: dict[str, Any] = {"ServerSideEncryption": kind}
    if kind == "aws:kms":
        how["SSEKMSKeyId"] = key
    how, part = (customer(), customer()) if kind == "customer" else (how, {})
    done = multipart(s3, bucket, "m", parts, part, **how)
    assert done["ETag"].endswith('-2"')
    assert body(s3, bucket, "m", **part) == data
    cut = 5 * MB + 3
    for start, end in ((0, 9), (cut - 70_000, cut + 66_000), (cut - 1, cut), (cut, cut + 5)):
        told = body(s3, bucket, "m", Range=f"bytes={start}-{end}", **part)
        assert told == data[start : end + 1]
    assert body(s3, bucket, "m", PartNumber=2, **part) == parts[1]
    source = {"Bucket": bucket, "Key": "m"}
    opening = customer(prefix="CopySource") if kind == "customer" else {}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **opening)
    assert body(s3, bucket, "copy") == data
    s3.copy_object(
        Bucket=bucket, Key="copy2", CopySource={"Bucket": bucket, "Key": "copy"},
        **customer(OTHER),
    )  # fmt: skip
    assert body(s3, bucket, "copy2", **customer(OTHER)) == data
    made = s3.create_multipart_upload(Bucket=bucket, Key="pc", **how)
    place = {"Bucket": bucket, "Key": "pc", "UploadId": made["UploadId"], "PartNumber": 1}
    more = opening | part
    span = "bytes=100-200000"
    sent = s3.upload_part_copy(CopySource=source, CopySourceRange=span, **place, **more)
    told = [{"PartNumber": place.pop("PartNumber"), "ETag": sent["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(MultipartUpload={"Parts": told}, **place)
    assert body(s3, bucket, "pc", **part) == data[100:200_001]
    if kind == "customer":
        made = s3.create_multipart_upload(Bucket=bucket, Key="x", **how)
        place = {"Bucket": bucket, "Key": "x", "UploadId": made["UploadId"], "PartNumber": 1}
        assert refused(s3.upload_part, Body=b"x", **place)["Status"] == 400
        assert refused(s3.upload_part, Body=b"x", **place, **customer(OTHER))["Status"] == 400
        assert refused(s3.copy_object, Bucket=bucket, Key="y", CopySource=source)["Status"] == 400


def test_a_copy_is_encrypted_as_its_own_bucket_says(s3: Any, bucket: str, key: str) -> None:
    other = f"e-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=other)
    for size in (5, 100_000):
        data = os.urandom(size)
        s3.put_object(Bucket=bucket, Key="k", Body=data)
        told = s3.copy_object(Bucket=other, Key="k", CopySource={"Bucket": bucket, "Key": "k"})
        assert told["ServerSideEncryption"] == "AES256"
        s3.delete_object(Bucket=bucket, Key="k")
        assert body(s3, other, "k") == data
    s3.delete_bucket(Bucket=bucket)  # the copy's key outlives the bucket it came from
    assert body(s3, other, "k") == data
    default(s3, other, {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key})
    source = {"Bucket": other, "Key": "k"}
    told = s3.copy_object(Bucket=other, Key="k", CopySource=source, ServerSideEncryption="aws:kms")
    assert told["SSEKMSKeyId"] == key
    assert body(s3, other, "k") == data


def test_a_copy_onto_itself_may_change_the_encryption(s3: Any, bucket: str, key: str) -> None:
    at = {"Bucket": bucket, "Key": "k"}
    onto = {**at, "CopySource": f"{bucket}/k"}
    s3.put_object(**at, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert s3.copy_object(**onto)["ServerSideEncryption"] == "AES256"
    assert "without changing" in refused(s3.copy_object, **onto)["Message"]
    default(s3, bucket, USUAL)
    assert s3.copy_object(**onto)["ServerSideEncryption"] == "AES256"


def test_policies_ask_for_encryption(s3: Any, bucket: str, key: str) -> None:
    def deny(condition: dict[str, Any]) -> dict[str, Any]:
        resource = f"arn:aws:s3:::{bucket}/*"
        told = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject"}
        return {**told, "Resource": resource, "Condition": condition}

    named = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    document = {
        "Version": "2012-10-17",
        "Statement": [
            deny({"Null": {"s3:x-amz-server-side-encryption": "true"}}),
            deny({"StringEquals": {named: "alias/other"}}),
        ],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    place = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert refused(s3.put_object, **place)["Code"] == "AccessDenied"
    s3.put_object(**place, ServerSideEncryption="AES256")
    s3.put_object(**place, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    error = refused(
        s3.put_object, **place, ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/other"
    )
    assert error["Code"] == "AccessDenied"


def test_nothing_plain_lies_on_the_disk_and_damage_is_told(own_cloud: Cloud) -> None:
    """Through a kill: what was written opens again; neither state, log nor blobs tell it."""
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="plain")
    key = own_cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    small, large = MARK * 20, MARK * 5_000
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key},
        customer(),
    )
    for n, way in enumerate(ways):
        for name, data in (("small", small), ("large", large)):
            for _ in range(2):
                s3.put_object(Bucket="plain", Key=f"{n}-{name}", Body=data, **way)
    parts = parts_of(own_cloud.told["pid"])
    os.kill(own_cloud.told["pid"], 9)
    deadline = time.monotonic() + 60
    while not all(map(ended, parts)):  # they write, and tidy up, until they hear of it
        assert time.monotonic() < deadline
        time.sleep(0.05)
    own_cloud.down()
    texts = (MARK, KEY, base64.b64encode(KEY))
    files = [p for p in own_cloud.home.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files if "blobs" in p.parts) > 3 * len(large)
    for path in files:
        found = path.read_bytes()
        assert not any(text in found for text in texts), path
    own_cloud.up()
    s3 = own_cloud.client("s3")
    for n, way in enumerate(ways):
        reading = way if n == 2 else {}
        assert body(s3, "plain", f"{n}-small", **reading) == small
        assert body(s3, "plain", f"{n}-large", **reading) == large
    _damage(own_cloud.home)
    for n, way in enumerate(ways):
        got = b""
        with pytest.raises(Exception, match=r"IncompleteRead|ResponseStreaming|Connection|broken"):
            got = body(s3, "plain", f"{n}-large", **(way if n == 2 else {}))
        assert not got


def parts_of(supervisor: int) -> list[int]:
    """The processes of a cloud."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text()
    return [int(child) for child in children.split()]


def ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def _damage(home: Path) -> None:
    for path in (home / "blobs").glob("??/*"):
        raw = bytearray(path.read_bytes())
        raw[70] ^= 1
        path.write_bytes(raw)


@pytest.mark.parametrize("algorithm", ("", "CRC32"))
def test_completing_asks_for_the_customers_key(s3: Any, bucket: str, algorithm: str) -> None:
    """Only of uploads with a checksum algorithm; a wrong one is refused always."""
    how = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    place = {"Bucket": bucket, "Key": "asked"}
    place["UploadId"] = s3.create_multipart_upload(**place, **customer(), **how)["UploadId"]
    part = s3.upload_part(PartNumber=1, Body=b"x", **place, **customer(), **how)
    told = {"PartNumber": 1, "ETag": part["ETag"]}
    told |= {"ChecksumCRC32": part["ChecksumCRC32"]} if algorithm else {}
    done = {**place, "MultipartUpload": {"Parts": [told]}}
    error = refused(s3.complete_multipart_upload, **done, **customer(OTHER))
    assert (error["Status"], error["Code"]) == (400, "InvalidRequest")
    if algorithm:
        assert "must include" in refused(s3.complete_multipart_upload, **done)["Message"]
        s3.complete_multipart_upload(**done, **customer())
    else:
        s3.complete_multipart_upload(**done)
        asked = {"Bucket": bucket, "Key": "asked", "ObjectAttributes": ["ObjectParts"]}
        told = s3.get_object_attributes(**asked, **TEXTS)["ObjectParts"]
        assert told == {"TotalPartsCount": 1}  # it has no checksum: S3 could not make one
    assert body(s3, bucket, "asked", **customer()) == b"x"
