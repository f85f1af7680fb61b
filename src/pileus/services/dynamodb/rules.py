"""What ``apply`` does for this service: conditions, updates, indexes, change records, prices.

Every write names the table's metadata row and the incarnation it was made for: a table deleted or
changed in between is seen here, in log order. Sizes and shapes were checked at the door. Flags:
OLD answers the old item, PRICE the capacity used, SHOW puts the old item into a failed condition's
error, METER puts what it cost there, too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb import history
from pileus.services.dynamodb.applying import (
    check_updated_size,
    passes,
    table_of,
    takes_only,
    update,
)
from pileus.services.dynamodb.expressions.paths import gather
from pileus.services.dynamodb.faults import condition_failed
from pileus.services.dynamodb.filling import fill
from pileus.services.dynamodb.transacting import transact
from pileus.services.dynamodb.writing import Change, carry_out, write_price
from pileus.state import keys
from pileus.state.entry import RULES_VERSION
from pileus.state.rules import Rule
from pileus.state.tx import Tx, change_prefix

OLD, PRICE, SHOW, METER = 1, 2, 4, 8
PRICED = PRICE | METER
LEAST: list[Any] = [1.0, {}]  # the price of a write that changes nothing


def _refuse_unless(
    guard: list[Any] | None, old_text: bytes | None, flags: int, new_text: bytes | None = None
) -> None:
    if guard is None:
        return
    item = orjson.loads(old_text) if old_text is not None else {}
    if not passes(guard, item):
        raise _failed(item, flags, old_text, new_text)


def _failed(
    item: dict[str, Any], flags: int, old_text: bytes | None, new_text: bytes | None
) -> AwsError:
    """A failed condition. It costs what the larger of the item there and the item to be would
    (Developer Guide, "Write operations")."""
    error = condition_failed(item if flags & SHOW else None)
    if flags & METER:
        error.fields["units"] = write_price(Change(b"", old_text, new_text))
    return error


def put(tx: Tx, args: list[Any], version: int = RULES_VERSION) -> list[Any] | None:
    """``[meta_key, id, key, text, guard, flags]`` → ``[old text or nil, price or nil]`` or nil."""
    meta_key, incarnation, key, text, guard, flags = args
    table = table_of(tx, meta_key, incarnation)
    if guard is None and not flags and table.plain:
        tx.put(key, text)
        return None
    old = tx.get(key)
    _refuse_unless(guard, old, flags, text)
    price = carry_out(tx, table, Change(key, old, text), bool(flags & PRICED), version)
    return [old if flags & OLD else None, price] if flags & (OLD | PRICED) else None


def delete(tx: Tx, args: list[Any]) -> list[Any] | None:
    """``[meta_key, id, key, guard, flags]`` → as ``put``."""
    meta_key, incarnation, key, guard, flags = args
    table = table_of(tx, meta_key, incarnation)
    old = tx.get(key)
    _refuse_unless(guard, old, flags)
    price = carry_out(tx, table, Change(key, old, None), bool(flags & PRICED))
    return [old if flags & OLD else None, price] if flags & (OLD | PRICED) else None


def update_item(tx: Tx, args: list[Any], version: int = RULES_VERSION) -> list[Any] | None:
    """``[meta_key, id, key, key_attributes, update, guard, returns, flags]`` → ``[attributes
    text or nil, price or nil]`` or nil. ``returns`` is ``ReturnValues``. Where there is no item,
    one is made unless the update only takes away; up to version 2: then, too."""
    meta_key, incarnation, key, base, spec, guard, returns, flags = args
    table = table_of(tx, meta_key, incarnation)
    old = tx.get(key)
    item = dict(base) if old is None else orjson.loads(old)
    if guard is not None and not passes(guard, {} if old is None else item):
        raise _failed({} if old is None else item, flags, old, None)
    if old is None and version > 2 and takes_only(spec):
        return [None, LEAST] if flags & PRICED else None
    paths = update(table, item, spec, version) if spec is not None else []
    text = orjson.dumps(item)
    check_updated_size(table, item, text, version)
    if returns == "NONE" and not flags and table.plain:
        tx.put(key, text)
        return None
    change = Change(key, old, text, new=item)
    price = carry_out(tx, table, change, bool(flags & PRICED), version)
    answer = None
    if returns == "ALL_NEW":
        answer = text
    elif returns == "ALL_OLD":
        answer = old
    elif returns == "UPDATED_NEW":
        answer = orjson.dumps(gather(paths, item))
    elif returns == "UPDATED_OLD" and change.old is not None:
        answer = orjson.dumps(gather(paths, change.old))
    return None if answer is None and price is None else [answer, price]


def batch(tx: Tx, args: list[Any], version: int = RULES_VERSION) -> list[Any] | None:
    """``[operations, flags]``, one ``[meta_key, id, key, text or nil]``; answers prices."""
    operations, flags = args
    prices = []
    for meta_key, incarnation, key, text in operations:
        table = table_of(tx, meta_key, incarnation)
        if not flags and table.plain:
            if text is None:
                tx.delete(key)
            else:
                tx.put(key, text)
            continue
        change = Change(key, tx.get(key), text)
        prices.append(carry_out(tx, table, change, bool(flags & PRICE), version))
    return prices if flags & PRICE else None


def expire(tx: Tx, args: list[Any]) -> int:
    """``[meta_key, id, attribute, now_s, [key, …]]``: delete those still expired, as the service.
    Answers how many."""
    meta_key, incarnation, attribute, now_s, row_keys = args
    table = table_of(tx, meta_key, incarnation)
    gone = 0
    for key in row_keys:
        old = tx.get(key)
        if old is not None and expired(orjson.loads(old).get(attribute), now_s):
            carry_out(tx, table, Change(key, old, None), False, by_service=True)
            gone += 1
    return gone


FIVE_YEARS_S = 5 * 365 * 86400


def expired(value: dict[str, Any] | None, now_s: int) -> bool:
    """Is a time-to-live attribute past? Older than five years does not count (Developer Guide)."""
    if value is None or "N" not in value:
        return False
    seconds = float(value["N"])
    return now_s - FIVE_YEARS_S < seconds <= now_s


def purge(tx: Tx, args: list[Any]) -> int:
    """``[name, limit]``: remove up to ``limit`` rows of a deleted table; how many. ``name`` is a
    state table, or the topic of a stream's change records."""
    topic = "/" in args[0]
    prefix = change_prefix(args[0]) if topic else keys.table_prefix(args[0])
    rows = tx.range(prefix, keys.after_prefix(prefix), args[1])
    for row in rows:
        tx.delete(row.key)
    return len(rows)


