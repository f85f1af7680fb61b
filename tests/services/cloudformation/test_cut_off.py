"""Operations that are cut off in the middle of a step, as by a crash, and go on from their rows
(H8, S6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.assembly import RULES
from pileus.config import Config
from pileus.errors import AwsError
from pileus.services.call import Call, Principal
from pileus.services.cloudformation import changesets, rollbacks, rows, stacks
from pileus.services.cloudformation.deploying import Operation
from pileus.state.opening import open_store
from tests.beds import StepClock

PLACE = "0/us-east-1"
AUTHOR = Principal("user", "0", "arn:aws:iam::0:user/author", "author")
OTHER = Principal("user", "0", "arn:aws:iam::0:user/other", "other")


class Groups:
    """Log groups behind a dispatch; ``cut`` says after which call the process is gone."""

    def __init__(self) -> None:
        self.days: dict[str, int | None] = {}
        self.callers: list[str] = []
        self.cut: Callable[[str, str], bool] = lambda operation, name: False
        self.refused: set[str] = set()  # groups whose tags cannot be changed

    async def dispatch(
        self, service: str, operation: str, params: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        name = params.get("logGroupName") or params["resourceArn"].rpartition(":")[2]
        self.callers.append(more["principal"].name)
        if operation == "CreateLogGroup":
            self.days.setdefault(name, None)
        elif name not in self.days:
            raise AwsError("ResourceNotFoundException", name)
        elif operation == "DeleteLogGroup":
            del self.days[name]
        elif operation == "PutRetentionPolicy":
            self.days[name] = params["retentionInDays"]
        elif operation == "DeleteRetentionPolicy":
            self.days[name] = None
        elif name in self.refused:
            raise AwsError("LimitExceededException", "too many tags")
        if self.cut(operation, name):
            raise asyncio.CancelledError
        return {}


class Bed:
    """One stack in a store, and the worker's part played by hand."""

    def __init__(self, store: Any, clock: StepClock, home: Path) -> None:
        self.groups = Groups()
        self.parts: Any = SimpleNamespace(
            store=store, clock=clock, config=Config(home=home), dispatch=self.groups.dispatch
        )
        self.store = store
        self.seen = 0

    async def ask(self, operation: str, principal: Principal = AUTHOR, **params: Any) -> None:
        given = {"StackName": "s"} | params
        call = Call("cloudformation", operation, principal, "us-east-1", given)
        asked = {
            "CreateStack": stacks.create_stack,
            "UpdateStack": stacks.update_stack,
            "DeleteStack": stacks.delete_stack,
            "CancelUpdateStack": rollbacks.cancel_update_stack,
            "CreateChangeSet": changesets.create_change_set,
            "ExecuteChangeSet": changesets.execute_change_set,
            "ContinueUpdateRollback": rollbacks.continue_update_rollback,
            "RollbackStack": rollbacks.rollback_stack,
        }
        await asked[operation](self.parts, call)

    def told(self) -> list[tuple[str, str]]:
        """The events since the last time, the oldest first: (logical name, status)."""
        stack = rows.listing(self.store, PLACE, "stack/")[0]
        events = rows.listing(self.store, stack["id"], "event/")
        new, self.seen = events[self.seen :], len(events)
        return [(e["LogicalResourceId"], e["ResourceStatus"]) for e in new]

    def work(self) -> dict[str, Any] | None:
        found = list(rows.listing(self.store, PLACE, "stack/"))
        return dict(self.store.get_json(rows.work_key(found[0]["id"])) or {}) or None

    async def carry_on(self) -> str:
        """Do what is asked, to its end; the stack's status."""
        while (work := self.work()) is not None:
            await Operation(self.parts, work).run()
        return str(rows.listing(self.store, PLACE, "stack/")[0]["status"])


def with_bed(tmp_path: Path, test: Callable[[Bed], Any]) -> None:
    async def go() -> None:
        clock = StepClock()
        store = await open_store(tmp_path, RULES, clock)
        try:
            await test(Bed(store, clock, tmp_path))
        finally:
            await store.close()

    asyncio.run(go())


def template(**groups: str) -> str:
    texts = [f"  {n}: {{Type: 'AWS::Logs::LogGroup', Properties: {t}}}" for n, t in groups.items()]
    return "\n".join(["Resources:", *texts])


def test_what_a_stopped_creation_had_begun_is_deleted(tmp_path: Path) -> None:
    """The group was made, and its row does not tell it yet: the deletion learns it, in the name of
    who was making it, and it is gone."""

    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=template(A="{}", B="{RetentionInDays: 7}"))
        bed.groups.cut = lambda operation, name: operation == "PutRetentionPolicy"
        with pytest.raises(asyncio.CancelledError):
            await bed.carry_on()
        assert 7 in bed.groups.days.values()
        bed.groups.cut = lambda operation, name: False
        bed.groups.callers.clear()
        await bed.ask("DeleteStack", OTHER)
        assert await bed.carry_on() == "DELETE_COMPLETE"
        assert bed.groups.days == {}
        assert bed.groups.callers[0] == "author" and bed.groups.callers[-1] == "other"

    with_bed(tmp_path, test)


