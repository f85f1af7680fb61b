"""One request's expressions together: allowed with each other, defined, all names used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pileus.errors import AwsError
from pileus.services.dynamodb.expressions.conditions import Condition, compile_condition
from pileus.services.dynamodb.expressions.projections import Projection, compile_projection
from pileus.services.dynamodb.expressions.strictness import strict_fault
from pileus.services.dynamodb.expressions.tokens import Fault, refuse
from pileus.services.dynamodb.expressions.updates import Update, compile_update
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.values import Value, check, check_name, text_size

_ALIAS = re.compile(r"#[0-9a-zA-Z_]+\Z")
_VALUE = re.compile(r":[0-9a-zA-Z_]+\Z")
NAMES = "ExpressionAttributeNames"
VALUES = "ExpressionAttributeValues"
KEY_BYTES_MAX = 255
TOO_LONG = "The expression attribute map contains a key that is too long"
SUBSTITUTES_BYTES_MAX = 2 * 1024 * 1024
NO_VALUES: dict[str, Value] = {}
COMPILERS = {"UpdateExpression": compile_update, "ProjectionExpression": compile_projection}
ORDER = (
    "UpdateExpression",
    "ConditionExpression",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
)


class Bound:
    """A request's compiled expressions; members are None when absent."""

    __slots__ = ("condition", "filter", "key", "names", "projection", "update", "values")

    def __init__(self) -> None:
        self.update: Update | None = None
        self.condition: Condition | None = None
        self.key: Condition | None = None
        self.filter: Condition | None = None
        self.projection: Projection | None = None
        self.names: dict[str, str] | None = None
        self.values: dict[str, Value] = NO_VALUES


_OLD = frozenset(
    {
        *("AttributesToGet", "Expected", "AttributeUpdates", "ConditionalOperator"),
        *("KeyConditions", "QueryFilter", "ScanFilter"),
    }
)
_MEMBERS = {
    "UpdateExpression": "update",
    "ConditionExpression": "condition",
    "KeyConditionExpression": "key",
    "FilterExpression": "filter",
    "ProjectionExpression": "projection",
}


def check_mixture(
    params: dict[str, Any], expressions: Iterable[str], legacy: Iterable[str]
) -> None:
    """Expressions and their legacy forms exclude each other; names and values need expressions."""
    present = [e for e in expressions if e in params]
    if not present:
        if NAMES in params:
            raise invalid("ExpressionAttributeNames can only be specified when using expressions")
    elif not _OLD.isdisjoint(params):
        _refuse_old(params, present, legacy)
    if VALUES not in params:
        return
    using = [e for e in expressions if e != "ProjectionExpression"]
    if using and not any(e in present for e in using):
        verb = "are" if len(using) > 1 else "is"
        raise invalid(
            "ExpressionAttributeValues can only be specified when using expressions:"
            f" {' and '.join(using)} {verb} null"
        )


def _refuse_old(params: dict[str, Any], present: list[str], legacy: Iterable[str]) -> None:
    allowed = {"KeyConditions"} if "KeyConditionExpression" not in present else set()
    old = [p for p in legacy if p in params and p not in allowed]
    if old:
        raise invalid(
            "Can not use both expression and non-expression parameters in the same request:"
            f" Non-expression parameters: {{{', '.join(old)}}}"
            f" Expression parameters: {{{', '.join(present)}}}"
        )


def bind(params: dict[str, Any]) -> Bound:
    """Compile and check every expression of ``params``; ``AwsError`` with the service's text."""
    bound = Bound()
    names, values = params.get(NAMES), params.get(VALUES)
    if names is not None:
        _check_names(names)
        bound.names = names
    if values is not None:
        size = _check_values(values)
        bound.values = values
        if size + sum(map(text_size, (names or {}).values())) > SUBSTITUTES_BYTES_MAX:
            raise invalid(
                "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds"
                " max size"
            )
    used_names: set[str] = set()
    used_values: set[str] = set()
    for which in ORDER:
        if which not in params:
            continue
        made: Any = _compiled(which, params[which], names, bound.values)
        setattr(bound, _MEMBERS[which], made)
        if names is not None:
            used_names |= made.names
        if values is not None and which != "ProjectionExpression":
            used_values.update(made.values)
    if names is not None and len(used_names) < len(names):
        _refuse_unused(NAMES, [n for n in names if n not in used_names])
    if values is not None and len(used_values) < len(values):
        _refuse_unused(VALUES, [v for v in values if v not in used_values])
    return bound


def _compiled(which: str, text: str, names: Any, values: dict[str, Value]) -> Any:
    try:
        strict = strict_fault(text)
        if strict is not None:
            raise strict
        made: Any = COMPILERS.get(which, compile_condition)(text, names)
        if which != "ProjectionExpression":
            made.check(values)
    except Fault as fault:
        raise refuse(which, fault) from None
    return made


def _refuse_unused(member: str, unused: list[str]) -> None:
    raise invalid(
        f"Value provided in {member} unused in expressions: keys: {{{', '.join(unused)}}}"
    )


def _check_names(names: dict[str, str]) -> None:
    if not names:
        raise invalid("ExpressionAttributeNames must not be empty")
    for alias in names:
        if not _ALIAS.match(alias):
            raise invalid(
                f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{alias}"'
            )
        if len(alias) > KEY_BYTES_MAX:
            raise invalid(f"ExpressionAttributeNames contains invalid key: {TOO_LONG}")
        try:
            check_name(names[alias])
        except AwsError as error:
            raise invalid(
                f"ExpressionAttributeNames contains invalid value: {error.message} for key {alias}"
            ) from None


def _check_values(values: dict[str, Value]) -> int:
    """The values' size in bytes."""
    if not values:
        raise invalid("ExpressionAttributeValues must not be empty")
    for name in values:
        if not _VALUE.match(name):
            raise invalid(
                f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{name}"'
            )
        if len(name) > KEY_BYTES_MAX:
            raise invalid(f"ExpressionAttributeValues contains invalid key: {TOO_LONG}")
    return sum(check_named(name, value) for name, value in values.items())


def check_named(name: str, value: Value) -> int:
    """One expression value, and its size in bytes; its fault names it."""
    try:
        return check(value)
    except AwsError as error:
        if error.code != "ValidationException":
            raise
        raise invalid(
            f"ExpressionAttributeValues contains invalid value: {error.message} for key {name}"
        ) from None
