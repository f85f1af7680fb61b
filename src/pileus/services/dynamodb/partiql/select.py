"""SELECT: its columns, its filter, and the keys it asks for."""

from __future__ import annotations

from pileus.services.dynamodb.addresses import Span
from pileus.services.dynamodb.faults import bad_parameter
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.partiql.columns import Columns
from pileus.services.dynamodb.partiql.conditions import Filter, filter_of
from pileus.services.dynamodb.partiql.ordering import check_order, in_order
from pileus.services.dynamodb.partiql.pages import Plan
from pileus.services.dynamodb.partiql.ranges import Keys, OneItem, Stretch, one_item, paths_in
from pileus.services.dynamodb.partiql.source import index_of
from pileus.services.dynamodb.partiql.syntax import Node, Select, Statement
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import Value
from pileus.state import keys


class Selection:
    """A SELECT checked as far as its text goes; ``on(table)`` finds what it reads."""

    def __init__(self, statement: Statement, parameters: list[Value]) -> None:
        body = statement.body
        assert isinstance(body, Select)
        self.select = body
        self.source = body.source
        self.parameters = parameters
        self.columns = Columns(body.columns) if body.columns is not None else None
        self.filter: Filter | None = None
        if body.where is not None:
            self.filter = filter_of(body.where, parameters)

    def one(self, table: Table) -> OneItem | None:
        """The single item this reads, when its WHERE is its whole key and nothing else."""
        found = one_item(self.select.where, table, self.parameters, by_in=True)
        if found is None or found.rest or found.conflicts:
            return None
        return found

    def check_nested(self, table: Table) -> None:
        """No path goes into a key attribute."""
        if self.columns is not None:
            check_nested(table, self.columns.nested)
        if self.filter is not None:
            check_nested(table, self.filter.condition.nested)

    def keyed(self, table: Table) -> bool:
        """False: this reads the whole table or index."""
        index = table.by_name.get(self.source.steps[1]) if len(self.source.steps) > 1 else None
        return Keys(table, index, self.parameters).keyed(self.select.where)

    def on(self, table: Table, consistent: bool) -> Plan:
        """What is read of ``table``; ``AwsError`` ValidationException where it does not fit."""
        index = index_of(table, self.source, consistent)
        asked = Keys(table, index, self.parameters)
        where = self.select.where
        stretches = None
        if where is not None and asked.keyed(where):
            stretches = asked.stretches(where)
        descending = check_order(self.select, asked, stretches)
        self.check_nested(table)
        if stretches is None:
            prefix = keys.table_prefix(index.rows if index else table.rows)
            ordered = [Stretch({}, Span(prefix, keys.after_prefix(prefix)))]
        else:
            ordered = in_order(self.select, asked, stretches, descending)
        self._check_projected(index, ordered[0].way if ordered else ())
        return Plan(table, index, ordered, descending, consistent, self.filter, self.columns)

    def _check_projected(self, index: Index | None, way: tuple[Node, ...]) -> None:
        """An index answers what it holds: columns of a global one, filters of a keyed read (of
        which the first decomposed read is judged, as observed of the service)."""
        if index is None or index.projected is None:
            return
        heads = self.columns.heads if self.columns is not None else []
        missing = [h for h in heads if h not in index.projected]
        if missing and not index.local:
            raise bad_parameter(
                f"Global secondary index {index.name} does not project [{', '.join(missing)}]"
            )
        named = dict.fromkeys(str(p.steps[0]) for node in way for p in paths_in(node))
        missing = _as_hashed([n for n in named if n not in index.projected])
        if missing:
            raise bad_parameter(
                f"Secondary index {index.name} does not project one or more filter attributes:"
                f" [{', '.join(missing)}]"
            )


def _as_hashed(names: list[str]) -> list[str]:
    """Names in the order in which a Java hash set lists them: the service's messages do."""
    buckets = 16
    while len(names) > buckets * 3 // 4:
        buckets *= 2

    def bucket(name: str) -> int:
        code = 0
        for unit in memoryview(name.encode("utf-16-le")).cast("H"):
            code = (31 * code + unit) & 0xFFFFFFFF
        return (code ^ code >> 16) & (buckets - 1)

    return sorted(names, key=bucket)
