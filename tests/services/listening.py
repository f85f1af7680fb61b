"""A function that writes down what it hears, for tests of what calls functions."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.acceptance.functions import make_function, make_role
from tests.conftest import Cloud

CODE = "import json\n\ndef handler(event, context):\n    print('HEARD ' + json.dumps(event))\n"
WAIT_S = 80


def make_listener(cloud: Cloud, name: str = "") -> str:
    """The ARN of a new one, ready to be called."""
    name = make_function(cloud, make_role(cloud), CODE, name)
    return str(
        cloud.client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    )


def let_call(cloud: Cloud, function: str, service: str, **source: str) -> None:
    """Allow ``service`` to call it; ``source``: ``SourceArn``, ``SourceAccount``."""
    cloud.client("lambda").add_permission(
        FunctionName=function,
        StatementId=service.replace(".", "-"),
        Action="lambda:InvokeFunction",
        Principal=service,
        **source,
    )


def heard_until_now(cloud: Cloud, function: str) -> list[Any]:
    """The events that came to it until now, in order; ``function``: its ARN."""
    logs, group = cloud.client("logs"), f"/aws/lambda/{function.rpartition(':')[2]}"
    try:
        found = logs.filter_log_events(logGroupName=group, filterPattern="HEARD")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []  # it has not run yet
    return [json.loads(e["message"].partition("HEARD ")[2]) for e in found]


def heard_by(cloud: Cloud, function: str, count: int = 1) -> list[Any]:
    """The same, as soon as there are ``count``."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = heard_until_now(cloud, function)
        if len(found) >= count:
            return found
        time.sleep(0.3)
    raise AssertionError(f"{function} did not hear {count} events")
