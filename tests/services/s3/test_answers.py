"""Answers as S3 was seen to give them: what errors carry, listings from a marker inside a prefix,
conditions, and addresses that bring their headers in the query."""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from pileus.policy.principals import canonical_id
from tests.conftest import Cloud
from tests.services.s3.clocked import Clocked
from tests.services.s3.test_objects import refused

HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"answers-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def signed(cloud: Cloud, method: str, path: str, **query: str) -> str:
    request = AWSRequest(method, f"{cloud.endpoint}/{path}", params=query)
    keys = cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"]
    S3SigV4QueryAuth(Credentials(*keys), "s3", cloud.env["AWS_REGION"]).add_auth(request)
    return str(request.url)


def test_a_signed_query_brings_headers(cloud: Cloud, s3: Any, bucket: str) -> None:
    told = {"x-amz-meta-color": "blue", "x-amz-tagging": "a=b", "x-amz-checksum-crc32": "AAAAAA=="}
    url = signed(cloud, "PUT", f"{bucket}/k", **told, **{"If-None-Match": "*"})
    assert HTTP.request("PUT", url, body=b"some").status == 200
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["Metadata"], head["TagCount"]) == ({"color": "blue"}, 1)
    assert HTTP.request("PUT", url, body=b"some").status == 412
    assert HTTP.request("PUT", url.replace("blue", "red"), body=b"some").status == 403


def test_versions_and_markers_are_told_in_one_order(cloud: Cloud, s3: Any, bucket: str) -> None:
    """By key, newest first, as S3 does: some clients read the document from top to bottom."""
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    wanted = []
    for key in ("a", "b"):
        at = {"Bucket": bucket, "Key": key}
        made = [s3.put_object(**at)["VersionId"], s3.delete_object(**at)["VersionId"]]
        made += [s3.put_object(**at)["VersionId"], s3.delete_object(**at)["VersionId"]]
        kinds = ("DeleteMarker", "Version") * 2
        wanted += [(kind, key, v) for kind, v in zip(kinds, reversed(made), strict=True)]
    url = signed(cloud, "GET", bucket, versions="")
    text = HTTP.request("GET", url).data.decode()
    form = r"<(Version|DeleteMarker)>.*?<Key>(.*?)</Key>.*?<VersionId>(.*?)</VersionId>"
    assert re.findall(form, text) == wanted
    assert "Place" not in text
    listed = s3.list_object_versions(Bucket=bucket)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (4, 4)


def test_a_write_has_one_condition(s3: Any, bucket: str) -> None:
    both = refused(s3.put_object, Bucket=bucket, Key="k", IfNoneMatch="*", IfMatch="x")
    assert both["Header"] == "If-Match,If-None-Match"


def test_conditions_of_a_copys_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    copy: dict[str, Any] = {"Bucket": bucket, "Key": "l", "CopySource": f"{bucket}/k"}
    now = datetime.now(UTC)
    later, before = now + timedelta(days=1), now - timedelta(days=1)
    s3.copy_object(**copy, CopySourceIfModifiedSince=later)  # a time to come is no condition
    cases = (
        ("x-amz-copy-source-If-Match", {"CopySourceIfMatch": "x"}),
        ("x-amz-copy-source-If-Unmodified-Since", {"CopySourceIfUnmodifiedSince": before}),
    )
    for name, condition in cases:
        error = refused(s3.copy_object, **copy, **condition)
        assert (error["Code"], error["Condition"]) == ("PreconditionFailed", name)


