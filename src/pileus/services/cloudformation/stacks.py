"""CreateStack, UpdateStack, DeleteStack and how an operation is recorded.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from pileus.errors import AwsError, Unavailable
from pileus.services import from_bucket
from pileus.services.call import Call, Parts, Principal
from pileus.services.cloudformation import parameters, rows, rules, template
from pileus.services.cloudformation.intrinsics import check_references, dependencies
from pileus.services.cloudformation.template import invalid
from pileus.services.sessions import session_principal

SERVICE = "cloudformation.amazonaws.com"
FETCHED_MAX = 10  # names in one GetParameters
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
BUSY = "_IN_PROGRESS"
# In which a deletion takes the place of what is under way.
DELETABLE = ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "REVIEW_IN_PROGRESS")
# From which a stack is brought by a rollback or a deletion, not by an update.
FIXED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
# Left as it failed: an update goes on from there, if it leaves what fails as well.
LEFT = ("CREATE_FAILED", "UPDATE_FAILED")
Record = dict[str, Any]


async def read_template(parts: Parts, call: Call) -> Record | None:
    """TemplateBody, or TemplateURL read as the caller; None when neither is given."""
    p = call.params
    if "TemplateBody" in p:
        return template.parse(p["TemplateBody"])
    if "TemplateURL" not in p:
        return None
    match = re.search(r"https?://([^/]+)/(.+)", p["TemplateURL"])
    if match is None:
        raise invalid("TemplateURL must be a supported URL.")
    host, path = match[1], match[2].split("?")[0]
    bucket = host.split(".s3")[0] if ".s3" in host else ""
    if not bucket or bucket.startswith("s3"):
        bucket, _, path = path.partition("/")
    pieces = await from_bucket.opened(parts.dispatch, call, {"Bucket": bucket, "Key": path})
    data = b"".join([bytes(piece) async for piece in pieces])
    return template.parse(data.decode("utf-8", "replace"))


def acting(parts: Parts, call: Call, role: str) -> Principal:
    """In whose name resources are made: the stack's role, where it has one, else the caller."""
    if not role:
        return call.principal
    try:
        trusted = parts.credentials.trusted(role, SERVICE, {"aws:principalisawsservice": "true"})
    except AwsError as error:
        raise invalid(f"Role {role} is invalid or cannot be assumed") from error
    return session_principal(trusted, "AWSCloudFormation")


async def fetched(parts: Parts, call: Call, source: Record | None) -> dict[str, str]:
    """What the Parameter Store has under the names that parameters of its types give, by name."""
    stack = rows.find(parts.store, call.place, call.params["StackName"]) or {}
    if source is None:
        if not stack.get("source"):
            return {}
        source = template.parse(stack["source"])
    given, previous = call.params.get("Parameters", []), stack.get("parameters", {})
    wanted = parameters.stored(source, parameters.settle(source, given, previous))
    names = sorted(set(wanted.values()))
    principal = acting(parts, call, call.params.get("RoleARN") or stack.get("role", ""))
    out: dict[str, str] = {}
    for at in range(0, len(names), FETCHED_MAX):
        asked = {"Names": names[at : at + FETCHED_MAX]}
        told = await parts.dispatch(
            "ssm", "GetParameters", asked, principal=principal, region=call.region
        )
        out |= {p["Name"]: p["Value"] for p in told["Parameters"] if p["Type"] != "SecureString"}
    if absent := [n for n in names if n not in out]:
        raise invalid(
            f"Unable to fetch parameters [{','.join(absent)}] from parameter store for this"
            " account."
        )
    return out


class Prepared(NamedTuple):
    """A template made ready: expanded, its parameters' values as text, and of those that name
    something in the Parameter Store what is there."""

    expanded: Record
    values: dict[str, str]
    resolved: dict[str, str]


def prepared(
    call: Call, source: Record, previous: dict[str, str], store: Mapping[str, str]
) -> Prepared:
    """The template and its parameters, checked. ``store``: what was ``fetched`` for them."""
    values = parameters.settle(source, call.params.get("Parameters", []), previous)
    try:
        resolved = {n: store[told] for n, told in parameters.stored(source, values).items()}
    except KeyError as error:  # the stack was changed since they were fetched
        raise Unavailable("the stack's parameters have just been changed", "try again") from error
    rules.check(source, parameters.typed(source, values | resolved))
    expanded = template.expand(source, values | resolved, call.region)
    check_references(expanded)
    dependencies(expanded["Resources"])
    capabilities = set(call.params.get("Capabilities", []))
    direct = call.operation != "CreateChangeSet"  # a change set can be reviewed after expansion
    if direct and template.uses_sam(source) and "CAPABILITY_AUTO_EXPAND" not in capabilities:
        raise AwsError(
            "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_AUTO_EXPAND]"
        )
    _check_capabilities(expanded, capabilities)
    return Prepared(expanded, values, resolved)


