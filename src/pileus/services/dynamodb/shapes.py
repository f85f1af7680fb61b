"""The slow, exact reader of a request: wire types, then the model's constraints.

Hot operations look at their members by hand and come here only when something is odd. Texts are
the service's: SerializationException for wrong types, ValidationException listing up to ten
constraints. Shapes come from botocore's model; ``TIGHTER`` adds what the service
enforces beyond it.
"""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

from pileus.services.dynamodb.faults import invalid, unserializable
from pileus.services.dynamodb.values import decode

PACKAGE = "com.amazonaws.dynamodb.v20120810."
NAME_PATTERN = "[a-zA-Z0-9_.-]+"
NAME = {"pattern": NAME_PATTERN, "min": 3, "max": 255}
ERRORS_MAX = 10
PARAMETERIZED = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class"
    " java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and"
    " java.lang.Class are in module java.base of loader 'bootstrap')"
)
# The order in which the service prints enumerations.
ENUMS = {
    "ReturnValue": ["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"],
    "ReturnConsumedCapacity": ["INDEXES", "TOTAL", "NONE"],
    "ReturnItemCollectionMetrics": ["SIZE", "NONE"],
    "ConditionalOperator": ["OR", "AND"],
    "ComparisonOperator": [
        "IN", "NULL", "BETWEEN", "LT", "NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE",
        "BEGINS_WITH", "GE", "CONTAINS",
    ],
    "Select": ["SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"],
    "ScalarAttributeType": ["B", "N", "S"],
    "KeyType": ["HASH", "RANGE"],
    "ProjectionType": ["ALL", "INCLUDE", "KEYS_ONLY"],
    "BillingMode": ["PROVISIONED", "PAY_PER_REQUEST"],
}  # fmt: skip
# Constraints by (operation's input, member path without list positions).
TIGHTER: dict[str, dict[str, Any]] = {
    "AttributesToGet": {"max": 255},
    "CreateTableInput.KeySchema": {"max": 2},
    "LocalSecondaryIndex.KeySchema": {"max": 2},
    "ListStreamsInput.Limit": {"max": 100},
    "DescribeStreamInput.Limit": {"max": 100},
    "GetRecordsInput.Limit": {"max": 1000},
}
REQUIRED = {"CreateTableInput": ["AttributeDefinitions", "KeySchema"]}
# Table operations check the name's presence and length on their own, before the rest.
NAMED_FIRST = frozenset(
    {"CreateTable", "DeleteTable", "DescribeTable", "UpdateTable", "DescribeTimeToLive",
     "UpdateTimeToLive", "DescribeContinuousBackups", "UpdateContinuousBackups"}
)  # fmt: skip
# The order in which the service checks the members of an input; the list of errors is cut at ten.
FIRST = {
    "QueryInput": (
        *("Select", "IndexName", "ReturnConsumedCapacity", "QueryFilter", "TableName"),
        *("ConditionalOperator", "AttributesToGet", "Limit", "KeyConditions"),
    ),
    "ScanInput": (
        *("Select", "IndexName", "TotalSegments", "ReturnConsumedCapacity", "TableName"),
        *("ConditionalOperator", "ScanFilter", "Segment", "Limit", "AttributesToGet"),
    ),
}
# Tag operations check their own members themselves, only what is inside Tags here.
UNCHECKED = frozenset({"TagResource", "UntagResource", "ListTagsOfResource"})
SECONDS_MAX = 62_135_596_800
NUMBERS = {"integer": "Integer", "long": "Long", "double": "Double", "float": "Float"}


