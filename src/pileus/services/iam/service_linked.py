"""Roles that belong to a service.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html
"""

from __future__ import annotations

import json
import re
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import roles, rows

Record = dict[str, Any]
SERVICE = re.compile(r"[a-z0-9.-]{1,100}\.amazonaws\.com")
SUFFIX = re.compile(r"[\w+=,.@-]{1,64}")
# Services whose role AWS spells in its own way; others are spelt from the service's name.
SPELLED = {
    "ops.apigateway.amazonaws.com": "APIGateway",
    "replication.dynamodb.amazonaws.com": "DynamoDBReplication",
    "dynamodb.application-autoscaling.amazonaws.com": "ApplicationAutoScaling_DynamoDBTable",
    "lambda.application-autoscaling.amazonaws.com": "ApplicationAutoScaling_LambdaConcurrency",
    "lambda.amazonaws.com": "Lambda",
    "elasticloadbalancing.amazonaws.com": "ElasticLoadBalancing",
    "autoscaling.amazonaws.com": "AutoScaling",
}


async def create_service_linked_role(parts: Parts, call: Call) -> Record:
    p = call.params
    service = p["AWSServiceName"]
    if not SERVICE.fullmatch(service):
        raise AwsError("InvalidInput", f"AWSServiceName {service} is not a valid service principal")
    spelled = SPELLED.get(service) or "".join(
        w.capitalize() for w in re.split(r"[.-]", service.removesuffix(".amazonaws.com"))
    )
    name = f"AWSServiceRoleFor{spelled}"
    if p.get("CustomSuffix"):
        if not SUFFIX.fullmatch(p["CustomSuffix"]):
            raise AwsError("InvalidInput", "The custom suffix is not valid")
        name = f"{name}_{p['CustomSuffix']}"
    statement = {
        "Effect": "Allow", "Principal": {"Service": [service]}, "Action": ["sts:AssumeRole"],
    }  # fmt: skip
    path = f"/aws-service-role/{service}/"
    role = {
        "name": rows.check_name(name, "roleName"),
        "path": path,
        "id": rows.unique_id("AROA", parts.clock.random_bytes(24)),
        "arn": f"arn:aws:iam::{call.account}:role{path}{name}",
        "created": parts.clock.now_ms(),
        "trust": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        "description": p.get("Description", ""),
        "session_s": 3600,
        "tags": {},
        "inline": {},
        "attached": [],
        "boundary": "",
    }

    def change(draft: Any) -> Record:
        if draft.get(rows.record_key(call.account, "role", name)) is not None:
            raise AwsError(
                "InvalidInput",
                f"Service role name {name} has been taken in this account, please try a different"
                " suffix.",
            )
        rows.put(draft, call.account, "role", role)
        return role

    role = await parts.store.transact(change, call.invocation_id)
    return {"Role": roles.shape(role)}


async def delete_service_linked_role(parts: Parts, call: Call) -> Record:
    """Gone when this answers; the task's status tells SUCCEEDED for a role that is not there."""
    name = call.params["RoleName"]

    def change(draft: Any) -> str:
        role = rows.find(draft, call.account, "role", name)
        if not role["path"].startswith("/aws-service-role/"):
            raise rows.missing("role", name)
        draft.delete(rows.record_key(call.account, "role", name))
        return f"task{role['path']}{role['name']}/{role['id']}"

    return {"DeletionTaskId": await parts.store.transact(change, call.invocation_id)}


def get_deletion_status(parts: Parts, call: Call) -> Record:
    task = call.params["DeletionTaskId"]
    pieces = task.split("/")
    if len(pieces) != 5 or pieces[:2] != ["task", "aws-service-role"]:
        raise AwsError("NoSuchEntity", f"Deletion task {task} cannot be found.", 404)
    left = parts.store.get_json(rows.record_key(call.account, "role", pieces[3]))
    gone = left is None or left["id"] != pieces[4]
    return {"Status": "SUCCEEDED" if gone else "FAILED"}


OPERATIONS = {
    "CreateServiceLinkedRole": create_service_linked_role,
    "DeleteServiceLinkedRole": delete_service_linked_role,
    "GetServiceLinkedRoleDeletionStatus": get_deletion_status,
}
