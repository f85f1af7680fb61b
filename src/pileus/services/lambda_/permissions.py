"""Resource policies of functions and layers.

https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
A policy is kept as its list of statements, per function and qualifier; each statement names the
exact (qualified) ARN it is about, as AWS writes them.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.principals import root_arn
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.names import (
    LATEST,
    FunctionName,
    LayerName,
    called_function,
    conflict,
    invalid,
    layer_name,
    not_found,
    precondition_failed,
    validation,
)
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft

_SID = re.compile(r"[a-zA-Z0-9-_]{1,100}")
_ACTION = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+|[*]")
_POLICY_BYTES_MAX = 20 * 1024


async def add_permission(room: Room, call: Call) -> dict[str, Any]:
    """Add one statement to the policy of the function, version or alias."""
    params = call.params
    name = called_function(call)
    if name.qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    statement = _statement(name, params)
    room.addressed(name)
    key = rows.of_qualifier("p", name, name.qualifier)
    revision = rows.new_id(room.clock)

    def change(draft: Draft) -> None:
        policy = draft.get_json(key) or {"statements": [], "revision": _revision(draft, name)}
        _check_revision(policy, params.get("RevisionId"))
        if any(s["Sid"] == statement["Sid"] for s in policy["statements"]):
            raise _taken(statement["Sid"])
        policy = {"statements": [*policy["statements"], statement], "revision": revision}
        if len(orjson.dumps(policy)) > _POLICY_BYTES_MAX:
            raise invalid("The final policy size is bigger than the limit (20480).")
        draft.put_json(key, policy)

    await room.store.transact(change, call.invocation_id)
    return {"Statement": orjson.dumps(statement).decode()}


async def remove_permission(room: Room, call: Call) -> None:
    params = call.params
    name = called_function(call)
    if room.store.get(rows.function(name)) is None:
        raise not_found(f"No policy found for: {name.qualified_arn}")
    room.addressed(name)
    key = rows.of_qualifier("p", name, name.qualifier)
    revision = rows.new_id(room.clock)

    def change(draft: Draft) -> None:
        policy = draft.get_json(key)
        if policy is None:
            raise not_found("No policy is associated with the given resource.")
        _check_revision(policy, params.get("RevisionId"))
        kept = [s for s in policy["statements"] if s["Sid"] != params["StatementId"]]
        if len(kept) == len(policy["statements"]):
            raise not_found(f"Statement {params['StatementId']} is not found in resource policy.")
        if kept:
            draft.put_json(key, {"statements": kept, "revision": revision})
        else:
            draft.delete(key)

    await room.store.transact(change, call.invocation_id)


def get_policy(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    policy = room.store.get_json(rows.of_qualifier("p", name, name.qualifier))
    if policy is None:
        raise not_found("The resource you requested does not exist.")
    text = orjson.dumps(document(policy["statements"])).decode()
    return {"Policy": text, "RevisionId": policy["revision"]}


def document(statements: list[Record]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Id": "default", "Statement": statements}


def resource_policy(room: Room, name: FunctionName) -> dict[str, Any] | None:
    """The policy that decides calls on this function or qualifier, or None."""
    policy = room.store.get_json(rows.of_qualifier("p", name, name.qualifier))
    return document(policy["statements"]) if policy else None


def _revision(draft: Draft, name: FunctionName) -> str:
    """What tells the state of a function, version or alias that has no policy yet."""
    if not name.qualifier:
        found = draft.get_json(rows.function(name))
    elif name.qualifier.isdigit():
        found = draft.get_json(rows.version(name, name.qualifier))
    else:
        found = draft.get_json(rows.of_qualifier("a", name, name.qualifier))
    return str(found["revision"]) if found else ""


def _check_revision(policy: Record, wanted: str | None) -> None:
    if wanted and wanted != policy["revision"]:
        raise precondition_failed("GetPolicy")


def _statement(name: FunctionName, params: dict[str, Any]) -> Record:
    sid, action, principal = params["StatementId"], params["Action"], params["Principal"]
    if not _SID.fullmatch(sid):
        raise validation(sid, "statementId", "([a-zA-Z0-9-_]+)")
    if not _ACTION.fullmatch(action):
        raise validation(action, "action", r"(lambda:[*]|lambda:[a-zA-Z]+|[*])")
    statement: Record = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": _principal(principal),
        "Action": action,
        "Resource": name.qualified_arn,
    }
    conditions: dict[str, dict[str, Any]] = {}
    for member, operator, key in (
        ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
        ("SourceArn", "ArnLike", "AWS:SourceArn"),
        ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
        ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
        ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
    ):
        if params.get(member):
            conditions.setdefault(operator, {})[key] = params[member]
    if params.get("InvokedViaFunctionUrl") is not None:
        flag = str(params["InvokedViaFunctionUrl"]).lower()
        conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": flag}
    return statement | ({"Condition": conditions} if conditions else {})


def _principal(text: str) -> Any:
    if text == "*":
        return "*"
    if re.fullmatch(r"\d{12}", text):
        return {"AWS": root_arn(text)}
    if re.fullmatch(r"arn:aws[a-zA-Z-]*:(iam|sts)::.+", text):
        return {"AWS": text}
    if re.fullmatch(r"[a-zA-Z0-9.-]+\.amazonaws\.com(\.cn)?", text):
        return {"Service": text}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def _taken(statement_id: str) -> AwsError:
    return conflict(
        f"The statement id ({statement_id}) provided already exists. Please provide a new"
        " statement id, or remove the existing statement."
    )


# -- layers ------------------------------------------------------------------------------------


async def add_layer_version_permission(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    name, number = layer_name(call, params["LayerName"]), params["VersionNumber"]
    statement = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(params["Principal"]),
        "Action": params["Action"],
        "Resource": name.version_arn(number),
    }
    if params["Action"] != "lambda:GetLayerVersion":
        raise validation(params["Action"], "action", "lambda:GetLayerVersion")
    if params.get("OrganizationId"):
        organization = {"aws:PrincipalOrgID": params["OrganizationId"]}
        statement["Condition"] = {"StringEquals": organization}
    revision = rows.new_id(room.clock)

    def change(draft: Draft) -> None:
        version = draft.get_json(rows.layer_version(name, number))
        if version is None:
            raise _no_version(name, number)
        _check_layer_revision(version, params.get("RevisionId"))
        if any(s["Sid"] == statement["Sid"] for s in version["policy"]):
            raise _taken(statement["Sid"])
        version["policy"].append(statement)
        draft.put_json(rows.layer_version(name, number), {**version, "revision": revision})

    await room.store.transact(change, call.invocation_id)
    return {"Statement": orjson.dumps(statement).decode(), "RevisionId": revision}


async def remove_layer_version_permission(room: Room, call: Call) -> None:
    params = call.params
    name, number = layer_name(call, params["LayerName"]), params["VersionNumber"]
    revision = rows.new_id(room.clock)

    def change(draft: Draft) -> None:
        version = draft.get_json(rows.layer_version(name, number))
        if version is None:
            raise _no_version(name, number)
        _check_layer_revision(version, params.get("RevisionId"))
        kept = [s for s in version["policy"] if s["Sid"] != params["StatementId"]]
        if len(kept) == len(version["policy"]):
            raise not_found(f"Statement {params['StatementId']} is not found in resource policy.")
        draft.put_json(
            rows.layer_version(name, number), {**version, "policy": kept, "revision": revision}
        )

    await room.store.transact(change, call.invocation_id)


def get_layer_version_policy(room: Room, call: Call) -> dict[str, Any]:
    name = layer_name(call, call.params["LayerName"])
    version = room.store.get_json(rows.layer_version(name, call.params["VersionNumber"]))
    if version is None:
        raise _no_version(name, call.params["VersionNumber"])
    if not version["policy"]:
        raise not_found("No policy is associated with the given resource.")
    text = orjson.dumps(document(version["policy"])).decode()
    return {"Policy": text, "RevisionId": version["revision"]}


def _no_version(name: LayerName, number: int) -> AwsError:
    return not_found(f"Layer version {name.version_arn(number)} does not exist.")


def _check_layer_revision(version: Record, wanted: str | None) -> None:
    if wanted and wanted != version.get("revision"):
        raise precondition_failed("GetLayerPolicy")
