"""State rows of this service.

Table ``lambda``, partition account/region, sort:
``fn/NAME`` function · ``v/NAME/NUMBER`` version · ``a/NAME/ALIAS`` alias · ``p/NAME/QUALIFIER``
resource policy · ``e/NAME/QUALIFIER`` event invoke configuration · ``u/NAME/QUALIFIER`` function
URL · ``pc/NAME/QUALIFIER`` provisioned concurrency · ``l/LAYER`` layer · ``lv/LAYER/NUMBER`` layer
version (its policy inside). Partition ``urls``: URL id → who it belongs to. ``keys``: the key that
signs code locations. Numbers have ten digits, so that they sort. Names hold no ``/``.

Tables ``lambdaesm`` and ``lambdaesmplace``: event source mappings and how far they have read
(``mappings.py``). Table ``blobrefs`` names the code zips in use, one row per owner.
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.engine import Clock
from pileus.services.lambda_.names import FunctionName, LayerName
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TABLE = "lambda"


def function(name: FunctionName) -> bytes:
    return keys.key(TABLE, name.place, f"fn/{name.name}")


def version(name: FunctionName, number: int | str) -> bytes:
    return keys.key(TABLE, name.place, f"v/{name.name}/{int(number):010d}")


def of_qualifier(kind: str, name: FunctionName, qualifier: str) -> bytes:
    """``kind``: a (alias), p (policy), e (event configuration), u (URL), pc (provisioned)."""
    return keys.key(TABLE, name.place, f"{kind}/{name.name}/{qualifier}")


def layer(name: LayerName) -> bytes:
    return keys.key(TABLE, name.place, f"l/{name.name}")


def layer_version(name: LayerName, number: int) -> bytes:
    return keys.key(TABLE, name.place, f"lv/{name.name}/{number:010d}")


def url(url_id: str) -> bytes:
    return keys.key(TABLE, "urls", url_id)


def blob_reference(digest: str, owner: str) -> bytes:
    """``owner``: any text that names what keeps the blob alive."""
    return keys.key("blobrefs", digest, f"lambda/{owner}")


def function_owner(name: FunctionName, version_number: str) -> str:
    return f"{name.place}/{name.name}/{version_number}"


def hold_blobs(draft: Draft, name: FunctionName, record: dict[str, Any]) -> None:
    """Keep the code and layers of a function's or version's row from being collected. A layer that
    is deleted meanwhile lives on in the functions that use it, as on AWS."""
    for digest in _digests(record):
        draft.put(blob_reference(digest, function_owner(name, record["version"])), b"")


def drop_blobs(draft: Draft, name: FunctionName, record: dict[str, Any]) -> None:
    """The row goes or changes: its blobs may be collected unless others name them."""
    for digest in _digests(record):
        draft.delete(blob_reference(digest, function_owner(name, record["version"])))


def _digests(record: dict[str, Any]) -> set[str]:
    return {record["code"]["digest"], *(layer["digest"] for layer in record["config"]["Layers"])}


def span(partition: str, prefix: str, after: str = "") -> tuple[bytes, bytes]:
    """The key range of sorts that start with ``prefix``, above ``after`` (a whole sort)."""
    whole = keys.partition_prefix(TABLE, partition) + prefix.encode()
    start = keys.key(TABLE, partition, after) + b"\x00" if after else whole
    return start, keys.after_prefix(whole)


def page(
    store: Store, partition: str, prefix: str, marker: str, limit: int
) -> tuple[list[dict[str, Any]], str]:
    """Up to ``limit`` rows under ``prefix`` and the marker of the next page ('' at the end). The
    marker is what follows ``prefix`` in the last row's sort."""
    start, end = span(partition, prefix, prefix + marker if marker else "")
    found = store.range(start, end, limit + 1)
    more = len(found) > limit
    found = found[:limit]
    last = keys.split(found[-1].key)[2].decode().removeprefix(prefix) if more else ""
    return [orjson.loads(row.value) for row in found], last


def new_id(clock: Clock) -> str:
    """A random identifier in UUID form, as AWS's revision and request ids look."""
    text = clock.random_bytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