class Shapes:
    """Reads the inputs of one botocore service model."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._shapes = model["shapes"]
        self._inputs = {n: o["input"]["shape"] for n, o in model["operations"].items()}

    def parse(self, operation: str, body: Any) -> dict[str, Any]:
        """The operation's parameters, typed and within the model's constraints."""
        name = self._inputs[operation]
        if not isinstance(body, dict):
            raise unserializable("Start of structure or map found where not expected")
        params: dict[str, Any] = self._read_members(body, self._shapes[name])
        if operation in NAMED_FIRST:
            _check_table_name(params.get("TableName"), operation == "CreateTable")
        errors: list[str] = []
        self._constrain(params, name, "", "", errors, named_first=operation in NAMED_FIRST)
        if operation in UNCHECKED:
            errors = [e for e in errors if "'tags." in e or "'tagKeys." in e]
        if len(errors) == 1 and params.get("RequestItems") == {}:
            raise invalid(f"The requestItems parameter is required for {operation}")
        if errors:
            found = _newest(operation, params, errors[:ERRORS_MAX])
            plural = "s" if len(found) > 1 else ""
            raise invalid(f"{len(found)} validation error{plural} detected: " + "; ".join(found))
        return params

    # -- types --------------------------------------------------------------------------------

    def _read_members(self, value: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
        out = {}
        for name, ref in shape["members"].items():
            content = value.get(name)
            if content is not None:
                out[name] = self._read(content, ref["shape"], False)
        return out

    def _read(self, value: Any, name: str, inside: bool) -> Any:
        """``inside``: the value sits in a list or map, which changes the service's words."""
        if value is None:
            return None
        shape = self._shapes[name]
        kind = shape["type"]
        if kind == "structure":
            return self._read_structure(value, name, shape, inside)
        if kind == "list":
            return self._read_list(value, shape, inside)
        if kind == "map":
            return self._read_map(value, shape, inside)
        return _read_scalar(value, kind)

    def _read_structure(
        self, value: Any, name: str, shape: dict[str, Any], inside: bool
    ) -> dict[str, Any]:
        if isinstance(value, list):
            raise unserializable(f"Unrecognized collection type class {PACKAGE}{name}")
        if not isinstance(value, dict):
            raise unserializable(
                "Unexpected value type in payload" if inside else "Unexpected field type"
            )
        return self._read_members(value, shape)

    def _read_list(self, value: Any, shape: dict[str, Any], inside: bool) -> list[Any]:
        if isinstance(value, dict):
            raise unserializable("Start of structure or map found where not expected")
        if not isinstance(value, list):
            raise unserializable(PARAMETERIZED if inside else "Unexpected field type")
        member = shape["member"]["shape"]
        return [self._read(_given(v, member), member, True) for v in value]

    def _read_map(self, value: Any, shape: dict[str, Any], inside: bool) -> dict[str, Any]:
        member = shape["value"]["shape"]
        if isinstance(value, list):
            raise unserializable(
                "Unrecognized collection type java.util.Map<java.lang.String,"
                f" {self._java(member)}>"
            )
        if not isinstance(value, dict):
            raise unserializable(PARAMETERIZED if inside else "Unexpected field type")
        return {n: self._read(_given(v, member), member, True) for n, v in value.items()}

    def _java(self, name: str) -> str:
        shape = self._shapes[name]
        if shape["type"] == "string":
            return "java.lang.String"
        if shape["type"] == "list":
            return f"java.util.List<{self._java(shape['member']['shape'])}>"
        return PACKAGE + name

    # -- constraints --------------------------------------------------------------------------

    def _constrain(
        self,
        value: Any,
        name: str,
        parent: str,
        member: str,
        errors: list[str],
        named_first: bool = False,
        extra: dict[str, Any] | None = None,
    ) -> None:
        shape = self._shapes[name]
        path = f"{parent}.{member}" if parent and member else member
        kind = shape["type"]
        if member:
            broken = _broken(value, name, {**shape, **(extra or {})})
            if broken:
                opening = _failed(self._told(value, name), path)
                if name == "KeyList" and "less" in broken[0]:  # the service shows none of so many
                    opening = f"Value at 'R{path[1:-4]}Keys' failed to satisfy constraint: "
                errors += [opening + text for text in broken]
        if name == "AttributeValue":
            return
        if kind == "structure":
            self._constrain_members(value, name, shape, path, errors, named_first)
        elif kind == "list":
            for n, child in enumerate(value, 1):
                self._constrain(child, shape["member"]["shape"], f"{path}.{n}", "member", errors)
        elif kind == "map" and shape["value"]["shape"] != "AttributeValue":
            self._constrain_map(value, name, path, errors)

    def _told(self, value: Any, name: str) -> str:
        """A value as the service shows it in an error."""
        shape = self._shapes[name]
        if shape["type"] == "structure" and isinstance(value, dict):
            members = (
                f"{m[0].lower()}{m[1:]}={self._told(value[m], ref['shape'])}"
                for m, ref in shape["members"].items()
                if m in value
            )
            return f"{name}({', '.join(members)})"
        if shape["type"] == "list" and isinstance(value, list):
            return f"[{', '.join(self._told(v, shape['member']['shape']) for v in value)}]"
        if shape["type"] == "map" and isinstance(value, dict):
            inner = shape["value"]["shape"]
            return f"{{{', '.join(f'{k}={self._told(v, inner)}' for k, v in value.items())}}}"
        return _shown(value)

    def _constrain_members(
        self,
        value: Any,
        name: str,
        shape: dict[str, Any],
        path: str,
        errors: list[str],
        named_first: bool,
    ) -> None:
        required = [*shape.get("required", ()), *REQUIRED.get(name, ())]
        for member in dict.fromkeys((*FIRST.get(name, ()), *shape["members"])):
            ref = shape["members"][member]
            low = member[0].lower() + member[1:]
            if value is None or value.get(member) is None:
                if member in required:
                    full = f"{path}.{low}" if path else low
                    errors.append(
                        f"Value null at '{full}' failed to satisfy constraint: Member must not be"
                        " null"
                    )
                continue
            extra = TIGHTER.get(f"{name}.{member}") or TIGHTER.get(member)
            if ref["shape"] == "TableArn" and not value[member].startswith("arn:"):
                extra = {"pattern": NAME_PATTERN} if named_first else NAME
            self._constrain(value[member], ref["shape"], path, low, errors, extra=extra)

    def _constrain_map(
        self, value: dict[str, Any], name: str, path: str, errors: list[str]
    ) -> None:
        shape = self._shapes[name]
        member = shape["value"]["shape"]
        if shape["key"]["shape"] == "TableArn":
            if not all(_is_name(n) or n.startswith("arn:") for n in value):
                errors.append(
                    _failed(self._told(value, name), path)
                    + "Map keys must satisfy constraint: [Member must have length less than or"
                    " equal to 255, Member must have length greater than or equal to 3, Member"
                    f" must satisfy regular expression pattern: {NAME_PATTERN}]"
                )
            inner = self._shapes[member]
            if inner["type"] == "list":
                low, high = inner.get("min", 0), inner.get("max", 1 << 31)
                if not all(low <= len(v) <= high for v in value.values()):
                    errors.append(
                        _failed(self._told(value, name), path)
                        + "Map value must satisfy constraint: [Member must have length less than"
                        f" or equal to {high}, Member must have length greater than or equal to"
                        f" {low}]"
                    )
        for key, child in value.items():
            if self._shapes[member]["type"] == "list":
                inner_name = self._shapes[member]["member"]["shape"]
                for n, x in enumerate(child, 1):
                    self._constrain(x, inner_name, f"{path}.{key}.member.{n}", "member", errors)
            else:
                self._constrain(child, member, f"{path}.{key}", "member", errors)


