"""What a stack waits for is waited for by another node when one dies, and answered at any (H8,
C2)."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from lab.rig import RigNode, until
from tests.acceptance.nodes import PATIENT, Cloud, log_leader
from tests.services.cloudformation.test_custom_resources import Provider, put
from tests.services.cloudformation.test_stacks import outputs, settle


class At:
    """The cloud as one of its nodes shows it."""

    def __init__(self, cloud: Cloud, node: RigNode) -> None:
        self.cloud, self.node = cloud, node

    def client(self, service: str) -> Any:
        return self.cloud.client(service, self.node, PATIENT)


@pytest.mark.timeout(400)
def test_a_wait_goes_on_at_another_node(three_nodes: Cloud) -> None:
    nodes = three_nodes.rig.nodes[:3]
    name = f"n{uuid.uuid4().hex[:10]}"
    lost = next(n for n in nodes if n.name == log_leader(nodes[0]))
    asked, told = (n for n in nodes if n is not lost)
    at: Any = At(three_nodes, asked)
    provider, cfn = Provider(at, name), at.client("cloudformation")
    body = provider.template(Silent=["Create"])
    stack = cfn.create_stack(StackName=name, TemplateBody=body)["StackId"]
    event = provider.asked(stack, 1)[0]
    lost.kill()
    answer = {n: event[n] for n in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": "told elsewhere"}
    door: Any = told
    address, text = event["ResponseURL"], json.dumps(answer)
    until(lambda: put(door, address, text) == 200, 60, "a node that takes the answer")
    settle(cfn, name, "create")
    assert outputs(cfn, name) == {"Ref": "told elsewhere"}
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
    lost.switch_on()
