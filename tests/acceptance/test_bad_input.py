"""Bad input at a running cloud's door: an error in AWS's words, and the cloud serves on (O4)."""

from __future__ import annotations

import io
import json
import re
import socket
import stat
import time
import uuid
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.acceptance.aws_cli import http
from tests.acceptance.functions import make_role
from tests.conftest import Cloud

JSON10 = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def table(cloud: Cloud) -> str:
    name = f"bad-{uuid.uuid4().hex[:8]}"
    cloud.client("dynamodb").create_table(
        TableName=name, **keyed(PK="S"),
    )  # fmt: skip
    cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(autouse=True)
def serves_on(cloud: Cloud, table: str) -> Iterator[None]:
    pids = ready(cloud)
    yield
    dynamodb, s3, name = cloud.client("dynamodb"), cloud.client("s3"), uuid.uuid4().hex
    dynamodb.put_item(TableName=table, Item={"PK": {"S": name}})
    assert dynamodb.get_item(TableName=table, Key={"PK": {"S": name}})["Item"]
    s3.put_object(Bucket=table, Key=name, Body=b"well")
    assert s3.get_object(Bucket=table, Key=name)["Body"].read() == b"well"
    assert ready(cloud) == pids, "a front process was started again"
    assert "Traceback" not in cloud.log()


def ready(cloud: Cloud) -> list[str]:
    return re.findall(r"ready \(process (\d+)\)", cloud.log())


def send(
    cloud: Cloud,
    service: str,
    body: bytes,
    headers: dict[str, str],
    path: str = "/",
    method: str = "POST",
    *,
    secret: str = "",
    skew_s: int = 0,
) -> tuple[int, str]:
    """A signed request of our own making: (status, error type and text of the answer)."""
    url = f"{cloud.endpoint}{path}"
    host = {"host": url.split("/")[2]}
    request = AWSRequest(method, url, data=body, headers={**host, **headers})
    keys = Credentials(cloud.env["AWS_ACCESS_KEY_ID"], secret or cloud.env["AWS_SECRET_ACCESS_KEY"])
    moment = (datetime.now(UTC) + timedelta(seconds=skew_s)).replace(tzinfo=None)
    signer = SigV4Auth if service != "s3" else botocore.auth.S3SigV4Auth
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_: moment):
        signer(keys, service, cloud.env["AWS_REGION"]).add_auth(request)
    status, told, answer = http(url, method, body, dict(request.headers.items()))
    return status, told.get("x-amzn-errortype", "") + " " + answer.decode("utf-8", "replace")


def dynamo(operation: str) -> dict[str, str]:
    return {"content-type": JSON10, "x-amz-target": f"DynamoDB_20120810.{operation}"}


CBOR = {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
DEEP = b'{"TableName":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]>'
    b"<Delete><Object><Key>&b;</Key></Object></Delete>"
)


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null", b'"x"', b"{\xff}", DEEP, b"\0" * 50])
def test_malformed_json(cloud: Cloud, body: bytes) -> None:
    status, text = send(cloud, "dynamodb", body, dynamo("GetItem"))
    assert status == 400
    assert re.search("SerializationException|ValidationException", text), text


@pytest.mark.parametrize("body", [b"<", b"<a>", b"<Delete>", BOMB, b"\xff\xfe", b"<a/><b/>"])
def test_malformed_xml(cloud: Cloud, table: str, body: bytes) -> None:
    headers = {"content-type": "application/xml"}
    status, text = send(cloud, "s3", body, headers, f"/{table}?delete=")
    assert status == 400
    assert "<Code>MalformedXML</Code>" in text, text


@pytest.mark.parametrize("body", [b"\xff", b"\xbf\x61", b"\x9f" * 5000, b"\xa1\x01", b"\xbb" * 9])
def test_malformed_cbor(cloud: Cloud, body: bytes) -> None:
    path = "/service/DynamoDB_20120810/operation/GetItem"
    status, text = send(cloud, "dynamodb", body, CBOR, path)
    assert 400 <= status < 500 and "Exception" in text, (status, text)