def _given(value: Any, shape: str) -> Any:
    """A member of a list or map. Null is an empty attribute value, and nothing else."""
    if value is not None:
        return value
    if shape == "AttributeValue":
        return {}
    raise invalid(
        "1 validation error detected: Value null at 'member' failed to satisfy constraint:"
        " Member must not be null"
    )


def _read_scalar(value: Any, kind: str) -> Any:
    if kind == "blob":
        return _read_blob(value)
    if isinstance(value, dict):
        raise unserializable("Start of structure or map found where not expected")
    java = {"string": "String", "boolean": "Boolean", "timestamp": "Date"} | NUMBERS
    if isinstance(value, list):
        raise unserializable(f"Unrecognized collection type class java.lang.{java[kind]}")
    if kind == "boolean":
        return _read_boolean(value)
    if kind in NUMBERS:
        return _read_number(value, kind)
    if kind == "timestamp":
        return _read_moment(value)
    if kind == "string" and not isinstance(value, str):
        raise unserializable(f"{_token(value)} cannot be converted to String")
    return value


def _token(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, str):
        return "STRING_VALUE"
    return "NUMBER_VALUE" if float(value).is_integer() else "DECIMAL_VALUE"


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.upper() in ("TRUE", "1", "YES"):
            return True
        if value.upper() in ("FALSE", "0", "NO"):
            return False
        raise unserializable("Unexpected token received from parser")
    raise unserializable(f"{_token(value)} cannot be converted to Boolean")


