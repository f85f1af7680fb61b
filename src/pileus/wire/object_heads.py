"""What a head is known by that differs from request to request in a few values alone.

The values stand in lines of their own (a ``Layout``): the signature, the SDK's retry id and, of a
write, the body's hash, its length, a checksum of it. The rest, but for the object's key, names the
head. What is signed of the values goes into the canonical request again (``canonical``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pileus.services.call import HttpRequest

if TYPE_CHECKING:
    from pileus.wire.short_way import Signer

_SIGNATURE, _HASH, _LENGTH = "authorization", "x-amz-content-sha256", "content-length"
_RETRY, _CHECKSUM = "amz-sdk-invocation-id", "x-amz-checksum-"
_READ = frozenset({_SIGNATURE, _RETRY})
_ORDER = (_SIGNATURE, _HASH, _LENGTH, _RETRY, _CHECKSUM)
_VALUES = frozenset(_ORDER)
_EMPTY = slice(0, 0)
_LINE = re.compile(
    rb"\r\n(?:(authorization): AWS4-[!-~ ]*Signature=([0-9a-f]{64})"
    rb"|(x-amz-content-sha256): ([0-9a-f]{64})"
    rb"|(content-length): ([0-9]+)"
    rb"|(amz-sdk-invocation-id): ([0-9a-f-]{36})"
    rb"|(x-amz-checksum-(?:crc32c?|crc64nvme|sha1|sha256)): ([A-Za-z0-9+/=]+))(?=\r\n|\Z)",
    re.IGNORECASE,
)
# Stand for the key and the values in a canonical request that is to be filled; in no header.
_KEY_MARK, _MARK = "\x00", "\x01"


class Layout:
    """Where the values lie in a head without its key (empty: there is none): ``spans`` in the
    order of the head, by which two are equal. ``kept`` cuts out what names the head."""

    __slots__ = ("check", "kept", "length", "retry", "signature", "spans", "told")

    def __init__(self, found: dict[str, slice]) -> None:
        self.spans = tuple((name, cut.start, cut.stop) for name, cut in found.items())
        begins = [0, *(cut.stop for cut in found.values())]
        ends = [*(cut.start for cut in found.values()), None]
        pieces = [slice(*span) for span in zip(begins, ends, strict=True)]
        self.kept: Callable[[bytes], tuple[bytes, ...]] = itemgetter(*pieces, _EMPTY)
        values = (found.get(name, _EMPTY) for name in _ORDER)
        self.signature, self.told, self.length, self.retry, self.check = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.spans == other.spans

    def __hash__(self) -> int:
        return hash(self.spans)

    @property
    def values(self) -> dict[str, slice]:
        told = self.signature, self.told, self.length, self.retry, self.check
        return dict(zip(_ORDER, told, strict=True))


def layout(head: bytes, writes: bool) -> Layout | None:
    """None where a value is missing, or comes twice."""
    found: dict[str, slice] = {}
    for match in _LINE.finditer(head):
        at = match.lastindex or 0
        name = _kind(match[at - 1].decode().lower())
        if name in found:
            return None
        if writes or name in _READ:
            found[name] = slice(*match.span(at))
    if _SIGNATURE not in found or (writes and not found.keys() >= {_HASH, _LENGTH}):
        return None
    return Layout(found)


def agrees(head: bytes, place: Layout, headers: dict[str, str], writes: bool) -> bool:
    """Whether the values are those the strict reader has found, all of them."""
    told = {_kind(name): value for name, value in headers.items()}
    told[_SIGNATURE] = told[_SIGNATURE][-64:]
    cut = {name: head[begin:end] for name, begin, end in place.spans}
    wanted = (_VALUES if writes else _READ) & told.keys()
    return cut == {name: told[name].encode("latin-1") for name in wanted}


def canonical(
    request: HttpRequest, signer: Signer, before: str, digest: str, place: Layout
) -> tuple[bytes, Callable[[bytes], Any] | None] | None:
    """The canonical request with places for the key and then for what the second part cuts out of
    a head (None: nothing); ``before``: its path up to the key. None where a mark is in it."""
    cut = place.values
    kinds = [_kind(name) for name in signer.signed]
    values = [
        _MARK if cut.get(kind, _EMPTY) != _EMPTY else request.headers[name]
        for kind, name in zip(kinds, signer.signed, strict=True)
    ]
    last = digest if place.told == _EMPTY else _MARK
    told = request.method, before + _KEY_MARK, request.query, *values, last
    text = signer.form % told
    filled = [cut[kind] for kind, value in zip(kinds, values, strict=True) if value == _MARK]
    if last == _MARK:
        filled.append(place.told)
    if text.count(_MARK) != len(filled) or text.count(_KEY_MARK) != 1:
        return None
    form = text.encode("latin-1").replace(b"%", b"%%")
    form = form.replace(_KEY_MARK.encode(), b"%b").replace(_MARK.encode(), b"%b")
    return form, _cutter(filled)


def _cutter(places: list[slice]) -> Callable[[bytes], Any] | None:
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda head: (head[places[0]],)) if places else None


def _kind(name: str) -> str:
    return _CHECKSUM if name.startswith(_CHECKSUM) else name
