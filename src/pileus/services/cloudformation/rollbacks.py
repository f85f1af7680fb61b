"""CancelUpdateStack, ContinueUpdateRollback, RollbackStack: rollbacks that are asked for.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.cloudformation import rows, stacks
from pileus.services.cloudformation.stacks import Record
from pileus.services.cloudformation.template import invalid

ASKED = "User Initiated"


async def cancel_update_stack(parts: Parts, call: Call) -> Record:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CancelUpdateStack.html"""

    def change(draft: Any) -> None:
        stack = rows.must_find(draft, call.place, call.params["StackName"])
        work = draft.get_json(rows.work_key(stack["id"]))
        if stack["status"] != "UPDATE_IN_PROGRESS" or work is None:
            raise invalid("CancelUpdateStack cannot be called from current stack status")
        if not work.get("rollback"):
            told = work | {"rollback": ASKED, "failure": "ROLLBACK"}
            draft.put_json(rows.work_key(stack["id"]), told)

    await parts.store.transact(change, call.invocation_id)
    return {}


async def continue_update_rollback(parts: Parts, call: Call) -> Record:
    """Roll back what is left of an update whose rollback failed; what is skipped counts as rolled
    back, as it is."""
    skip, force = call.params.get("ResourcesToSkip", []), call.params.get("ForceRollback", False)
    if skip and force:
        raise invalid("ForceRollback and ResourcesToSkip are mutually exclusive.")

    def change(draft: Any) -> None:
        stack = _stack(draft, call, "UPDATE_ROLLBACK_FAILED")
        failed = [n for n, r in rows.resources(draft, stack["id"]).items() if _stuck(r)]
        if others := [n for n in skip if n not in failed]:
            raise invalid(
                f"The resources to skip [{', '.join(others)}] are not in the UPDATE_FAILED state"
                " because of a failed rollback."
            )
        more = {"before": stacks.template_of(stack), "skip": failed if force else skip}
        _start(parts, call, draft, stack, "UPDATE", "UPDATE_ROLLBACK_IN_PROGRESS", **more)

    await parts.store.transact(change, call.invocation_id)
    return {}


def _stuck(record: Record) -> bool:
    """Whether a resource's update failed in a rollback."""
    return record["status"] == "UPDATE_FAILED" and record["operation"].endswith("/back")


async def rollback_stack(parts: Parts, call: Call) -> Record:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_RollbackStack.html

    An update that failed goes back to the template before it. A stack whose creation failed, and
    was not brought to its end by an update since, has no state to go back to: it is deleted."""
    answer: Record = {}

    def change(draft: Any) -> None:
        stack = _stack(draft, call, "CREATE_FAILED", "UPDATE_FAILED")
        kind, status = "CREATE", "DELETE_IN_PROGRESS"
        more = {"failure": "DELETE", **stacks.discarding(call)}
        if before := stack.pop("stable", None):
            kind, status = "UPDATE", "UPDATE_ROLLBACK_IN_PROGRESS"
            more |= {"failure": "ROLLBACK", "before": before}
        _start(parts, call, draft, stack, kind, status, **more)
        answer["StackId"] = stack["id"]

    await parts.store.transact(change, call.invocation_id)
    return answer


def _stack(draft: Any, call: Call, *statuses: str) -> Record:
    stack = rows.must_find(draft, call.place, call.params["StackName"])
    if stack["status"] not in statuses:
        raise invalid(f"Stack:{stack['id']} is in {stack['status']} state and can not roll back.")
    return stack


def _start(
    parts: Parts, call: Call, draft: Any, stack: Record, kind: str, status: str, **more: Any
) -> None:
    stack |= {"status": status, "reason": ASKED, "updated": draft.now_ms}
    stack["role"] = call.params.get("RoleARN") or stack["role"]
    draft.put_json(rows.stack_key(call.place, stack["id"]), stack)
    rows.put_event(draft, stack["id"], rows.of_stack(stack, ASKED))
    work = stacks.work_record(parts, call, kind, stack, rollback=ASKED, **more)
    draft.put_json(rows.work_key(stack["id"]), work)
