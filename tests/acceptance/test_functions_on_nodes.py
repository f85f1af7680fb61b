"""Where functions run on three nodes: provisioned workers divided (F2, C1)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from botocore.exceptions import ClientError

from lab.rig import RigNode, until
from pileus.runtime.client import Runtime
from tests.acceptance.functions import make_function, make_role
from tests.acceptance.nodes import At, Cloud

SAYS_WHERE = "def handler(event, context):\n    return context.log_stream_name\n"


def workers(node: RigNode, name: str) -> dict[str, int]:
    """What the node's runtime has of a function, by what it does."""

    async def ask() -> dict[str, Any]:
        client = Runtime(node.home / "run" / "runtime.sock")
        try:
            return await client.stats()
        finally:
            await client.close()

    functions = asyncio.run(ask())["functions"]
    return next((told for arn, told in functions.items() if arn.endswith(f":{name}")), {})


def test_provisioned_workers_are_divided_and_come_first(three_nodes: Cloud) -> None:
    """One worker in all, whichever node has it: every node has calls run by that one."""
    nodes = three_nodes.rig.nodes[:3]
    first = At(three_nodes, nodes[0])
    name = make_function(first, make_role(first), SAYS_WHERE, Publish=True)
    client = first.client("lambda")
    wish = {"FunctionName": name, "Qualifier": "1"}
    client.put_provisioned_concurrency_config(**wish, ProvisionedConcurrentExecutions=1)
    until(lambda: _idle(nodes, name) == [0, 0, 1], 60, "one worker is ready")
    for node in nodes:
        until(lambda n=node: _known(three_nodes, n, wish), 60, "the node knows it")  # type: ignore[misc]
    ran = {_ran(three_nodes, node, wish) for node in nodes for _ in range(2)}
    assert len(ran) == 1 and _idle(nodes, name) == [0, 0, 1]

    client.put_provisioned_concurrency_config(**wish, ProvisionedConcurrentExecutions=5)
    until(lambda: _idle(nodes, name) == [1, 2, 2], 60, "five, divided")
    client.delete_provisioned_concurrency_config(**wish)


def _idle(nodes: list[RigNode], name: str) -> list[int]:
    return sorted(workers(node, name).get("idle", 0) for node in nodes)


def _known(cloud: Cloud, node: RigNode, wish: dict[str, str]) -> bool:
    try:
        cloud.client("lambda", node).get_provisioned_concurrency_config(**wish)
    except ClientError:
        return False
    return True


def _ran(cloud: Cloud, node: RigNode, wish: dict[str, str]) -> str:
    """The worker that ran it for ``node``: the stream of its lines."""
    return str(json.load(cloud.client("lambda", node).invoke(**wish)["Payload"]))
