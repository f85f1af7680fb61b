"""Several accounts and their buckets: lists, requester pays, access logs, account-wide blocks
(B3), and links and forms signed the old way (B2)."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from pileus.policy.principals import canonical_id
from tests.conftest import Cloud, new_cloud_up
from tests.services.s3.test_objects import refused

OTHER = "111111111111"
HTTP = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def two() -> Iterator[Cloud]:
    """A cloud of two accounts that delivers access logs every second."""
    with new_cloud_up(f'accounts = "{OTHER}"\ns3_log_delivery_s = 1\n') as made:
        yield made


@pytest.fixture(scope="module")
def mine(two: Cloud) -> Any:
    return two.client("s3")


@pytest.fixture(scope="module")
def theirs(two: Cloud) -> Any:
    keys = json.loads((two.home / "credentials.json").read_text())["accounts"][OTHER]
    return two.client("s3", access_key=keys["access_key_id"], secret_key=keys["secret_access_key"])


@pytest.fixture
def bucket(mine: Any) -> str:
    """A bucket with lists on and nothing blocked."""
    name = f"a-{uuid.uuid4().hex[:12]}"
    mine.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    mine.delete_public_access_block(Bucket=name)
    return name


def test_buckets_are_listed_by_owner_and_page(mine: Any, theirs: Any) -> None:
    stem = f"page-{uuid.uuid4().hex[:8]}"
    names = [f"{stem}-{i}" for i in range(5)]
    for name in reversed(names):
        mine.create_bucket(Bucket=name)
    pages = mine.get_paginator("list_buckets").paginate(
        Prefix=stem, PaginationConfig={"PageSize": 2}
    )
    told = [[b["Name"] for b in page["Buckets"]] for page in pages]
    assert told == [names[:2], names[2:4], names[4:]]
    assert theirs.list_buckets(Prefix=stem)["Buckets"] == []
    assert theirs.list_buckets()["Owner"]["ID"] == canonical_id(OTHER)
    for name in names:
        mine.delete_bucket(Bucket=name)
    assert mine.list_buckets(Prefix=stem)["Buckets"] == []


def test_names_of_an_accounts_own_namespace_are_its_own(two: Cloud, mine: Any, theirs: Any) -> None:
    account = two.env.get("AWS_ACCOUNT_ID", "000000000000")
    stem = f"own-{uuid.uuid4().hex[:8]}"
    name = f"{stem}-{account}-us-east-1-an"
    asked = {"BucketNamespace": "account-regional"}
    assert refused(mine.create_bucket, Bucket=name)["Code"] == "MissingNamespaceHeader"
    for who, wrong, more in (
        (mine, name, {"BucketNamespace": "global"}),
        (mine, stem, asked),
        (mine, f"{stem}-{account}-eu-west-1-an", asked),
        (theirs, name, asked),
    ):
        assert refused(who.create_bucket, Bucket=wrong, **more)["Code"] == "InvalidNamespaceHeader"
    mine.create_bucket(Bucket=name, **asked)
    mine.put_object(Bucket=name, Key="k", Body=b"x")  # a bucket like all others
    assert mine.head_bucket(Bucket=name)["BucketRegion"] == "us-east-1"
    mine.delete_object(Bucket=name, Key="k")
    mine.delete_bucket(Bucket=name)
    mine.create_bucket(Bucket=stem, BucketNamespace="global")
    mine.delete_bucket(Bucket=stem)


def test_lists_name_accounts_there_are(mine: Any, theirs: Any, bucket: str) -> None:
    mine.put_object(Bucket=bucket, Key="k", Body=b"x")
    get = {"Bucket": bucket, "Key": "k"}
    assert refused(theirs.get_object, **get)["Code"] == "AccessDenied"
    mine.put_object_acl(**get, GrantRead=f'id="{canonical_id(OTHER)}"')
    assert theirs.get_object(**get)["Body"].read() == b"x"
    grants = mine.get_object_acl(**get)["Grants"]
    assert grants[0]["Grantee"]["ID"] == canonical_id(OTHER)
    error = refused(mine.put_object_acl, **get, GrantRead=f'id="{"0" * 64}"')
    assert (error["Code"], error["Message"]) == ("InvalidArgument", "Invalid id")


def test_a_policy_may_name_an_account_by_its_canonical_id(
    mine: Any, theirs: Any, bucket: str
) -> None:
    mine.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": canonical_id(OTHER)},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    mine.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert theirs.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert mine.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False


def test_requesters_pay(two: Cloud, mine: Any, theirs: Any, bucket: str) -> None:
    mine.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    mine.put_bucket_request_payment(
        Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"}
    )
    assert mine.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    get = {"Bucket": bucket, "Key": "k"}
    assert mine.get_object(**get)["Body"].read() == b"x"
    assert refused(theirs.get_object, **get)["Status"] == 403
    answer = theirs.get_object(**get, RequestPayer="requester")
    assert answer["RequestCharged"] == "requester"
    nobody = two.client("s3", config=Config(signature_version=UNSIGNED))
    assert refused(nobody.get_object, **get, RequestPayer="requester")["Status"] == 403
    mine.put_bucket_request_payment(
        Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"}
    )
    assert "RequestCharged" not in theirs.get_object(**get)


def test_access_is_logged(mine: Any, theirs: Any, bucket: str) -> None:
    target = f"{bucket}-logs"
    mine.create_bucket(Bucket=target)
    enabled = {"TargetBucket": target, "TargetPrefix": "here/"}
    put = {"Bucket": bucket, "BucketLoggingStatus": {"LoggingEnabled": enabled}}
    absent = {"LoggingEnabled": {**enabled, "TargetBucket": "absent-bucket"}}
    error = refused(mine.put_bucket_logging, **{**put, "BucketLoggingStatus": absent})
    assert error["Code"] == "InvalidTargetBucketForLogging"
    mine.put_bucket_logging(**put)
    assert mine.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == enabled
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/here/*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    mine.put_bucket_policy(Bucket=target, Policy=policy)
    mine.put_object(Bucket=bucket, Key="a b", Body=b"hello")
    mine.get_object(Bucket=bucket, Key="a b")
    assert refused(theirs.get_object, Bucket=bucket, Key="a b")["Status"] == 403
    mine.list_objects_v2(Bucket=bucket)
    wanted = ["REST.PUT.OBJECT", "REST.GET.OBJECT", "REST.GET.OBJECT", "REST.GET.BUCKET"]
    deadline = time.monotonic() + 90
    lines: list[str] = []
    while len(lines) < len(wanted) and time.monotonic() < deadline:
        time.sleep(0.3)
        found = mine.list_objects_v2(Bucket=target, Prefix="here/").get("Contents", [])
        texts = [mine.get_object(Bucket=target, Key=o["Key"])["Body"].read() for o in found]
        lines = [x for t in texts for x in t.decode().splitlines() if "LOGGING_STATUS" not in x]
    operations = sorted(x.split(" ")[7] for x in lines)
    assert operations == sorted(wanted)
    one = next(x for x in lines if "REST.PUT.OBJECT" in x)
    assert one.startswith(f"{canonical_id('000000000000')} {bucket} [")
    assert f' REST.PUT.OBJECT a%20b "PUT /{bucket}/a%20b' in one, one
    assert ' HTTP/1.1" 200 - - 5 ' in one
    assert " SigV4 - AuthHeader 127.0.0.1:" in one
    refusal = next(x for x in lines if " 403 AccessDenied " in x)
    assert canonical_id(OTHER) in refusal
    mine.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in mine.get_bucket_logging(Bucket=bucket)


def test_an_account_blocks_the_public_everywhere(two: Cloud, mine: Any, bucket: str) -> None:
    mine.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    url = f"{two.endpoint}/{bucket}/k"
    assert HTTP.request("GET", url).status == 200
    account = two.env.get("AWS_ACCOUNT_ID", "000000000000")
    control = two.client("s3control")
    control.meta.events.register("before-send.s3-control", _by_name)
    missing = refused(control.get_public_access_block, AccountId=account)
    assert missing["Code"] == "NoSuchPublicAccessBlockConfiguration"
    assert missing["AccountId"] == account
    block = {"IgnorePublicAcls": True}
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=block)
    try:
        told = control.get_public_access_block(AccountId=account)
        assert told["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": False,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": False,
            "RestrictPublicBuckets": False,
        }
        assert HTTP.request("GET", url).status == 403
        assert refused(control.get_public_access_block, AccountId=OTHER)["Status"] == 403
    finally:
        done = control.delete_public_access_block(AccountId=account)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert HTTP.request("GET", url).status == 200


def test_a_buckets_tags_change_one_by_one(two: Cloud, mine: Any, bucket: str) -> None:
    account = two.env.get("AWS_ACCOUNT_ID", "000000000000")
    control = two.client("s3control")
    control.meta.events.register("before-send.s3-control", _by_name)
    of = {"AccountId": account, "ResourceArn": f"arn:aws:s3:::{bucket}"}

    def tags() -> dict[str, str]:
        return {t["Key"]: t["Value"] for t in control.list_tags_for_resource(**of)["Tags"]}

    assert tags() == {}
    mine.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    more = [{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}]
    done = control.tag_resource(**of, Tags=more)
    assert done["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags() == {"a": "3", "b": "2"}
    told = mine.get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert {t["Key"]: t["Value"] for t in told} == tags()
    control.untag_resource(**of, TagKeys=["a", "not there"])
    assert tags() == {"b": "2"}
    many = [{"Key": f"k{i}", "Value": ""} for i in range(50)]
    assert "cannot be greater than 50" in refused(control.tag_resource, **of, Tags=many)["Message"]
    control.untag_resource(**of, TagKeys=["b"])
    assert refused(mine.get_bucket_tagging, Bucket=bucket)["Code"] == "NoSuchTagSet"
    object_ = {**of, "ResourceArn": of["ResourceArn"] + "/k"}
    assert refused(control.tag_resource, **object_, Tags=more)["Code"] == "InvalidRequest"
    missing = {**of, "ResourceArn": "arn:aws:s3:::none-of-these-buckets"}
    assert refused(control.list_tags_for_resource, **missing)["Code"] == "NoSuchResource"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:TagResource"}
    statement["Resource"] = of["ResourceArn"]
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    mine.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert refused(control.tag_resource, **of, Tags=more)["Code"] == "AccessDenied"
    assert tags() == {}
    mine.delete_bucket_policy(Bucket=bucket)


def test_s3_control_refuses_in_its_own_words(two: Cloud, bucket: str) -> None:
    """As recorded of AWS: its errors have a HostId, and tell no tag."""
    account = two.env.get("AWS_ACCOUNT_ID", "000000000000")
    control = two.client("s3control", config=Config(parameter_validation=False))
    control.meta.events.register("before-send.s3-control", _by_name)
    of = {"AccountId": account, "ResourceArn": f"arn:aws:s3:::{bucket}"}
    words = {
        ("a,b", "1"): "This request contains a tag key or value that isn't valid.",
        ("a", "1,2"): "This request contains a tag key or value that isn't valid.",
        ("aws:a", "1"): 'User-defined tag keys can\'t start with "aws:".',
    }
    for (key, value), message in words.items():
        with pytest.raises(ClientError) as told:
            control.tag_resource(**of, Tags=[{"Key": key, "Value": value}])
        error = told.value.response["Error"]
        assert error["Message"].startswith(message)
        assert error.keys() == {"Code", "Message"} and told.value.response["HostId"]
    twice = refused(control.tag_resource, **of, Tags=[{"Key": "a", "Value": "1"}] * 2)
    assert twice["Message"].startswith("There are duplicate tag keys")
    no_key = refused(control.tag_resource, **of, Tags=[{"Key": None, "Value": "1"}])
    assert no_key["Code"] == "MalformedXML"
    nothing = {"AccountId": account, "PublicAccessBlockConfiguration": {}}
    assert refused(control.put_public_access_block, **nothing)["Code"] == "InvalidRequest"


def _by_name(request: Any, **_: Any) -> None:
    """The SDK puts the account before the host; not every machine resolves such a name."""
    url = request.url
    host = url.split("/")[2]
    request.headers["Host"] = host
    request.url = url.replace(host, host.partition(".")[2])


def test_acceleration_is_kept(mine: Any, bucket: str) -> None:
    assert "Status" not in mine.get_bucket_accelerate_configuration(Bucket=bucket)
    mine.put_bucket_accelerate_configuration(
        Bucket=bucket, AccelerateConfiguration={"Status": "Enabled"}
    )
    assert mine.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Enabled"


def test_links_signed_the_old_way(two: Cloud, mine: Any, bucket: str) -> None:
    older = two.client("s3", config=Config(signature_version="s3"))
    older.put_object(Bucket=bucket, Key="a b/ü", Body=b"x", Metadata={"one": "1"})
    assert older.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    params = {"Bucket": bucket, "Key": "a b/ü", "ResponseContentType": "text/plain"}
    url = older.generate_presigned_url("get_object", params, 600)
    assert "AWSAccessKeyId=" in url and "X-Amz" not in url
    answer = HTTP.request("GET", url)
    assert (answer.status, answer.data) == (200, b"x")
    assert answer.headers["content-type"] == "text/plain"
    assert HTTP.request("GET", url.replace("text%2Fplain", "text%2Fhtml")).status == 403


def test_a_link_signed_the_old_way_brings_headers(two: Cloud, mine: Any, bucket: str) -> None:
    older = two.client("s3", config=Config(signature_version="s3"))
    told = {"ContentType": "text/x-own", "Metadata": {"one": "1"}, "Tagging": "a=b"}
    at = {"Bucket": bucket, "Key": "brought"}
    url = older.generate_presigned_url("put_object", at | told, 600)
    assert HTTP.request("PUT", url.replace("one=1", "one=2"), body=b"x").status == 403
    assert HTTP.request("PUT", url, body=b"x", headers={"Content-Type": "a/b"}).status == 403
    assert HTTP.request("PUT", url + "&If-None-Match=*", body=b"x").status == 200
    assert HTTP.request("PUT", url + "&If-None-Match=*", body=b"x").status == 200  # not signed
    head = mine.head_object(**at)
    assert (head["ContentType"], head["Metadata"], head["TagCount"]) == (
        *("text/x-own", {"one": "1"}),
        1,
    )


def test_cross_origin_answers_errors_too(two: Cloud, mine: Any, bucket: str) -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://app.test"]}
    mine.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    url = f"{two.endpoint}/{bucket}"
    for path, status in (("/absent", 403), ("?list-type=2", 403), ("?location", 403)):
        answer = HTTP.request("GET", url + path, headers={"Origin": "https://app.test"})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "https://app.test"
    answer = HTTP.request("GET", url, headers={"Origin": "https://other.test"})
    assert "access-control-allow-origin" not in answer.headers


def _policy(bucket: str, *statements: dict[str, Any]) -> str:
    common = {"Principal": "*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [common | s for s in statements]})


def test_a_policy_asks_for_full_control_and_gets_it(mine: Any, theirs: Any, bucket: str) -> None:
    """The policy of AWS's example allows PutObject only: whose list it is decides the rest."""
    full = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    allow = {"Effect": "Allow", "Action": "s3:PutObject", "Condition": full}
    mine.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, allow))
    put = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert refused(theirs.put_object, **put)["Code"] == "AccessDenied"
    theirs.put_object(**put, ACL="bucket-owner-full-control")
    assert mine.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    owners = {g["Grantee"]["ID"] for g in mine.get_object_acl(Bucket=bucket, Key="k")["Grants"]}
    assert owners == {canonical_id(OTHER), mine.list_buckets()["Owner"]["ID"]}
    deny = {"Effect": "Deny", "Action": "s3:PutObjectAcl"}
    mine.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, allow, deny))
    error = refused(theirs.put_object, **put, ACL="bucket-owner-full-control")
    assert error["Code"] == "AccessDenied"


