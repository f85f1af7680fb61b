"""DynamoDB: tables, items, indexes, expressions (DESIGN.md says how)."""

from __future__ import annotations

from functools import partial

from pileus.services.call import Parts, Service
from pileus.services.dynamodb.access import access
from pileus.services.dynamodb.binding import control, later, now
from pileus.services.dynamodb.create_table import create_table
from pileus.services.dynamodb.delete_item import delete_item
from pileus.services.dynamodb.delete_table import delete_table
from pileus.services.dynamodb.describe_table import describe_table
from pileus.services.dynamodb.get_item import get_item
from pileus.services.dynamodb.put_item import put_item
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import RULES
from pileus.services.dynamodb.update_item import update_item

__all__ = ["RULES", "build"]


def build(parts: Parts) -> Service:
    """The service over ``parts``."""
    room = Room(parts)
    return Service(
        name="dynamodb",
        operations={},
        access=partial(access, room),
        direct={
            "CreateTable": control(create_table, room),
            "DescribeTable": control(describe_table, room),
            "DeleteTable": control(delete_table, room),
            "GetItem": now(get_item, room),
            "PutItem": later(put_item, room),
            "DeleteItem": later(delete_item, room),
            "UpdateItem": later(update_item, room),
        },
    )
