"""Expressions: what they do, and the words of their errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.errors import AwsError
from pileus.services.dynamodb.expressions.binding import bind

ITEM: dict[str, Any] = {
    "a": {"S": "hello"},
    "n": {"N": "5"},
    "ss": {"SS": ["x", "y"]},
    "l": {"L": [{"N": "1"}, {"M": {"k": {"S": "deep"}}}]},
    "m": {"M": {"x": {"N": "7"}}},
    "bin": {"B": "AQI="},
}
VALUES = {
    ":five": {"N": "5"},
    ":six": {"N": "6"},
    ":he": {"S": "he"},
    ":x": {"S": "x"},
    ":deep": {"S": "deep"},
    ":t": {"S": "SS"},
    ":one": {"N": "1"},
    ":b": {"B": "AQ=="},
}


def judge(text: str) -> bool:
    used = {v: VALUES[v] for v in VALUES if v in text.replace(")", " ").replace(",", " ").split()}
    params: dict[str, Any] = {"ConditionExpression": text}
    if used:
        params["ExpressionAttributeValues"] = used
    bound = bind(params)
    assert bound.condition is not None
    return bound.condition.test(ITEM, bound.values)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("attribute_exists(a)", True),
        ("attribute_not_exists ( nope )", True),
        ("n = :five AND NOT n > :five", True),
        ("n < :six OR nope = :five", True),
        ("n BETWEEN :one AND :six", True),
        ("n in ( :one , :five )", True),
        ("begins_with ( a , :he )", True),
        ("begins_with ( bin , :b )", True),
        ("contains ( ss , :x )", True),
        ("contains ( a , :he )", True),
        ("attribute_type ( ss , :t )", True),
        ("size ( a ) = :five", True),
        ("size(l) < :five AND size ( ss ) > :one", True),
        ("l[1].k = :deep", True),
        ("l[7].k = :deep", False),
        ("m.x > :six", True),
        ("nope <> :five", True),
        ("nope > :five", False),
        ("a = :five", False),
        ("(n = :five) AND (attribute_exists(a) OR n = :six )", True),
    ],
)
def test_verdicts(text: str, verdict: bool) -> None:
    assert judge(text) is verdict


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The expression can not be empty;"),
        ("a =", 'Syntax error; token: "<EOF>", near: "="'),
        ("a = :x extra", 'Syntax error; token: "extra"'),
        ("((a = :x))", "The expression has redundant parentheses;"),
        ("foo(a)", "Invalid function name; function: foo"),
        ("name = :x", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("a = :nope", "attribute value used in expression is not defined; attribute value: :nope"),
        ("#n = :x", "attribute name used in the document path is not defined; attribute name: #n"),
        ("a = a", r"must be distinct .* operator: =, first operand: \[a\]"),
        ("size(a, b) = :x", "Incorrect number of operands .* size, number of operands: 2"),
        ("begins_with(a, :n)", "operator or function: begins_with, operand type: N"),
        ("a between :x and :n", "requires same data type for lower and upper bounds"),
        (
            "attribute_exists(:x)",
            "requires a document path; operator or function: attribute_exists",
        ),
        ("contains(a, begins_with(a, :x))", "not allowed to be used this way"),
        ("size(a)", "not allowed to be used this way in an expression; function: size"),
    ],
)
def test_condition_errors(text: str, words: str) -> None:
    params = {
        "ConditionExpression": text,
        "ExpressionAttributeValues": {":x": {"S": "x"}, ":n": {"N": "1"}},
    }
    with pytest.raises(AwsError, match=r"^Invalid ConditionExpression: .*" + words):
        bind(params)


def updated(text: str, item: dict[str, Any], **values: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"UpdateExpression": text}
    if values:
        params["ExpressionAttributeValues"] = {f":{n}": v for n, v in values.items()}
    bound = bind(params)
    assert bound.update is not None
    bound.update.apply(item, bound.values)
    return item


def test_update_forms() -> None:
    one = {"N": "1"}
    assert updated("SET c = c + :v", {"c": {"N": "2"}}, v=one) == {"c": {"N": "3"}}
    assert updated("SET c = if_not_exists(c, :v) - :v", {}, v=one) == {"c": {"N": "0"}}
    assert updated("SET l = list_append(l, :v)", {"l": {"L": [one]}}, v={"L": [one]}) == {
        "l": {"L": [one, one]}
    }
    assert updated("ADD s :v", {"s": {"SS": ["a"]}}, v={"SS": ["a", "b"]}) == {
        "s": {"SS": ["a", "b"]}
    }
    assert updated("DELETE s :v", {"s": {"SS": ["a"]}}, v={"SS": ["a"]}) == {}
    assert updated("REMOVE l[0], l[1]", {"l": {"L": [one, one, {"N": "3"}]}}) == {
        "l": {"L": [{"N": "3"}]}
    }
    assert updated("SET l[9] = :v, l[5] = :w", {"l": {"L": []}}, v=one, w={"N": "2"}) == {
        "l": {"L": [{"N": "2"}, one]}
    }
    swapped = updated("SET a = b, b = a", {"a": one, "b": {"N": "2"}})
    assert swapped == {"a": {"N": "2"}, "b": one}


def test_copied_containers_are_not_shared() -> None:
    item = updated("SET b = a", {"a": {"M": {"x": {"N": "1"}}}})
    item["b"]["M"]["x"] = {"N": "2"}
    assert item["a"] == {"M": {"x": {"N": "1"}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SET a = :s SET b = :s", 'The "SET" section can only be used once'),
        (
            "SET a.b = :s, a = :s",
            r"overlap with each other; .* path one: \[a, b\], path two: \[a\]",
        ),
        ("SET a[0] = :s, a.b = :s", r"conflict .* path one: \[a, \[0\]\], path two: \[a, b\]"),
        ("ADD a :s", "operator: ADD, operand type: STRING"),
        ("DELETE a :n", "operator: DELETE, operand type: NUMBER"),
        ("SET a = list_append(a, :s)", "function: list_append, operand type: S"),
        ("SET a = :s + :n", r"function: \+, operand type: S"),
        ("SET a = foo(:s)", "Invalid function name; function: foo"),
        ("PUT a = :s", 'Syntax error; token: "PUT"'),
    ],
)
def test_update_errors(text: str, words: str) -> None:
    values = {":s": {"S": "x"}, ":n": {"N": "1"}}
    with pytest.raises(AwsError, match=r"^Invalid UpdateExpression: .*" + words):
        bind({"UpdateExpression": text, "ExpressionAttributeValues": values})


def test_unused_names_and_values_are_refused() -> None:
    with pytest.raises(AwsError, match=r"unused in expressions: keys: \{:b\}"):
        bind(
            {
                "ConditionExpression": "a = :a",
                "ExpressionAttributeValues": {":a": {"S": "1"}, ":b": {"S": "1"}},
            }
        )
    with pytest.raises(AwsError, match=r"ExpressionAttributeNames unused .* \{#x\}"):
        bind(
            {"ConditionExpression": "attribute_exists(a)", "ExpressionAttributeNames": {"#x": "y"}}
        )


def test_projection_gathers_and_closes_lists_up() -> None:
    bound = bind(
        {"ProjectionExpression": "l[1].k, l[0], m.x, #h", "ExpressionAttributeNames": {"#h": "a"}}
    )
    assert bound.projection is not None
    assert bound.projection.apply(ITEM) == {
        "l": {"L": [{"N": "1"}, {"M": {"k": {"S": "deep"}}}]},
        "m": {"M": {"x": {"N": "7"}}},
        "a": {"S": "hello"},
    }


@given(st.text(alphabet="a :x()[].,#=<>+-19ANDORSETsizecontains\n", max_size=60))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for which in ("ConditionExpression", "UpdateExpression", "ProjectionExpression"):
        try:
            bind({which: text})
        except AwsError as error:
            assert error.code == "ValidationException"


def test_hostile_nesting_is_an_error_not_a_crash() -> None:
    for text in ("(" * 4000, "NOT " * 1000 + "a = b", "size(" * 800, "a = b AND " * 400 + "a = b"):
        with pytest.raises(AwsError):
            bind({"ConditionExpression": text})