def _read_number(value: Any, kind: str) -> Any:
    if isinstance(value, (bool, str)):
        raise unserializable(f"{_token(value)} cannot be converted to {NUMBERS[kind]}")
    return math.floor(value) if kind in ("integer", "long") else value


def _read_moment(value: Any) -> float:
    """Seconds since 1970, of the years 1 to 3938."""
    if isinstance(value, (bool, str)) or not -SECONDS_MAX <= value <= SECONDS_MAX:
        raise unserializable(f"{_token(value)} cannot be converted to Date")
    return float(value)


def _read_blob(value: Any) -> str:
    if isinstance(value, list):
        raise unserializable("Unrecognized collection type class java.nio.ByteBuffer")
    if isinstance(value, dict):
        raise unserializable("Start of structure or map found where not expected")
    if not isinstance(value, str):
        raise unserializable("only base-64-encoded strings are convertible to bytes")
    decode(value)
    return value


def _is_name(text: str) -> bool:
    return 3 <= len(text) <= 255 and re.fullmatch(NAME_PATTERN, text) is not None


def _check_table_name(name: Any, new: bool) -> None:
    """``new``: of CreateTable, which words a short one as a constraint."""
    if name is None:
        raise invalid("The parameter 'TableName' is required but was not present in the request")
    if name.startswith("arn:") or 3 <= len(name) <= 255:
        return
    if new and len(name) < 3:
        raise invalid(
            f"1 validation error detected: {_failed(name, 'tableName')}Member must have length"
            " greater than or equal to 3"
        )
    raise invalid("TableName must be at least 3 characters long and at most 255 characters long")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(v) for v in value) + "]"
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return "null" if value is None else str(value)


def _failed(shown: str, path: str) -> str:
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: "


def _broken(value: Any, name: str, shape: dict[str, Any]) -> list[str]:
    """What of its shape's constraints a value does not keep."""
    allowed = ENUMS.get(name) or shape.get("enum")
    if allowed and value not in allowed:
        return [f"Member must satisfy enum value set: [{', '.join(allowed)}]"]
    errors = []
    pattern = shape.get("pattern")
    if pattern and isinstance(value, str) and not re.fullmatch(pattern, value):
        errors.append(f"Member must satisfy regular expression pattern: {pattern}")
    numeric = shape["type"] in NUMBERS
    measure = value if numeric else len(value) if isinstance(value, (str, list, dict)) else 0
    what = "value" if numeric else "length"
    if "min" in shape and measure < shape["min"]:
        errors.append(f"Member must have {what} greater than or equal to {shape['min']}")
    if "max" in shape and measure > shape["max"] and name not in _UNBOUNDED:
        errors.append(f"Member must have {what} less than or equal to {shape['max']}")
    return errors


def _newest(operation: str, params: dict[str, Any], errors: list[str]) -> list[str]:
    """Two requests with a single fault that the service words otherwise since 2026 (recorded by
    the dynamodb-conformance suite). With more faults, and of the name of Query and Scan, the older
    words (recorded by dynalite) are the last on record."""
    at_least_one = "greater than or equal to 1"
    if operation == "Query" and len(errors) == 1 and "at 'limit'" in errors[0]:
        return [f"Value at 'Limit' {_CONSTRAINT}Member must have value {at_least_one}"]
    nameless = params.get("TableName") == "" and operation not in ("Query", "Scan")
    if nameless and all("at 'tableName'" in e for e in errors):
        return [f"Value '' at 'tableName' {_CONSTRAINT}Member must have length {at_least_one}"]
    return errors


_CONSTRAINT = "failed to satisfy constraint: "
# Limits that the service words elsewhere.
_UNBOUNDED = frozenset({"BatchGetRequestMap", "BatchWriteItemRequestMap"})
