"""The rows of keys and aliases, and how both are named."""

from __future__ import annotations

import re

from pileus.services.owned import place_of
from pileus.state import keys

TABLE = "kms"
KEY, ALIAS, GRANT = "key/", "alias/", "grant/"
_ARN = re.compile(r"arn:aws:kms:([a-z0-9-]+):(\d{12}):((?:key|alias)/.+)\Z")
_ID = re.compile(r"[A-Za-z0-9-]{1,256}\Z")
_MADE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}")
_ALIAS = re.compile(r"alias/[a-zA-Z0-9/_-]{1,250}\Z")


def is_key_id(text: str) -> bool:
    """Whether a key could have it."""
    return _MADE_ID.fullmatch(text) is not None


def key(account: str, region: str, key_id: str) -> bytes:
    return keys.key(TABLE, place_of(account, region), KEY + key_id)


def alias(account: str, region: str, name: str) -> bytes:
    """``name`` begins with ``alias/``."""
    return keys.key(TABLE, place_of(account, region), name)


def grant(account: str, region: str, key_id: str, grant_id: str) -> bytes:
    return keys.key(TABLE, place_of(account, region), f"{GRANT}{key_id}/{grant_id}")


def span(account: str, region: str, prefix: str) -> tuple[bytes, bytes]:
    """(start, end) of a partition's rows whose sort key begins with ``prefix``."""
    start = keys.partition_prefix(TABLE, place_of(account, region)) + prefix.encode()
    return start, keys.after_prefix(start)


def arn(account: str, region: str, tail: str) -> str:
    """``tail``: ``key/ID`` or ``alias/NAME``."""
    return f"arn:aws:kms:{region}:{account}:{tail}"


def parse(told: str, account: str, region: str) -> tuple[str, str, str] | None:
    """(account, region, ``key/ID`` or ``alias/NAME``) of a key id, alias name or an ARN of either;
    None for what is neither."""
    found = _ARN.match(told)
    if found is not None:
        return found[2], found[1], found[3]
    if is_alias(told):
        return account, region, told
    return (account, region, KEY + told) if _ID.match(told) else None


def is_alias(told: str) -> bool:
    return _ALIAS.match(told) is not None
