"""Answers as they were recorded of AWS (2024 to 2026), where its documents say less or nothing."""

from __future__ import annotations

import json
import uuid
from typing import Any
from xml.etree import ElementTree

import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from pileus.services.s3.copy_source import parse_source
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


def test_what_cannot_be_locked_needs_no_bypass(s3: Any, bucket: str) -> None:
    """AWS was seen to refuse the header there; tools that clean up send it for every bucket."""
    s3.put_object(Bucket=bucket, Key="k")
    many = {"Objects": [{"Key": "k"}]}
    done = s3.delete_objects(Bucket=bucket, Delete=many, BypassGovernanceRetention=True)
    assert done["Deleted"] == [{"Key": "k"}]


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


def test_of_rules_at_one_moment_the_first_is_told(s3: Any, bucket: str) -> None:
    rules = [
        {
            "ID": name,
            "Filter": {"Prefix": prefix},
            "Status": "Enabled",
            "Expiration": {"Days": 7},
        }
        for name, prefix in (("two", "te"), ("three", "t"), ("one", "tes"))
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    assert 'rule-id="two"' in s3.put_object(Bucket=bucket, Key="test")["Expiration"]
    assert 'rule-id="three"' in s3.put_object(Bucket=bucket, Key="ta")["Expiration"]


def test_a_version_that_is_named_tells_of_no_expiration(s3: Any, bucket: str) -> None:
    enabled(s3, bucket)
    rule = {"ID": "a", "Filter": {}, "Status": "Enabled", "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    version = s3.put_object(Bucket=bucket, Key="k")["VersionId"]
    assert "Expiration" in s3.head_object(Bucket=bucket, Key="k")
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="k", VersionId=version)


def enabled(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def test_a_delete_marker_has_no_list(s3: Any) -> None:
    bucket = made(s3, ObjectOwnership="ObjectWriter")
    enabled(s3, bucket)
    s3.put_object(Bucket=bucket, Key="k")
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    at = {"Bucket": bucket, "Key": "k"}
    for named in ({}, {"VersionId": marker}):
        told = refused(s3.put_object_acl, **at, **named, ACL="private")
        assert (told["Code"], told["ResourceType"]) == ("MethodNotAllowed", "DeleteMarker")
    told = refused(s3.get_object_acl, **at, VersionId=marker)
    assert (told["Code"], told["Method"]) == ("MethodNotAllowed", "GET")


def test_a_copy_of_the_null_version_tells_no_version(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a")
    enabled(s3, bucket)
    copied = s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/a")
    assert "CopySourceVersionId" not in copied and copied["VersionId"]
    again = s3.copy_object(Bucket=bucket, Key="d", CopySource=f"{bucket}/c")
    assert again["CopySourceVersionId"] == copied["VersionId"]


def test_a_plus_in_a_copys_source_is_a_blank() -> None:
    assert parse_source("bucket/a+b") == parse_source("bucket%2Fa%20b") == ("bucket", "a b", None)
    assert parse_source("bucket/a%2Bb") == ("bucket", "a+b", None)


def test_a_copys_source_may_be_a_whole_address() -> None:
    wanted = "bucket", "a/b", "v"
    for start in ("", "/", "https://s3.amazonaws.com/", "http://localhost:4566/"):
        assert parse_source(f"{start}bucket/a/b?versionId=v") == wanted


@pytest.mark.parametrize("kind", ("COMPOSITE", "FULL_OBJECT", ""))
def test_parts_tell_checksums_where_the_objects_is_made_of_them(
    s3: Any, bucket: str, kind: str
) -> None:
    asked = {"ChecksumAlgorithm": "CRC32", "ChecksumType": kind} if kind else {}
    at = {"Bucket": bucket, "Key": "k"}
    at["UploadId"] = s3.create_multipart_upload(**at, **asked)["UploadId"]
    parts = []
    for number, body in ((1, b"a" * 5 * 1024 * 1024), (2, b"b")):
        part = s3.upload_part(**at, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        told = {"ChecksumCRC32": part["ChecksumCRC32"]} if kind else {}
        parts.append({"PartNumber": number, "ETag": part["ETag"], **told})
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert ("ChecksumCRC32" in got) == (kind == "COMPOSITE")
    assert ("ChecksumType" in got) == (kind == "COMPOSITE")
    whole = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert whole["ChecksumType"] == (kind or "FULL_OBJECT")


def test_locations_that_are_none(s3: Any) -> None:
    for place in ("nowhere", "aws-global"):
        with pytest.raises(ClientError, match="InvalidLocationConstraint"):
            made(s3, CreateBucketConfiguration={"LocationConstraint": place})


def test_an_old_name_of_a_region_stays(s3: Any) -> None:
    bucket = made(s3, CreateBucketConfiguration={"LocationConstraint": "EU"})
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "EU"
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "eu-west-1"


def test_an_upload_is_looked_for_before_its_parts(s3: Any, bucket: str) -> None:
    at = {"Bucket": bucket, "Key": "k"}
    assert refused(s3.complete_multipart_upload, **at, UploadId="a")["Code"] == "NoSuchUpload"
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    told = refused(s3.complete_multipart_upload, **at)
    assert (told["Code"], told["Message"]) == (
        "InvalidRequest",
        "You must specify at least one part",
    )
    assert "Prefix" not in s3.list_multipart_uploads(Bucket=bucket)


def test_who_is_unknown_is_told_of_no_owners(cloud: Cloud, s3: Any, bucket: str) -> None:
    s3.delete_public_access_block(Bucket=bucket)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket"}
    statement["Resource"] = f"arn:aws:s3:::{bucket}"
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    s3.put_object(Bucket=bucket, Key="k")
    answer = HTTP.request("GET", f"{cloud.endpoint}/{bucket}")
    assert b"<Key>k</Key>" in answer.data and b"<Owner>" not in answer.data
    assert "Owner" in s3.list_objects(Bucket=bucket)["Contents"][0]


@pytest.mark.parametrize("version", ("s3", "s3v4"))
def test_a_wrong_signature_shows_what_should_have_been_signed(
    cloud: Cloud, bucket: str, version: str
) -> None:
    signing = cloud.client("s3", config=Config(signature_version=version))
    url = signing.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    answer = HTTP.request("GET", url.replace("/k?", "/other?"))
    told = {e.tag: e.text or "" for e in ElementTree.fromstring(answer.data)}
    assert (answer.status, told["Code"]) == (403, "SignatureDoesNotMatch")
    assert told["AWSAccessKeyId"] == cloud.env["AWS_ACCESS_KEY_ID"]
    assert told["SignatureProvided"]
    shown = "CanonicalRequest" if version == "s3v4" else "StringToSign"
    assert f"/{bucket}/other" in told[shown] and told[shown].startswith("GET\n")
    for name in {"StringToSign", shown}:
        assert bytes.fromhex(told[f"{name}Bytes"]) == told[name].encode()


def posted(s3: Any, bucket: str, drop: str = "", **more: Any) -> urllib3.BaseHTTPResponse:
    """A browser's form; fields whose names begin with ``drop`` are left out, all where it is
    ``-``."""
    file = more.pop("file", ("a name.txt", b"bytes"))
    form = s3.generate_presigned_post(bucket, more.pop("key", "k"), **more)
    signing = "x-amz-", "AWSAccessKeyId", "signature"
    gone = signing if drop == "-" else (drop,)
    fields = {k: v for k, v in form["fields"].items() if not drop or not k.startswith(gone)}
    return HTTP.request("POST", form["url"], fields=fields | {"file": file})


@pytest.mark.parametrize(
    ("version", "field", "named"),
    [
        ("s3", "AWSAccessKeyId", "AWSAccessKeyId"),
        ("s3", "signature", "Signature"),
        ("s3v4", "x-amz-algorithm", "X-Amz-Algorithm"),
        ("s3v4", "x-amz-signature", "X-Amz-Signature"),
    ],
)
def test_a_form_lacks_a_field_that_signs_it(
    cloud: Cloud, bucket: str, version: str, field: str, named: str
) -> None:
    signing = cloud.client("s3", config=Config(signature_version=version))
    answer = posted(signing, bucket, drop=field)
    assert answer.status == 400 and f"a field named '{named}'.  If".encode() in answer.data
    assert posted(signing, bucket, drop="-").status == 403


def test_a_forms_condition_of_no_field_fails(s3: Any, bucket: str) -> None:
    for condition in (["eq", "acl", "private"], ["content-length-range", "a", 10]):
        answer = posted(s3, bucket, Conditions=[condition])
        assert answer.status == 403 and b"Policy Condition failed: [" in answer.data


def test_a_forms_file_without_a_name_names_no_key(s3: Any, bucket: str) -> None:
    assert posted(s3, bucket, key="a-${filename}").status == 204
    assert posted(s3, bucket, key="b-${filename}", file=b"bytes").status == 204
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["a-a name.txt", "b-${filename}"]


def test_metadata_beyond_ascii_is_encoded_by_what_most_of_it_is(s3: Any, bucket: str) -> None:
    for text, told in (
        ("\u00c4M\u00c4Z\u00d5\u00d1 S3", "=?UTF-8?Q?=C3=84M=C3=84Z=C3=95=C3=91_S3?="),
        ("a_\u00e9=", "=?UTF-8?Q?a=5F=C3=A9=3D?="),
        ("\u00e9\u00e9a", "=?UTF-8?B?w6nDqWE=?="),
    ):
        fields = {"x-amz-meta-a": text}
        answer = posted(s3, bucket, Fields=fields, Conditions=[fields])
        assert answer.status == 204
        assert s3.head_object(Bucket=bucket, Key="k")["Metadata"]["a"] == told


def test_what_is_wrong_with_a_customers_key(s3: Any, bucket: str) -> None:
    """Every error names the one header; only a wrong algorithm is told."""
    right = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    at = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**at, Body=b"x", **right)
    told = refused(s3.get_object, **at, **right | {"SSECustomerKey": "o" * 32})
    assert (told["Code"], told["Status"]) == ("AccessDenied", 403)
    assert told["Message"].endswith("must provide the correct secret key.")
    told = refused(s3.put_object, **at, **right | {"SSECustomerAlgorithm": "KMS"})
    assert told["Code"] == "InvalidEncryptionAlgorithmError"
    assert told["ArgumentName"] == "x-amz-server-side-encryption"
    assert told["ArgumentValue"] == "KMS"
    told = refused(s3.put_object, **at, **right | {"SSECustomerKey": "short"})
    assert told["ArgumentName"] == "x-amz-server-side-encryption"
    assert "ArgumentValue" not in told
    both = right | {"SSECustomerAlgorithm": "KMS", "ServerSideEncryption": "AES256"}
    assert "is incompatible" in refused(s3.put_object, **at, **both)["Message"]


def test_an_error_document_may_redirect(cloud: Cloud, s3: Any, bucket: str) -> None:
    opened(s3, bucket)
    site = {"IndexDocument": {"Suffix": "i.html"}, "ErrorDocument": {"Key": "e.html"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
    s3.put_object(Bucket=bucket, Key="e.html", WebsiteRedirectLocation="/elsewhere")
    answer = HTTP.request("GET", f"{cloud.endpoint}/_site/{bucket}/none", redirect=False)
    assert answer.status == 301
    assert answer.headers["location"] == f"/_site/{bucket}/elsewhere"


def opened(s3: Any, bucket: str) -> None:
    """Anyone may read what is in it, and list it."""
    s3.delete_public_access_block(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    statement = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"]}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": [arn, f"{arn}/*"]}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def test_a_sites_errors_tell_who_to_ask_about(cloud: Cloud, s3: Any, bucket: str) -> None:
    answer = HTTP.request("GET", f"{cloud.endpoint}/_site/{bucket}/none")
    assert answer.status == 404
    for header, name in (("x-amz-request-id", "RequestId"), ("x-amz-id-2", "HostId")):
        assert f"<li>{name}: {answer.headers[header]}</li>".encode() in answer.data


def test_a_lock_that_lacks_a_part_names_it(s3: Any) -> None:
    bucket = made(s3, ObjectLockEnabledForBucket=True)
    at = {"Bucket": bucket, "Key": "k"}
    told = refused(s3.put_object, **at, ObjectLockMode="COMPLIANCE")
    assert told["ArgumentName"] == "x-amz-object-lock-retain-until-date"
    s3.put_object(**at)
    past = {"Mode": "GOVERNANCE", "RetainUntilDate": "2020-01-01T00:00:00Z"}
    told = refused(s3.put_object_retention, **at, Retention=past)
    assert told["ArgumentName"] == "RetainUntilDate"


def test_headers_asked_for_are_latin(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    at = {"Bucket": bucket, "Key": "k"}
    told = refused(s3.get_object, **at, ResponseCacheControl="a\u2014b")
    assert (told["Code"], told["ArgumentName"]) == ("InvalidArgument", "response-cache-control")
    s3.get_object(**at, ResponseCacheControl="a b")


def test_a_function_of_no_arn_is_none(s3: Any, bucket: str) -> None:
    rule = {"LambdaFunctionArn": "something", "Events": ["s3:ObjectCreated:*"]}
    told = refused(
        s3.put_bucket_notification_configuration,
        Bucket=bucket,
        NotificationConfiguration={"LambdaFunctionConfigurations": [rule]},
        SkipDestinationValidation=True,
    )
    assert (told["Message"], told["ArgumentName"]) == (
        "The ARN could not be parsed",
        "CloudFunction",
    )
    rule["LambdaFunctionArn"] = "arn:aws:lambda:us-east-1:000000000000:function:none"
    told = refused(
        s3.put_bucket_notification_configuration,
        Bucket=bucket,
        NotificationConfiguration={"LambdaFunctionConfigurations": [rule]},
    )
    where = rule["LambdaFunctionArn"]
    assert told["ArgumentValue1"] == f"Not authorized to invoke function [{where}]"


def test_what_is_wrong_with_an_inventory(s3: Any, bucket: str) -> None:
    place = {"Bucket": f"arn:aws:s3:::{bucket}", "Format": "CSV"}
    right = {
        "Id": "a",
        "IsEnabled": True,
        "IncludedObjectVersions": "All",
        "Schedule": {"Frequency": "Daily"},
        "Destination": {"S3BucketDestination": place},
    }
    wrong = {
        "IdMismatch": {"Id": "b"},
        "MalformedXML": {"OptionalFields": ["Colour"]},
        "NotImplemented": {"OptionalFields": ["ObjectAccessControlList"]},
        "InvalidS3DestinationBucket": {
            "Destination": {"S3BucketDestination": {**place, "Bucket": "bucket"}}
        },
    }
    for code, part in wrong.items():
        at = {"Bucket": bucket, "Id": "a", "InventoryConfiguration": right | part}
        assert refused(s3.put_bucket_inventory_configuration, **at)["Code"] == code
    done = s3.put_bucket_inventory_configuration(
        Bucket=bucket, Id="a", InventoryConfiguration=right
    )
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_a_form_tells_its_own_limit(s3: Any, bucket: str) -> None:
    answer = posted(s3, bucket, Conditions=[["content-length-range", 0, 2]])
    assert answer.status == 400 and b"<MaxSizeAllowed>2<" in answer.data


def test_a_buckets_form_is_a_form(cloud: Cloud, bucket: str) -> None:
    kind = {"content-type": "text/plain"}
    answer = HTTP.request("POST", f"{cloud.endpoint}/{bucket}", headers=kind, body=b"x")
    assert answer.status == 412 and b"enclosure-type multipart/form-data<" in answer.data
    answer = HTTP.request("POST", f"{cloud.endpoint}/{bucket}/k", headers=kind, body=b"x")
    assert answer.status == 405


def test_a_site_with_rules_has_one(s3: Any, bucket: str) -> None:
    site = {"IndexDocument": {"Suffix": "i.html"}, "RoutingRules": []}
    told = refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration=site)
    assert told["Code"] == "MalformedXML"
    site["RoutingRules"] = [{"Redirect": {"HostName": "h"}, "Condition": {}}]
    told = refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration=site)
    assert told["Message"].startswith("Condition cannot be empty.")


@pytest.mark.parametrize(
    ("site", "name", "value"),
    [
        ({"IndexDocument": {"Suffix": ""}}, "IndexDocument", ""),
        ({"ErrorDocument": {"Key": "e.html"}}, "IndexDocument", "null"),
        (
            {"RedirectAllRequestsTo": {"HostName": "h"}, "IndexDocument": {"Suffix": "i.html"}},
            "RedirectAllRequestsTo",
            "not null",
        ),
    ],
)
def test_what_is_wrong_with_a_site_is_named(
    s3: Any, bucket: str, site: dict[str, Any], name: str, value: str
) -> None:
    told = refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration=site)
    assert (told["ArgumentName"], told["ArgumentValue"] or "") == (name, value)


def test_who_reads_logs_may_read_their_lists(s3: Any, bucket: str) -> None:
    target = made(s3, ObjectOwnership="ObjectWriter")
    group = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}
    grants = [{"Grantee": group, "Permission": "READ_ACP"}]
    told = {"TargetBucket": target, "TargetPrefix": "", "TargetGrants": grants}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": told})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]["TargetGrants"] == grants


def test_documents_are_told_as_s3_tells_them(cloud: Cloud, s3: Any, bucket: str) -> None:
    seen: list[bytes] = []
    client = cloud.client("s3")
    client.meta.events.register(
        "before-parse.s3.*", lambda response_dict, **_: seen.append(response_dict["body"])
    )
    client.list_buckets(MaxBuckets=1, Prefix=bucket)
    client.get_bucket_location(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="k")
    client.list_objects_v2(Bucket=bucket)
    assert seen[-1].index(b"<Name>") < seen[-1].index(b"<Contents>")
    assert seen[0].index(b"<Owner>") < seen[0].index(b"<Buckets>")
    assert seen[1].endswith(
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'
    )
    told = refused(client.get_object_tagging, Bucket=bucket, Key="none")
    assert told["Key"] == f"{bucket}/none"