def _check_capabilities(expanded: Record, capabilities: set[str]) -> None:
    naming = (
        *("RoleName", "UserName", "GroupName", "ManagedPolicyName"),
        "InstanceProfileName",
    )
    needed = ""
    for resource in expanded["Resources"].values():
        if resource["Type"].startswith("AWS::IAM::"):
            named = any(n in resource.get("Properties", {}) for n in naming)
            needed = "CAPABILITY_NAMED_IAM" if named or "NAMED" in needed else "CAPABILITY_IAM"
    enough = {"CAPABILITY_NAMED_IAM"} | (
        {"CAPABILITY_IAM"} if needed == "CAPABILITY_IAM" else set()
    )
    if needed and not capabilities & enough:
        raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")


def new_record(call: Call, stack_id: str, now_ms: int, status: str) -> Record:
    p = call.params
    return {
        "id": stack_id,
        "name": p["StackName"],
        "status": status,
        "reason": "",
        "created": now_ms,
        "updated": 0,
        "template": {"Resources": {}},
        "source": "",
        "parameters": {},
        "resolved": {},
        "outputs": [],
        "tags": p.get("Tags", []),
        "capabilities": p.get("Capabilities", []),
        "role": p.get("RoleARN", ""),
        "protected": bool(p.get("EnableTerminationProtection", False)),
        "rollback": True,
        "description": "",
    }


def work_record(parts: Parts, call: Call, kind: str, stack: Record, **more: Any) -> Record:
    """What the worker needs to carry an operation out, whoever asked for it."""
    return {
        "id": str(uuid.uuid4()),
        "kind": kind,
        "stack": stack["id"],
        "place": call.place,
        "principal": dataclasses.asdict(acting(parts, call, stack["role"])),
        **more,
    }


def check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    return name


def on_failure(call: Call, told: str = "") -> str:
    """What becomes of a stack whose creation fails. ``told``: what its change set says."""
    given = call.params.get("OnFailure") or told
    if given and "DisableRollback" in call.params:
        raise invalid("Either DisableRollback or OnFailure can be specified, not both.")
    return str(given) or ("DO_NOTHING" if call.params.get("DisableRollback") else "ROLLBACK")


def discarding(call: Call) -> Record:
    """Whether a rollback deletes what it made, whatever the template's policies say."""
    return {"discard": True} if call.params.get("RetainExceptOnCreate") else {}


async def create_stack(parts: Parts, call: Call) -> Record:
    name = check_name(call.params["StackName"])
    failure = on_failure(call)
    source = await read_template(parts, call)
    if source is None:
        raise invalid("Either Template URL or Template Body must be specified.")
    ready = prepared(call, source, {}, await fetched(parts, call, source))
    stack_id = rows.new_stack_id(call.region, call.account, name)

    def change(draft: Any) -> None:
        if rows.find(draft, call.place, name) is not None:
            raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")
        record = new_record(call, stack_id, draft.now_ms, "CREATE_IN_PROGRESS")
        record["rollback"] = failure != "DO_NOTHING"
        apply_template(record, call, source, ready)
        put_stack(draft, call.place, record)
        rows.put_event(draft, stack_id, rows.of_stack(record))
        work = work_record(parts, call, "CREATE", record, failure=failure, **discarding(call))
        draft.put_json(rows.work_key(stack_id), work)

    await parts.store.transact(change, call.invocation_id)
    return {"StackId": stack_id}


def put_stack(draft: Any, where: str, record: Record) -> None:
    draft.put_json(rows.name_key(where, record["name"]), {"id": record["id"]})
    draft.put_json(rows.stack_key(where, record["id"]), record)


def apply_template(record: Record, call: Call, source: Record, ready: Prepared) -> None:
    record |= {
        "template": ready.expanded,
        "source": call.params.get("TemplateBody") or json.dumps(source),
        "parameters": ready.values,
        "resolved": ready.resolved,
        "description": str(source.get("Description", "")),
        "capabilities": call.params.get("Capabilities", []),
    }
    if "Tags" in call.params:
        record["tags"] = call.params["Tags"]
    if call.params.get("RoleARN"):
        record["role"] = call.params["RoleARN"]


