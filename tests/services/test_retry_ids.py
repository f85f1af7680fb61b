"""A retry id stands for one request: another with the same id is not taken for its repeat, and a
repeat is, whichever way the door goes (S2, S6)."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from bench.load import signed
from tests.conftest import Cloud

KEY = [{"AttributeName": "p", "KeyType": "HASH"}]
TIMES = 40  # so many that heads become known and connections take requests by their bytes


class Line:
    """One connection; every request has the same retry id."""

    def __init__(self, cloud: Cloud) -> None:
        self._host = cloud.endpoint.removeprefix("http://")
        self._keys = cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"]
        self._socket = socket.create_connection(("127.0.0.1", cloud.port), timeout=20)
        self._file = self._socket.makefile("rb")
        self._id = f"amz-sdk-invocation-id: {uuid.uuid4()}\r\n".encode()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, service: str, **request: Any) -> dict[str, str]:
        """A request that must be answered 200; the answer's headers."""
        head, _, body = signed(self._host, service, *self._keys, **request).partition(b"\r\n\r\n")
        self._socket.sendall(head + b"\r\n" + self._id + b"\r\n" + body)
        status = self._file.readline()
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        told = self._file.read(int(headers.get("content-length", 0)))
        assert b" 200 " in status, (status, told)
        return headers

    def put(self, path: str, body: bytes) -> dict[str, str]:
        return self.ask("s3", method="PUT", path=path, body=body)

    def tell(self, operation: str, **params: Any) -> None:
        target = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
        headers = {"content-type": "application/x-amz-json-1.0", **target}
        self.ask("dynamodb", headers=headers, body=json.dumps(params).encode())


@pytest.fixture
def line(cloud: Cloud) -> Iterator[Line]:
    made = Line(cloud)
    yield made
    made.close()


@pytest.fixture
def bucket(cloud: Cloud) -> str:
    name = f"b{uuid.uuid4().hex}"
    cloud.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture
def table(cloud: Cloud) -> str:
    name = f"t{uuid.uuid4().hex}"
    cloud.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        KeySchema=KEY,
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def test_objects_under_other_keys_and_of_other_bytes_are_stored(
    cloud: Cloud, line: Line, bucket: str
) -> None:
    keys = [f"k{n:03}" for n in range(TIMES)]
    for key in keys:
        line.put(f"/{bucket}/{key}", key.encode())
    s3 = cloud.client("s3")
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == keys
    for n in range(TIMES):
        line.put(f"/{bucket}/k000", b"body %d" % n)
        assert s3.get_object(Bucket=bucket, Key="k000")["Body"].read() == b"body %d" % n


def test_all_parts_of_an_upload_are_there(cloud: Cloud, line: Line, bucket: str) -> None:
    """s3transfer's CRT gives every part of an upload one id."""
    s3, at = cloud.client("s3"), {"Bucket": bucket, "Key": "k"}
    at["UploadId"] = s3.create_multipart_upload(**at)["UploadId"]
    body = bytes(5 * 1024 * 1024)
    for number in range(1, 4):
        line.put(f"/{bucket}/k?partNumber={number}&uploadId={at['UploadId']}", body)
    parts = s3.list_parts(**at)["Parts"]
    assert [p["PartNumber"] for p in parts] == [1, 2, 3]
    told = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in parts]
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": told})
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 3 * len(body)


def test_a_put_that_comes_again_makes_one_version(cloud: Cloud, line: Line, bucket: str) -> None:
    s3 = cloud.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    told = {line.put(f"/{bucket}/k", b"same")["x-amz-version-id"] for _ in range(TIMES)}
    told.add(line.put(f"/{bucket}/k?x-id=PutObject", b"same")["x-amz-version-id"])
    assert {v["VersionId"] for v in s3.list_object_versions(Bucket=bucket)["Versions"]} == told
    assert len(told) == 1


def test_other_items_are_written(cloud: Cloud, line: Line, table: str) -> None:
    for n in range(TIMES):
        line.tell("PutItem", TableName=table, Item={"p": {"S": f"k{n}"}})
    assert cloud.client("dynamodb").scan(TableName=table)["Count"] == TIMES


def test_an_update_that_comes_again_counts_once(cloud: Cloud, line: Line, table: str) -> None:
    add = {
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    for n in range(TIMES):
        for _ in range(3):
            line.tell("UpdateItem", TableName=table, Key={"p": {"S": f"k{n % 4}"}}, **add)
    items = cloud.client("dynamodb").scan(TableName=table)["Items"]
    assert [i["n"] for i in items] == [{"N": "1"}] * 4