def test_a_marker_inside_a_prefix_leaves_it_out(s3: Any, bucket: str) -> None:
    for key in ("a/b/1", "a/b/2", "a/c"):
        s3.put_object(Bucket=bucket, Key=key)
        s3.create_multipart_upload(Bucket=bucket, Key=key)
    asked = {"Bucket": bucket, "Prefix": "a/", "Delimiter": "/"}
    first = s3.list_objects(**asked, Marker="a/b/1")
    assert ([o["Key"] for o in first["Contents"]], first.get("CommonPrefixes")) == (["a/c"], None)
    versions = s3.list_object_versions(**asked, KeyMarker="a/b/1")
    assert [o["Key"] for o in versions["Versions"]] == ["a/c"]
    uploads = s3.list_multipart_uploads(**asked, KeyMarker="a/b/1")
    assert [o["Key"] for o in uploads["Uploads"]] == ["a/c"]
    second = s3.list_objects_v2(**asked, StartAfter="a/b/1")
    assert second["CommonPrefixes"] == [{"Prefix": "a/b/"}]


def test_a_page_goes_on_where_the_newer_versions_were_deleted(s3: Any, bucket: str) -> None:
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    ids = [s3.put_object(Bucket=bucket, Key="k")["VersionId"] for _ in range(4)]
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=2)
    for version in page["Versions"]:
        s3.delete_object(Bucket=bucket, Key="k", VersionId=version["VersionId"])
    marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    rest = s3.list_object_versions(Bucket=bucket, **marker)["Versions"]
    assert [(v["VersionId"], v["IsLatest"]) for v in rest] == [(ids[1], True), (ids[0], False)]


def test_foreign_version_ids(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    foreign = {"Key": "k", "VersionId": "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"}
    for operation in (s3.get_object, s3.delete_object):
        error = refused(operation, Bucket=bucket, **foreign)
        assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "versionId")
    told = s3.delete_objects(Bucket=bucket, Delete={"Objects": [foreign]})["Errors"]
    assert [e["Code"] for e in told] == ["NoSuchVersion"]


def test_preflights_of_buckets_without_rules(cloud: Cloud, bucket: str) -> None:
    headers = {"Origin": "http://here", "Access-Control-Request-Method": "PUT"}
    for name, words in ((bucket, "CORS is not enabled"), (f"{bucket}-none", "Bucket not found")):
        answer = HTTP.request("OPTIONS", f"{cloud.endpoint}/{name}/k", headers=headers)
        assert answer.status == 403
        assert words.encode() in answer.data
        assert b"<ResourceType>BUCKET</ResourceType>" in answer.data


def test_errors_name_what_is_wrong(s3: Any, bucket: str) -> None:
    error = refused(s3.get_object, Bucket=bucket, Key="none")
    assert (error["Code"], error["Key"], "Resource" in error) == ("NoSuchKey", "none", False)
    error = refused(s3.put_object, Bucket=bucket, Key="k", ContentMD5="AAAA")
    assert (error["Code"], error["Content-MD5"]) == ("InvalidDigest", "AAAA")
    error = refused(s3.put_object, Bucket=bucket, Key="k", Tagging="a=1&a=2")
    assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "x-amz-tagging")
    versioned = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioned)
    s3.put_object(Bucket=bucket, Key="k")
    message = refused(s3.delete_bucket, Bucket=bucket)["Message"]
    assert message.endswith("You must delete all versions in the bucket.")
    s3.delete_object(Bucket=bucket, Key="k")
    error = refused(s3.get_object_tagging, Bucket=bucket, Key="k")
    assert (error["Code"], error["ResourceType"]) == ("MethodNotAllowed", "DeleteMarker")


