"""CloudFormation: templates become stacks of resources, all of a change or none of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from pileus.services.call import Access, Call, Parts
from pileus.services.cloudformation import changesets, describe, rollbacks, stacks
from pileus.services.cloudformation.answers import PREFIX, Answers
from pileus.services.cloudformation.signals import taken
from pileus.services.cloudformation.worker import Worker
from pileus.services.service import Service

__all__ = ["PREFIX", "build", "door"]

OPERATIONS: dict[str, Callable[[Parts, Call], Any]] = {
    "CreateStack": stacks.create_stack,
    "UpdateStack": stacks.update_stack,
    "CancelUpdateStack": rollbacks.cancel_update_stack,
    "ContinueUpdateRollback": rollbacks.continue_update_rollback,
    "RollbackStack": rollbacks.rollback_stack,
    "DeleteStack": stacks.delete_stack,
    "UpdateTerminationProtection": stacks.update_termination_protection,
    "CreateChangeSet": changesets.create_change_set,
    "DescribeChangeSet": changesets.describe_change_set,
    "ListChangeSets": changesets.list_change_sets,
    "ExecuteChangeSet": changesets.execute_change_set,
    "DeleteChangeSet": changesets.delete_change_set,
    "DescribeStacks": describe.describe_stacks,
    "ListStacks": describe.list_stacks,
    "DescribeStackEvents": describe.describe_stack_events,
    "DescribeStackResource": describe.describe_stack_resource,
    "DescribeStackResources": describe.describe_stack_resources,
    "ListStackResources": describe.list_stack_resources,
    "GetTemplate": describe.get_template,
    "GetTemplateSummary": describe.get_template_summary,
    "ValidateTemplate": describe.validate_template,
    "ListExports": describe.list_exports,
}


def access(call: Call) -> Sequence[Access]:
    """Permissions of a call: the operation on the stack, where one is named."""
    name = call.params.get("StackName", "")
    resource = "*"
    if name.startswith("arn:"):
        resource = name
    elif name:
        resource = f"arn:aws:cloudformation:{call.region}:{call.account}:stack/{name}/*"
    needed = [Access(f"cloudformation:{call.operation}", resource)]
    if call.params.get("RoleARN"):
        passed = {"iam:PassedToService": stacks.SERVICE}
        needed.append(Access("iam:PassRole", call.params["RoleARN"], context=passed))
    return needed


def door(parts: Parts) -> Answers:
    """Where answers and signals come; its ``serve`` is mounted for ``PREFIX``."""
    return Answers(parts, taken)


def build(parts: Parts) -> Service:
    worker = Worker(parts)
    return Service(
        name="cloudformation",
        operations={n: functools.partial(f, parts) for n, f in OPERATIONS.items()},
        access=access,
        begin=worker.start,
        cease=worker.stop,
    )
