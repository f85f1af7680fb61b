"""Object Lock as boto3 sees it: what may be deleted when, and by whom."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Cloud


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    """A bucket whose versions can be locked; what is only governed goes afterwards."""
    name = f"lock-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    page = s3.list_object_versions(Bucket=name)
    for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
        at = {"Bucket": name, "Key": found["Key"], "VersionId": found["VersionId"]}
        s3.delete_object(**at, BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    """(code, status) of a call that must fail."""
    with pytest.raises(ClientError) as told:
        call(**params)
    answer = told.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def later(**ahead: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(**ahead)


def test_a_bucket_is_made_for_locks_for_ever(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    told = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert told == {"ObjectLockEnabled": "Enabled"}
    suspended = {"Status": "Suspended"}
    error = refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=suspended)
    assert error == ("InvalidBucketState", 409)


def test_locking_needs_versions_and_a_configuration(s3: Any) -> None:
    name = f"lock-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="a", Body=b"a")
    assert refused(s3.get_object_lock_configuration, Bucket=name) == (
        "ObjectLockConfigurationNotFoundError",
        404,
    )
    on = {"ObjectLockEnabled": "Enabled"}
    error = refused(s3.put_object_lock_configuration, Bucket=name, ObjectLockConfiguration=on)
    assert error == ("InvalidBucketState", 409)
    assert refused(s3.put_object_lock_configuration, Bucket=name) == (
        "MissingRequestBodyError",
        400,
    )
    for call, more in (
        (s3.get_object_retention, {}),
        (s3.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
        (s3.put_object, {"ObjectLockLegalHoldStatus": "ON"}),
    ):
        assert refused(call, Bucket=name, Key="a", **more) == ("InvalidRequest", 400)
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=on)
    s3.put_object_legal_hold(Bucket=name, Key="a", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=name, Key="a", VersionId="null")
    s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("ways", ["put", "copy", "parts", "default"])
def test_governance_gives_way_to_a_bypass_only(s3: Any, bucket: str, ways: str) -> None:
    until = later(days=3)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    at = {"Bucket": bucket, "Key": "k"}
    if ways == "put":
        version = s3.put_object(**at, Body=b"x", **lock)["VersionId"]
    elif ways == "copy":
        s3.put_object(Bucket=bucket, Key="source", Body=b"x")
        version = s3.copy_object(**at, CopySource=f"{bucket}/source", **lock)["VersionId"]
    elif ways == "parts":
        upload = s3.create_multipart_upload(**at, **lock)["UploadId"]
        part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        done = s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)
        version = done["VersionId"]
    else:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
        told = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=told)
        told_back = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        assert told_back == told
        version = s3.put_object(**at, Body=b"x")["VersionId"]
    head = s3.head_object(**at)
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert abs(head["ObjectLockRetainUntilDate"] - until) < timedelta(minutes=1)
    held = s3.get_object_retention(**at)["Retention"]
    assert held["Mode"] == "GOVERNANCE"
    assert refused(s3.delete_object, **at, VersionId=version) == ("AccessDenied", 403)
    marker = s3.delete_object(**at)
    assert marker["DeleteMarker"]
    s3.delete_object(**at, VersionId=marker["VersionId"])
    assert s3.get_object(**at)["Body"].read() == b"x"
    s3.delete_object(**at, VersionId=version, BypassGovernanceRetention=True)
    assert refused(s3.get_object, **at)[0] == "NoSuchKey"


def tried(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    """(code, status) of a call that may fail; ("", 0) when it does not."""
    try:
        call(**params)
    except ClientError as error:
        answer = error.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
    return "", 0


def held(s3: Any, bucket: str, seconds: int) -> bool:
    """Whether there was time to try everything on a version kept for so long; nothing ended it."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    at = {"Bucket": bucket, "Key": f"kept-{seconds}"}
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    if tried(s3.put_object, **at, Body=b"x", **lock)[0]:
        assert datetime.now(UTC) >= until  # it came after its end
        return False
    at["VersionId"] = s3.head_object(**at)["VersionId"]
    by_force = {**at, "BypassGovernanceRetention": True}
    governed = {"Mode": "GOVERNANCE", "RetainUntilDate": later(days=1)}
    told = [
        tried(s3.delete_object, **by_force),
        tried(s3.put_object_retention, **by_force, Retention={}),
        tried(s3.put_object_retention, **by_force, Retention=governed),
    ]
    if datetime.now(UTC) >= until:
        return False
    assert told == [("AccessDenied", 403)] * 3
    time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 0.1)
    s3.delete_object(**at)
    return True


