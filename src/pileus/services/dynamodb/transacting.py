"""The ``dynamodb.transact`` rule: all or nothing, with a reason for each operation.

Arguments ``[token or nil, operations, flags]``; an operation is ``[kind, meta_key, id, key, …]``:
put ``text, guard, show`` · delete ``guard, show`` · check ``guard, show`` · update
``key_attributes, update, guard, show``. The token is ``[row key, request digest]``: a repeat with
the same digest answers the first one's result, another digest is refused (API reference,
TransactWriteItems, ``ClientRequestToken``: ten minutes).
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb.applying import (
    check_updated_size,
    passes,
    table_of,
    takes_only,
    update,
)
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import Item
from pileus.services.dynamodb.writing import Change, carry_out, write_price
from pileus.state.entry import RULES_VERSION
from pileus.state.tx import Tx

TOKEN_MS = 10 * 60 * 1000
BYTES_MAX = 4 * 1024 * 1024
NONE = {"Code": "None"}
PLAIN = "plain"  # in the place of its table: a put that touches the item's row and nothing else
FAILED = "The conditional request failed"


def transact(tx: Tx, args: list[Any], version: int = RULES_VERSION) -> Any:
    """Carry out every operation or none; ``AwsError`` TransactionCanceledException. Up to version 2
    an update that only takes away makes an item where there is none."""
    token, operations, flags = args
    if token is not None:
        known = tx.get(token[0])
        if known is not None:
            digest, at_ms, prices = orjson.loads(known)
            if at_ms + TOKEN_MS > tx.now_ms:
                return _repeated(digest, token[1], prices)
    changes: list[Any] = []
    reasons: list[dict[str, Any]] = []
    failed = False
    table, looked_up = None, None
    for operation in operations:
        if table is None or looked_up != operation[1:3]:  # mostly all are of one table
            table, looked_up = table_of(tx, operation[1], operation[2]), operation[1:3]
        if operation[0] == "put" and operation[5] is None and table.plain and not flags:
            changes.append((PLAIN, operation))  # whatever was there
            reasons.append(NONE)
            continue
        change, reason = _judge(tx, table, operation, version)
        changes.append(change)
        reasons.append(reason)
        failed = failed or reason is not NONE
    if failed:
        raise canceled(reasons)
    prices = []
    for number, (table, change) in enumerate(changes):
        if table is PLAIN:
            tx.put(change[3], change[4])
            continue
        try:
            one = change if table is None else carry_out(tx, table, change, bool(flags), version)
        except AwsError as error:
            raise _too_large(error, number, len(changes), version) from None
        prices.append(one)
    answer = prices if flags else None
    if token is not None:
        tx.put(token[0], orjson.dumps([token[1], tx.now_ms, answer]))
    return answer


def _repeated(digest: str, asked: str, prices: Any) -> Any:
    if digest != asked:
        raise AwsError(
            "IdempotentParameterMismatchException",
            "Request parameters do not match the parameters of the original request for this"
            " client token",
        )
    return {"repeat": prices}


def _too_large(error: AwsError, number: int, total: int, version: int) -> AwsError:
    """The cancellation for an operation whose item collection is full, or whose item is too large
    with its entries in local indexes (up to version 4 the code of that had lost its end)."""
    reasons = [NONE] * total
    code = error.code.removesuffix("Exception")
    if version > 4 and code == "Validation":
        code = "ValidationError"
    reasons[number] = {"Code": code, "Message": error.message}
    return canceled(reasons)


def check_payload(size_bytes: int) -> None:
    """All items of a transaction together have at most 4 MB."""
    if size_bytes > BYTES_MAX:
        raise invalid("Transaction size cannot exceed 4 MB")


def canceled(reasons: list[dict[str, Any]]) -> AwsError:
    """TransactionCanceledException with one reason per operation."""
    codes = ", ".join(r["Code"] for r in reasons)
    return AwsError(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        fields={"CancellationReasons": reasons},
    )


def _judge(tx: Tx, table: Table, operation: list[Any], version: int) -> tuple[Any, dict[str, Any]]:
    """What one operation would change, as (table, change), or (None, price) where it only looks;
    and why it cannot."""
    kind, key = operation[0], operation[3]
    guard, show = operation[-2:]
    text = tx.get(key)
    old: Item | None = None
    if guard is not None:
        old = orjson.loads(text) if text is not None else None
        if not passes(guard, old or {}):
            reason: dict[str, Any] = {"Code": "ConditionalCheckFailed", "Message": FAILED}
            if show and old:
                reason["Item"] = old
            return (table, None), reason
    idle = text is None and kind == "update" and version > 2 and takes_only(operation[5])
    if kind == "check" or idle:
        return (None, [write_price(Change(key, text, None)), {}]), NONE
    if kind == "update":
        item = dict(operation[4]) if text is None else orjson.loads(text)
        try:
            update(table, item, operation[5], version)
            changed = orjson.dumps(item)
            check_updated_size(table, item, changed, version)
        except AwsError as error:
            return (table, None), {"Code": "ValidationError", "Message": error.message}
        return (table, Change(key, text, changed, old, item)), NONE
    new = operation[4] if kind == "put" else None
    return (table, Change(key, text, new, old)), NONE