def test_conditions_that_s3_does_not_know(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    put: dict[str, Any] = {"Bucket": bucket, "Key": "k", "Body": b"y"}
    copy: dict[str, Any] = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/other"}
    s3.put_object(Bucket=bucket, Key="other", Body=b"z")
    for call in (partial(s3.put_object, **put), partial(s3.copy_object, **copy)):
        for name, condition in (("If-None-Match", etag), ("If-Match", "*")):
            error = refused(call, **{name.replace("-", ""): condition})
            assert (error["Status"], error["Code"]) == (501, "NotImplemented")
            assert error["Header"] == name
    delete = partial(s3.delete_object, Bucket=bucket, Key="k")
    for condition in ({"IfMatchSize": 1}, {"IfMatchLastModifiedTime": datetime.now(UTC)}):
        assert refused(delete, **condition)["Code"] == "NotImplemented"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    delete(IfMatch="*")


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("many", [False, True])
def test_deletes_under_a_condition(s3: Any, bucket: str, versioned: bool, many: bool) -> None:
    """User Guide, "How to perform conditional deletes": of the current version, and where there is
    none, or it is a delete marker, nothing is deleted."""
    if versioned:
        status = {"Status": "Enabled"}
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)

    def delete(condition: str) -> str:
        if not many:
            call = partial(s3.delete_object, Bucket=bucket, Key="k", IfMatch=condition)
            try:
                return "" if call() else "?"
            except ClientError as error:
                return str(error.response["Error"]["Code"])
        told = {"Objects": [{"Key": "k", "ETag": condition}]}
        answer = s3.delete_objects(Bucket=bucket, Delete=told)
        return answer["Errors"][0]["Code"] if "Errors" in answer else ""

    def nothing_is_there(*former: str) -> None:
        before = s3.list_object_versions(Bucket=bucket).get("DeleteMarkers", [])
        assert {delete(c) for c in ("*", '"bad"', *former)} == {"NoSuchKey"}
        assert s3.list_object_versions(Bucket=bucket).get("DeleteMarkers", []) == before

    nothing_is_there()
    for right in ("*", ""):
        etag = s3.put_object(Bucket=bucket, Key="k", Body=right.encode())["ETag"]
        assert delete('"bad"') == "PreconditionFailed"
        assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == etag
        assert delete(right or etag) == ""
        nothing_is_there(etag)


def test_the_expected_owner_is_an_account(s3: Any, bucket: str) -> None:
    calls: list[Callable[..., Any]] = [
        partial(s3.put_object, Bucket=bucket, Key="k"), partial(s3.head_bucket, Bucket=bucket),
        partial(s3.list_objects_v2, Bucket=bucket),
    ]  # fmt: skip
    for call in calls:
        assert refused(call, ExpectedBucketOwner="12345678901x")["Status"] == 400
        assert refused(call, ExpectedBucketOwner="999999999999")["Status"] == 403
    error = refused(s3.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="abc")
    assert error["Code"] == "InvalidBucketOwnerAWSAccountID" and "[abc]" in error["Message"]


