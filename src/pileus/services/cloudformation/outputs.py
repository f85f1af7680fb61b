"""What a stack tells the world: its outputs, and those it exports to other stacks of its place."""

from __future__ import annotations

from typing import Any

from pileus.services.cloudformation import rows
from pileus.services.cloudformation.intrinsics import Scope
from pileus.services.cloudformation.progress import Progress
from pileus.services.cloudformation.template import invalid

Record = dict[str, Any]


def exported(progress: Progress, name: str) -> str:
    """The value a stack exports under a name (``Fn::ImportValue``)."""
    found = progress.store.get_json(rows.export_key(progress.place, name))
    if found is None:
        raise invalid(f"No export named {name} found.")
    return str(found["value"])


async def publish(progress: Progress, template: Record, scope: Scope) -> None:
    """Settle the outputs of the stack and write its exports; a name is exported once."""
    outputs, exports = [], {}
    for name, about in template.get("Outputs", {}).items():
        if "Condition" in about and not scope.holds(about["Condition"]):
            continue
        value = scope.resolve(about["Value"])
        output = {"OutputKey": name, "OutputValue": str(value)}
        if "Description" in about:
            output["Description"] = about["Description"]
        if "Export" in about:
            output["ExportName"] = str(scope.resolve(about["Export"]["Name"]))
            exports[output["ExportName"]] = str(value)
        outputs.append(output)
    stack = progress.stack
    old = {o["ExportName"] for o in stack.get("outputs", []) if "ExportName" in o}
    stack["outputs"] = outputs

    def change(draft: Any) -> None:
        for name in old - exports.keys():
            draft.delete(rows.export_key(progress.place, name))
        for name, value in exports.items():
            key = rows.export_key(progress.place, name)
            taken = draft.get_json(key)
            if taken and taken["stack"] != progress.stack_id:
                raise invalid(f"Export with name {name} is already exported by stack")
            draft.put_json(key, {"stack": progress.stack_id, "name": name, "value": value})

    if old or exports:
        await progress.store.transact(change)
