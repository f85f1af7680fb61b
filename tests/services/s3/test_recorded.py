"""Answers as they were recorded of AWS (2024 to 2026), where its documents say less or nothing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conftest import Cloud
from tests.services.s3.test_objects import refused

HTTP = urllib3.PoolManager(retries=False)
ELSEWHERE = "http://page.example"


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3", config=Config(parameter_validation=False))


@pytest.fixture
def bucket(s3: Any) -> str:
    return made(s3)


def made(s3: Any, **more: Any) -> str:
    name = f"recorded-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, **more)
    return name


def test_what_a_preflight_asks_counts_in_requests_too(cloud: Cloud, s3: Any, bucket: str) -> None:
    rule = {"AllowedOrigins": [ELSEWHERE], "AllowedMethods": ["GET"], "AllowedHeaders": ["x-a"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})

    def let_in(**asked: str) -> bool:
        told = {f"Access-Control-Request-{name}": value for name, value in asked.items()}
        answer = HTTP.request("GET", url, headers={"Origin": ELSEWHERE, **told})
        assert answer.status == 200
        return "access-control-allow-origin" in answer.headers

    assert let_in() and let_in(Method="GET") and let_in(Headers="X-A")
    assert not let_in(Method="PUT") and not let_in(Headers="x-b")


@pytest.mark.parametrize(("path", "kind"), [("", "BUCKET"), ("/k", "OBJECT")])
def test_a_preflight_tells_what_it_was_about(
    cloud: Cloud, s3: Any, bucket: str, path: str, kind: str
) -> None:
    rule = {"AllowedOrigins": [ELSEWHERE], "AllowedMethods": ["GET"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    asked = {"Origin": "http://other.example", "Access-Control-Request-Method": "GET"}
    answer = HTTP.request("OPTIONS", f"{cloud.endpoint}/{bucket}{path}", headers=asked)
    assert answer.status == 403 and f"<ResourceType>{kind}<".encode() in answer.data


def test_retention_is_bypassed_where_something_can_be_locked(s3: Any, bucket: str) -> None:
    many = {"Objects": [{"Key": "k"}]}
    for bypass in (True, False):
        told = refused(s3.delete_object, Bucket=bucket, Key="k", BypassGovernanceRetention=bypass)
        assert told["Code"] == "InvalidArgument"
        assert told["ArgumentName"] == "x-amz-bypass-governance-retention"
    told = refused(s3.delete_objects, Bucket=bucket, Delete=many, BypassGovernanceRetention=True)
    assert told["Code"] == "InvalidArgument"
    locked = made(s3, ObjectLockEnabledForBucket=True)
    done = s3.delete_objects(Bucket=locked, Delete=many, BypassGovernanceRetention=True)
    assert done["Deleted"][0]["Key"] == "k"


def test_a_bucket_is_not_made_again_with_tags(s3: Any) -> None:
    tags = {"Tags": [{"Key": "a", "Value": "1"}]}
    name = made(s3, CreateBucketConfiguration=tags)
    again = refused(s3.create_bucket, Bucket=name, CreateBucketConfiguration=tags)
    assert again["Code"] == "BucketAlreadyOwnedByYou"
    s3.create_bucket(Bucket=name)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": []})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tags["Tags"]


def test_buckets_are_not_made_with_system_tags(s3: Any) -> None:
    tags = {"Tags": [{"Key": "aws:a", "Value": "1"}]}
    with pytest.raises(ClientError) as told:
        made(s3, CreateBucketConfiguration=tags)
    error = told.value.response["Error"]
    assert error["Message"].startswith("User-defined tag keys can't start with")
    assert "TagKey" not in error


def test_an_ownership_of_no_name_is_none(s3: Any) -> None:
    with pytest.raises(ClientError, match="Invalid x-amz-object-ownership header: "):
        made(s3, ObjectOwnership="")


def test_tags_without_a_set_are_none(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Tagging="a=1")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": None})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": None})
    assert refused(s3.get_bucket_tagging, Bucket=bucket)["Code"] == "NoSuchTagSet"


def test_an_empty_policy_is_malformed(s3: Any, bucket: str) -> None:
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy="")["Code"] == "MalformedPolicy"


def test_where_a_token_goes_on_no_start_is_told(s3: Any, bucket: str) -> None:
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key)
    first = s3.list_objects_v2(Bucket=bucket, StartAfter="a", MaxKeys=1)
    assert first["StartAfter"] == "a"
    token = first["NextContinuationToken"]
    rest = s3.list_objects_v2(Bucket=bucket, StartAfter="a", ContinuationToken=token)
    assert "StartAfter" not in rest and [o["Key"] for o in rest["Contents"]] == ["c"]


def test_a_key_for_s3s_own_encryption_is_wrong(s3: Any, bucket: str) -> None:
    default = {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "alias/a"}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    told = refused(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    assert told["ArgumentName"] == "ApplyServerSideEncryptionByDefault"
