"""The commonest Query: one partition of a table whose keys are texts, by a key condition alone.

What its expression asks is worked out once per text and table; a request then costs its values and
its rows. Whatever is unusual in it (a filter, a number, a mistake) is None here and read exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb.addresses import span
from pileus.services.dynamodb.answers import member, respond
from pileus.services.dynamodb.expressions.conditions import compile_condition
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.keyconditions import shape_of
from pileus.services.dynamodb.pages import CHUNK_ROWS, PAGE_BYTES_MAX
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import HASH_BYTES_MAX, RANGE_BYTES_MAX, Table
from pileus.state import keys

Page = Callable[[bytes, bytes], "bytes | None"]
ASKED_MAX = 1024
MEMBERS = frozenset(
    {
        *("TableName", "KeyConditionExpression", "ExpressionAttributeNames", "ScanIndexForward"),
        *("ExpressionAttributeValues", "ConsistentRead", "Limit"),
    }
)


class Asked(NamedTuple):
    """The value names of a key condition."""

    hash: str
    operator: str  # on the range key, "" for none
    operands: tuple[str, ...]


class QuickQuery:
    """Knows the key conditions it has seen; bounded: clients choose their text."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, tuple[tuple[str, str], ...]], Asked | None] = {}

    def __call__(self, room: Room, call: Call, params: dict[str, Any]) -> HttpResponse | None:
        """The answer, or None: read it exactly."""
        table: Table = call.scratch
        values = params.get("ExpressionAttributeValues")
        asked = None if table.metered else self.asked(table, params)
        if asked is None or type(values) is not dict or len(values) != 1 + len(asked.operands):
            return None
        page = self.page(room, table, params)
        if page is None or type(params.get("ConsistentRead", True)) is not bool:
            return None
        head = _text(values, asked.hash, HASH_BYTES_MAX)
        operands = [_text(values, name, RANGE_BYTES_MAX) for name in asked.operands]
        if head is None or None in operands:
            return None
        prefix = keys.under_partition(table.rows_prefix, head)
        where = span(prefix, asked.operator, operands)  # type: ignore[arg-type]
        body = page(where.start, where.end)
        return None if body is None else respond(call, body)

    @staticmethod
    def page(room: Room, table: Table, params: dict[str, Any]) -> Page | None:
        """What makes the answer's body of the rows from one key up to another; it answers None
        where they are too many for it. None where the parameters are unusual."""
        limit, forward = params.get("Limit", CHUNK_ROWS), params.get("ScanIndexForward", True)
        if type(limit) is not int or limit < 1 or type(forward) is not bool:
            return None
        most, contents = min(limit, CHUNK_ROWS), room.store.contents

        def page(start: bytes, end: bytes) -> bytes | None:
            texts = contents(start, end, most, not forward)
            count = len(texts)
            if sum(map(len, texts)) > PAGE_BYTES_MAX // 2 or (count == most and most != limit):
                return None
            more = b""
            if count == limit and table.range_name:  # else it was the only one
                last = orjson.loads(texts[-1])
                more = b"," + member(b"LastEvaluatedKey", table.key_image(last))
            return b'{"Count":%d,"ScannedCount":%d,"Items":[%b]%b}' % (
                *(count, count),
                b",".join(texts),
                more,
            )

        return page

    def asked(self, table: Table, params: dict[str, Any]) -> Asked | None:
        """What the key condition asks of the table's keys; None where it is not plain."""
        text, names = params.get("KeyConditionExpression"), params.get("ExpressionAttributeNames")
        if type(text) is not str or not params.keys() <= MEMBERS:
            return None
        aliases: tuple[Any, ...] = ()
        if names is not None:
            if type(names) is not dict or not all(type(n) is str for n in names.values()):
                return None
            aliases = tuple(names.items())
        known = (table.id, text, aliases)
        try:
            return self._known[known]
        except KeyError:
            pass
        if len(self._known) >= ASKED_MAX:
            self._known.clear()
        found = self._known[known] = _work_out(table, text, names)
        return found


def _work_out(table: Table, text: str, names: dict[str, str] | None) -> Asked | None:
    """What the condition asks of this table's keys; None where it is not plain."""
    try:
        condition = compile_condition(text, names)
        terms = shape_of(condition)
    except (Fault, AwsError):
        return None
    if condition.strict is not None:
        return None
    if names is not None and (not names or set(names) != condition.names):
        return None
    by_name = {name: (operator, tuple(operands)) for name, operator, operands in terms}
    if len(by_name) != len(terms) or table.hash_type != "S":
        return None
    operator, (first, *_) = by_name.pop(table.hash_name, ("", ("",)))
    ranged = by_name.pop(table.range_name, ("", ()))
    if ranged[0] and table.range_type != "S":
        return None
    if operator != "EQ" or by_name or len({first, *ranged[1]}) != 1 + len(ranged[1]):
        return None
    if ranged[0] == "BETWEEN":  # its bounds are compared, and refused when they are crossed
        return None
    return Asked(first, *ranged)


def _text(values: dict[str, Any], name: str, bytes_max: int) -> bytes | None:
    """The bytes of a value that is a text and may be a key."""
    value = values.get(name)
    if type(value) is not dict or len(value) != 1:
        return None
    content = value.get("S")
    if type(content) is not str or not content:
        return None
    found = content.encode()
    return found if len(found) <= bytes_max else None
