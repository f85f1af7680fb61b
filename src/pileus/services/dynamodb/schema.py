"""A table as the item operations see it: parsed once from its metadata row, then shared.

The metadata row is the table's description in AWS's own words plus ``"id"``, the short name of
this incarnation: a table deleted and created again never sees old rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb.addresses import index_sort, key_bytes
from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.values import Item, size_of, type_of
from pileus.state import keys

HASH_BYTES_MAX = 2048
RANGE_BYTES_MAX = 1024
HASH_LIMIT = (
    HASH_BYTES_MAX,
    "Size of hashkey has exceeded the maximum size limit of2048 bytes",
)
RANGE_LIMIT = (
    RANGE_BYTES_MAX,
    "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
)
TEXT_MAX = 256  # characters, so certainly fewer bytes than either
SINGLE_ACTIONS = {
    name: "dynamodb:" + name
    for name in (
        *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"),
        "ConditionCheckItem",  # of a transaction
    )
}
EMPTY = "One or more parameter values are not valid. "
MISMATCH = "The provided key element does not match the schema"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The throughput a table or global index may use: units a second, 0 for no limit. ``key`` names
    its buckets. ``on_demand``: the limit is an on-demand maximum, not provisioned capacity."""

    key: str
    arn: str
    read: float
    write: float
    on_demand: bool


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index: its key attributes as (name, type), and what it projects (None: all)."""

    name: str
    local: bool
    hash: tuple[tuple[str, str], ...]
    range: tuple[tuple[str, str], ...]
    projected: frozenset[str] | None
    rows: str  # the state table
    table_key: tuple[str, ...]
    ready: bool = True  # not while a new index is being filled
    allowance: Allowance | None = None

    @property
    def key_attributes(self) -> tuple[tuple[str, str], ...]:
        return self.hash + self.range

    @property
    def names(self) -> list[str]:
        """The names of its key attributes."""
        return [name for name, _ in self.key_attributes]

    def address(self, item: Item, item_sort: bytes) -> bytes | None:
        """The index row's key for ``item``, or None when the item has not all index keys, or (it
        is older than the index) not such as fit."""
        parts = []
        for name, kind in self.hash + self.range:
            value = item.get(name)
            if value is None or kind not in value or value[kind] == "":
                return None
            parts.append(key_bytes(kind, value[kind]))
        n = len(self.hash)
        if sum(map(len, parts)) > RANGE_BYTES_MAX and too_long(self, item):
            return None
        partition = joined(parts[:n])
        tail = joined(parts[n:]) if self.range else None
        return keys.key(self.rows, partition, index_sort(tail, item_sort))

    def image(self, item: Item) -> Item:
        """What of ``item`` the index row holds."""
        if self.projected is None:
            return item
        return {n: v for n, v in item.items() if n in self.projected}


def too_long(index: Index, item: Item) -> str:
    """What is said of an item whose key in ``index`` is too long; '' when it is not. The parts of a
    composite key count together."""
    for part, bytes_max, text in ((index.hash, *HASH_LIMIT), (index.range, *RANGE_LIMIT)):
        values = [item[name] for name, _ in part if name in item]
        if values and sum(map(size_of, values)) > bytes_max:
            return text
    return ""


def joined(parts: list[bytes]) -> bytes:
    """One key part is itself; several (composite index keys) are escaped and joined."""
    if len(parts) == 1:
        return parts[0]
    return b"".join(keys.escape(p) for p in parts[:-1]) + parts[-1]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's schema and settings. ``rows`` is the state table of its items."""

    name: str
    id: str
    meta_key: bytes
    description: dict[str, Any]
    hash_name: str
    hash_type: str
    range_name: str
    range_type: str
    indexes: tuple[Index, ...]
    rows: str
    index_types: tuple[tuple[str, str, str], ...]  # (attribute, type, index name)
    stream_view: str
    stream_topic: str
    rows_prefix: bytes
    arn: str
    single: dict[str, tuple[str, str]]  # operation → the one permission it needs; no policy here
    texts: bool  # all keys are texts
    by_name: dict[str, Index] = field(default_factory=dict)
    allowance: Allowance | None = None
    metered: bool = False  # the table or one of its indexes has an allowance
    active: bool = True  # not while it is being restored or imported
    history: str = ""  # the state table of its before-images, while they are kept
    sizes: str = ""  # the state table of its collections' sizes, with local indexes
    plain: bool = False  # a write touches the item's row and nothing else
    meters: dict[str, int] = field(default_factory=dict)  # operation → its block of counters

    @property
    def key_names(self) -> tuple[str, ...]:
        return (self.hash_name, self.range_name) if self.range_name else (self.hash_name,)

    @property
    def key_attributes(self) -> tuple[tuple[str, str], ...]:
        first = ((self.hash_name, self.hash_type),)
        return (*first, (self.range_name, self.range_type)) if self.range_name else first

    @property
    def kept_rows(self) -> list[str]:
        """The state tables it has beside that of its items, its history and its streams."""
        return [*(i.rows for i in self.indexes), *filter(None, [self.sizes])]

    # -- keys ---------------------------------------------------------------------------------

    def key_of(self, key: Item) -> bytes:
        """Row key of a request's ``Key``; ``AwsError`` when it does not match the schema."""
        hash_value = key.get(self.hash_name)
        if not self.range_name:
            if len(key) != 1 or hash_value is None or self.hash_type not in hash_value:
                raise invalid(MISMATCH)
            return keys.under(self.rows_prefix, self._hash(hash_value))
        range_value = key.get(self.range_name)
        if len(key) != 2 or hash_value is None or range_value is None:
            raise invalid(MISMATCH)
        if self.hash_type not in hash_value or self.range_type not in range_value:
            raise invalid(MISMATCH)
        return keys.under(self.rows_prefix, self._hash(hash_value), self._range(range_value))

    def plain_key(self, key: Any, whole: bool = False) -> bytes | None:
        """``key_of`` for a key of texts, as a client sent it, or ``item_key`` for a ``whole`` item
        of a table without indexes; None where anything is unusual."""
        try:
            if self.range_name:
                ((kind, head),) = key[self.hash_name].items()
                ((also, tail),) = key[self.range_name].items()
                if not (len(key) == 2 or whole) or not (0 < len(tail) <= TEXT_MAX):
                    return None
            else:
                ((kind, head),) = key[self.hash_name].items()
                also, tail = "S", ""
                if len(key) != 1 and not whole:
                    return None
            if kind != "S" or also != "S" or not self.texts or not 0 < len(head) <= TEXT_MAX:
                return None
            return keys.under(self.rows_prefix, head.encode(), tail.encode())
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def item_key(self, item: Item) -> bytes:
        """Row key of a whole item to be put; the service words its mistakes otherwise."""
        values = []
        for name, kind in self.key_attributes:
            value = item.get(name)
            if value is None:
                raise bad_parameter(f"Missing the key {name} in the item")
            if kind not in value:
                raise bad_parameter(
                    f"Type mismatch for key {name} expected: {kind} actual: {type_of(value)}"
                )
            if value[kind] == "":
                raise _empty_key(name, kind)
            values.append(value)
        hash_bytes = self._hash(values[0])
        tail = self._range(values[1]) if self.range_name else b""
        self.check_index_keys(item)
        return keys.under(self.rows_prefix, hash_bytes, tail)

    def sort_of(self, item: Item) -> bytes:
        """The item's own key as the tail of index rows."""
        hash_bytes = key_bytes(self.hash_type, item[self.hash_name][self.hash_type])
        tail = b""
        if self.range_name:
            tail = key_bytes(self.range_type, item[self.range_name][self.range_type])
        return keys.escape(hash_bytes) + tail

    def _hash(self, value: dict[str, Any]) -> bytes:
        content = value[self.hash_type]
        if content == "":
            raise _empty_key(self.hash_name, self.hash_type)
        data = key_bytes(self.hash_type, content)
        if len(data) > HASH_BYTES_MAX and self.hash_type != "N":
            raise bad_parameter(HASH_LIMIT[1])
        return data

    def _range(self, value: dict[str, Any]) -> bytes:
        content = value[self.range_type]
        if content == "":
            raise _empty_key(self.range_name, self.range_type)
        data = key_bytes(self.range_type, content)
        if len(data) > RANGE_BYTES_MAX and self.range_type != "N":
            raise bad_parameter(RANGE_LIMIT[1])
        return data

    def check_index_keys(self, item: Item, touched: frozenset[str] | None = None) -> None:
        """Index key attributes of ``item`` must have their declared types and sizes; ``touched``:
        of an update that touches these alone (others may be older than the index)."""
        for name, kind, index in self.index_types:
            value = item.get(name)
            if value is not None and (touched is None or name in touched):
                check_index_key(name, kind, index, value)
        for made in self.indexes:
            if touched is None or not touched.isdisjoint(made.names):
                text = too_long(made, item)
                if text:
                    raise bad_parameter(text)

    def key_image(self, item: Item) -> Item:
        """The key attributes of ``item``."""
        return {n: item[n] for n in self.key_names}


