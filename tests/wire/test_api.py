"""boto3 against the door with services that echo (I1, O3)."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from pileus.errors import AwsError, Unavailable
from pileus.services.call import HttpResponse
from tests.wire.door import KEY, SECRET, door, get, post

NAMES = (
    "dynamodb",
    "s3",
    "lambda",
    "iam",
    "sts",
    "cloudwatch",
    "apigatewayv2",
    "cloudfront",
    "logs",
    "sqs",
    "sns",
    "cloudformation",
)


@pytest.fixture(scope="module")
def cloud():
    with door(*NAMES) as made:
        yield made


def last(cloud, name):
    return cloud.echo[name].calls[-1]


def set_answer(cloud, name, answer):
    cloud.echo[name].answer = answer


def test_json(cloud):
    set_answer(cloud, "dynamodb", {"Item": {"a": {"B": b"\x00\xff"}, "n": {"N": "1"}}})
    got = cloud.client("dynamodb").get_item(TableName="t", Key={"k": {"B": b"key"}})
    assert got["Item"] == {"a": {"B": b"\x00\xff"}, "n": {"N": "1"}}
    call = last(cloud, "dynamodb")
    assert call.params == {"TableName": "t", "Key": {"k": {"B": b"key"}}}
    assert (call.region, call.principal.kind, call.operation) == ("eu-west-3", "root", "GetItem")
    assert call.invocation_id == b"" and call.request_id  # reading again harms nobody
    assert got["ResponseMetadata"]["RequestId"] == call.request_id


def test_rest_json(cloud):
    set_answer(cloud, "lambda", {"StatusCode": 202, "Payload": b"{}", "LogResult": "bG9n"})
    got = cloud.client("lambda").invoke(FunctionName="f", Payload=b'{"a":1}', Qualifier="$LATEST")
    assert (
        got["StatusCode"] == 202 and got["Payload"].read() == b"{}" and got["LogResult"] == "bG9n"
    )
    assert len(last(cloud, "lambda").invocation_id) == 16
    params = last(cloud, "lambda").params
    assert params == {"FunctionName": "f", "Payload": b'{"a":1}', "Qualifier": "$LATEST"}
    set_answer(cloud, "lambda", {"FunctionName": "f", "Timeout": 3})
    arn = "arn:aws:lambda:eu-west-3:000000000000:function:f"
    assert cloud.client("lambda").get_function_configuration(FunctionName=arn)["Timeout"] == 3
    assert last(cloud, "lambda").params["FunctionName"] == arn


def test_query(cloud):
    set_answer(
        cloud,
        "iam",
        {
            "User": {
                "UserName": "u",
                "CreateDate": 1700000000,
                "Tags": [{"Key": "a", "Value": "<&>"}],
            }
        },
    )
    got = cloud.client("iam").create_user(UserName="u", Tags=[{"Key": "a", "Value": "b c+ü"}])
    assert got["User"]["CreateDate"] == datetime.fromtimestamp(1700000000, UTC)
    assert got["User"]["Tags"] == [{"Key": "a", "Value": "<&>"}]
    assert last(cloud, "iam").params == {"UserName": "u", "Tags": [{"Key": "a", "Value": "b c+ü"}]}


def test_cbor(cloud):
    set_answer(
        cloud,
        "cloudwatch",
        {"MetricDataResults": [{"Id": "a", "Values": [1.5], "Timestamps": [1700000000]}]},
    )
    got = cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "a"}], StartTime=datetime(2026, 1, 1), EndTime=1767312000
    )
    assert got["MetricDataResults"][0]["Values"] == [1.5]
    assert got["MetricDataResults"][0]["Timestamps"][0].timestamp() == 1700000000
    assert last(cloud, "cloudwatch").params["StartTime"] == 1767225600


def test_rest_xml(cloud):
    set_answer(
        cloud,
        "cloudfront",
        {
            "Distribution": {"Id": "E1", "DomainName": "d", "LastModifiedTime": 1700000000},
            "ETag": "x",
            "Location": "l",
        },
    )
    config = {
        "CallerReference": "r",
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "o",
                    "DomainName": "b.s3.amazonaws.com",
                    "S3OriginConfig": {"OriginAccessIdentity": ""},
                }
            ],
        },
        "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"},
    }
    got = cloud.client("cloudfront").create_distribution(DistributionConfig=config)
    assert got["Distribution"]["Id"] == "E1" and got["ETag"] == "x"
    assert last(cloud, "cloudfront").params == {"DistributionConfig": config}


def test_s3_objects(cloud):
    s3 = cloud.client("s3")
    set_answer(cloud, "s3", {"ETag": '"e"'})
    s3.put_object(Bucket="bkt", Key="a b/ü+?#&=/~", Body=b"hello", Metadata={"one": "1"})
    params = last(cloud, "s3").params
    assert params["Key"] == "a b/ü+?#&=/~" and params["Metadata"] == {"one": "1"}
    assert cloud.echo["s3"].bodies[-1] == b"hello" and "ContentEncoding" not in params
    s3.put_object(Bucket="bkt", Key="big", Body=io.BytesIO(os.urandom(3_000_000)))
    assert len(cloud.echo["s3"].bodies[-1]) == 3_000_000

    async def chunks():
        yield b"ab"
        yield b"cd"

    set_answer(
        cloud,
        "s3",
        lambda call: {
            "Body": chunks(),
            "ContentLength": 4,
            "ETag": '"e"',
            "LastModified": 1700000000,
            "Metadata": {"m": "1"},
        },
    )
    got = s3.get_object(Bucket="bkt", Key="k", Range="bytes=0-3")
    assert got["Body"].read() == b"abcd" and got["Metadata"] == {"m": "1"}
    assert last(cloud, "s3").operation == "GetObject"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("size", [10, 2_000_000])
def test_s3_trailing_checksums(cloud, algorithm, size):
    set_answer(cloud, "s3", {"ETag": '"e"'})
    data = os.urandom(size)
    cloud.client("s3").put_object(
        Bucket="bkt", Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm
    )
    call = last(cloud, "s3")
    assert cloud.echo["s3"].bodies[-1] == data
    assert f"x-amz-checksum-{algorithm.lower()}" in call.request.headers
    assert "aws-chunked" not in call.request.headers.get("content-encoding", "")


def test_s3_operations_told_apart(cloud):
    s3 = cloud.client("s3")
    set_answer(cloud, "s3", {})
    bucket, key = {"Bucket": "bkt"}, {"Bucket": "bkt", "Key": "k"}
    for name, params in (
        ("list_buckets", {}),
        ("create_bucket", bucket),
        ("head_bucket", bucket),
        ("list_objects", bucket),
        ("list_objects_v2", bucket),
        ("get_bucket_cors", bucket),
        ("list_object_versions", bucket),
        ("get_bucket_location", bucket),
        ("list_multipart_uploads", bucket),
        ("get_bucket_policy", bucket),
        ("head_object", key),
        ("get_object_tagging", key),
        ("get_object_acl", key),
        ("create_multipart_upload", key),
        ("delete_object", key),
        ("upload_part", {**key, "UploadId": "u", "PartNumber": 1, "Body": b"x"}),
        ("upload_part_copy", {**key, "UploadId": "u", "PartNumber": 1, "CopySource": "a/b"}),
        ("copy_object", {**key, "CopySource": "a/b"}),
        ("list_parts", {**key, "UploadId": "u"}),
        ("abort_multipart_upload", {**key, "UploadId": "u"}),
        (
            "complete_multipart_upload",
            {**key, "UploadId": "u", "MultipartUpload": {"Parts": [{"ETag": "e"}]}},
        ),
        ("delete_objects", {**bucket, "Delete": {"Objects": [{"Key": "a"}, {"Key": "b"}]}}),
        ("put_bucket_policy", {**bucket, "Policy": "{}"}),
        (
            "put_public_access_block",
            {**bucket, "PublicAccessBlockConfiguration": {"BlockPublicAcls": True}},
        ),
        ("delete_bucket", bucket),
    ):
        getattr(s3, name)(**params)
        call = last(cloud, "s3")
        assert call.operation == s3.meta.method_to_api_mapping[name]
        for member, value in params.items():
            got = cloud.echo["s3"].bodies[-1] if member == "Body" else call.params[member]
            assert got == (value if member != "CopySource" else "a/b")


def test_virtual_host_and_location(cloud):
    set_answer(cloud, "s3", {"LocationConstraint": "eu-west-3"})
    s3 = cloud.client("s3")
    assert s3.get_bucket_location(Bucket="bkt")["LocationConstraint"] == "eu-west-3"
    for host in ("bkt.s3.localhost", "bkt.localhost", "bkt.s3.eu-west-3.amazonaws.com"):
        url = f"http://127.0.0.1:{cloud.port}/key/x"
        answer = get(url, headers={"Host": f"{host}:4566"})
        call = last(cloud, "s3")
        assert answer.status_code == 200 and call.operation == "GetObject"
        assert call.params["Bucket"] == "bkt" and call.params["Key"] == "key/x"
        assert call.principal.kind == "anonymous"


def test_presigned(cloud):
    set_answer(cloud, "s3", {"Body": b"data"})
    s3 = cloud.client("s3", config=Config(signature_version="s3v4"))
    url = s3.generate_presigned_url("get_object", {"Bucket": "bkt", "Key": "a b+c"}, 60)
    assert get(url).content == b"data"
    bad = get(url.replace("Expires=60", "Expires=61"))
    assert bad.status_code == 403 and b"<Code>SignatureDoesNotMatch</Code>" in bad.content
    late = s3.generate_presigned_url("get_object", {"Bucket": "bkt", "Key": "k"}, 604801)
    assert b"AuthorizationQueryParametersError" in get(late).content


def test_post_form(cloud):
    set_answer(cloud, "s3", lambda call: _read_form(call))
    made = cloud.client("s3", config=Config(signature_version="s3v4")).generate_presigned_post(
        "bkt", "up/${filename}", Conditions=[["content-length-range", 1, 9_000_000]]
    )
    for data in (b"small", os.urandom(3_000_000)):
        answer = post(made["url"], made["fields"], file=data)
        assert answer.status_code == 200 and answer.content == data
    call = last(cloud, "s3")
    assert call.operation == "PostObject" and call.principal.kind == "root"
    assert call.params["Bucket"] == "bkt" and call.params["Fields"]["key"] == "up/name"
    made["fields"]["key"] = "other"
    answer = post(made["url"], made["fields"], file=b"x")
    assert answer.status_code == 403 and b"Policy Condition failed" in answer.content


async def _read_form(call):
    return HttpResponse(200, [], b"".join([c async for c in call.params["File"]]))


ERRORS = (
    ("dynamodb", "list_tables", {}),
    ("lambda", "list_functions", {}),
    ("iam", "list_users", {}),
    ("cloudwatch", "list_metrics", {}),
    ("s3", "list_buckets", {}),
    ("cloudfront", "list_distributions", {}),
    ("sqs", "list_queues", {}),
)


@pytest.mark.parametrize(("name", "method", "params"), ERRORS)
def test_errors_in_every_protocol(cloud, name, method, params):
    client = cloud.client(name)
    for raised, code, status in (
        (AwsError("SomeError", "a <text> & ü", 409), "SomeError", 409),
        (Unavailable("the log is full", "Free some space."), None, 503),
        (RuntimeError("surprise"), None, 500),
    ):
        set_answer(cloud, name, raised)
        with pytest.raises(ClientError) as e:
            getattr(client, method)(**params)
        answer = e.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
        assert code is None or answer["Error"] == {
            **answer["Error"],
            "Code": code,
            "Message": "a <text> & ü",
        }
        assert status != 503 or "Free some space." in answer["Error"]["Message"]
        assert "surprise" not in str(answer)
        assert answer["ResponseMetadata"].get("RequestId")
    set_answer(cloud, name, None)


def test_modelled_error_members(cloud):
    item = {"k": {"S": "old"}}
    set_answer(
        cloud, "dynamodb", AwsError("ConditionalCheckFailedException", "no", fields={"Item": item})
    )
    client = cloud.client("dynamodb")
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as e:
        client.put_item(TableName="t", Item={"k": {"S": "x"}})
    assert e.value.response["Item"] == item
    set_answer(cloud, "dynamodb", None)
    set_answer(cloud, "lambda", AwsError("ResourceNotFoundException", "gone"))
    client = cloud.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as e:
        client.get_function(FunctionName="f")
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    set_answer(cloud, "lambda", None)
    set_answer(cloud, "sqs", AwsError("QueueDoesNotExist", "no queue"))
    client = cloud.client("sqs")
    with pytest.raises(client.exceptions.QueueDoesNotExist) as e:
        client.get_queue_url(QueueName="q")
    assert e.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_required_and_types_at_the_door(cloud):
    for name, method, params, code in (
        ("dynamodb", "get_item", {"TableName": "t"}, "ValidationException"),
        ("logs", "create_log_group", {"logGroupName": 5}, "SerializationException"),
        ("lambda", "create_function", {"FunctionName": "f"}, "ValidationException"),
        ("iam", "create_role", {"RoleName": "r"}, "ValidationError"),
        ("logs", "create_log_stream", {"logGroupName": "g"}, "InvalidParameterException"),
        ("cloudwatch", "put_metric_data", {"Namespace": 5}, "SerializationException"),
    ):
        client = cloud.client(name)
        set_answer(cloud, name, None)
        with pytest.raises(ClientError) as e:
            getattr(client, method)(**params)
        assert e.value.response["Error"]["Code"] == code
        if "failed to satisfy" in e.value.response["Error"]["Message"]:
            assert "Value null at '" in e.value.response["Error"]["Message"]


@pytest.mark.parametrize(("name", "method", "params"), ERRORS)
@pytest.mark.parametrize(
    ("key", "secret", "token", "codes"),
    [
        (KEY, "wrong", None, {"SignatureDoesNotMatch", "InvalidSignatureException"}),
        (
            "AKIAUNKNOWN",
            SECRET,
            None,
            {"InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"},
        ),
        (
            "ASIATEMPORARY",
            SECRET,
            "other",
            {"InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"},
        ),
        ("ASIAEXPIRED", SECRET, "token", {"ExpiredToken", "ExpiredTokenException"}),
        ("ASIATEMPORARY", SECRET, "token", set()),
    ],
)
def test_credentials(cloud, name, method, params, key, secret, token, codes):
    set_answer(cloud, name, None)
    client = cloud.client(name, key, secret, aws_session_token=token)
    if not codes:
        getattr(client, method)(**params)
        assert last(cloud, name).principal.kind == "role"
        return
    with pytest.raises(ClientError) as e:
        getattr(client, method)(**params)
    assert e.value.response["Error"]["Code"] in codes


def test_unsigned_and_unknown(cloud):
    url = f"http://127.0.0.1:{cloud.port}/"
    target = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
    answer = post(url, b"{}", headers=target)
    assert answer.status_code == 400 and "MissingAuthenticationTokenException" in answer.text
    assert json.loads(answer.text)["message"] == "Request is missing Authentication Token"
    bare = target | {"Authorization": "AWS4-HMAC-SHA256 x=y"}
    answer = post(url, b"{}", headers=bare)
    assert answer.status_code == 400 and "IncompleteSignatureException" in answer.text
    assert json.loads(answer.text)["message"] == " ".join(
        (
            *(
                f"Authorization header requires '{name}' parameter."
                for name in ("Credential", "Signature", "SignedHeaders")
            ),
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            "Authorization=AWS4-HMAC-SHA256 x=y",
        )
    )
    answer = post(url, {"Action": "ListUsers", "Version": "2010-05-08"})
    assert answer.status_code == 403 and "<Code>MissingAuthenticationToken</Code>" in answer.text
    target = {"X-Amz-Target": "DynamoDB_20120810.MakeCoffee"}
    answer = post(url, b"{}", headers=target)
    assert answer.status_code == 400
    assert answer.text == '{"__type":"com.amazon.coral.service#UnknownOperationException"}'
    with pytest.raises(ClientError) as e:
        cloud.client("events").list_rules()
    assert e.value.response["Error"]["Code"] == "NotImplemented"
    assert "ListRules" in e.value.response["Error"]["Message"]
    set_answer(cloud, "sts", {"Credentials": None})
    answer = post(
        url,
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": "arn:aws:iam::000000000000:role/a",
            "RoleSessionName": "session",
            "WebIdentityToken": "token",
        },
    )
    assert answer.status_code == 200


def test_dev_mode_takes_any_key_as_the_owner():
    with door("dynamodb", "s3", dev=True) as cloud:
        cloud.echo["dynamodb"].answer = {"TableNames": []}
        cloud.client("dynamodb", "any", "thing").list_tables()
        assert last(cloud, "dynamodb").principal.kind == "root"
        cloud.client("s3", "any", "thing").put_object(Bucket="bkt", Key="k", Body=io.BytesIO(b"z"))
        assert cloud.echo["s3"].bodies[-1] == b"z"
