"""What ``apply`` does with a bucket's settings, an account's, and the indexes over buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.s3 import locks, rows
from pileus.services.s3.rules import bucket_of
from pileus.state.rules import Rule
from pileus.state.tx import Tx


def configure(tx: Tx, args: list[Any]) -> None:
    """``[bucket, kind, value or nil]``: put or remove one setting."""
    name, kind, value = args
    bucket_of(tx, name)
    at = rows.setting(name, kind)
    if value is None:
        tx.delete(at)
    else:
        tx.put(at, value)
    if kind in rows.WATCHED_KINDS:
        mark = rows.watched(name, kind)
        tx.delete(mark) if value is None else tx.put(mark, b"")


def configure_one(tx: Tx, args: list[Any]) -> bool:
    """``[bucket, kind, id, value or nil, most]``: put or remove one of several settings of a kind;
    False when there was none to remove."""
    name, kind, told, value, most = args
    bucket_of(tx, name)
    at = rows.setting(name, kind)
    found = orjson.loads(tx.get(at) or b"{}")
    if value is None:
        if found.pop(told, None) is None:
            return False
    else:
        found[told] = orjson.loads(value)
    if len(found) > most:
        raise AwsError(
            "TooManyConfigurations",
            "You are attempting to create a new configuration but have already reached the"
            f" {most}-configuration limit.",
        )
    tx.put(at, orjson.dumps(found)) if found else tx.delete(at)
    return True


def configure_account(tx: Tx, args: list[Any]) -> None:
    """``[account, kind, value or nil]``: put or remove one of an account's own settings."""
    account, kind, value = args
    at = rows.account_setting(account, kind)
    tx.delete(at) if value is None else tx.put(at, value)


def index_owned(tx: Tx, args: list[Any]) -> None:
    """``[names]``: write the index of owners for buckets made before there was one."""
    for name in args[0]:
        value = tx.get(rows.bucket(name))
        if value is not None:
            tx.put(rows.owned(orjson.loads(value)["owner"], name), b"")
    tx.put(rows.owned_mark(), b"")


def update_bucket(tx: Tx, args: list[Any]) -> None:
    """``[bucket, {member: value}]``: versioning and the like, in the bucket's own row."""
    name, changes = args
    bucket = bucket_of(tx, name)
    if changes.get("versioning") == "Suspended" and "lock" in bucket:
        raise locks.invalid_bucket_state(
            "An Object Lock configuration is present on this bucket, so the versioning state"
            " cannot be changed."
        )
    tx.put(rows.bucket(name), orjson.dumps({**bucket, **changes}))


RULES: Mapping[str, Rule] = {
    "s3.configure": configure,
    "s3.configure_one": configure_one,
    "s3.configure_account": configure_account,
    "s3.index_owned": index_owned,
    "s3.update_bucket": update_bucket,
}