def check_index_key(name: str, kind: str, index: str, value: dict[str, Any]) -> None:
    """One index key attribute: type, then not empty."""
    if kind not in value:
        raise bad_parameter(
            f"Type mismatch for Index Key {name} Expected: {kind} Actual: {type_of(value)}"
            f" IndexName: {index}"
        )
    if value[kind] == "":
        raise invalid(
            f"{EMPTY}A value specified for a secondary index key is not supported."
            f" {_never_empty(kind)} IndexName: {index}, IndexKey: {name}"
        )


def no_empty_update(kind: str, value: dict[str, Any]) -> None:
    """An index key that an update expression sets is not empty; here the service names no index."""
    if value[kind] == "":
        raise invalid(
            f"{EMPTY}The update expression attempted to update a secondary index key to a value"
            f" that is not supported. {_never_empty(kind)}"
        )


def _empty_key(name: str, kind: str) -> AwsError:
    return invalid(f"{EMPTY}{_never_empty(kind)} Key: {name}")


def _never_empty(kind: str) -> str:
    noun = "string" if kind == "S" else "binary"
    return f"The AttributeValue for a key attribute cannot contain an empty {noun} value."


def ends_transaction(error: AwsError) -> bool:
    """Is a mistake in one operation's key or item told as the whole request's? Observed: an empty
    key is; a key of another type, or a missing one, is that operation's reason."""
    return error.message.startswith(EMPTY) or not error.message.startswith(
        ("The provided key", "One or more")
    )


