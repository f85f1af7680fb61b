"""The permission each operation needs, on which parameter.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Access, Call, Parts
from pileus.services.ssm import rows


def access(parts: Parts, call: Call) -> list[Access]:
    action, p = f"ssm:{call.operation}", call.params
    if "Names" in p:
        return [_on(parts, call, action, name) for name in p["Names"]]
    if "Path" in p:
        path = p["Path"].rstrip("/")
        context = {"ssm:Recursive": "true" if p.get("Recursive") else "false"}
        resource = f"arn:aws:ssm:{call.region}:{call.account}:parameter{path}"
        return [Access(action, resource, context=context)]
    name = p.get("Name") or p.get("ResourceId")
    return [_on(parts, call, action, name) if name else Access(action, "*")]


def _on(parts: Parts, call: Call, action: str, told: str) -> Access:
    name, p = rows.asked(told).name, call.params
    context: dict[str, Any] = {}
    record = parts.store.get_json(rows.key(call.place, name))
    if record is not None:
        context |= {f"aws:ResourceTag/{k}": v for k, v in record["tags"].items()}
    if p.get("Tags"):
        context |= {f"aws:RequestTag/{t['Key']}": t["Value"] for t in p["Tags"]}
        context["aws:TagKeys"] = [t["Key"] for t in p["Tags"]]
    if call.operation == "PutParameter":
        context["ssm:Overwrite"] = "true" if p.get("Overwrite") else "false"
    return Access(action, rows.arn(call, name), context=context)
