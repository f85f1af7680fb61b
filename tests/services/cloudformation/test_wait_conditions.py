"""Wait conditions: a stack waits until others have signalled at an address (H8).

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-waitcondition.html
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.services.cloudformation.test_stacks import outputs, settle


def template(**properties: Any) -> str:
    told = {"Handle": {"Ref": "Handle"}, "Timeout": "600"} | properties
    resources = {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Wait": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": told},
    }
    shown = {"Data": {"Value": {"Fn::GetAtt": ["Wait", "Data"]}}}
    return json.dumps({"Resources": resources, "Outputs": shown})


def handle(cfn: Any, name: str) -> str:
    """The address, as soon as it is made."""
    while True:
        told = cfn.describe_stack_resources(StackName=name)["StackResources"]
        for resource in told:
            if resource["LogicalResourceId"] == "Handle" and resource.get("PhysicalResourceId"):
                return str(resource["PhysicalResourceId"])
        time.sleep(0.1)


def signal(address: str, id_: str, status: str = "SUCCESS", data: str = "") -> int:
    told = {"Status": status, "UniqueId": id_, "Reason": "as told", "Data": data}
    return put(address, json.dumps(told))


def put(address: str, body: str) -> int:
    asked = urllib.request.Request(address, body.encode(), {"content-type": ""}, method="PUT")
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def reason(cfn: Any, name: str) -> str:
    """Why the condition failed, once its stack is rolled back."""
    with pytest.raises(WaiterError):
        settle(cfn, name, "create")
    told = cfn.describe_stack_events(StackName=name)["StackEvents"]
    assert told[0]["ResourceStatus"] == "ROLLBACK_COMPLETE"
    failed = (e for e in told if e["ResourceStatus"] == "CREATE_FAILED")
    return str(next(e["ResourceStatusReason"] for e in failed if e["LogicalResourceId"] == "Wait"))


def test_as_many_signals_as_are_counted(cfn: Any, name: str) -> None:
    """Each id counts once, with what was told first; what is no signal counts nothing."""
    stack = cfn.create_stack(StackName=name, TemplateBody=template(Count=2))["StackId"]
    address = handle(cfn, name)
    assert put(address, "no JSON") == put(address, '{"Status": "SUCCESS"}') == 400
    assert signal(address.replace("Signature=", "Signature=0"), "a") == 403
    assert [signal(address, "a", data="first"), signal(address, "a", data="again")] == [200, 200]
    status = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    assert status == "CREATE_IN_PROGRESS"
    assert signal(address, "b", data="second") == 200
    settle(cfn, name, "create")
    assert json.loads(outputs(cfn, name)["Data"]) == {"a": "first", "b": "second"}
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
    assert signal(address, "c") == 403


def test_a_failure_is_told(cfn: Any, name: str) -> None:
    cfn.create_stack(StackName=name, TemplateBody=template(Count=5))
    assert signal(handle(cfn, name), "it", "FAILURE") == 200
    told = "WaitCondition received failed message: 'as told' for uniqueId: it"
    assert reason(cfn, name) == told


def test_time_runs_out(cfn: Any, name: str) -> None:
    cfn.create_stack(StackName=name, TemplateBody=template(Timeout=1))
    told = "WaitCondition timed out. Received 0 conditions when expecting 1"
    assert reason(cfn, name) == told


def test_a_stack_that_waits_is_deleted(cfn: Any, name: str) -> None:
    stack = cfn.create_stack(StackName=name, TemplateBody=template())["StackId"]
    handle(cfn, name)
    cfn.delete_stack(StackName=name)
    settle(cfn, stack, "delete")
