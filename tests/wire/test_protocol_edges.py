"""Bodies that try to hurt: CBOR tags and sizes, JSON depth, XML entities, odd numbers and times."""

from __future__ import annotations

import cbor2
import pytest

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.wire.protocols import scalars, xml_tree
from pileus.wire.protocols.query import tree_of
from tests.wire.door import MODELS

METRIC = {"MetricDataQueries": [], "StartTime": 0, "EndTime": 0}


def read(service: str, protocol: str, operation: str, body: bytes) -> dict:
    codec = MODELS.codec(service, protocol).operation(operation)
    return codec.parse(HttpRequest("POST", "/", "", {}, body), {})


@pytest.mark.parametrize(
    "body",
    [
        b"\x9b\x7f" + b"\xff" * 7,
        b"\x5b\x7f" + b"\xff" * 7,
        b"\x81" * 200_000,
        b"\xff",
        cbor2.dumps([1]),
        cbor2.dumps(METRIC | {"MaxDatapoints": 1 << 70}),
        cbor2.dumps(METRIC | {"MaxDatapoints": "1"}),
        cbor2.dumps(METRIC | {"StartTime": cbor2.CBORTag(4, [10**6, 1])}),
        cbor2.dumps(METRIC | {"StartTime": [1]}),
        cbor2.dumps(METRIC | {"NextToken": b"bytes"}),
    ],
)
def test_cbor(body):
    with pytest.raises(AwsError) as e:
        read("cloudwatch", "smithy-rpc-v2-cbor", "GetMetricData", body)
    assert e.value.code == "SerializationException"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[" * 100_000, "Unable to parse"),
        (b"[]", "Unrecognized collection type"),
        (b'"x"', "Unexpected field type"),
        (b'{"TableName": 1}', "NUMBER_VALUE cannot be converted to String"),
        (b'{"TableName": true}', "TRUE_VALUE cannot be converted to String"),
        (b'{"TableName": {}}', "Start of structure or map found where not expected"),
        (b'{"TableName": "t", "Limit": "1"}', "STRING_VALUE cannot be converted to Integer"),
        (b'{"TableName": "t", "Limit": 1e30}', "out of range"),
        (b'{"TableName": "t", "ExclusiveStartKey": {"a": {"B": "*"}}}', "Invalid Base64"),
    ],
)
def test_json(body, text):
    with pytest.raises(AwsError, match=text) as e:
        read("dynamodb", "json", "Scan", body)
    assert e.value.code == "SerializationException"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a []><a/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b"<a>" * 1000 + b"</a>" * 1000,
        b"<a>\xff</a>",
    ],
)
def test_xml(body):
    with pytest.raises(AwsError) as e:
        xml_tree.parse(body)
    assert e.value.code == "MalformedXML"


def test_query_nesting_and_numbering():
    with pytest.raises(AwsError):
        tree_of({".".join("a" * 100): "x"})
    assert tree_of({"A": "x", "A.B": "y"}) == {"A": {"B": "y"}}
    body = b"UserName=u&Tags.member.2.Key=b&Tags.member.2.Value=2&Tags.member.1.Key=a&"
    tags = read("iam", "query", "CreateUser", body + b"Tags.member.1.Value=1")["Tags"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    for bad in (b"UserName=u&Tags.member.x.Key=b", b"UserName.x=u", b"UserName=u&Tags.member=1"):
        try:
            read("iam", "query", "CreateUser", bad)
        except AwsError as e:
            assert e.code in ("MalformedInput", "SerializationException")
    with pytest.raises(AwsError):
        read("iam", "query", "CreateUser", b"UserName=%ff%fe")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-21T05:06:07Z", 1795237567),
        ("2026-11-21T05:06:07.250Z", 1795237567.25),
        ("2026-11-21T06:06:07+01:00", 1795237567),
        ("Sat, 21 Nov 2026 05:06:07 GMT", 1795237567),
        ("1795237567", 1795237567),
        ("1795237567.5", 1795237567.5),
        (1795237567, 1795237567),
    ],
)
def test_times(text, seconds):
    assert scalars.read_time(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "9" * 5000, "1e999", "2026-99-99T00:00:00Z", True])
def test_bad_times(text):
    with pytest.raises(AwsError):
        scalars.read_time(text)
