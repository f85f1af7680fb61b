"""Where functions run on three nodes: provisioned workers divided, full nodes relieved, those
without a runtime passed over, streams of lost nodes ended (F2, C1)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import itertools
import json
import os
import signal
import socket
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from lab.rig import RigNode, until
from pileus.errors import Unavailable
from pileus.nodes.beats import view
from pileus.runtime.client import Runtime
from tests.acceptance.functions import make_function, make_role
from tests.acceptance.grown import FUNCTIONS_MAX
from tests.acceptance.nodes import PATIENT, At, Cloud, make_table
from tests.waiting import wait

NAPS = (
    "import time\ndef handler(event, context):\n"
    "    time.sleep(event or 0)\n    return context.log_stream_name\n"
)
MANY = round(0.9 * FUNCTIONS_MAX)  # enough to be busy, too few to be full


def workers(node: RigNode, name: str) -> dict[str, int]:
    """What the node's runtime has of a function, by what it does; nothing while it starts."""

    async def ask() -> dict[str, Any]:
        client = Runtime(node.home / "run" / "runtime.sock")
        try:
            return await client.stats()
        except Unavailable:  # killed by a test before this one, perhaps
            return {}
        finally:
            await client.close()

    functions = asyncio.run(ask()).get("functions", {})
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


def _runs(node: RigNode, name: str) -> bool:
    """Whether it has a worker of the function: one that was only asked has none."""
    return any(workers(node, name).values())


def _idle(nodes: list[RigNode], name: str) -> list[int]:
    return sorted(workers(node, name).get("idle", 0) for node in nodes)


def _known(cloud: Cloud, node: RigNode, wish: dict[str, str]) -> bool:
    """And knows that its one worker is ready, wherever that is."""
    try:
        told = cloud.client("lambda", node).get_provisioned_concurrency_config(**wish)
    except ClientError:
        return False
    return bool(told["Status"] == "READY")


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
        until(lambda: any(_runs(n, name) for n in nodes[1:]), 90, "others run some of it")


def _told_busy(asked: RigNode) -> bool:
    judged = view(asked.home / "run" / "nodes.json")
    return "n1" in judged and judged["n1"].workers >= 0.9


@contextlib.contextmanager
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


def test_a_node_without_a_runtime_has_the_others_run_it(three_nodes: Cloud) -> None:
    """Nothing is asked twice by the client."""
    nodes = three_nodes.rig.nodes[:3]
    first = At(three_nodes, nodes[0])
    name = make_function(first, make_role(first), NAPS)
    client = three_nodes.client("lambda", nodes[0], PATIENT)
    here = json.load(first.client("lambda").invoke(FunctionName=name)["Payload"])
    with no_runtime(nodes[0]):
        until(lambda: _answer(client, name), 60, "others run it")
        assert {here, ""}.isdisjoint(_answer(client, name) for _ in range(6))
    until(lambda: _has_runtime(nodes[0]), 60, "its runtime is back")


def _answer(client: Any, name: str) -> str:
    try:
        return str(json.load(client.invoke(FunctionName=name)["Payload"]))
    except ClientError as error:
        print("refused:", error)
        return ""


@contextlib.contextmanager
def no_runtime(node: RigNode) -> Iterator[None]:
    """Its runtime ends, and none can begin: this process holds the lock it needs."""
    fd = os.open(node.home / "run" / "runtime.lock", os.O_RDWR | os.O_CLOEXEC)

    def taken() -> bool:
        with contextlib.suppress(OSError):  # none listens, or it ends just now
            os.kill(_listening(node), signal.SIGKILL)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        until(taken, 60, "it is away")
        yield
    finally:
        os.close(fd)


def _listening(node: RigNode) -> int:
    """The process that answers at the runtime's socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(node.home / "run" / "runtime.sock"))
        return int(struct.unpack("iii", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def _has_runtime(node: RigNode) -> bool:
    try:
        workers(node, "any")
    except Unavailable:
        return False
    return True


COUNTS = """
import time
import boto3
table = boto3.resource("dynamodb").Table("TABLE")

def handler(event, context):
    how = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": 1}}
    table.update_item(Key={"k": event}, **how)
    time.sleep(0.3)
    return event
