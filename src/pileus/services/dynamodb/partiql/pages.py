"""Reading what a SELECT asks for, page by page.

Pages end as Query's and Scan's do; one that reads several stretches of keys looks at no more than
ten items (Developer Guide, "PartiQL operators", IN). NextToken carries the place and a digest of
the request it belongs to; it is the client's to hold, so nothing in it is believed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.addresses import Span
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.pages import PAGE_BYTES_MAX, read_page
from pileus.services.dynamodb.partiql.columns import Columns
from pileus.services.dynamodb.partiql.conditions import Filter
from pileus.services.dynamodb.partiql.ranges import Stretch
from pileus.services.dynamodb.reading import Reading
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import Item, Misshapen, Value, check_item, item_size

SEVERAL_ITEMS_MAX = 10


@dataclass(slots=True)
class Page:
    """Item texts, the last key read when more may follow, and the read units used: of the source
    (table or index) and of items fetched for a local index."""

    texts: list[bytes] = field(default_factory=list)
    last: Item | None = None
    stretch: int = 0
    size_bytes: int = 0
    units: float = 0.0
    fetched: float = 0.0


@dataclass(slots=True)
class Plan:
    """A SELECT on its table: the stretches to read, in order."""

    table: Table
    index: Index | None
    stretches: list[Stretch]
    descending: bool
    consistent: bool
    filter: Filter | None
    columns: Columns | None

    def read(self, room: Room, limit: int, priced: bool, place: tuple[int, Item] | None) -> Page:
        """One page from ``place`` (stretch, last key) on. ``limit`` 0: no limit."""
        page = Page()
        several = len(self.stretches) > 1
        metered = self.table.metered
        if metered:
            room.throughput.admit_read(self.table, self.index)
        left = min(limit or SEVERAL_ITEMS_MAX, SEVERAL_ITEMS_MAX) if several else limit
        first = place[0] if place is not None else 0
        for number in range(first, len(self.stretches)):
            span = self.stretches[number].span
            if place is not None and number == first:
                span = self._after(span, place[1])
            found = read_page(
                room.store.pairs,
                span,
                self.descending,
                left,
                priced or several or metered,
                self.table.range_name,
            )
            self._take(room, page, found.texts)
            page.size_bytes += found.size_bytes
            page.units += capacity.read_units(found.size_bytes, self.consistent)
            left -= len(found.texts)
            if found.more or page.size_bytes >= PAGE_BYTES_MAX:
                page.last, page.stretch = self._key(found.texts[-1]), number
                break
        if metered:
            bulk = len(self.stretches) == 1 and not self.stretches[0].partition
            room.throughput.charge_read(self.table, page.units, self.index, bulk)
            room.throughput.charge_read(self.table, page.fetched)
        return page

    def _take(self, room: Room, page: Page, texts: list[bytes]) -> None:
        """Filter by what the source holds, then pick columns, fetching items where a local index
        lacks them."""
        fetching = self._fetches()
        for text in texts:
            if self.filter is None and self.columns is None:
                page.texts.append(text)
                continue
            item = orjson.loads(text)
            kept = self.filter is None or self.filter.keep(item)
            if fetching:
                item = self._fetch(room, page, item)
            if kept and item is not None:
                shown = text if self.columns is None else orjson.dumps(self.columns.apply(item))
                page.texts.append(shown)

    def _fetches(self) -> bool:
        index, columns = self.index, self.columns
        if index is None or index.projected is None or columns is None:
            return False
        return any(h not in index.projected for h in columns.heads)

    def _fetch(self, room: Room, page: Page, row: Item) -> Item | None:
        key = self.table.key_of({n: row[n] for n in self.table.key_names})
        text = room.store.get(key)
        if text is None:
            return None
        item: Item = orjson.loads(text)
        page.fetched += capacity.read_units(item_size(item), self.consistent)
        return item

    def price(self, asked: str, page: Page) -> dict[str, Any]:
        """ConsumedCapacity of a page."""
        if self.index is None:
            return capacity.report(self.table, asked, page.units)
        return capacity.report(self.table, asked, page.fetched, {self.index.name: page.units})

    # -- going on ----------------------------------------------------------------------------

    def _key(self, text: bytes) -> Item:
        last = orjson.loads(text)
        return {n: last[n] for n in self._source.start_names}

    @property
    def _source(self) -> Reading:
        return Reading(self.table, self.index, {}, None, None, False)

    def _after(self, span: Span, last: Item) -> Span:
        """The rest of a stretch beyond ``last``, which must lie within it."""
        address = None
        if last.keys() == set(self._source.start_names):
            try:
                check_item(last)
                address = self._source.address(last)
            except (AwsError, Misshapen):
                address = None
        if address is None or not span.start <= address < span.end:
            raise invalid("Invalid NextToken")
        if self.descending:
            return Span(span.start, address)
        return Span(address + b"\x00", span.end)


def request_digest(table: Table, text: str, parameters: list[Value]) -> str:
    """What ties a token to its request: the table, the statement and its parameters."""
    body = orjson.dumps([table.id, text, parameters], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).hexdigest()[:32]


def token_of(digest: str, page: Page) -> str:
    """The NextToken after ``page``."""
    return base64.b64encode(orjson.dumps([digest, page.stretch, page.last])).decode()


def place_of(token: str, digest: str, plan: Plan) -> tuple[int, Item]:
    """Where a NextToken goes on; ``AwsError`` ValidationException when it is not for this."""
    try:
        parts = orjson.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        raise invalid("Invalid NextToken") from None
    if not isinstance(parts, list) or len(parts) != 3:
        raise invalid("Invalid NextToken")
    if parts[0] != digest:
        raise invalid("NextToken does not match request")
    number, last = parts[1:]
    if type(number) is not int or not 0 <= number < len(plan.stretches):
        raise invalid("Invalid NextToken")
    if not isinstance(last, dict):
        raise invalid("Invalid NextToken")
    return number, last