def check_changeable(stack: Record, call: Call) -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html"""
    status = stack["status"]
    if status.endswith(BUSY) or status in FIXED:
        raise invalid(f"Stack:{stack['id']} is in {status} state and can not be updated.")
    if status in LEFT and not call.params.get("DisableRollback"):
        raise invalid(
            f"This stack is currently in a non-terminal [{status}] state. To update the stack from"
            " this state, please use the disable-rollback parameter with update-stack API. To"
            " rollback to the last known good state, use the rollback-stack API"
        )


def unfinished(reader: Any, stack: Record) -> set[str]:
    """Of a stack that was left as it failed: resources that failed, or were not come to."""
    if stack["status"] not in LEFT:
        return set()
    made = rows.resources(reader, stack["id"])
    done = {n for n, r in made.items() if r["physical"] and r["status"].endswith("_COMPLETE")}
    return {*stack["template"]["Resources"], *made} - done


def _check_types(old: Record, new: Record, never: set[str]) -> None:
    """``never``: those that were not made may be of another type now."""
    both = new.keys() & old.keys() - never
    changed = [n for n in new if n in both and new[n]["Type"] != old[n]["Type"]]
    if changed:
        raise invalid(
            "Update of resource type is not permitted. The new template modifies resource type of"
            f" the following resources: [{', '.join(changed)}]"
        )


def template_of(stack: Record) -> Record:
    """What a rollback brings a stack back to."""
    told = {k: stack[k] for k in ("template", "parameters", "tags")}
    return told | {"resolved": stack.get("resolved", {})}


def start_update(
    parts: Parts, draft: Any, call: Call, stack: Record, source: Record, ready: Prepared
) -> None:
    """Record the update: the new template in the stack, the old one in the work row. None is there
    of a stack whose creation failed: it has no state to go back to."""
    made = rows.resources(draft, stack["id"])
    never = {n for n in unfinished(draft, stack) if not made.get(n, {}).get("physical")}
    _check_types(stack["template"]["Resources"], ready.expanded["Resources"], never)
    before = template_of(stack) if stack["status"] not in LEFT else stack.pop("stable", None)
    stack |= {"status": "UPDATE_IN_PROGRESS", "reason": "", "updated": draft.now_ms}
    apply_template(stack, call, source, ready)
    put_stack(draft, call.place, stack)
    rows.put_event(draft, stack["id"], rows.of_stack(stack))
    failure = "DO_NOTHING" if call.params.get("DisableRollback") else "ROLLBACK"
    more = {"before": before, "failure": failure, **discarding(call)}
    work = work_record(parts, call, "UPDATE", stack, **more)
    draft.put_json(rows.work_key(stack["id"]), work)


def is_same(stack: Record, ready: Prepared) -> bool:
    """Whether the stack has this template with these values."""
    have = (stack["template"], stack["parameters"], stack.get("resolved", {}))
    return have == tuple(ready)


async def update_stack(parts: Parts, call: Call) -> Record:
    given = await read_template(parts, call)
    store = await fetched(parts, call, given)
    answer: Record = {}

    def change(draft: Any) -> None:
        stack = rows.must_find(draft, call.place, call.params["StackName"])
        check_changeable(stack, call)
        source = given if given is not None else template.parse(stack["source"])
        ready = prepared(call, source, stack["parameters"], store)
        same_tags = call.params.get("Tags", stack["tags"]) == stack["tags"]
        if is_same(stack, ready) and same_tags and stack["status"] not in LEFT:
            raise invalid("No updates are to be performed.")
        start_update(parts, draft, call, stack, source, ready)
        answer["StackId"] = stack["id"]

    await parts.store.transact(change, call.invocation_id)
    return answer


async def delete_stack(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        stack = rows.find(draft, call.place, call.params["StackName"])
        if stack is None or stack["status"] == "DELETE_COMPLETE":
            return
        if stack["protected"]:
            raise invalid(
                f"Stack [{stack['name']}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack["status"] == "DELETE_IN_PROGRESS":
            return
        if stack["status"].endswith(BUSY) and stack["status"] not in DELETABLE:
            raise invalid(
                f"Stack [{stack['name']}] cannot be deleted while in status {stack['status']}"
            )
        stack |= {"status": "DELETE_IN_PROGRESS", "deleted": draft.now_ms}
        stack["role"] = call.params.get("RoleARN") or stack["role"]
        draft.put_json(rows.stack_key(call.place, stack["id"]), stack)
        rows.put_event(draft, stack["id"], rows.of_stack(stack))
        retain = call.params.get("RetainResources", [])
        stopped = draft.get_json(rows.work_key(stack["id"]))
        work = work_record(parts, call, "DELETE", stack, retain=retain, stopped=stopped)
        draft.put_json(rows.work_key(stack["id"]), work)

    await parts.store.transact(change, call.invocation_id)
    return {}


async def update_termination_protection(parts: Parts, call: Call) -> Record:
    answer: Record = {}

    def change(draft: Any) -> None:
        stack = rows.must_find(draft, call.place, call.params["StackName"])
        stack["protected"] = bool(call.params["EnableTerminationProtection"])
        draft.put_json(rows.stack_key(call.place, stack["id"]), stack)
        answer["StackId"] = stack["id"]

    await parts.store.transact(change, call.invocation_id)
    return answer