@pytest.mark.parametrize("kind", ("COMPOSITE", "FULL_OBJECT", ""))
def test_attributes_of_parts(s3: Any, bucket: str, kind: str) -> None:
    asked = {"ChecksumAlgorithm": "CRC32", "ChecksumType": kind} if kind else {}
    at = {"Bucket": bucket, "Key": "parts"}
    at["UploadId"] = s3.create_multipart_upload(**at, **asked)["UploadId"]
    parts = []
    for number, body in ((1, b"a" * 5 * 1024 * 1024), (2, b"b")):
        part = s3.upload_part(**at, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        checks = {"ChecksumCRC32": part["ChecksumCRC32"]} if kind else {}
        parts.append({"PartNumber": number, "ETag": part["ETag"], **checks})
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    where = {"Bucket": bucket, "Key": "parts", "ObjectAttributes": ["ObjectParts", "Checksum"]}
    found = s3.get_object_attributes(**where)
    assert found["ObjectParts"]["TotalPartsCount"] == 2
    algorithm = "ChecksumCRC32" if kind else "ChecksumCRC64NVME"
    assert "-" not in found["Checksum"][algorithm]
    if kind != "COMPOSITE":
        assert found["ObjectParts"] == {"TotalPartsCount": 2}
        return
    assert [set(p) for p in found["ObjectParts"]["Parts"]] == [
        {"PartNumber", "Size", algorithm}
    ] * 2
    page = s3.get_object_attributes(**where, MaxParts=1, PartNumberMarker=1)["ObjectParts"]
    assert [p["PartNumber"] for p in page["Parts"]] == [2]


def test_an_upload_completed_if_match_meets_no_other_write(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    at: dict[str, Any] = {"Bucket": bucket, "Key": "k"}
    for again in (True, False):
        upload = s3.create_multipart_upload(**at)["UploadId"]
        part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"y")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        done = partial(s3.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=parts)
        assert refused(done, IfMatch='"other"')["Status"] == 412
        if again:
            s3.put_object(**at, Body=b"x")  # the same bytes, and yet a conflict
            error = refused(done, IfMatch=etag)
            assert (error["Status"], error["Code"]) == (409, "ConditionalRequestConflict")
        else:
            done(IfMatch=etag)


def spoken(cloud: Cloud, lines: str) -> bytes:
    """The server's first answer, all of it, to a request in these very bytes."""
    told = urlsplit(cloud.endpoint)
    with socket.create_connection((told.hostname, told.port), timeout=60) as sock:
        sock.sendall(f"{lines}\r\nHost: {told.netloc}\r\n\r\n".encode())
        with sock.makefile("rb") as answer:
            head = b""
            while (line := answer.readline()).strip():
                head += line
            length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
            return head + answer.read(int(length[1]) if length else 0)


def test_who_shows_no_signature_is_refused_before_the_body(cloud: Cloud, bucket: str) -> None:
    """Expect: 100-continue: "if the message is rejected based on the headers, the body of the
    message is not sent" (API reference, PutObject)."""
    for size in (123, 123_456):
        asked = f"Content-Length: {size}\r\nExpect: 100-continue"
        assert spoken(cloud, f"PUT /{bucket}/k HTTP/1.1\r\n{asked}").startswith(b"HTTP/1.1 403 ")


def test_a_body_tells_its_length(cloud: Cloud, s3: Any, bucket: str) -> None:
    """Recorded of S3: 501 to a transfer coding, 411 to neither length nor coding."""
    part = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for query in ({}, {"partNumber": "1", "uploadId": part}):
        url = signed(cloud, "PUT", f"{bucket}/k", **query)
        answer = HTTP.request("PUT", url, body=iter([b"some", b"more"]), chunked=True)
        assert answer.status == 501
        assert b"<Code>NotImplemented</Code>" in answer.data
        assert b"<Header>Transfer-Encoding</Header>" in answer.data
        path = url.removeprefix(cloud.endpoint)
        answer = spoken(cloud, f"PUT {path} HTTP/1.1")
        assert answer.startswith(b"HTTP/1.1 411 ") and b"MissingContentLength" in answer
        assert spoken(cloud, f"PUT {path} HTTP/1.1\r\nContent-Length: 0")[9:12] == b"200"


def test_owners_have_no_names(s3: Any, bucket: str) -> None:
    """Since November 2025 S3 tells owners and grantees by their canonical id alone (API reference,
    Owner and Grantee); ``s3_legacy_defaults`` has their names told as before."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    owner = s3.list_buckets()["Owner"]
    assert set(owner) == {"ID"}
    versions = s3.list_object_versions(Bucket=bucket)
    acls = s3.get_bucket_acl(Bucket=bucket)
    told = [
        versions["Versions"][0]["Owner"],
        versions["DeleteMarkers"][0]["Owner"],
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Owner"],
        s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["Owner"],
        acls["Owner"],
    ]
    assert told == [owner] * len(told)
    assert acls["Grants"][0]["Grantee"] == {"Type": "CanonicalUser", **owner}
    account = "1" * 12
    assert Clocked().room().owner_of(account) == {"ID": canonical_id(account)}
    named = Clocked(s3_legacy_defaults=True).room().owner_of(account)
    assert named == {"DisplayName": account, "ID": canonical_id(account)}


def test_a_completed_upload_tells_its_address(cloud: Cloud, s3: Any, bucket: str) -> None:
    """Tools hand it on as a link (lib-storage's ``Location``); slashes come as %2F."""
    key = "a folder/é+.txt"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    place = {"Bucket": bucket, "Key": key, "UploadId": upload}
    etag = s3.upload_part(**place, PartNumber=1, Body=b"all")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    location = s3.complete_multipart_upload(**place, MultipartUpload=parts)["Location"]
    assert location == f"{cloud.endpoint}/{bucket}/a%20folder%2F%C3%A9%2B.txt"
    url = signed(cloud, "GET", location.removeprefix(f"{cloud.endpoint}/"))
    assert HTTP.request("GET", url).data == b"all"


def test_who_signs_for_no_region_is_told_the_right_one(cloud: Cloud, s3: Any) -> None:
    """s3cmd makes a bucket in "US", reads the region out of the refusal, and asks again."""
    name = f"answers-{uuid.uuid4().hex[:12]}"
    request = AWSRequest("PUT", f"{cloud.endpoint}/{name}")
    keys = cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"]
    S3SigV4QueryAuth(Credentials(*keys), "s3", "US").add_auth(request)
    told = HTTP.request("PUT", str(request.url))
    assert told.status == 400
    assert b"<Code>AuthorizationHeaderMalformed</Code>" in told.data
    assert b"<Region>us-east-1</Region>" in told.data


def test_the_head_of_a_bucket_tells_a_type(s3: Any, bucket: str) -> None:
    told = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    assert (told["content-type"], told["content-length"]) == ("application/xml", "0")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"max-keys": "abc"}, "Provided max-keys not an integer or within integer range"),
        ({"max-keys": "2147483648"}, "Provided max-keys not an integer or within integer range"),
        ({"max-keys": "-1"}, "Argument max-keys must be an integer between 0 and 2147483647"),
    ],
    ids=["letters", "large", "negative"],
)
def test_sizes_of_pages_that_cannot_be(
    cloud: Cloud, bucket: str, query: dict[str, str], told: str
) -> None:
    answer = HTTP.request("GET", signed(cloud, "GET", bucket, **query))
    assert answer.status == 400 and b"<Code>InvalidArgument</Code>" in answer.data
    assert f"<Message>{told}</Message>".encode() in answer.data
    assert b"<ArgumentName>max-keys</ArgumentName>" in answer.data
    assert f"<ArgumentValue>{query['max-keys']}</ArgumentValue>".encode() in answer.data


