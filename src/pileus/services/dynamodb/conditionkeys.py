"""Condition keys of a request: leading keys, attributes, select and return values.

Developer Guide, "Using IAM policy conditions for fine-grained access control". Worked out only
when a policy looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import type_of

PLAIN = {
    "dynamodb:Select": "Select",
    "dynamodb:ReturnValues": "ReturnValues",
    "dynamodb:ReturnConsumedCapacity": "ReturnConsumedCapacity",
}
EXPRESSIONS = (
    "ProjectionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ConditionExpression",
    "UpdateExpression",
)
LEGACY = ("Expected", "AttributeUpdates", "KeyConditions", "QueryFilter", "ScanFilter")
_WORDS = re.compile(r"(?<![:\w#])[A-Za-z_#][\w]*(?![\w]*\s*\()")
_KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "SET", "REMOVE", "ADD", "DELETE"})
_HASH_EQUALS = re.compile(r"([A-Za-z_#][\w]*)\s*=\s*(:\w+)")


class WorkedOut(Mapping[str, Any]):
    """The keys of one access, worked out once and only when a policy looks."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, Any] | None = None

    def _work_out(self) -> dict[str, Any]:
        raise NotImplementedError

    def _keys(self) -> dict[str, Any]:
        if self._found is None:
            self._found = self._work_out()
        return self._found

    def __getitem__(self, key: str) -> Any:
        return self._keys()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())


class Conditions(WorkedOut):
    """Those of an item operation."""

    __slots__ = ("_enclosing", "_params", "_requests", "_table")

    def __init__(
        self,
        table: Table | None,
        requests: list[dict[str, Any]],
        params: dict[str, Any],
        enclosing: str = "",
    ) -> None:
        """``enclosing``: the transaction operation whose part this is."""
        super().__init__()
        self._enclosing = enclosing
        self._table = table
        self._requests = requests
        self._params = params

    def _work_out(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            key: self._params[member]
            for key, member in PLAIN.items()
            if isinstance(self._params.get(member), str)
        }
        if self._enclosing:
            out["dynamodb:EnclosingOperation"] = self._enclosing
        leading: set[str] = set()
        attributes: set[str] = set()
        for request in self._requests:
            _look(request, self._table, leading, attributes)
        if leading:
            out["dynamodb:LeadingKeys"] = sorted(leading)
        if attributes:
            out["dynamodb:Attributes"] = sorted(attributes)
        return out


def _look(request: Any, table: Table | None, leading: set[str], attributes: set[str]) -> None:
    """Collect from one request; shapes are not checked yet, so nothing is taken for granted."""
    if not isinstance(request, dict):
        return
    for member in ("Key", "Item"):
        _look_item(request.get(member), table, leading, attributes)
    for key in _list(request.get("Keys")):
        _look_item(key, table, leading, attributes)
    inner = request.get("RequestItems")
    if isinstance(inner, dict):
        _look(inner, table, leading, attributes)
    for write in _list(inner):
        for part in write.values() if isinstance(write, dict) else ():
            _look(part, table, leading, attributes)
    attributes.update(a for a in _list(request.get("AttributesToGet")) if isinstance(a, str))
    for member in LEGACY:
        found = request.get(member)
        if isinstance(found, dict):
            attributes.update(found)
    _look_expressions(request, attributes)
    _look_key_condition(request, table, leading)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _look_item(item: Any, table: Table | None, leading: set[str], attributes: set[str]) -> None:
    if not isinstance(item, dict):
        return
    attributes.update(item)
    value = item.get(table.hash_name) if table else None
    if isinstance(value, dict) and value:
        leading.add(str(value[type_of(value)]))


def _look_expressions(request: dict[str, Any], attributes: set[str]) -> None:
    names = request.get("ExpressionAttributeNames")
    aliases = names if isinstance(names, dict) else {}
    for member in EXPRESSIONS:
        text = request.get(member)
        if isinstance(text, str):
            for word in _WORDS.findall(text):
                if word.upper() not in _KEYWORDS:
                    attributes.add(str(aliases.get(word, word)))


def _look_key_condition(request: dict[str, Any], table: Table | None, leading: set[str]) -> None:
    if table is None:
        return
    index = table.by_name.get(str(request.get("IndexName")))
    hash_name = index.hash[0][0] if index else table.hash_name
    legacy = request.get("KeyConditions")
    if isinstance(legacy, dict) and isinstance(legacy.get(hash_name), dict):
        for value in _list(legacy[hash_name].get("AttributeValueList")):
            if isinstance(value, dict) and value:
                leading.add(str(value[type_of(value)]))
    text, values = request.get("KeyConditionExpression"), request.get("ExpressionAttributeValues")
    if not isinstance(text, str) or not isinstance(values, dict):
        return
    names = request.get("ExpressionAttributeNames")
    aliases = names if isinstance(names, dict) else {}
    for word, ref in _HASH_EQUALS.findall(text):
        value = values.get(ref)
        if aliases.get(word, word) == hash_name and isinstance(value, dict) and value:
            leading.add(str(value[type_of(value)]))