def test_what_ends_after_the_deletion_was_asked_for_is_deleted(tmp_path: Path) -> None:
    """The creation writes down what its step came to, and leaves the stack to the deletion."""

    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=template(A="{}"))
        work = bed.work()
        assert work is not None
        creation = Operation(bed.parts, work)
        await bed.ask("DeleteStack")
        await creation.run()
        assert (bed.work() or {})["kind"] == "DELETE"
        assert await bed.carry_on() == "DELETE_COMPLETE"
        assert bed.groups.days == {}

    with_bed(tmp_path, test)


@pytest.mark.parametrize("name", ["Named", "Old"], ids=["replaced", "in place"])
def test_a_cut_off_update_that_is_cancelled_is_undone(tmp_path: Path, name: str) -> None:
    """A replacement that was made, and settings that were changed, whose ends no row tells."""

    async def test(bed: Bed) -> None:
        old = {"Old": "{RetentionInDays: 7}", "Named": "{LogGroupName: one}"}
        new = {"Old": "{RetentionInDays: 14}", "Named": "{LogGroupName: two}"}
        await bed.ask("CreateStack", TemplateBody=template(**old))
        assert await bed.carry_on() == "CREATE_COMPLETE"
        before = dict(bed.groups.days)
        await bed.ask("UpdateStack", TemplateBody=template(**(old | {name: new[name]})))
        bed.groups.cut = lambda operation, name: True
        with pytest.raises(asyncio.CancelledError):
            await bed.carry_on()
        assert bed.groups.days != before
        bed.groups.cut = lambda operation, name: False
        await bed.ask("CancelUpdateStack")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days == before

    with_bed(tmp_path, test)


def test_an_update_that_failed_half_way_is_undone(tmp_path: Path) -> None:
    """The first of its calls had changed the group, the second was refused."""

    async def test(bed: Bed) -> None:
        body = template(A="{LogGroupName: one, RetentionInDays: 7}")
        await bed.ask("CreateStack", TemplateBody=body)
        await bed.carry_on()
        bed.groups.refused = {"one"}
        tags = "[{Key: k, Value: v}]"
        body = template(A=f"{{LogGroupName: one, RetentionInDays: 14, Tags: {tags}}}")
        await bed.ask("UpdateStack", TemplateBody=body)
        work = bed.work()
        assert work is not None
        changed: list[int | None] = []

        async def watched(*given: Any, **more: Any) -> Any:
            try:
                return await dispatch(*given, **more)
            finally:
                changed.append(bed.groups.days["one"])
                bed.groups.refused -= {"one"} if given[1] == "TagResource" else set()

        dispatch, bed.parts.dispatch = bed.parts.dispatch, watched
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert 14 in changed and bed.groups.days == {"one": 7}

    with_bed(tmp_path, test)


def test_what_is_kept_is_kept_after_a_failed_update(tmp_path: Path) -> None:
    """``DeletionPolicy: Retain`` of a group that could neither be updated nor be put back."""

    async def test(bed: Bed) -> None:
        kept = "  DeletionPolicy: Retain\n    Properties: {LogGroupName: one, "
        head = "Resources:\n  A:\n    Type: 'AWS::Logs::LogGroup'\n  " + kept
        await bed.ask("CreateStack", TemplateBody=head + "Tags: [{Key: a, Value: b}]}")
        await bed.carry_on()
        bed.groups.refused = {"one"}
        await bed.ask("UpdateStack", TemplateBody=head + "Tags: [{Key: a, Value: c}]}")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_FAILED"
        await bed.ask("DeleteStack")
        assert await bed.carry_on() == "DELETE_COMPLETE"
        assert bed.groups.days == {"one": None}

    with_bed(tmp_path, test)


def test_the_end_and_its_status_are_one_transaction(tmp_path: Path) -> None:
    """Whoever sees that a stack may be updated can: nothing of the former operation is left."""

    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=template(A="{}"))
        seen: list[tuple[str, bool]] = []
        transact = bed.store.transact

        async def watched(*given: Any) -> Any:
            told = await transact(*given)
            status = rows.listing(bed.store, PLACE, "stack/")[0]["status"]
            seen.append((status, bed.work() is None))
            return told

        bed.store.transact = watched
        assert await bed.carry_on() == "CREATE_COMPLETE"
        assert set(seen) == {("CREATE_IN_PROGRESS", False), ("CREATE_COMPLETE", True)}

    with_bed(tmp_path, test)