def load(tx: Tx, args: list[Any]) -> None:
    """``[meta_key, id, [[key, text], …]]``: items of a table that is being restored or imported."""
    meta_key, incarnation, items = args
    table = table_of(tx, meta_key, incarnation)
    for key, text in items:
        if table.plain:
            tx.put(key, text)
        else:
            carry_out(tx, table, Change(key, tx.get(key), text), False)


RULES: dict[str, Rule] = {
    "dynamodb.put": put,
    "dynamodb.update": update_item,
    "dynamodb.delete": delete,
    "dynamodb.batch": batch,
    "dynamodb.transact": transact,
    "dynamodb.expire": expire,
    "dynamodb.purge": purge,
    "dynamodb.fill": fill,
    "dynamodb.load": load,
    "dynamodb.seal": history.seal,
    "dynamodb.unseal": history.unseal,
}
# By the last version of the rules in which they meant this (``state.versions.RuleBook``).
OLDER: dict[int, dict[str, Rule]] = {
    2: {
        "dynamodb.update": partial(update_item, version=2),
        "dynamodb.transact": partial(transact, version=2),
    },
    4: {
        "dynamodb.put": partial(put, version=4),
        "dynamodb.update": partial(update_item, version=4),
        "dynamodb.batch": partial(batch, version=4),
        "dynamodb.transact": partial(transact, version=4),
    },
}
