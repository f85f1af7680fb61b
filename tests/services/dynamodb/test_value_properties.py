"""Sizes, precision and reserved words beside rules written down a second time.

Developer Guide: "DynamoDB item sizes and formats", "Data types: Number", "Reserved words".
"""

from __future__ import annotations

import base64
from decimal import Context, Decimal, Inexact, Overflow
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pileus.errors import AwsError
from pileus.services.dynamodb import values
from pileus.services.dynamodb.expressions.binding import bind
from pileus.services.dynamodb.expressions.reserved import RESERVED
from tests.services.dynamodb.expression_texts import ITEMS
from tests.services.dynamodb.test_numbers import decimals

SAMPLE = frozenset(
    [
        "ABORT",
        "ABSOLUTE",
        "ADD",
        "ALL",
        "AND",
        "ANY",
        "ATTRIBUTE",
        "BETWEEN",
        "BY",
        "COUNT",
        "DATA",
        "DATE",
        "DELETE",
        "GROUP",
        "IN",
        "INDEX",
        "ITEM",
        "ITEMS",
        "KEY",
        "LANGUAGE",
        "LIST",
        "MAP",
        "NAME",
        "NOT",
        "NULL",
        "NUMBER",
        "OR",
        "ORDER",
        "PATH",
        "RANGE",
        "ROLE",
        "SET",
        "SIZE",
        "STATE",
        "STATUS",
        "STRING",
        "TIME",
        "TIMESTAMP",
        "TTL",
        "TYPE",
        "USER",
        "VALUE",
        "VALUES",
        "YEAR",
        "ZONE",
    ]
)
FREE = ("pk", "sk", "id", "title", "price", "amount", "quantity", "email", "created", "updated")


def number_size(text: str) -> int:
    """One byte, one per two digits on either side of the point, one for a minus sign."""
    value = Decimal(text)
    if not value:
        return 1
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    plain = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(plain)
    pairs = {(exponent + i) // 2 for i in range(len(plain))}
    return 1 + len(pairs) + sign


def size(value: dict[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return number_size(content)
    if kind == "B":
        return len(base64.b64decode(content))
    if kind in ("SS", "NS", "BS"):
        return sum(size({kind[0]: x}) for x in content)
    if kind == "L":
        return 3 + sum(1 + size(v) for v in content)
    if kind == "M":
        return 3 + sum(1 + len(n.encode()) + size(v) for n, v in content.items())
    return 1


@settings(max_examples=200, deadline=None)
@given(ITEMS)
def test_items_weigh_what_the_guide_says(item: dict[str, Any]) -> None:
    wanted = sum(len(name.encode()) + size(value) for name, value in item.items())
    assert values.check_item(item) == wanted
    assert values.item_size(item) == wanted


@settings(max_examples=200, deadline=None)
@given(decimals)
@example("100")
@example("1010e-1")
@example("-12345e-4")
def test_numbers_weigh_what_the_guide_says(text: str) -> None:
    assert values.check({"N": text}) == number_size(text)


EXACT = Context(prec=38, Emax=125, Emin=-130, traps=[Inexact, Overflow])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from("+-"), decimals, decimals)
@example("+", "9" * 38, "1")
@example("+", "9" * 38, "2")
@example("-", "1e125", "1")
@example("+", "9e125", "1e125")
def test_sums_are_exact_to_38_digits_or_refused(sign: str, a: str, b: str) -> None:
    params = {
        "UpdateExpression": f"SET x = a {sign} :b",
        "ExpressionAttributeValues": {":b": {"N": b}},
    }
    bound, item = bind(params), {"a": {"N": a}}
    values.check_item(item)
    try:
        wanted = (EXACT.add if sign == "+" else EXACT.subtract)(Decimal(a), Decimal(b))
    except (Inexact, Overflow):
        wanted = None
    assert bound.update is not None
    if wanted is None:
        with pytest.raises(AwsError):
            bound.update.apply(item, bound.values)
        return
    bound.update.apply(item, bound.values)
    assert Decimal(item["x"]["N"]) == wanted
    assert values.check(dict(item["x"])) == number_size(str(wanted))


FORMS = {
    "ConditionExpression": "attribute_exists({})",
    "FilterExpression": "{} = :v",
    "ProjectionExpression": "a, {}",
    "UpdateExpression": "SET {} = :v",
}


def made(member: str, name: str, **more: Any) -> dict[str, Any]:
    params: dict[str, Any] = {member: FORMS[member].format(name), **more}
    if ":v" in params[member]:
        params["ExpressionAttributeValues"] = {":v": {"S": "x"}}
    return params


def test_the_list_of_reserved_words_is_the_guides() -> None:
    assert len(RESERVED) == 573 and SAMPLE <= RESERVED
    assert not RESERVED & {name.upper() for name in FREE}


@pytest.mark.parametrize("member", FORMS)
def test_reserved_words_need_an_alias_in_every_form(member: str) -> None:
    for word in sorted(RESERVED):
        for name in (word, word.lower(), word.capitalize(), f"a.{word.title()}[0]"):
            with pytest.raises(AwsError) as caught:
                bind(made(member, name))
            assert caught.value.code == "ValidationException"
            assert f"Invalid {member}:" in caught.value.message, name
        bind(made(member, "#n", ExpressionAttributeNames={"#n": word}))
        bind(made(member, f"{word}_1"))
    for name in FREE:
        bind(made(member, name))