WRONG = [
    {"TableName": 7, "Key": {}},
    {"TableName": "abc", "Key": []},
    {"TableName": "abc", "Key": {"PK": "x"}},
    {"TableName": "abc", "Key": {"PK": {"S": 5}}},
    {"TableName": "abc", "Key": {"PK": {"N": "one"}}},
    {"TableName": "abc", "Key": {"PK": {"B": "not base64!"}}},
    {"TableName": "abc", "Key": {"PK": {}}},
    {"TableName": {"S": "abc"}, "Key": {"PK": {"S": "x"}}, "ConsistentRead": "maybe"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_types(cloud: Cloud, wrong: dict[str, Any]) -> None:
    status, text = send(cloud, "dynamodb", json.dumps(wrong).encode(), dynamo("GetItem"))
    assert status == 400
    assert re.search("SerializationException|ValidationException", text), text


def test_oversize(cloud: Cloud, table: str) -> None:
    body = json.dumps({"TableName": table, "Item": {"PK": {"S": "x" * 18_000_000}}}).encode()
    status, text = send(cloud, "dynamodb", body, dynamo("PutItem"))
    assert status == 413, text  # DynamoDB says it without a body
    with pytest.raises(ClientError, match="Item size has exceeded the maximum"):
        item = {"PK": {"S": "x"}, "v": {"S": "y" * 410_000}}
        cloud.client("dynamodb").put_item(TableName=table, Item=item)
    with pytest.raises(ClientError, match="KeyTooLongError"):
        cloud.client("s3").put_object(Bucket=table, Key="k" * 1025, Body=b"")
    with pytest.raises(ClientError, match="MetadataTooLarge"):
        cloud.client("s3").put_object(Bucket=table, Key="k", Metadata={"a": "b" * 3000})


@pytest.mark.parametrize(
    ("service", "headers", "path", "codes"),
    [
        ("dynamodb", dynamo("ListTables"), "/", "InvalidSignatureException"),
        ("s3", {}, "/", "SignatureDoesNotMatch"),
        ("lambda", {}, "/2015-03-31/functions/", "InvalidSignatureException"),
        ("iam", {"content-type": FORM}, "/", "SignatureDoesNotMatch"),
    ],
)
def test_bad_signatures_and_skewed_clocks(
    cloud: Cloud, service: str, headers: dict[str, str], path: str, codes: str
) -> None:
    body, method = {"dynamodb": (b"{}", "POST"), "iam": (b"Action=ListUsers", "POST")}.get(
        service, (b"", "GET")
    )
    status, text = send(cloud, service, body, headers, path, method, secret="wrong")
    assert status in (400, 403) and codes in text, (status, text)
    for skew_s in (-3600, 3600):
        status, text = send(cloud, service, body, headers, path, method, skew_s=skew_s)
        assert status in (400, 403), (status, text)
        assert re.search("RequestTimeTooSkewed|InvalidSignature|SignatureDoesNot", text), text
    assert send(cloud, service, body, headers, path, method)[0] == 200


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("dynamodb", "create_global_table",
         {"GlobalTableName": "abc", "ReplicationGroup": [{"RegionName": "eu-west-1"}]}),
        ("lambda", "list_code_signing_configs", {}),
        ("iam", "list_virtual_mfa_devices", {}),
        ("s3", "list_bucket_analytics_configurations", {"Bucket": "abc"}),
        ("cloudfront", "list_streaming_distributions", {}),
        ("ec2", "describe_instances", {}),
        ("kms", "describe_custom_key_stores", {}),
        ("rds", "describe_db_instances", {}),
        ("athena", "list_work_groups", {}),
    ],
)  # fmt: skip
def test_operations_not_offered_are_named(
    cloud: Cloud, service: str, operation: str, params: dict[str, Any]
) -> None:
    client = cloud.client(service, config=Config(retries={"total_max_attempts": 1}))
    name = client.meta.method_to_api_mapping[operation]
    with pytest.raises(ClientError) as told:
        getattr(client, operation)(**params)
    assert told.value.response["Error"]["Code"] == "NotImplemented"
    assert name in told.value.response["Error"]["Message"]


def test_rest_services_nobody_offers_are_named(cloud: Cloud) -> None:
    for service, operation, path in (
        ("efs", "describe_file_systems", "/2015-02-01/file-systems"),
        ("route53", "list_hosted_zones", "/2013-04-01/hostedzone"),
    ):
        client = cloud.client(service, config=Config(retries={"total_max_attempts": 1}))
        with pytest.raises(ClientError, match=path) as told:
            getattr(client, operation)()
        assert told.value.response["Error"]["Code"] == "NotImplemented"


def test_operations_nobody_knows_are_named(cloud: Cloud) -> None:
    status, text = send(cloud, "dynamodb", b"{}", dynamo("MakeCoffee"))
    assert status == 400 and "UnknownOperationException" in text  # DynamoDB does not repeat it
    status, text = send(cloud, "iam", b"Action=MakeCoffee", {"content-type": FORM})
    assert status == 400 and "InvalidAction" in text and "MakeCoffee" in text
    status, text = send(cloud, "lambda", b"", {}, "/2099-01-01/coffee", "GET")
    assert status == 404 and "coffee" in text
    path = "/service/DynamoDB_20120810/operation/MakeCoffee"
    status, text = send(cloud, "dynamodb", b"\xa0", CBOR, path)
    assert status == 400 and "UnknownOperationException" in text


# --- packages ---------------------------------------------------------------------------------


