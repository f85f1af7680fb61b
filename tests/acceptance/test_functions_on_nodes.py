"""Where functions run on three nodes: provisioned workers divided, full nodes relieved (F2, C1)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lab.rig import RigNode, until
from pileus.nodes.beats import view
from pileus.runtime.client import Runtime
from tests.acceptance.functions import make_function, make_role
from tests.acceptance.grown import FUNCTIONS_MAX
from tests.acceptance.nodes import PATIENT, At, Cloud

NAPS = (
    "import time\ndef handler(event, context):\n"
    "    time.sleep(event or 0)\n    return context.log_stream_name\n"
)
MANY = round(0.9 * FUNCTIONS_MAX)  # enough to be busy, too few to be full


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
    name = make_function(first, make_role(first), NAPS, Publish=True)
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


def test_a_node_with_few_workers_left_asks_another(three_nodes: Cloud) -> None:
    """All nodes share this machine's processors: what tells them apart is what each one runs."""
    nodes = three_nodes.rig.nodes[:3]
    first = At(three_nodes, nodes[0])
    name = make_function(first, make_role(first), NAPS)
    with kept_busy(three_nodes, nodes[0], name):
        until(lambda: _told_busy(nodes[1]), 60, "the others hear that it is busy")
        until(lambda: any(workers(n, name) for n in nodes[1:]), 90, "others run some of it")


def _told_busy(asked: RigNode) -> bool:
    judged = view(asked.home / "run" / "nodes.json")
    return "n1" in judged and judged["n1"].workers >= 0.9


@contextmanager
def kept_busy(cloud: Cloud, node: RigNode, name: str) -> Iterator[None]:
    """As many callers of one node as make it busy, and none more."""
    stop = threading.Event()
    client = cloud.client("lambda", node, PATIENT)

    def call() -> None:
        while not stop.is_set():
            try:
                client.invoke(FunctionName=name, Payload=b"3")
            except (BotoCoreError, ClientError) as error:
                print("asked again:", error)
                stop.wait(0.5)

    callers = [threading.Thread(target=call) for _ in range(MANY)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        stop.set()
        for caller in callers:
            caller.join()