def test_compliance_ends_by_time_alone(s3: Any, bucket: str) -> None:
    # A busy machine may need a longer one to try everything in.
    assert any(held(s3, bucket, seconds) for seconds in (2, 10, 40))


def test_retention_grows_and_shrinks_with_a_bypass(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**at, Body=b"x")
    assert refused(s3.get_object_retention, **at) == ("NoSuchObjectLockConfiguration", 404)

    def retain(days: int, **more: Any) -> None:
        told = {"Mode": "GOVERNANCE", "RetainUntilDate": later(days=days)}
        s3.put_object_retention(**at, Retention=told, **more)

    retain(2)
    retain(4)
    with pytest.raises(ClientError, match="protected by object lock"):
        retain(1)
    retain(1, BypassGovernanceRetention=True)
    s3.put_object_retention(**at, Retention={}, BypassGovernanceRetention=True)
    assert refused(s3.get_object_retention, **at) == ("NoSuchObjectLockConfiguration", 404)


def test_a_legal_hold_has_no_bypass(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "k"}
    version = s3.put_object(**at, Body=b"x", ObjectLockLegalHoldStatus="ON")["VersionId"]
    told = {"Objects": [{"Key": "k", "VersionId": version}]}
    done = s3.delete_objects(Bucket=bucket, Delete=told, BypassGovernanceRetention=True)
    assert [e["Code"] for e in done["Errors"]] == ["AccessDenied"]
    assert s3.get_object_legal_hold(**at)["LegalHold"] == {"Status": "ON"}
    s3.put_object_legal_hold(**at, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**at)["LegalHold"] == {"Status": "OFF"}
    done = s3.delete_objects(Bucket=bucket, Delete=told)
    assert [d["Key"] for d in done["Deleted"]] == ["k"]


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"ObjectLockMode": "GOVERNANCE"}, "InvalidArgument"),
        ({"ObjectLockRetainUntilDate": later(days=1)}, "InvalidArgument"),
        ({"ObjectLockMode": "x", "ObjectLockRetainUntilDate": later(days=1)}, "InvalidArgument"),
        (
            {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": later(days=-1)},
            "InvalidArgument",
        ),
        ({"ObjectLockLegalHoldStatus": "YES"}, "InvalidArgument"),
    ],
)
def test_wrong_wishes_are_refused(s3: Any, bucket: str, wish: dict[str, Any], code: str) -> None:
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", **wish) == (code, 400)


def test_a_bypass_takes_its_own_permission(cloud: Cloud, s3: Any, bucket: str) -> None:
    iam = cloud.client("iam")
    user = f"u-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    actions = ["s3:DeleteObjectVersion", "s3:PutObject"]
    allow = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
    keys = iam.create_access_key(UserName=user)["AccessKey"]
    theirs = cloud.client("s3", access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"])
    at = {"Bucket": bucket, "Key": "k"}
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(days=1)}
    assert refused(theirs.put_object, **at, Body=b"x", **lock) == ("AccessDenied", 403)
    version = s3.put_object(**at, Body=io.BytesIO(b"x"), **lock)["VersionId"]
    gone = {"VersionId": version, "BypassGovernanceRetention": True}
    assert refused(theirs.delete_object, **at, **gone) == ("AccessDenied", 403)
    iam.delete_access_key(UserName=user, AccessKeyId=keys["AccessKeyId"])
    iam.delete_user_policy(UserName=user, PolicyName="p")
    iam.delete_user(UserName=user)
