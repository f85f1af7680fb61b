"""SSM: the Parameter Store (DESIGN.md says how)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.service import Service
from pileus.services.ssm import describe, get, put, tags
from pileus.services.ssm.access import access

OPERATIONS: dict[str, Callable[[Parts, Call], Any]] = {
    "PutParameter": put.put_parameter,
    "DeleteParameter": put.delete_parameter,
    "DeleteParameters": put.delete_parameters,
    "GetParameter": get.get_parameter,
    "GetParameters": get.get_parameters,
    "GetParametersByPath": get.get_by_path,
    "GetParameterHistory": get.get_history,
    "DescribeParameters": describe.describe_parameters,
    "AddTagsToResource": tags.add_tags,
    "RemoveTagsFromResource": tags.remove_tags,
    "ListTagsForResource": tags.list_tags,
}


def build(parts: Parts) -> Service:
    operations = {name: partial(function, parts) for name, function in OPERATIONS.items()}
    return Service("ssm", operations, partial(access, parts))
