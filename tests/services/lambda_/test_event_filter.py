"""Filter patterns of event source mappings, by the cases recorded from AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.lambda_.event_filter import compiled

RECORD = {
    "eventName": "INSERT",
    "dynamodb": {
        "ApproximateCreationDateTime": 1_700_000_000.0,
        "NewImage": {"id": {"S": "id-1"}, "n": {"N": "101"}, "tags": {"SS": ["a", "b"]}},
    },
}


def image(**fields: Any) -> dict[str, Any]:
    return {"dynamodb": {"NewImage": fields}}


@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        ({}, True),
        ({"eventName": ["INSERT", "MODIFY"]}, True),
        ({"eventName": ["REMOVE"]}, False),
        ({"eventName": ["INSERT"], "eventSource": ["other"]}, False),
        (image(id={"S": ["id-1"]}), True),
        (image(id=["id-1"]), False),
        (image(id={"S": [{"prefix": "id"}]}), True),
        (image(id={"S": [{"suffix": "-2"}]}), False),
        (image(id={"S": [{"equals-ignore-case": "ID-1"}]}), True),
        (image(id={"S": [{"exists": True}]}), True),
        (image(other={"S": [{"exists": True}]}), False),
        (image(id=[{"exists": False}]), True),  # of what is no leaf, as on AWS
        (image(n={"N": [{"numeric": [">", 100]}]}), False),  # numbers of DynamoDB are texts
        (image(n={"N": [{"numeric": [">", 100]}, {"anything-but": "7"}]}), True),
        (image(n={"N": [{"anything-but": ["7", "101"]}]}), False),
        (image(id={"S": [{"anything-but": {"prefix": "id"}}]}), False),
        (image(tags={"SS": ["b"]}), True),
        ({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0, "<", 2e9]}]}}, True),
        ({"$or": [{"eventName": ["REMOVE"]}, image(id={"S": ["id-1"]})]}, True),
        ({"$or": [{"eventName": ["REMOVE"]}, {"eventName": ["MODIFY"]}]}, False),
    ],
)
def test_patterns(pattern: Any, passes: bool) -> None:
    assert compiled({"Filters": [{"Pattern": json.dumps(pattern)}]})(RECORD) is passes


def test_one_pattern_is_enough() -> None:
    filters = [{"Pattern": '{"eventName":["REMOVE"]}'}, {"Pattern": '{"eventName":["INSERT"]}'}]
    assert compiled({"Filters": filters})(RECORD) and compiled(None)(RECORD)
    assert not compiled({"Filters": filters[:1]})(RECORD)


@pytest.mark.parametrize(
    "pattern",
    [
        "single-string", "[]", '{"a":"b"}', '{"a":[]}', '{"a":[["b"]]}', '{"a":[{"what":1}]}',
        '{"a":[{"prefix":1}]}', '{"a":[{"numeric":[">"]}]}', '{"a":[{"numeric":[">","1"]}]}',
        '{"a":[{"exists":1,"prefix":"a"}]}', '{"a":' * 100 + '["b"]' + "}" * 100,
        '[{"eventName": ["INSERT"=123}]',
    ],
)  # fmt: skip
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(AwsError) as caught:
        compiled({"Filters": [{"Pattern": pattern}]})
    assert caught.value.message == "Invalid filter pattern definition."
