"""What belongs to the transport: request ids, checksums, compressed bodies (boto3's signer)."""

from __future__ import annotations

import binascii
import gzip
import re
import time
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.conftest import Cloud

UNPACKED = {"": bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}
ID = re.compile(r"[0-9A-Z]{52}\Z")


@pytest.fixture(scope="module")
def name(cloud: Cloud) -> Iterator[str]:
    made = f"door-{uuid.uuid4().hex[:8]}"
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=made,
        **keyed(p="S"),
    )
    yield made
    client.delete_table(TableName=made)


def send(cloud: Cloud, operation: str, body: bytes, coding: str = "", takes: str = "") -> Any:
    """The door's answer, as it came, to a signed request with these bytes."""
    env = cloud.env
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
    }
    if coding:
        headers["Content-Encoding"] = coding
    if takes:
        headers["Accept-Encoding"] = takes
    request = AWSRequest("POST", cloud.endpoint + "/", headers, body)
    keys = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(keys, "dynamodb", env["AWS_REGION"]).add_auth(request)
    return urllib3.request(
        "POST",
        cloud.endpoint + "/",
        body=body,
        headers=dict(request.headers),
        retries=False,
        decode_content=False,
    )


def check(answer: Any, status: int) -> Any:
    assert answer.status == status, answer.data
    assert ID.match(answer.headers["x-amzn-requestid"])
    assert answer.headers["x-amz-crc32"] == str(binascii.crc32(answer.data))
    return orjson.loads(UNPACKED[answer.headers.get("content-encoding", "")](answer.data))


def test_ids_and_checksums_of_answers_and_errors(cloud: Cloud, name: str) -> None:
    item = {"p": {"S": "ä"}, "v": {"S": "x" * 5000}}
    asked = {"TableName": name, "Key": {"p": item["p"]}}
    ids = set()
    for operation, params, status in (
        ("PutItem", {"TableName": name, "Item": item}, 200),
        ("GetItem", asked, 200),
        ("GetItem", asked, 200),
        ("DescribeTable", {"TableName": name}, 200),
        ("GetItem", {"TableName": name, "Key": {}}, 400),
        ("GetItem", {"TableName": "absent-" + name, "Key": {"p": item["p"]}}, 400),
    ):
        answer = send(cloud, operation, orjson.dumps(params))
        check(answer, status)
        ids.add(answer.headers["x-amzn-requestid"])
    assert len(ids) == 6


def test_a_compressed_body_is_read_as_if_it_were_not(cloud: Cloud, name: str) -> None:
    for n in range(4):  # the same head soon after: no short way may skip the unpacking
        item = {"p": {"S": f"zipped{n}"}, "v": {"S": "v" * 300_000}}
        body = gzip.compress(orjson.dumps({"TableName": name, "Item": item}))
        check(send(cloud, "PutItem", body, "gzip"), 200)
        asked = orjson.dumps({"TableName": name, "Key": {"p": item["p"]}})
        assert check(send(cloud, "GetItem", gzip.compress(asked), "gzip"), 200) == {"Item": item}
        assert check(send(cloud, "GetItem", asked), 200) == {"Item": item}


def test_compressed_bodies_that_are_none_or_too_large(cloud: Cloud, name: str) -> None:
    asked = orjson.dumps({"TableName": name, "Key": {"p": {"S": "a"}}})
    for body in (asked, gzip.compress(asked)[:-9], b"\x1f\x8b", b""):
        told = check(send(cloud, "GetItem", body, "gzip"), 400)
        assert told["__type"].endswith("#SerializationException")
    bomb = gzip.compress(b" " * (17 * 1024 * 1024) + asked)
    assert len(bomb) < 20_000
    assert send(cloud, "GetItem", bomb, "gzip").status == 413


@pytest.mark.parametrize("takes", ["gzip", "deflate"])
def test_long_answers_are_packed_for_who_takes_them_so(cloud: Cloud, name: str, takes: str) -> None:
    for size, packed in ((3000, ""), (5000, takes), (300_000, takes)):
        item = {"p": {"S": f"{takes}{size}"}, "v": {"S": "xy" * (size // 2)}}
        check(send(cloud, "PutItem", orjson.dumps({"TableName": name, "Item": item})), 200)
        asked = orjson.dumps({"TableName": name, "Key": {"p": item["p"]}})
        for wanted in (takes, takes, "identity", takes):  # a head seen before is no short way
            answer = send(cloud, "GetItem", asked, takes=wanted)
            told = packed if wanted == takes else ""
            assert answer.headers.get("content-encoding", "") == told
            assert check(answer, 200) == {"Item": item}
            assert not told or len(answer.data) < size / 5


def test_one_budget_whichever_process_answers(cloud: Cloud) -> None:
    name = f"small-{uuid.uuid4().hex[:8]}"
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    began = time.monotonic()

    def use_up(number: int) -> tuple[int, Any]:
        """Puts until one is refused, over a connection of its own; how many, and the refusal."""
        own = cloud.client("dynamodb", config=Config(retries={"total_max_attempts": 1}))
        for done in range(1000):
            try:
                own.put_item(TableName=name, Item={"p": {"S": str(number)}})
            except ClientError as error:
                return done, error.response
        raise AssertionError("never refused")

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(use_up, range(4)))
    spent_s = time.monotonic() - began
    client.delete_table(TableName=name)
    assert 300 <= sum(done for done, _ in ends) <= 300 + spent_s + 8
    for _, refusal in ends:
        assert refusal["Error"]["Code"] == "ProvisionedThroughputExceededException"
        (reason,) = refusal["ThrottlingReasons"]
        assert reason["reason"] == "TableWriteProvisionedThroughputExceeded"
        assert reason["resource"].endswith(f":table/{name}")