def test_who_owns_an_object_says_who_may(mine: Any, theirs: Any, bucket: str) -> None:
    """The bucket's owner may delete what others own in it and deny it, not read it."""
    mine.put_bucket_policy(
        Bucket=bucket,
        Policy=_policy(bucket, {"Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"]}),
    )
    at = {"Bucket": bucket, "Key": "theirs"}
    theirs.put_object(**at, Body=b"x")
    for call in (mine.get_object, mine.get_object_acl, mine.get_object_tagging):
        assert refused(call, **at)["Code"] == "AccessDenied"
    assert theirs.get_object(**at)["Body"].read() == b"x"
    grant = f"id={mine.list_buckets()['Owner']['ID']}"
    theirs.put_object_acl(**at, GrantRead=grant, GrantFullControl=f"id={canonical_id(OTHER)}")
    assert mine.get_object(**at)["Body"].read() == b"x"
    deny = {"Effect": "Deny", "Action": "s3:GetObject"}
    mine.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, deny))
    assert refused(theirs.get_object, **at)["Code"] == "AccessDenied"
    mine.delete_bucket_policy(Bucket=bucket)
    mine.delete_object(**at)
    assert refused(mine.get_object, **at)["Code"] == "NoSuchKey"


def test_preferred_owner_owns_what_is_written_for_him(mine: Any, theirs: Any, bucket: str) -> None:
    rule = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    mine.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rule)
    allow = {"Effect": "Allow", "Action": "s3:PutObject"}
    mine.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, allow))
    theirs.put_object(Bucket=bucket, Key="his", ACL="bucket-owner-full-control")
    theirs.put_object(Bucket=bucket, Key="own")
    told = mine.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert {o["Key"]: o["Owner"]["ID"] for o in told} == {
        "his": mine.list_buckets()["Owner"]["ID"],
        "own": canonical_id(OTHER),
    }


def test_policies_ask_for_new_tags_and_kinds_of_signature(
    mine: Any, theirs: Any, bucket: str
) -> None:
    public = {"StringEquals": {"s3:RequestObjectTag/kind": "public"}}
    puts = ["s3:PutObject", "s3:PutObjectTagging"]
    allow = {"Effect": "Allow", "Action": puts, "Condition": public}
    signed = {"StringNotEquals": {"s3:authType": "REST-HEADER"}}
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Condition": signed}
    old = {"NumericGreaterThan": {"s3:signatureAge": "600000"}}
    aged = {"Effect": "Deny", "Action": "s3:DeleteObject", "Condition": old}
    mine.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, allow, deny, aged))
    put = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert refused(theirs.put_object, **put, Tagging="kind=own")["Code"] == "AccessDenied"
    theirs.put_object(**put, Tagging="kind=public&a=b")
    where = {"Bucket": bucket, "Key": "k2"}
    mine.put_object(**where, Body=b"x")
    assert mine.get_object(**where)["Body"].read() == b"x"
    assert HTTP.request("GET", mine.generate_presigned_url("get_object", where)).status == 403
    url = mine.generate_presigned_url("delete_object", where)
    assert HTTP.request("DELETE", url).status == 204
