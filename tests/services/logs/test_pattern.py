"""Filter patterns, with the examples of AWS's own guide."""

import pytest

from pileus.errors import AwsError
from pileus.services.logs.pattern import compile_pattern, extract

LINES = [
    "[ERROR 400] BAD REQUEST",
    "[ERROR 401] UNAUTHORIZED REQUEST",
    "[ERROR 419] MISSING ARGUMENTS",
    "[ERROR 420] INVALID ARGUMENTS",
]
ACCESS = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
JSON = (
    '{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111",'
    '"arrayKey":["value","another value"],"objectList":[{"name":"a","id":1},{"name":"b","id":2}],'
    '"SomeObject":null,"cluster.name":"c","ThisFlag":true,"count":4.5e2}'
)


def numbers(pattern: str) -> list[int]:
    matches = compile_pattern(pattern)
    return [at for at, line in enumerate(LINES) if matches(line)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", [0, 1, 2, 3]),
        ("ERROR", [0, 1, 2, 3]),
        ("ERROR ARGUMENTS", [2, 3]),
        ("?BAD ?MISSING", [0, 2]),
        ("ERROR -ARGUMENTS", [0, 1]),
        ('"BAD REQUEST"', [0]),
        ('-"BAD REQUEST" REQUEST', [1]),
        ("?BAD ARGUMENTS", [2, 3]),
        ("%40[01]%", [0, 1]),
        ("error", []),
    ],
)
def test_terms(pattern: str, found: list[int]) -> None:
    assert numbers(pattern) == found


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{ $.eventType = UpdateTrail }", True),
        ('{ $.eventType != "UpdateTrail" }', False),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress = 111.* }", True),
        ('{ $.arrayKey[0] = "value" }', True),
        ('{ $.arrayKey[1] = "value" }', False),
        ('{ $.arrayKey[*] = "another*" }', True),
        ("{ $.objectList[1].id = 2 }", True),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.SomeOtherObject NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ("{ $.ThisFlag IS TRUE }", True),
        ("{ $.ThisFlag IS FALSE }", False),
        ("{ $.count >= 450 && $.count < 1e3 }", True),
        ("{ $.count > 450 || ($.eventType = X && $.ThisFlag IS TRUE) }", False),
        ("{ $.count = 450 || $.eventType = X && $.eventType = Y }", True),
        ("{ $['cluster.name'] = c }", True),
        ("{ $.eventType = %Up.*Tr% }", True),
        ("{ $.* = UpdateTrail }", True),
    ],
)
def test_json(pattern: str, holds: bool) -> None:
    matches = compile_pattern(pattern)
    assert matches(JSON) is holds
    assert not matches("not json")


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        ("[ip, stage, user, timestamp, request, status_code, bytes]", True),
        ("[ip, stage, user, timestamp, request, status_code]", False),
        ("[ip, ..., status_code = 4*, bytes > 1000]", True),
        ("[ip, ..., status_code = 4*, bytes > 2000]", False),
        ("[ip = %127\\.0\\.0\\.[1-9]%, ..., size]", True),
        ("[..., status_code = 404 || status_code = 410, bytes]", True),
        ("[..., status_code != 404 && status_code != 410, bytes]", False),
        ('[w1, w2, w3, w4, w5 = "*index.html*", w6, w7]', True),
        ("[w1 != 1*, ...]", False),
    ],
)
def test_fields(pattern: str, holds: bool) -> None:
    assert compile_pattern(pattern)(ACCESS) is holds


def test_extracts_fields_by_name() -> None:
    found = extract("[ip, ..., status=404, bytes]", ACCESS)
    assert found["$ip"] == "127.0.0.1"
    assert found["$status"] == "404"
    assert found["$bytes"] == "1534"


@pytest.mark.parametrize(
    "pattern",
    ["{ $.x = ", "{ $.x ~ 3 }", "{ x = 3 }", "{ ($.x = 3 }", "[a, b", "[a ~ 3]", "[..., ...]",
     "{ $.x > abc }", "%(a+)+%", "x" * 1025, "{ " + "(" * 50 + "$.x = 1" + ")" * 50 + " }"],
)  # fmt: skip
def test_refuses(pattern: str) -> None:
    with pytest.raises(AwsError) as caught:
        compile_pattern(pattern)
    assert caught.value.code == "InvalidParameterException"