def package(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def linking(goal: str) -> bytes:
    link = zipfile.ZipInfo("data")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return package((link, goal.encode()), ("data/x", b"through"))


def lying() -> bytes:
    """A bomb whose directory says it is small."""
    data = bytearray(package(("app.py", bytes(300 << 20))))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.find(mark) + offset
        data[at : at + 4] = (100).to_bytes(4, "little")
    return bytes(data)


PACKAGES = {
    "no zip": lambda: b"this is no archive",
    "empty": lambda: b"",
    "cut": lambda: package(("app.py", b"x" * 5000))[:-30],
    "bomb": lambda: package(*((f"f{i}", bytes(90 << 20)) for i in range(3))),
    "lying bomb": lying,
    "climbing": lambda: package(("../../../../tmp/pileus-escaped", b"x")),
    "absolute": lambda: package(("/tmp/pileus-escaped", b"x")),
    "backslashes": lambda: package(("..\\..\\pileus-escaped", b"x")),
    "link out": lambda: linking("/etc"),
    "link up": lambda: linking("../../.."),
}


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    return make_role(cloud)


@pytest.mark.parametrize("kind", PACKAGES)
def test_bad_packages(cloud: Cloud, role: str, kind: str) -> None:
    name = f"bad-{uuid.uuid4().hex[:8]}"
    client = cloud.client("lambda")
    with pytest.raises(ClientError) as told:
        client.create_function(
            FunctionName=name, Runtime="python3.11", Role=role, Handler="app.handler",
            Code={"ZipFile": PACKAGES[kind]()},
        )  # fmt: skip
    error = told.value.response["Error"]
    assert error["Code"] in ("InvalidParameterValueException", "ValidationException"), error
    assert len(error["Message"]) > 10
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName=name)


# --- the connection ---------------------------------------------------------------------------


def raw(cloud: Cloud, data: bytes, *, shut: bool = False, wait_s: float = 60) -> bytes:
    """Bytes to the API port, and all that comes back until it closes or ``wait_s`` pass."""
    got = b""
    with socket.create_connection(("127.0.0.1", cloud.port), wait_s) as s:
        s.sendall(data)
        if shut:
            s.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0:
            s.settimeout(left)
            try:
                chunk = s.recv(65536)
            except (TimeoutError, ConnectionResetError):
                break
            if not chunk:
                break
            got += chunk
    return got


def head(*lines: str) -> bytes:
    return "\r\n".join(("POST / HTTP/1.1", "Host: a", *lines, "", "")).encode()


SHAPES = {
    "both framings": head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /",
    "two lengths": head("Content-Length: 4", "Content-Length: 5") + b"abcde",
    "length list": head("Content-Length: 4, 4") + b"abcd",
    "signed length": head("Content-Length: +4") + b"abcd",
    "negative length": head("Content-Length: -1"),
    "huge length": head("Content-Length: 99999999999999999999"),
    "odd coding": head("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "coding twice": head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "spaced name": head("Content-Length : 4") + b"abcd",
    "folded": head("X-A: b", " c"),
    "bad chunk": head("Transfer-Encoding: chunked") + b"zz\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": head("Host: b"),
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "long uri": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "many headers": head(*(f"x-{i}: y" for i in range(2000))),
    "long header": head("x-a: " + "y" * 200_000),
    "nul in header": head("x-a: b\0c"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_absurd_requests_and_smuggling(cloud: Cloud, shape: str) -> None:
    answer = raw(cloud, SHAPES[shape])
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert len(statuses) == 1, answer[:500]  # nothing hidden in the body was served
    assert statuses[0] in (b"400", b"413", b"414", b"431", b"501"), answer[:500]
    assert b"connection: close" in answer.lower()


def test_half_closed_connections_are_answered(cloud: Cloud) -> None:
    health = b"GET /_pileus/health HTTP/1.1\r\nHost: a\r\n\r\n"
    assert raw(cloud, health, shut=True).startswith(b"HTTP/1.1 200")
    assert raw(cloud, head("Content-Length: 100") + b"abc", shut=True)[:13] in (
        b"",
        b"HTTP/1.1 400 ",
    )
    assert raw(cloud, health[:20], shut=True) in (b"",)


def test_slow_clients_are_bounded(cloud: Cloud) -> None:
    """A head that never ends is cut after its time, and holds up nobody meanwhile."""
    slow = [socket.create_connection(("127.0.0.1", cloud.port)) for _ in range(50)]
    try:
        for s in slow:
            s.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nX-")
        assert cloud.client("dynamodb").list_tables()
        slow[0].settimeout(60)
        got = b""
        while piece := slow[0].recv(1000):
            got += piece
        assert got == b"" or got.startswith(b"HTTP/1.1 408"), got
    finally:
        for s in slow:
            s.close()
