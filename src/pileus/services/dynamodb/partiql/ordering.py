"""ORDER BY: keys only, and only where partitions are named (Developer Guide, "PartiQL select
statements for DynamoDB")."""

from __future__ import annotations

from itertools import groupby

from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.ranges import Keys, Stretch, attribute
from pileus.services.dynamodb.partiql.syntax import Path, Select


def check_order(select: Select, asked: Keys, stretches: list[Stretch] | None) -> bool:
    """Is each partition read from its end? An ORDER BY that names the partition key alone reads
    it so, as observed of the service. ``AwsError`` for an order that cannot be had."""
    if not select.order:
        return False
    if select.where is None:
        raise invalid("Must have WHERE clause in the statement when using ORDER BY clause.")
    directions: dict[str, bool] = {}
    for node, ascending in select.order:
        name = attribute(node)
        if not name or name not in (asked.hash, asked.range):
            shown = ".".join(map(str, node.steps)) if isinstance(node, Path) else ""
            raise invalid(f"Attribute {shown} in ORDER BY clause must be part of the primary key")
        directions.setdefault(name, ascending)
    if stretches is None:
        raise invalid(
            "Must have at least one non-optional hash key condition in WHERE clause when using"
            " ORDER BY clause."
        )
    partitions = {str(s.partition) for s in stretches}
    if len(partitions) > 1 and asked.hash not in directions:
        raise invalid(
            "Must have hash key in ORDER BY clause when more than one hash key condition"
            " specified in WHERE clause."
        )
    return not directions.get(asked.range, False)


def in_order(
    select: Select, asked: Keys, stretches: list[Stretch], descending: bool
) -> list[Stretch]:
    """The stretches as they are to be read: partitions as asked, each from the right end."""
    if descending:
        groups = groupby(stretches, key=lambda s: s.partition)
        stretches = [s for _, group in groups for s in reversed(list(group))]
    for node, ascending in select.order:
        if attribute(node) == asked.hash:
            return sorted(
                stretches, key=lambda s: asked.order_of(s.partition), reverse=not ascending
            )
    return stretches
