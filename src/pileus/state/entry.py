"""The bytes of an entry and of its verdict.

Entry: ``crc32 (4 bytes, little-endian) msgpack([rules version, epoch, rule, now_ms, request_id,
args])``. ``epoch`` is the version of the tablet map its author used.
Verdict: ``msgpack([kind, …])``: 0 result · 1 AwsError (code, message, status, fields, headers) ·
2 conflict · 3 a rule's bug · 4 old epoch.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from pileus.errors import AwsError, Conflict

# Raise it when a rule comes to give another verdict or other writes for an entry it has met before
# (tests/state/test_golden.py tells): a start then switches the log over (state/versions.py).
RULES_VERSION = 5
ENTRY_BYTES_MAX = 8 * 1024 * 1024
OK, REFUSED, CONFLICT, BUG, STALE = range(5)

_encode = msgspec.msgpack.Encoder().encode
# A set's order differs between processes; a verdict is part of the running hash.
_encode_result = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder().decode


class StaleEpoch(Exception):
    """The entry was routed by an old map of tablets, or written under other rules than those in
    force; its author reads again."""


class Corrupt(Exception):
    """Bytes of the log that are not what was written; restore from a backup (`pileus restore`)."""


class Entry(NamedTuple):
    rules: int
    epoch: int
    rule: str
    now_ms: int
    request_id: bytes
    args: Any


_decode_entry = msgspec.msgpack.Decoder(Entry).decode


def pack(
    epoch: int,
    rule: str,
    now_ms: int,
    request_id: bytes,
    args: Any,
    version: int = RULES_VERSION,
) -> bytes:
    """The entry's bytes, under rules of ``version``; ``AwsError`` when they are more than an entry
    may hold."""
    body = _encode((version, epoch, rule, now_ms, request_id, args))
    if len(body) > ENTRY_BYTES_MAX:
        raise AwsError("RequestEntityTooLargeException", "The request is too large", 413)
    return crc32(body).to_bytes(4, "little") + body


def unpack(data: bytes) -> Entry:
    """The entry again; ``Corrupt`` when its checksum does not hold."""
    body = data[4:]
    if crc32(body).to_bytes(4, "little") != data[:4]:
        raise Corrupt("an entry's checksum does not hold")
    return _decode_entry(body)


OK_NONE = _encode((OK, None))


def ok(result: Any) -> bytes:
    return OK_NONE if result is None else _encode_result((OK, result))


def refused(e: AwsError) -> bytes:
    return _encode_result((REFUSED, e.code, e.message, e.status, e.fields, e.headers))


def conflict(e: Conflict) -> bytes:
    return _encode((CONFLICT, str(e)))


def bug(rule: str, e: Exception) -> bytes:
    # The text of an exception may differ between releases of Python; its kind does not.
    return _encode((BUG, rule, type(e).__name__))


STALE_VERDICT = _encode((STALE,))


def final(verdict: bytes) -> bool:
    """True when a repeat of the request must get this verdict again (a result or a refusal)."""
    return verdict[1] <= REFUSED


def open_verdict(verdict: bytes) -> Any:
    """The result, or the verdict raised as the exception it stands for."""
    if verdict is OK_NONE:
        return None
    kind, *rest = _decode(verdict)
    if kind == OK:
        return rest[0]
    if kind == REFUSED:
        code, message, status, fields, headers = rest
        raise AwsError(
            code, message, status, fields=fields, headers=tuple((n, v) for n, v in headers)
        )
    if kind == CONFLICT:
        raise Conflict(rest[0])
    if kind == STALE:
        raise StaleEpoch
    rule, name = rest
    raise AwsError("InternalFailure", f"the rule {rule} failed with {name}", 500)
