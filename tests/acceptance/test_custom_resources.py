"""What a stack waits for outlives its processes: the request, and its answer (H8, S6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Cloud
from tests.services.cloudformation.test_custom_resources import Provider, put
from tests.services.cloudformation.test_stacks import outputs, settle
from tests.services.cloudformation.test_wait_conditions import handle, signal, template
from tests.soak.kill import kill_all


def answer(event: dict[str, Any], physical_id: str) -> str:
    told = {n: event[n] for n in ("StackId", "RequestId", "LogicalResourceId")}
    return json.dumps(told | {"Status": "SUCCESS", "PhysicalResourceId": physical_id})


@pytest.mark.timeout(400)
def test_a_wait_and_an_answer_outlive_a_kill(own_cloud: Cloud) -> None:
    """kill -9 to all processes: once while nobody has answered, once right after the answer was
    acknowledged. The address stays good, and nothing is asked under a second id."""
    provider = Provider(own_cloud, "provider")
    cfn = own_cloud.client("cloudformation")
    body = provider.template(Silent=["Create"])
    waiting = cfn.create_stack(StackName="waiting", TemplateBody=body)["StackId"]
    answered = cfn.create_stack(StackName="answered", TemplateBody=body)["StackId"]
    first, second = provider.asked(waiting, 1)[0], provider.asked(answered, 1)[0]
    assert put(own_cloud, second["ResponseURL"], answer(second, "before")) == 200
    kill_all(own_cloud)
    own_cloud.up()
    settle(cfn, "answered", "create")
    assert outputs(cfn, "answered") == {"Ref": "before"}
    assert cfn.describe_stacks(StackName="waiting")["Stacks"][0]["StackStatus"] == (
        "CREATE_IN_PROGRESS"
    )
    assert put(own_cloud, first["ResponseURL"], answer(first, "after")) == 200
    settle(cfn, "waiting", "create")
    assert outputs(cfn, "waiting") == {"Ref": "after"}
    for stack in (waiting, answered):
        cfn.delete_stack(StackName=stack)
        settle(cfn, stack, "delete")
        events = {e["RequestId"]: e["RequestType"] for e in provider.asked(stack)}
        assert sorted(events.values()) == ["Create", "Delete"]


@pytest.mark.timeout(400)
def test_a_deletion_that_stopped_a_creation_outlives_a_kill(own_cloud: Cloud) -> None:
    """kill -9 while the deletion waits for its own answer: it goes on with the same request."""
    provider = Provider(own_cloud, "provider")
    cfn = own_cloud.client("cloudformation")
    body = provider.template(Silent=["Create", "Delete"])
    stack = cfn.create_stack(StackName="stopped", TemplateBody=body)["StackId"]
    provider.asked(stack, 1)
    cfn.delete_stack(StackName="stopped")
    asked = provider.asked(stack, 2)[1]
    kill_all(own_cloud)
    own_cloud.up()
    assert cfn.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "DELETE_IN_PROGRESS"
    gone = answer(asked, asked["PhysicalResourceId"])
    assert put(own_cloud, asked["ResponseURL"], gone) == 200
    settle(cfn, stack, "delete")
    events = {e["RequestId"]: e["RequestType"] for e in provider.asked(stack)}
    assert sorted(events.values()) == ["Create", "Delete"]


@pytest.mark.timeout(400)
def test_a_signal_outlives_a_kill(own_cloud: Cloud) -> None:
    """kill -9 after the first of two signals was acknowledged; the address stays good."""
    cfn = own_cloud.client("cloudformation")
    cfn.create_stack(StackName="waits", TemplateBody=template(Count=2))
    address = handle(cfn, "waits")
    assert signal(address, "a", data="before") == 200
    kill_all(own_cloud)
    own_cloud.up()
    assert signal(address, "b", data="after") == 200
    settle(cfn, "waits", "create")
    assert json.loads(outputs(cfn, "waits")["Data"]) == {"a": "before", "b": "after"}
