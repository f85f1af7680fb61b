"""What can be asked about stacks: descriptions, events, resources, templates, exports.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.cloudformation import parameters, rows, stacks, template
from pileus.services.cloudformation.template import invalid

Record = dict[str, Any]
PAGE = 100


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _page(items: list[Any], token: str | None) -> tuple[list[Any], str | None]:
    """One page of ``items`` and the token of the next one."""
    try:
        start = int(base64.b64decode(token)) if token else 0
    except ValueError:
        raise invalid("NextToken is not valid") from None
    more = base64.b64encode(str(start + PAGE).encode()).decode()
    return items[start : start + PAGE], more if start + PAGE < len(items) else None


def _stack(record: Record) -> Record:
    out: Record = {
        "StackId": record["id"],
        "StackName": record["name"],
        "Description": record["description"],
        "Parameters": rows.told_parameters(record),
        "CreationTime": _moment(record["created"]),
        "StackStatus": record["status"],
        "DisableRollback": not record["rollback"],
        "Capabilities": record["capabilities"],
        "Outputs": record["outputs"],
        "Tags": record["tags"],
        "NotificationARNs": [],
        "EnableTerminationProtection": record["protected"],
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "RollbackConfiguration": {},
    }
    for name in ("Description", "Parameters", "Capabilities", "Outputs"):
        if not out[name]:
            del out[name]
    if record["updated"]:
        out["LastUpdatedTime"] = _moment(record["updated"])
    if record["role"]:
        out["RoleARN"] = record["role"]
    if record["reason"]:
        out["StackStatusReason"] = record["reason"]
    if record.get("deleted"):
        out["DeletionTime"] = _moment(record["deleted"])
    return out


def describe_stacks(parts: Parts, call: Call) -> Record:
    where = call.place
    if "StackName" in call.params:
        return {"Stacks": [_stack(rows.must_find(parts.store, where, call.params["StackName"]))]}
    live = [
        s for s in rows.listing(parts.store, where, "stack/") if s["status"] != "DELETE_COMPLETE"
    ]
    page, token = _page([_stack(s) for s in live], call.params.get("NextToken"))
    return {"Stacks": page, "NextToken": token}


def list_stacks(parts: Parts, call: Call) -> Record:
    wanted = set(call.params.get("StackStatusFilter", []))
    found = [
        {
            "StackId": s["id"],
            "StackName": s["name"],
            "TemplateDescription": s["description"],
            "CreationTime": _moment(s["created"]),
            "StackStatus": s["status"],
        }
        for s in rows.listing(parts.store, call.place, "stack/")
        if not wanted or s["status"] in wanted
    ]
    page, token = _page(found, call.params.get("NextToken"))
    return {"StackSummaries": page, "NextToken": token}


def describe_stack_events(parts: Parts, call: Call) -> Record:
    stack = rows.must_find(parts.store, call.place, call.params["StackName"])
    events = [
        {
            "StackId": stack["id"],
            "StackName": stack["name"],
            "Timestamp": _moment(e["at"]),
            **{k: v for k, v in e.items() if k != "at"},
        }
        for e in reversed(rows.listing(parts.store, stack["id"], "event/"))
    ]
    page, token = _page(events, call.params.get("NextToken"))
    return {"StackEvents": page, "NextToken": token}


def _resource(stack: Record, r: Record, moment: str) -> Record:
    out = {
        "LogicalResourceId": r["logical"],
        "PhysicalResourceId": r["physical"],
        "ResourceType": r["type"],
        "ResourceStatus": r["status"],
        moment: _moment(r["updated"]),
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
    if r.get("reason"):
        out["ResourceStatusReason"] = r["reason"]
    return out


def describe_stack_resources(parts: Parts, call: Call) -> Record:
    name = call.params.get("StackName")
    if name is None:
        raise invalid("StackName must be specified: PhysicalResourceId is not offered by Pileus")
    stack = rows.must_find(parts.store, call.place, name)
    wanted = call.params.get("LogicalResourceId")
    found = [
        _resource(stack, r, "Timestamp") | {"StackName": stack["name"], "StackId": stack["id"]}
        for r in rows.resources(parts.store, stack["id"]).values()
        if wanted in (None, r["logical"])
    ]
    return {"StackResources": found}


def describe_stack_resource(parts: Parts, call: Call) -> Record:
    stack = rows.must_find(parts.store, call.place, call.params["StackName"])
    logical = call.params["LogicalResourceId"]
    found = parts.store.get_json(rows.resource_key(stack["id"], logical))
    if found is None:
        raise invalid(f"Resource {logical} does not exist for stack {stack['name']}")
    detail = _resource(stack, found, "LastUpdatedTimestamp")
    return {"StackResourceDetail": detail | {"StackName": stack["name"], "StackId": stack["id"]}}


def list_stack_resources(parts: Parts, call: Call) -> Record:
    stack = rows.must_find(parts.store, call.place, call.params["StackName"])
    found = rows.resources(parts.store, stack["id"]).values()
    summaries = [_resource(stack, r, "LastUpdatedTimestamp") for r in found]
    page, token = _page(summaries, call.params.get("NextToken"))
    return {"StackResourceSummaries": page, "NextToken": token}


def get_template(parts: Parts, call: Call) -> Record:
    if "StackName" not in call.params:  # its model does not require it: a change set would do
        raise invalid("StackName must be specified")
    stack = rows.must_find(parts.store, call.place, call.params["StackName"])
    if call.params.get("TemplateStage") == "Processed":
        body = rows.orjson.dumps(stack["template"]).decode()
    else:
        body = stack["source"]
    return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}


async def get_template_summary(parts: Parts, call: Call) -> Record:
    source = await stacks.read_template(parts, call)
    if source is None:
        stack = rows.must_find(parts.store, call.place, call.params.get("StackName", ""))
        source = template.parse(stack["source"])
    iam = any(r["Type"].startswith("AWS::IAM::") for r in source["Resources"].values())
    return {
        "Parameters": _declared(source),
        "Description": str(source.get("Description", "")),
        "ResourceTypes": sorted({r["Type"] for r in source["Resources"].values()}),
        "Capabilities": ["CAPABILITY_NAMED_IAM"] if iam else [],
        "DeclaredTransforms": [template.SAM] if template.uses_sam(source) else [],
    }


def _declared(source: Record) -> list[Record]:
    return [
        {
            "ParameterKey": name,
            "DefaultValue": parameters._text(about["Default"]) if "Default" in about else None,
            "ParameterType": str(about.get("Type", "String")),
            "NoEcho": bool(about.get("NoEcho", False)),
            "Description": str(about.get("Description", "")),
        }
        for name, about in source.get("Parameters", {}).items()
    ]


async def validate_template(parts: Parts, call: Call) -> Record:
    source = await stacks.read_template(parts, call)
    if source is None:
        raise invalid("Either Template URL or Template Body must be specified.")
    summary = await get_template_summary(parts, call)
    stacks.dependencies(source["Resources"])
    named = [{k: v for k, v in p.items() if k != "ParameterType"} for p in summary["Parameters"]]
    return {
        "Parameters": named,
        "Description": summary["Description"],
        "Capabilities": summary["Capabilities"],
        "DeclaredTransforms": summary["DeclaredTransforms"],
    }


def list_exports(parts: Parts, call: Call) -> Record:
    found = rows.listing(parts.store, call.place, "export/")
    exports = [
        {"ExportingStackId": e["stack"], "Name": e["name"], "Value": e["value"]} for e in found
    ]
    page, token = _page(exports, call.params.get("NextToken"))
    return {"Exports": page, "NextToken": token}
