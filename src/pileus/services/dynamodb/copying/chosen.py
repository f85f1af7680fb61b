"""What an export's FilterSpecification leaves of a table's items (API reference,
FilterSpecification)."""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb import legacy
from pileus.services.dynamodb.expressions.binding import bind, check_mixture
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.keyconditions import KeyQuery, expression_terms
from pileus.services.dynamodb.query import EXPRESSIONS, check_filter_keys
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import Item


class Chosen:
    """Items that fit a key condition and a filter, and of them what a projection names; each as in
    a Query. ``AwsError`` ValidationException where the specification cannot be."""

    def __init__(self, table: Table, spec: dict[str, Any]) -> None:
        check_mixture(spec, EXPRESSIONS, ())
        self._bound = bound = bind(spec)
        if bound.key is not None:
            terms = expression_terms(bound.key, bound.values)
            legacy.check_terms(terms)
            if not 1 <= len(terms) <= 2:
                raise invalid("Conditions can be of length 1 or 2 only")
            asked = KeyQuery(table, None, terms)
            asked.check(None)
            check_filter_keys(asked, bound, spec)
        self._tests = [c.test for c in (bound.key, bound.filter) if c is not None]

    def of(self, item: Item) -> Item | None:
        """What is left of an item; None: it is left out."""
        if not all(test(item, self._bound.values) for test in self._tests):
            return None
        projection = self._bound.projection
        return item if projection is None else projection.apply(item)
