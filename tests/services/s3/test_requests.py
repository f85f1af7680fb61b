"""Requests that are not as they should be, and what S3 says of them: documents and their digests,
tags, versions that cannot be, sources of copies, conditions of sites."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from botocore.config import Config

from tests.conftest import Cloud
from tests.services.s3.test_objects import refused


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


def name() -> str:
    return f"requests-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def bucket(s3: Any) -> str:
    made = name()
    s3.create_bucket(Bucket=made)
    return made


def code(call: Callable[..., Any], **params: Any) -> str:
    return str(refused(call, **params)["Code"])


# -- documents ---------------------------------------------------------------------------------


@contextmanager
def sending(client: Any, operation: str, header: str, value: Callable[[bytes], str]) -> Any:
    """``operation`` is sent with this header; ``value`` is told the document."""

    def put(request: Any, **_: Any) -> None:
        del request.headers[header]
        request.headers[header] = value(request.body)

    events, at = client.meta.events, f"before-sign.s3.{operation}"
    events.register(at, put)
    try:
        yield
    finally:
        events.unregister(at, put)


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.parametrize("operation", ("PutBucketTagging", "PutBucketCors", "DeleteObjects"))
def test_a_document_is_as_its_md5_says(s3: Any, bucket: str, operation: str) -> None:
    call, document = {
        "PutBucketTagging": (s3.put_bucket_tagging, {"Tagging": {"TagSet": []}}),
        "PutBucketCors": (s3.put_bucket_cors, {"CORSConfiguration": {"CORSRules": [_rule()]}}),
        "DeleteObjects": (s3.delete_objects, {"Delete": {"Objects": [{"Key": "k"}]}}),
    }[operation]
    with sending(s3, operation, "Content-MD5", lambda _: "no md5"):
        assert code(call, Bucket=bucket, **document) == "InvalidDigest"
    with sending(s3, operation, "Content-MD5", lambda _: md5(b"other")):
        assert code(call, Bucket=bucket, **document) == "BadDigest"
    with sending(s3, operation, "Content-MD5", md5):
        call(Bucket=bucket, **document)


def _rule(**more: Any) -> dict[str, Any]:
    return {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], **more}


def test_a_document_is_as_its_checksum_says(s3: Any, bucket: str) -> None:
    told = {"Bucket": bucket, "VersioningConfiguration": {"Status": "Enabled"}}
    with sending(s3, "PutBucketVersioning", "x-amz-checksum-crc32", lambda _: "AAAAAA=="):
        assert code(s3.put_bucket_versioning, **told) == "BadDigest"
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_bucket_versioning(**told, ChecksumAlgorithm="SHA256")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


# -- tags --------------------------------------------------------------------------------------


def test_a_bucket_is_made_with_its_tags(s3: Any) -> None:
    made = name()
    tags = [{"Key": "team", "Value": "red"}, {"Key": "year", "Value": "2026"}]
    s3.create_bucket(Bucket=made, CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket=made)["TagSet"] == tags
    for wrong, told in (
        ([{"Key": "a*b", "Value": ""}], "InvalidTag"),
        ([{"Key": "a", "Value": ""}] * 2, "InvalidTag"),
        ([{"Key": f"k{i}", "Value": ""} for i in range(51)], "BadRequest"),
    ):
        how = {"Bucket": name(), "CreateBucketConfiguration": {"Tags": wrong}}
        assert code(s3.create_bucket, **how) == told


def test_more_tags_than_there_may_be(s3: Any, bucket: str) -> None:
    tags = {"TagSet": [{"Key": f"k{i}", "Value": ""} for i in range(51)]}
    error = refused(s3.put_bucket_tagging, Bucket=bucket, Tagging=tags)
    assert (error["Code"], error["Message"]) == (
        "BadRequest",
        "Bucket tag count cannot be greater than 50",
    )


def test_a_header_of_tags_names_them(s3: Any, bucket: str) -> None:
    put = {"Bucket": bucket, "Key": "k", "Body": b""}
    for told in ("=", "a=b&=c", "a=1&a=2"):
        assert code(s3.put_object, **put, Tagging=told) == "InvalidArgument"
    s3.put_object(**put, Tagging="a&b=&&c=d")
    found = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert [(t["Key"], t["Value"]) for t in found] == [("a", ""), ("b", ""), ("c", "d")]


def test_the_private_list_is_what_a_bucket_without_lists_has(s3: Any) -> None:
    how = {"Bucket": name(), "ObjectOwnership": "BucketOwnerEnforced"}
    told = code(s3.create_bucket, **how, ACL="public-read")
    assert told == "InvalidBucketAclWithObjectOwnership"
    assert code(s3.create_bucket, **how, ACL="no-such-list") == "InvalidArgument"
    s3.create_bucket(**how, ACL="private")
    (grant,) = s3.get_bucket_acl(Bucket=how["Bucket"])["Grants"]
    assert grant["Permission"] == "FULL_CONTROL"


# -- versions and locks ------------------------------------------------------------------------


def test_what_cannot_be_locked(s3: Any) -> None:
    at = {"Bucket": name(), "Key": "k"}
    s3.create_bucket(Bucket=at["Bucket"], ObjectLockEnabledForBucket=True)
    first = s3.put_object(**at, Body=b"x")["VersionId"]
    until = datetime.now(UTC) + timedelta(days=1)
    held = {"LegalHold": {"Status": "ON"}}
    kept = {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until}}
    for version in ("", "nonsense"):
        assert code(s3.put_object_legal_hold, **at, **held, VersionId=version) == "InvalidArgument"
        assert code(s3.put_object_retention, **at, **kept, VersionId=version) == "InvalidArgument"
    marker = s3.delete_object(**at)["VersionId"]
    for version in ({"VersionId": marker}, {}):
        for call, more in (
            (s3.put_object_legal_hold, held),
            (s3.put_object_retention, kept),
            (s3.get_object_legal_hold, {}),
            (s3.get_object_retention, {}),
        ):
            assert code(call, **at, **more, **version) == "MethodNotAllowed"
    s3.put_object_legal_hold(**at, **held, VersionId=first)


def test_a_locks_headers_are_wrong_in_any_bucket(s3: Any, bucket: str) -> None:
    put = {"Bucket": bucket, "Key": "k", "Body": b""}
    past = datetime.now(UTC) - timedelta(days=1)
    assert code(s3.put_object, **put, ObjectLockMode="GOVERNANCE") == "InvalidArgument"
    wrong = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": past}
    assert code(s3.put_object, **put, **wrong) == "InvalidArgument"
    assert code(s3.put_object, **put, ObjectLockLegalHoldStatus="ON") == "InvalidRequest"


# -- objects -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "what"),
    (
        ("bucket/%ZZ", "encoding"),
        ("100%/key", "encoding"),
        ("bucket/%1", "encoding"),
        ("bucket", "object key"),
        ("bucket/", "object key"),
        ("my-buc@k/key", "bucket name"),
        ("192.168.1.1/key", "bucket name"),
    ),
)
def test_sources_that_cannot_be(s3: Any, bucket: str, source: str, what: str) -> None:
    with sending(s3, "CopyObject", "x-amz-copy-source", lambda _: source):
        error = refused(s3.copy_object, Bucket=bucket, Key="k", CopySource="b/k")
    assert (error["Code"], error["Message"]) == ("InvalidArgument", f"Invalid copy source {what}")


def test_what_completing_an_upload_tells_must_be_possible(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "m"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    etag = s3.upload_part(**at, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    none = {"Parts": [{"PartNumber": 0, "ETag": etag}]}
    error = refused(s3.complete_multipart_upload, **at, MultipartUpload=none)
    assert (error["Code"], error["Message"]) == ("InvalidArgument", "PartNumber must be >= 1")
    error = refused(s3.complete_multipart_upload, **at, MultipartUpload=parts, MpuObjectSize=-1)
    assert "less than zero: '-1'" in error["Message"]
    error = refused(s3.complete_multipart_upload, **at, MultipartUpload=parts, ChecksumType="ANY")
    assert error["Message"] == "Value for x-amz-checksum-type header is invalid."
    s3.complete_multipart_upload(**at, MultipartUpload=parts, MpuObjectSize=4)


def test_many_may_complete_an_upload_at_once(cloud: Cloud, s3: Any, bucket: str) -> None:
    """Each is answered as if it were the only one."""
    config = Config(max_pool_connections=8)
    clients = [cloud.client("s3", config=config) for _ in range(8)]
    for turn in range(5):
        at = {"Bucket": bucket, "Key": f"m{turn}"}
        at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
        etag = s3.upload_part(**at, PartNumber=1, Body=b"part")["ETag"]
        told = {**at, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
        start = Barrier(len(clients))

        def complete(client: Any, told: Any = told, start: Barrier = start) -> str:
            start.wait()
            return str(client.complete_multipart_upload(**told)["ETag"])

        with ThreadPoolExecutor(len(clients)) as pool:
            assert len(set(pool.map(complete, clients))) == 1


def test_attributes_must_be_named(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    ask = {"Bucket": bucket, "Key": "k"}
    with sending(s3, "GetObjectAttributes", "x-amz-object-attributes", lambda _: ""):
        assert code(s3.get_object_attributes, **ask, ObjectAttributes=["ETag"]) == "InvalidRequest"
    assert code(s3.get_object_attributes, **ask, ObjectAttributes=["Owner"]) == "InvalidArgument"


def test_the_part_of_an_empty_object_names_no_bytes(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert "ContentRange" not in s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    s3.put_object(Bucket=bucket, Key="k", Body=b"some")
    told = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert told["ContentRange"] == "bytes 0-3/4"


# -- settings ----------------------------------------------------------------------------------


def test_a_site_has_fifty_rules_and_each_a_condition_that_says_something(
    s3: Any, bucket: str
) -> None:
    def site(rules: list[dict[str, Any]]) -> dict[str, Any]:
        return {"IndexDocument": {"Suffix": "i.html"}, "RoutingRules": rules}

    def ruled(count: int) -> list[dict[str, Any]]:
        conditions = ({"KeyPrefixEquals": f"{i}/"} for i in range(count))
        return [{"Condition": c, "Redirect": {"ReplaceKeyWith": "k"}} for c in conditions]

    put = {"Bucket": bucket, "WebsiteConfiguration": site(ruled(51))}
    error = refused(s3.put_bucket_website, **put)
    assert error["Code"] == "InvalidRequest" and "limited to 50" in error["Message"]
    empty = site([{"Condition": {}, "Redirect": {"HostName": "example.com"}}])
    error = refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration=empty)
    assert error["Code"] == "InvalidRequest" and "cannot be empty" in error["Message"]
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site(ruled(50)))


@pytest.mark.parametrize("kind", ("AllowedHeaders", "ExposeHeaders"))
def test_rules_for_origins_name_headers_there_can_be(s3: Any, bucket: str, kind: str) -> None:
    for wrong in ("a header", "X(Custom)", "X:Y"):
        rules = {"CORSRules": [_rule(**{kind: ["x-fine", wrong]})]}
        error = refused(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration=rules)
        assert error["Code"] == "InvalidRequest" and wrong in error["Message"]
    rules = {"CORSRules": [_rule(**{kind: ["x-fine"]}), _rule(AllowedHeaders=["x-*", "*"])]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=rules)


def test_a_policy_names_principals(s3: Any, bucket: str) -> None:
    for nobody in ({"AWS": ""}, {"AWS": []}, {"AWS": ["111122223333", ""]}):
        statement = {"Effect": "Deny", "Principal": nobody, "Action": "s3:*", "Resource": "*"}
        statement["Resource"] = f"arn:aws:s3:::{bucket}/*"
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        assert code(s3.put_bucket_policy, Bucket=bucket, Policy=text) == "MalformedPolicy"
