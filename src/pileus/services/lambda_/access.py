"""Which permissions each operation needs, on which ARN, with which resource policy.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Access, Call
from pileus.services.lambda_ import mappings, rows
from pileus.services.lambda_.invoke import name_of
from pileus.services.lambda_.names import FunctionName, function_name, layer_name
from pileus.services.lambda_.permissions import resource_policy
from pileus.services.lambda_.room import Room
from pileus.services.lambda_.targets import Targets

UNBOUND = ("ListFunctions", "ListLayers", "GetAccountSettings", "ListLayerVersions")
ACTION = {
    "Invoke": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
    "GetLayerVersionByArn": "GetLayerVersion",
}
CONDITION_MEMBERS = {
    "AuthType": "lambda:FunctionUrlAuthType",
    "Principal": "lambda:Principal",
    "CodeSigningConfigArn": "lambda:CodeSigningConfigArn",
}
Found = list[Access]


class AccessRules:
    """Bound to the room: resource policies are read from the store or the invocation cache."""

    def __init__(self, room: Room, targets: Targets) -> None:
        self._room = room
        self._targets = targets

    def __call__(self, call: Call) -> Found:
        operation = call.operation
        if operation in ("Invoke", "InvokeAsync", "InvokeFunctionUrl", "InvokeWithResponseStream"):
            return self._invoke(call)
        if operation in UNBOUND:
            return [Access(f"lambda:{operation}", "*")]
        if "EventSourceMapping" in operation:
            return [self._mapping(call)]
        if "Layer" in operation:
            return [self._layer(call)]
        if "Resource" in call.params:
            name = function_name(call, call.params["Resource"])
        elif "FunctionName" in call.params:
            qualifier = call.params.get("Qualifier")
            name = function_name(call, call.params["FunctionName"], qualifier)
        else:
            return [Access(f"lambda:{operation}", "*")]
        return [self._function(call, name), *_pass_role(call)]

    def _invoke(self, call: Call) -> Found:
        name = name_of(call)
        call.scratch = name
        try:
            policy = self._targets.find(name).policy
        except AwsError:  # not there: who may call learns that from the operation
            policy = None
        actions, context = [ACTION.get(call.operation, call.operation)], {}
        if call.operation == "InvokeFunctionUrl":
            context = {
                "lambda:FunctionUrlAuthType": call.params["AuthType"],
                "lambda:InvokedViaFunctionUrl": "true",
            }
            if call.params["Both"]:  # an address made under the rule of October 2025
                actions.append("InvokeFunction")
        told = name.qualified_arn, policy, name.account, context
        return [Access(f"lambda:{action}", *told) for action in actions]

    def _function(self, call: Call, name: FunctionName) -> Access:
        params = call.params
        context: dict[str, Any] = {
            key: params[member] for member, key in CONDITION_MEMBERS.items() if params.get(member)
        }
        if params.get("Layers"):
            context["lambda:Layer"] = params["Layers"]
        tags = params.get("Tags") or {}
        if tags:
            context |= {f"aws:RequestTag/{key}": value for key, value in tags.items()}
            context["aws:TagKeys"] = list(tags)
        elif params.get("TagKeys"):
            context["aws:TagKeys"] = params["TagKeys"]
        record = self._room.store.get_json(rows.function(name))
        for key, value in (record or {"tags": {}})["tags"].items():
            context[f"aws:ResourceTag/{key}"] = value
        action = ACTION.get(call.operation, call.operation)
        policy = resource_policy(self._room, name) if record else None
        return Access(f"lambda:{action}", name.qualified_arn, policy, name.account, context)

    def _mapping(self, call: Call) -> Access:
        """Conditions may ask for the function (``lambda:FunctionArn``)."""
        params, partition = call.params, call.place
        resource, record = "*", None
        if params.get("UUID"):
            resource = mappings.mapping_arn(partition, params["UUID"])
            record = self._room.store.get_json(mappings.mapping_key(partition, params["UUID"]))
        context = {}
        if params.get("FunctionName"):
            context["lambda:FunctionArn"] = function_name(call, params["FunctionName"]).arn
        elif record is not None:
            context["lambda:FunctionArn"] = mappings.function_of(record).arn
        return Access(f"lambda:{call.operation}", resource, context=context)

    def _layer(self, call: Call) -> Access:
        name = layer_name(call, call.params.get("LayerName") or call.params.get("Arn") or "")
        number = call.params.get("VersionNumber") or name.version
        action = ACTION.get(call.operation, call.operation)
        if not number:
            return Access(f"lambda:{action}", name.arn, None, name.account)
        version = self._room.store.get_json(rows.layer_version(name, number))
        statements = version["policy"] if version else []
        policy = {"Version": "2012-10-17", "Statement": statements} if statements else None
        return Access(f"lambda:{action}", name.version_arn(number), policy, name.account)


def _pass_role(call: Call) -> Found:
    role = call.params.get("Role")
    if not role:
        return []
    context = {"iam:PassedToService": "lambda.amazonaws.com"}
    return [Access("iam:PassRole", role, context=context)]
