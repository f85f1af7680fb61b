"""What Query and Scan share: the source, the page, what of it is shown, the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity, legacy
from pileus.services.dynamodb.addresses import Span
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.expressions.binding import Bound
from pileus.services.dynamodb.expressions.projections import Projection, named
from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.pages import Page, read_page
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import Item, Misshapen, check, item_size

Keep = Callable[[Item], bool]
BAD_START = "The provided starting key is invalid"


@dataclass(slots=True)
class Reading:
    """One Query or Scan, checked: where it reads and what it shows."""

    table: Table
    index: Index | None
    params: dict[str, Any]
    projection: Projection | None
    keep: Keep | None
    whole: bool  # fetch items whose index rows lack attributes asked for
    single: bool = False  # at most one item: there is nothing to go on from

    @property
    def rows(self) -> str:
        return self.index.rows if self.index else self.table.rows

    @property
    def key_attributes(self) -> tuple[tuple[str, str], ...]:
        return self.index.key_attributes if self.index else self.table.key_attributes

    @property
    def start_names(self) -> list[str]:
        """The attributes of a LastEvaluatedKey: the table's keys, then the index's."""
        names = [*self.table.key_names]
        if self.index:
            names += [n for n, _ in self.index.key_attributes if n not in names]
        return names

    def address(self, item: Item) -> bytes | None:
        """The row of this source that stands for ``item``."""
        if self.index is None:
            return self.table.key_of({n: item[n] for n in self.table.key_names})
        return self.index.address(item, self.table.sort_of(item))


def find_index(table: Table, params: dict[str, Any]) -> Index | None:
    """The index a request names; it must exist, be filled, and allow the consistency asked."""
    name = params.get("IndexName")
    if name is None:
        return None
    index = table.by_name.get(name)
    if index is None:
        raise invalid(f"The table does not have the specified index: {name}")
    if not index.local and params.get("ConsistentRead"):
        raise invalid("Consistent reads are not supported on global secondary indexes")
    if not index.ready:
        raise invalid(f"Cannot read from backfilling global secondary index: {name}")
    return index


def check_select(params: dict[str, Any]) -> None:
    """Select and the projection must say the same. These words have no opening (Query gives them
    one of its own)."""
    select = params.get("Select")
    if select is None:
        return
    listed, text = params.get("AttributesToGet"), params.get("ProjectionExpression")
    if select == "SPECIFIC_ATTRIBUTES" and listed is None and text is None:
        raise invalid(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get"
            " SPECIFIC_ATTRIBUTES"
        )
    if select not in (None, "SPECIFIC_ATTRIBUTES"):
        which = "AttributesToGet" if listed is not None else "ProjectionExpression"
        if listed is not None or text is not None:
            chosen = "only the Count" if select == "COUNT" else select
            raise invalid(f"Cannot specify the {which} when choosing to get {chosen}")
    if select == "ALL_PROJECTED_ATTRIBUTES" and "IndexName" not in params:
        raise invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")


def check_start(start: Item | None) -> None:
    """The values of an ExclusiveStartKey, before the table is known."""
    for value in (start or {}).values():
        try:
            check(value)
        except Misshapen:
            raise
        except AwsError as error:
            if error.code != "ValidationException" or _worded_alone(error.message):
                raise
            raise invalid(f"{BAD_START}: {error.message}") from None


def _worded_alone(message: str) -> bool:
    parts = (
        "contains duplicates",
        "number set",
        "numeric value",
        "significant digits",
        "number with magnitude",
    )
    return any(p in message for p in parts)


def shown(params: dict[str, Any], bound: Bound) -> Projection | None:
    """The projection, in either form."""
    listed = params.get("AttributesToGet")
    return named(listed) if listed is not None else bound.projection


def needs_items(
    table: Table, index: Index | None, params: dict[str, Any], projection: Projection | None
) -> bool:
    """Must items be fetched for their index rows? Global indexes refuse it."""
    if index is None or index.projected is None:
        return False
    if params.get("Select") == "ALL_ATTRIBUTES":
        if not index.local:
            raise bad_parameter(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index"
                f" {index.name} because its projection type is not ALL"
            )
        return True
    missing = sorted(projection.heads - index.projected) if projection else []
    if missing and not index.local:
        raise bad_parameter(
            f"Global secondary index {index.name} does not project [{', '.join(missing)}]"
        )
    return bool(missing)


def keeper(bound: Bound, terms: list[legacy.Term], params: dict[str, Any]) -> Keep | None:
    """The filter as a function of an item, or None."""
    if bound.filter is not None:
        test, values = bound.filter.test, bound.values
        return lambda item: test(item, values)
    if terms:
        operator = params.get("ConditionalOperator") or "AND"
        return lambda item: legacy.passes(terms, operator, item)
    return None


# -- the page ------------------------------------------------------------------------------


def answer(room: Room, call: Call, reading: Reading, where: Span, reverse: bool) -> HttpResponse:
    """Read a page and answer it, texts spliced in when nothing is to be left out of them."""
    params = reading.params
    asked = capacity.wanted(params)
    metered = reading.table.metered
    if metered:
        room.throughput.admit_read(reading.table, reading.index)
    page = read_page(
        room.store.pairs,
        where,
        reverse,
        params.get("Limit") or 0,
        bool(asked) or (metered and not room.throughput.plenty(reading.table, reading.index)),
        reading.table.range_name,
    )
    texts, fetched = page.texts, 0.0
    if reading.whole:
        texts, fetched = _fetch(room, reading, texts)
    if metered:
        _charge(room, reading, page, fetched)
    if reading.keep is not None or reading.projection is not None:
        texts = _select(reading, texts)
    members = [b'"Count":%d' % len(texts), b'"ScannedCount":%d' % len(page.texts)]
    if params.get("Select") != "COUNT":
        members.append(b'"Items":[' + b",".join(texts) + b"]")
    if page.more and page.texts and not reading.single:
        last = orjson.loads(page.texts[-1])
        key = {n: last[n] for n in reading.start_names}
        members.append(member(b"LastEvaluatedKey", key))
    if asked:
        members.append(member(b"ConsumedCapacity", _price(reading, asked, page, fetched)))
    return respond(call, assemble(members))


def _charge(room: Room, reading: Reading, page: Page, fetched: float) -> None:
    """Take what a page cost. While plenty is left its texts' length stands for its items' size,
    which is never more."""
    size = page.size_bytes or sum(map(len, page.texts))
    units = capacity.read_units(size, bool(reading.params.get("ConsistentRead")))
    bulk = "KeyConditionExpression" not in reading.params and "KeyConditions" not in reading.params
    room.throughput.charge_read(reading.table, units, reading.index, bulk)
    if fetched:
        room.throughput.charge_read(reading.table, fetched)


def _select(reading: Reading, texts: list[bytes]) -> list[bytes]:
    keep, projection = reading.keep, reading.projection
    out = []
    for text in texts:
        item = orjson.loads(text)
        if keep is None or keep(item):
            out.append(text if projection is None else orjson.dumps(projection.apply(item)))
    return out


def _fetch(room: Room, reading: Reading, texts: list[bytes]) -> tuple[list[bytes], float]:
    """Whole items for local index rows, and the read units that took."""
    table, out, units = reading.table, [], 0.0
    consistent = bool(reading.params.get("ConsistentRead"))
    for text in texts:
        row = orjson.loads(text)
        found = room.store.get(table.key_of({n: row[n] for n in table.key_names}))
        if found is not None:
            out.append(found)
            units += capacity.read_units(item_size(orjson.loads(found)), consistent)
    return out, units


def _price(reading: Reading, asked: str, page: Page, fetched: float) -> dict[str, Any]:
    consistent = bool(reading.params.get("ConsistentRead"))
    units = capacity.read_units(page.size_bytes, consistent, least=1)
    if reading.index is None:
        return capacity.report(reading.table, asked, units)
    return capacity.report(reading.table, asked, fetched, {reading.index.name: units})