"""
CALLERS, KILLS = 4, 9


def test_no_call_runs_twice_while_runtimes_are_killed(three_nodes: Cloud) -> None:
    """A node gives a call to one worker at most, whatever ends in between; who asks does not
    repeat. What did not begin is run all the same."""
    nodes = three_nodes.rig.nodes[:3]
    first = At(three_nodes, nodes[0])
    dynamodb, table = first.client("dynamodb"), "counted"
    make_table(dynamodb, table)
    wait(dynamodb, "table_exists", TableName=table)
    may = {"Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": "*"}
    name = make_function(first, make_role(first, may), COUNTS.replace("TABLE", table))
    client = three_nodes.client("lambda", nodes[0], PATIENT)
    until(lambda: _invoked(client, name, "warm"), 60, "it runs")
    answered: list[str] = []
    refused: list[str] = []
    stop = threading.Event()

    def call(caller: int) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            key = f"{caller}-{number}"
            (answered if _invoked(client, name, key) else refused).append(key)

    callers = [threading.Thread(target=call, args=(n,)) for n in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for kill in range(KILLS):
            before = len(answered)
            until(lambda b=before: len(answered) > b + CALLERS, 60, "calls are answered")  # type: ignore[misc]
            with contextlib.suppress(OSError):  # it is starting
                os.kill(_listening(nodes[kill % 3]), signal.SIGKILL)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    counts = {item["k"]["S"]: int(item["n"]["N"]) for page in pages for item in page["Items"]}
    print(f"{len(answered)} answered, {len(refused)} refused,",
          f"{len(set(refused) & set(counts))} of them had begun")  # fmt: skip
    assert not [key for key, count in counts.items() if count != 1 and key != "warm"]
    assert set(answered) <= set(counts)


def _invoked(client: Any, name: str, key: str) -> bool:
    try:
        told = client.invoke(FunctionName=name, Payload=json.dumps(key).encode())
    except (ClientError, BotoCoreError) as error:
        print("refused:", error)
        return False
    return "FunctionError" not in told and json.load(told["Payload"]) == key


STREAMS = """
exports.handler = awslambda.streamifyResponse(async (event, out) => {
  out.write('first');
  await new Promise((resolve) => setTimeout(resolve, event.ms));
  out.end('last');
});
"""


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_stream_of_a_node_that_is_lost_ends(three_nodes: Cloud, fault: str) -> None:
    """Relayed as it is written; then its node is silent, or gone."""
    nodes = three_nodes.rig.nodes[:3]
    first = At(three_nodes, nodes[0])
    name, client = f"streams-{fault}", first.client("lambda")
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("index.js", STREAMS)
    client.create_function(
        FunctionName=name, Runtime="nodejs22.x", Role=make_role(first), Handler="index.handler",
        Code={"ZipFile": held.getvalue()}, Timeout=120,
    )  # fmt: skip
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    for node in nodes:
        until(lambda n=node: _reserved(three_nodes, n, name), 60, "the node knows it")  # type: ignore[misc]
    assert _streamed(three_nodes, nodes[0], name, 0) == (b"firstlast", {})
    (runs,) = [node for node in nodes if _runs(node, name)]
    asked = next(node for node in nodes if node is not runs)
    assert _streamed(three_nodes, asked, name, 0) == (b"firstlast", {})
    assert not _runs(asked, name)

    def lose() -> None:
        getattr(runs, fault)()

    told, end = _streamed(three_nodes, asked, name, 100_000, lose)
    assert told == b"first" and end["ErrorCode"] == "ServiceException", (told, end)


def _reserved(cloud: Cloud, node: RigNode, name: str) -> bool:
    try:
        told = cloud.client("lambda", node).get_function_concurrency(FunctionName=name)
    except ClientError:
        return False
    return "ReservedConcurrentExecutions" in told


def _streamed(
    cloud: Cloud, node: RigNode, name: str, ms: int, at_first: Callable[[], None] | None = None
) -> tuple[bytes, dict[str, str]]:
    """A streamed answer, and what is told at its end. ``at_first``: to be done amid it."""
    client = cloud.client("lambda", node, PATIENT)
    payload = json.dumps({"ms": ms}).encode()
    told, end = b"", {}
    stream = client.invoke_with_response_stream(FunctionName=name, Payload=payload)["EventStream"]
    for event in stream:
        if "PayloadChunk" in event:
            if at_first is not None and not told:
                at_first()
            told += event["PayloadChunk"]["Payload"]
        else:
            end = event["InvokeComplete"]
    return told, end
