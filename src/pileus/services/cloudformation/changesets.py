"""Change sets: what an update would do, kept until executed or deleted.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.cloudformation import rows, stacks, template
from pileus.services.cloudformation.resources import kind_of
from pileus.services.cloudformation.template import invalid

Record = dict[str, Any]
NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)


async def create_change_set(parts: Parts, call: Call) -> Record:
    p = call.params
    given = await stacks.read_template(parts, call)
    kind = p.get("ChangeSetType", "UPDATE")
    if kind not in ("CREATE", "UPDATE"):
        raise invalid(f"ChangeSetType {kind} is not offered by Pileus")
    if p.get("OnStackFailure") == "DELETE" and kind != "CREATE":
        raise invalid("OnStackFailure DELETE is only valid for change sets of type CREATE.")
    fresh_id = rows.new_stack_id(call.region, call.account, p["StackName"])
    store = await stacks.fetched(parts, call, given)
    stacks.acting(parts, call, p.get("RoleARN", ""))
    answer: Record = {}

    def change(draft: Any) -> None:
        stack = _stack_for(draft, call, kind, fresh_id)
        if draft.get(rows.change_set_key(stack["id"], p["ChangeSetName"])) is not None:
            raise AwsError(
                "AlreadyExistsException", f"ChangeSet {p['ChangeSetName']} cannot be created"
            )
        source = given
        if source is None:
            if not p.get("UsePreviousTemplate") or not stack["source"]:
                raise invalid("Either Template URL or Template Body must be specified.")
            source = template.parse(stack["source"])
        record = _record(call, draft, stack, source, store)
        draft.put_json(rows.change_set_key(stack["id"], record["name"]), record)
        answer.update({"Id": record["id"], "StackId": stack["id"]})

    await parts.store.transact(change, call.invocation_id)
    return answer


def _stack_for(draft: Any, call: Call, kind: str, fresh_id: str) -> Record:
    name = call.params["StackName"]
    stack = rows.find(draft, call.place, name)
    if kind == "CREATE":
        if stack is not None and stack["status"] != "REVIEW_IN_PROGRESS":
            raise invalid(
                f"Stack [{name}] already exists and cannot be created again with the changeSet "
                f"[{call.params['ChangeSetName']}]."
            )
        if stack is None:
            stacks.check_name(name)
            stack = stacks.new_record(call, fresh_id, draft.now_ms, "REVIEW_IN_PROGRESS")
            stacks.put_stack(draft, call.place, stack)
            rows.put_event(draft, stack["id"], rows.of_stack(stack))
        return stack
    if stack is None or stack["status"] == "REVIEW_IN_PROGRESS":
        raise invalid(f"Stack [{name}] does not exist")
    return stack


def _record(call: Call, draft: Any, stack: Record, source: Record, store: dict[str, str]) -> Record:
    p = call.params
    ready = stacks.prepared(call, source, stack["parameters"], store)
    changes = _changes(stack, ready, stacks.unfinished(draft, stack))
    name = p["ChangeSetName"]
    region, account = call.region, call.account
    return {
        "id": f"arn:aws:cloudformation:{region}:{account}:changeSet/{name}/{uuid.uuid4()}",
        "name": name,
        "stack": stack["id"],
        "status": "CREATE_COMPLETE" if changes else "FAILED",
        "execution": "AVAILABLE" if changes else "UNAVAILABLE",
        "reason": "" if changes else NO_CHANGES,
        "created": draft.now_ms,
        "source": p.get("TemplateBody") or rows.orjson.dumps(source).decode(),
        "template": ready.expanded,
        "parameters": ready.values,
        "resolved": ready.resolved,
        "role": p.get("RoleARN") or stack["role"],
        "changes": changes,
        "tags": p.get("Tags", stack["tags"]),
        "capabilities": p.get("Capabilities", []),
        "description": p.get("Description", ""),
        "failure": p.get("OnStackFailure", ""),
    }


def _changes(stack: Record, ready: stacks.Prepared, unfinished: set[str]) -> list[Record]:
    expanded = ready.expanded
    old, new = stack["template"]["Resources"], expanded["Resources"]
    review = stack["status"] == "REVIEW_IN_PROGRESS"
    known = (stack["parameters"], stack.get("resolved", {}))
    parameters = (ready.values, ready.resolved) != known
    out = []
    for name in sorted({*old, *new}):
        if review or name not in old:
            action = "Add"
        elif name not in new:
            action = "Remove"
        elif (
            old[name] != new[name]
            or name in unfinished
            or (parameters and "Properties" in new[name])
        ):
            action = "Modify"
        else:
            continue
        resource = new.get(name) or old[name]
        change = {
            "Action": action,
            "LogicalResourceId": name,
            "ResourceType": resource["Type"],
            "Scope": ["Properties"] if action == "Modify" else [],
            "Details": [],
        }
        if action == "Modify":
            change["Replacement"] = _replacement(resource["Type"], old[name], new[name])
        out.append({"Type": "Resource", "ResourceChange": change})
    if not out and stack["template"].get("Outputs") != expanded.get("Outputs") and not review:
        return [{"Type": "Resource", "ResourceChange": _outputs_only(stack)}]
    return out


def _outputs_only(stack: Record) -> Record:
    return {
        "Action": "Modify",
        "LogicalResourceId": stack["name"],
        "ResourceType": "AWS::CloudFormation::Stack",
        "Scope": ["Metadata"],
        "Replacement": "False",
        "Details": [],
    }


def _replacement(type_: str, old: Record, new: Record) -> str:
    before, after = old.get("Properties", {}), new.get("Properties", {})
    kind = kind_of(type_)
    if old["Type"] != new["Type"] or kind is None:
        return "True"
    if any(before.get(p) != after.get(p) for p in kind.replacing):
        return (
            "Conditional" if any(isinstance(after.get(p), dict) for p in kind.replacing) else "True"
        )
    return "False"


def _find(reader: Any, call: Call) -> tuple[Record, Record]:
    name = call.params["ChangeSetName"]
    stack_name = call.params.get("StackName")
    if stack_name is None and not name.startswith("arn:"):
        raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
    where = call.place
    short = name.split("/")[1] if name.startswith("arn:") else name
    named = rows.find(reader, where, stack_name) if stack_name is not None else None
    if stack_name is not None and named is None:
        raise invalid(f"Stack [{stack_name}] does not exist")
    candidates = [named] if named else []
    if stack_name is None:
        candidates = rows.listing(reader, where, "stack/")
    for stack in candidates:
        record = reader.get_json(rows.change_set_key(stack["id"], short))
        if record is not None and name in (record["id"], record["name"]):
            return stack, record
    raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _summary(stack: Record, record: Record) -> Record:
    return {
        "ChangeSetId": record["id"],
        "ChangeSetName": record["name"],
        "StackId": stack["id"],
        "StackName": stack["name"],
        "Status": record["status"],
        "ExecutionStatus": record["execution"],
        "StatusReason": record["reason"],
        "CreationTime": _moment(record["created"]),
        "Description": record["description"],
    }


def describe_change_set(parts: Parts, call: Call) -> Record:
    stack, record = _find(parts.store, call)
    return _summary(stack, record) | {
        "Parameters": rows.told_parameters(record),
        "Capabilities": record["capabilities"],
        "Tags": record["tags"],
        "Changes": record["changes"],
        "OnStackFailure": record.get("failure") or None,
    }


def list_change_sets(parts: Parts, call: Call) -> Record:
    stack = rows.must_find(parts.store, call.place, call.params["StackName"])
    found = rows.listing(parts.store, stack["id"], "changeset/")
    return {"Summaries": [_summary(stack, record) for record in found]}


async def execute_change_set(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        stack, record = _find(draft if call.params.get("StackName") else parts.store, call)
        if record["execution"] != "AVAILABLE":
            raise AwsError(
                "InvalidChangeSetStatus",
                f"ChangeSet [{record['id']}] cannot be executed in its current execution status of"
                f" [{record['execution']}]",
            )
        made = Call("cloudformation", "ExecuteChangeSet", call.principal, call.region, {})
        made.params = {
            "TemplateBody": record["source"],
            "Tags": record["tags"],
            "Capabilities": record["capabilities"],
            "StackName": stack["name"],
            "RoleARN": record.get("role", ""),
        }
        names = ("DisableRollback", "RetainExceptOnCreate")
        made.params |= {n: call.params[n] for n in names if n in call.params}
        failure = stacks.on_failure(made, record.get("failure", ""))
        source = template.parse(record["source"])
        resolved = record.get("resolved", {})
        ready = stacks.Prepared(record["template"], record["parameters"], resolved)
        if stack["status"] == "REVIEW_IN_PROGRESS":
            stack |= {"status": "CREATE_IN_PROGRESS", "rollback": failure != "DO_NOTHING"}
            stacks.apply_template(stack, made, source, ready)
            stacks.put_stack(draft, call.place, stack)
            rows.put_event(draft, stack["id"], rows.of_stack(stack))
            more = {"failure": failure, **stacks.discarding(made)}
            work = stacks.work_record(parts, call, "CREATE", stack, **more)
            draft.put_json(rows.work_key(stack["id"]), work)
        else:
            stacks.check_changeable(stack, call)
            stacks.start_update(parts, draft, made, stack, source, ready)
        draft.delete(rows.change_set_key(stack["id"], record["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}


async def delete_change_set(parts: Parts, call: Call) -> Record:
    """That there is no such change set (any more) is success."""

    def change(draft: Any) -> None:
        try:
            stack, record = _find(draft if call.params.get("StackName") else parts.store, call)
        except AwsError as error:
            if error.code == "ChangeSetNotFound":
                return
            raise
        draft.delete(rows.change_set_key(stack["id"], record["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}