def topic(table_id: str, stream: dict[str, Any]) -> str:
    """The topic of a stream's change records. ``beside``: they lie with the table's items, so that
    a write and its record lie in one shard."""
    label = stream["label"]
    if stream.get("beside"):
        return f"@d:{table_id}:changes/{label}"
    return f"dynamodb/{table_id}/{label}"


def _open_stream(d: dict[str, Any]) -> dict[str, Any]:
    """The stream of a metadata row that is on."""
    label = d["LatestStreamLabel"]
    return next((s for s in d.get("streams", ()) if s["label"] == label), {"label": label})


def sizes_of(table_id: str) -> str:
    """The state table of the sizes of a table's item collections."""
    return f"d:{table_id}:sizes"


# -- parsing --------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def parse(meta_key: bytes, text: bytes) -> Table:
    """The table a metadata row describes. Pure, hence cached by its text."""
    d = orjson.loads(text)
    types = {a["AttributeName"]: a["AttributeType"] for a in d["AttributeDefinitions"]}
    names = [k["AttributeName"] for k in d["KeySchema"]]
    range_name = names[1] if len(names) > 1 else ""
    indexes = _indexes(d, types, tuple(names))
    stream = d.get("StreamSpecification") or {}
    view = stream.get("StreamViewType", "") if stream.get("StreamEnabled") else ""
    rows = "d:" + d["id"]
    own = _allowance(d, d["TableArn"], rows)
    return Table(
        name=d["TableName"],
        id=d["id"],
        meta_key=meta_key,
        description=d,
        hash_name=names[0],
        hash_type=types[names[0]],
        range_name=range_name,
        range_type=types.get(range_name, ""),
        indexes=indexes,
        rows=rows,
        index_types=tuple(
            (n, t, i.name) for i in indexes for n, t in (i.range if i.local else i.key_attributes)
        ),
        stream_view=view,
        stream_topic=topic(d["id"], _open_stream(d)) if view else "",
        rows_prefix=keys.table_prefix(rows),
        arn=d["TableArn"],
        single={}
        if d.get("policy")
        else {n: (a, d["TableArn"]) for n, a in SINGLE_ACTIONS.items()},
        texts=all(types[n] == "S" for n in names),
        by_name={i.name: i for i in indexes},
        allowance=own,
        metered=bool(own or any(i.allowance for i in indexes)),
        active=d["TableStatus"] != "CREATING",
        history=f"{rows}:{d['history']}" if "history" in d else "",
        sizes=sizes_of(d["id"]) if any(i.local for i in indexes) else "",
        plain=not (indexes or view or "history" in d),
    )


def _allowance(d: dict[str, Any], arn: str, rows: str) -> Allowance | None:
    """What a table's or index's description allows; None: as much as the machine can."""
    units = d.get("ProvisionedThroughput") or {}
    read, write = units.get("ReadCapacityUnits", 0), units.get("WriteCapacityUnits", 0)
    on_demand = not read and not write
    if on_demand:
        most = d.get("OnDemandThroughput") or {}
        read = max(0, most.get("MaxReadRequestUnits", 0))
        write = max(0, most.get("MaxWriteRequestUnits", 0))
    if not read and not write:
        return None
    return Allowance(rows, arn, float(read), float(write), on_demand)


def _indexes(d: dict[str, Any], types: dict[str, str], names: tuple[str, ...]) -> tuple[Index, ...]:
    out = []
    for member, local in (("GlobalSecondaryIndexes", False), ("LocalSecondaryIndexes", True)):
        for i in d.get(member) or ():
            schema = i["KeySchema"]
            pick = {
                k: tuple(
                    (a["AttributeName"], types[a["AttributeName"]])
                    for a in schema
                    if a["KeyType"] == k
                )
                for k in ("HASH", "RANGE")
            }
            projection = i["Projection"]
            projected = None
            if projection["ProjectionType"] != "ALL":
                index_keys = [a["AttributeName"] for a in schema]
                projected = frozenset(
                    [*names, *index_keys, *projection.get("NonKeyAttributes", ())]
                )
            index_rows = f"d:{d['id']}:{i['id']}"
            out.append(
                Index(
                    name=i["IndexName"],
                    local=local,
                    hash=pick["HASH"],
                    range=pick["RANGE"],
                    projected=projected,
                    rows=index_rows,
                    table_key=names,
                    ready=i.get("IndexStatus", "ACTIVE") == "ACTIVE",
                    allowance=None if local else _allowance(i, i["IndexArn"], index_rows),
                )
            )
    return tuple(out)
