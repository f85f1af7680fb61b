"""The keys a WHERE asks for: one exact key, or stretches of partitions, or nothing (a scan).

A read is *keyed* when every way to meet its WHERE names one partition by ``=`` or ``IN``. It is
then decomposed: one stretch of sort keys for each way. Stretches that overlap are refused, except
those that a negated condition on the sort key leaves open (Developer Guide, "PartiQL select
statements for DynamoDB"; limits in "PartiQL operators").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from pileus.services.dynamodb.addresses import Span, key_bytes
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.keyconditions import MIRROR, OPERATORS, KeyQuery
from pileus.services.dynamodb.legacy import Term
from pileus.services.dynamodb.partiql.conditions import options_of
from pileus.services.dynamodb.partiql.literals import is_value, value_of
from pileus.services.dynamodb.partiql.syntax import Call, Is, Node, Op, Path, Sequence
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import Item, Value, type_of

READS_MAX = 50
WAYS_MAX = 1000
TOO_MANY = "Too many decomposed read operations for a given query."


def conjuncts(node: Node | None) -> Iterator[Node]:
    """The conditions that must all hold."""
    if isinstance(node, Op) and node.sign == "and":
        for part in node.args:
            yield from conjuncts(part)
    elif node is not None:
        yield node


def attribute(node: Node) -> str:
    """The name of a path of one step, else ''."""
    if isinstance(node, Path) and len(node.steps) == 1:
        return str(node.steps[0])
    return ""


def comparison(node: Node, parameters: list[Value]) -> tuple[str, str, list[Node]] | None:
    """``(attribute, operator, value nodes)`` of a condition that a key can be asked, else None."""
    if isinstance(node, Call):
        if node.name == "begins_with" and len(node.args) == 2 and is_value(node.args[1]):
            return attribute(node.args[0]), "BEGINS_WITH", [node.args[1]]
        return None
    if not isinstance(node, Op):
        return None
    if node.sign == "in":
        options = list(options_of(node, parameters))
        if all(map(is_value, options)):
            return attribute(node.args[0]), "IN", options
    elif node.sign == "between":
        if is_value(node.args[1]) and is_value(node.args[2]):
            return attribute(node.args[0]), "BETWEEN", list(node.args[1:])
    elif node.sign in OPERATORS:
        a, b = node.args
        if is_value(b):
            return attribute(a), OPERATORS[node.sign], [b]
        if is_value(a):
            return attribute(b), MIRROR[OPERATORS[node.sign]], [a]
    return None


# -- one item -------------------------------------------------------------------------------------


@dataclass(slots=True)
class OneItem:
    """The key a WHERE fixes by equalities, what else it says, and values given a second time."""

    key: Item = field(default_factory=dict)
    rest: list[Node] = field(default_factory=list)
    conflicts: list[tuple[str, Node]] = field(default_factory=list)


def one_item(
    where: Node | None, table: Table, parameters: list[Value], by_in: bool = False
) -> OneItem | None:
    """The single item of ``where``, or None when it does not fix the whole key. ``by_in``: an IN
    of one value counts as an equality."""
    out = OneItem()
    for node in conjuncts(where):
        found = comparison(node, parameters)
        equal = found is not None and (
            found[1] == "EQ" or (by_in and found[1] == "IN" and len(found[2]) == 1)
        )
        if found is None or not equal or found[0] not in table.key_names:
            out.rest.append(node)
            continue
        value = value_of(found[2][0], parameters)
        known = out.key.setdefault(found[0], value)
        if known != value:
            out.conflicts.append((found[0], node))
    return out if len(out.key) == len(table.key_names) else None


# -- many items -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """Row keys of one partition, the value of the partition key, and the conditions that led
    here."""

    partition: Value
    span: Span
    way: tuple[Node, ...] = ()


class Keys:
    """The key attributes of what a SELECT reads, and its conditions on them."""

    def __init__(self, table: Table, index: Index | None, parameters: list[Value]) -> None:
        self.table = table
        self.index = index
        self.parameters = parameters
        attributes = index.key_attributes if index else table.key_attributes
        self.hash, self.hash_type = attributes[0]
        self.range, self.range_type = attributes[1] if len(attributes) > 1 else ("", "")

    def keyed(self, where: Node | None) -> bool:
        """Does every way to meet ``where`` name a partition, and only one?"""
        if where is None or not self._names_partition(where):
            return False
        return all(self._partition(way) is not None for way in self._ways(where))

    def _names_partition(self, node: Node) -> bool:
        if isinstance(node, Op) and node.sign == "and":
            return any(map(self._names_partition, node.args))
        if isinstance(node, Op) and node.sign == "or":
            return all(map(self._names_partition, node.args))
        found = comparison(node, self.parameters)
        return found is not None and found[0] == self.hash and found[1] in ("EQ", "IN")

    def _on_key(self, node: Node) -> bool:
        """Is there a condition on a key in this tree of AND and OR?"""
        if isinstance(node, Op) and node.sign in ("and", "or"):
            return any(map(self._on_key, node.args))
        found = comparison(node, self.parameters)
        return found is not None and found[0] in (self.hash, self.range) and found[0] != ""

    def _ways(self, node: Node) -> list[tuple[Node, ...]]:
        """The ways to meet ``node``, each a list of conditions; ORs of no key stay whole."""
        if isinstance(node, Op) and node.sign == "and":
            ways: list[tuple[Node, ...]] = [()]
            for part in node.args:
                more = self._ways(part)
                if len(ways) * len(more) > WAYS_MAX:
                    raise invalid(TOO_MANY)
                ways = [w + m for w in ways for m in more]
            return ways
        if isinstance(node, Op) and node.sign == "or" and self._on_key(node):
            out = [way for part in node.args for way in self._ways(part)]
            if len(out) > WAYS_MAX:
                raise invalid(TOO_MANY)
            return out
        found = comparison(node, self.parameters)
        if found is not None and found[1] == "IN" and found[0] and found[0] in self._names:
            assert isinstance(node, Op)
            return [(Op("=", (node.args[0], o), node.place),) for o in found[2]]
        return [(node,)]

    @property
    def _names(self) -> tuple[str, str]:
        return self.hash, self.range

    def _partition(self, way: tuple[Node, ...]) -> Value | None:
        """The one partition key of a way; None when it gives none, or two."""
        given: Value | None = None
        for node in way:
            found = comparison(node, self.parameters)
            if found is None or found[0] != self.hash or found[1] != "EQ":
                continue
            value = value_of(found[2][0], self.parameters)
            if given is not None and given != value:
                return None
            given = value
        return given

    def stretches(self, where: Node) -> list[Stretch]:
        """What a keyed WHERE reads, in the order of the partitions' hashes."""
        ways = self._ways(where)
        if len(ways) > READS_MAX:
            raise invalid(TOO_MANY)
        found: dict[str, list[tuple[Stretch, bool]]] = {}
        for way in ways:
            value = self._partition(way)
            assert value is not None
            self._check_type(value, self.hash, self.hash_type)
            stretch = Stretch(value, self._span(way, value), way)
            found.setdefault(str(value[self.hash_type]), []).append((stretch, self._open(way)))
        ordered = sorted(found, key=lambda c: hashlib.md5(c.encode()).digest())
        return [stretch for c in ordered for stretch in _disjoint(found[c])]

    def order_of(self, partition: Value) -> bytes:
        """Bytes that sort as partition keys do."""
        return key_bytes(self.hash_type, partition[self.hash_type])

    def _span(self, way: tuple[Node, ...], partition: Value) -> Span:
        first: Term = [self.hash, "EQ", [partition]]
        terms: list[Term] = []
        for node in way:
            found = comparison(node, self.parameters)
            if found is None or not self.range or found[0] != self.range:
                continue
            operands = [value_of(v, self.parameters) for v in found[2]]
            for operand in operands:
                self._check_type(operand, self.range, self.range_type)
            terms.append([self.range, found[1], operands])
        span = KeyQuery(self.table, self.index, [first]).span()
        for term in terms:
            part = KeyQuery(self.table, self.index, [first, term]).span()
            span = Span(max(span.start, part.start), min(span.end, part.end))
        return span

    def _open(self, way: tuple[Node, ...]) -> bool:
        """Does a way say what the sort key is not?"""
        return any(self._denies_range(node) for node in way)

    def _denies_range(self, node: Node) -> bool:
        if not isinstance(node, Op) or not self.range:
            return False
        if node.sign == "<>":
            return self.range in map(attribute, node.args)
        return node.sign == "not" and self.range in {
            str(p.steps[0]) for p in paths_in(node) if len(p.steps) == 1
        }

    def _check_type(self, value: Value, name: str, kind: str) -> None:
        if type_of(value) != kind:
            raise invalid(
                "Key attribute's data type should match its data type in table's schema: Key"
                f" {name}"
            )


def _disjoint(ways: list[tuple[Stretch, bool]]) -> list[Stretch]:
    """The stretches of a partition in order, none empty; an overlap is refused unless one of the
    two is open."""
    full = sorted(
        (w for w in ways if w[0].span.start < w[0].span.end), key=lambda w: w[0].span.start
    )
    closed = [stretch.span for stretch, is_open in full if not is_open]
    for before, after in pairwise(closed):
        if after.start < before.end:
            raise invalid(
                "Overlapping conditions with range keys are not supported in where clause"
            )
    out: list[Stretch] = []
    for stretch, _ in full:
        if out and stretch.span.start < out[-1].span.end:
            last = out[-1]
            end = max(last.span.end, stretch.span.end)
            out[-1] = Stretch(last.partition, Span(last.span.start, end), last.way)
        else:
            out.append(stretch)
    return out


def paths_in(node: Node) -> Iterator[Path]:
    """Every path below ``node``, in order."""
    if isinstance(node, Path):
        yield node
    elif isinstance(node, Op | Call):
        for part in node.args:
            yield from paths_in(part)
    elif isinstance(node, Is):
        yield from paths_in(node.term)
    elif isinstance(node, Sequence):
        for part in node.items:
            yield from paths_in(part)