def test_markers_of_parts_that_cannot_be(cloud: Cloud, s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    range_ = "Provided part-number-marker not an integer or within integer range"
    for marker, told in (
        ("-2", "Argument part-number-marker must be an integer between 0 and 2147483647"),
        ("2147483648", range_),
        ("two", range_),
    ):
        query = {"uploadId": upload, "part-number-marker": marker}
        answer = HTTP.request("GET", signed(cloud, "GET", f"{bucket}/k", **query))
        assert answer.status == 400 and f"<Message>{told}</Message>".encode() in answer.data
        assert f"<ArgumentValue>{marker}</ArgumentValue>".encode() in answer.data
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


def test_keys_do_not_climb_above_their_root(s3: Any, bucket: str) -> None:
    """The user guide's examples ("Naming Amazon S3 objects"); dots inside a name are no step up."""
    for key in ("videos/2014/../../video1.wmv", "a/../b", "a..b/..c", "a/.../b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"some")
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"some"
    for key in ("videos/../../video1.wmv", "videos/../../../video1.wmv", "../a"):
        error = refused(s3.put_object, Bucket=bucket, Key=key)
        assert (error["Status"], error["Code"]) == (400, "InvalidURI")
        assert error["Message"] == "Couldn't parse the specified URI."
        assert code_of_copy(s3, bucket, key) == "InvalidURI"


def code_of_copy(s3: Any, bucket: str, key: str) -> str:
    source = {"Bucket": bucket, "Key": "a/../b"}
    return str(refused(s3.copy_object, Bucket=bucket, Key=key, CopySource=source)["Code"])
