"""What is done with a stack whose creation, update or rollback fails, and what its owner asks for
then (H8)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.cloudformation import rows
from tests.services.cloudformation.test_cut_off import PLACE, Bed, template, with_bed

KEPT = """
Resources:
  A: {Type: 'AWS::Logs::LogGroup', DeletionPolicy: Retain}
  B: {Type: 'AWS::Nothing::AtAll', DependsOn: A}
"""


class Unmovable(Bed):
    """Log groups whose retention can be set, and not be taken away again."""

    def lock(self) -> None:
        dispatch = self.groups.dispatch

        async def locked(service: str, operation: str, params: Any, **more: Any) -> Any:
            if operation == "DeleteRetentionPolicy":
                raise AwsError("OperationAbortedException", "locked")
            return await dispatch(service, operation, params, **more)

        self.parts.dispatch = locked

    def unlock(self) -> None:
        self.parts.dispatch = self.groups.dispatch


async def stuck(bed: Bed) -> None:
    """A stack whose update failed, and whose rollback could not take back A's retention."""
    bed.__class__ = Unmovable
    assert isinstance(bed, Unmovable)
    both = {"A": "{LogGroupName: one}", "B": "{LogGroupName: two}"}
    await bed.ask("CreateStack", TemplateBody=template(**both))
    await bed.carry_on()
    bed.lock()
    new = {"A": "{LogGroupName: one, RetentionInDays: 7}", "B": "{LogGroupName: two}"}
    body = template(**new) + "\n  C: {Type: 'AWS::Nothing::AtAll', DependsOn: A}"
    await bed.ask("UpdateStack", TemplateBody=body)
    assert await bed.carry_on() == "UPDATE_ROLLBACK_FAILED"
    assert bed.groups.days == {"one": 7, "two": None}
    bed.told()


def resource(bed: Bed, logical: str) -> dict[str, Any]:
    stack = rows.listing(bed.store, PLACE, "stack/")[0]
    return rows.resources(bed.store, stack["id"])[logical]


def test_a_rollback_goes_on_when_what_held_it_is_mended(tmp_path: Path) -> None:
    async def test(bed: Bed) -> None:
        await stuck(bed)
        with pytest.raises(AwsError, match="is in UPDATE_ROLLBACK_FAILED state and can not be upd"):
            await bed.ask("UpdateStack", TemplateBody=template(A="{}"))
        await bed.ask("ContinueUpdateRollback")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_FAILED"  # it still cannot
        bed.told()
        assert isinstance(bed, Unmovable)
        bed.unlock()
        await bed.ask("ContinueUpdateRollback")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days == {"one": None, "two": None}
        stack = [s for n, s in bed.told() if n == "s"]
        assert stack == [
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE",
        ]
        with pytest.raises(AwsError, match="is in UPDATE_ROLLBACK_COMPLETE state"):
            await bed.ask("ContinueUpdateRollback")

    with_bed(tmp_path, test)


@pytest.mark.parametrize("how", ["named", "forced"])
def test_a_resource_is_skipped_and_left_as_it_is(tmp_path: Path, how: str) -> None:
    async def test(bed: Bed) -> None:
        await stuck(bed)
        with pytest.raises(AwsError, match=r"skip \[B\] are not in the UPDATE_FAILED state"):
            await bed.ask("ContinueUpdateRollback", ResourcesToSkip=["A", "B"])
        with pytest.raises(AwsError, match="mutually exclusive"):
            await bed.ask("ContinueUpdateRollback", ResourcesToSkip=["A"], ForceRollback=True)
        more = {"ForceRollback": True} if how == "forced" else {"ResourcesToSkip": ["A"]}
        await bed.ask("ContinueUpdateRollback", **more)
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days["one"] == 7
        assert ("A", "UPDATE_COMPLETE") in bed.told()
        assert resource(bed, "A")["status"] == "UPDATE_COMPLETE"
        # The next update begins from the template, not from what was skipped.
        await bed.ask("UpdateStack", TemplateBody=template(A="{LogGroupName: one}"))
        assert await bed.carry_on() == "UPDATE_COMPLETE"
        assert bed.groups.days == {"one": 7}

    with_bed(tmp_path, test)


@pytest.mark.parametrize(
    ("asked", "ends", "left"),
    [
        ({}, ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"], 0),
        ({"OnFailure": "ROLLBACK"}, ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"], 0),
        ({"OnFailure": "DELETE"}, ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"], 0),
        ({"OnFailure": "DO_NOTHING"}, ["CREATE_FAILED"], 1),
        ({"DisableRollback": True}, ["CREATE_FAILED"], 1),
    ],
    ids=["unsaid", "rollback", "delete", "nothing", "disabled"],
)
def test_what_becomes_of_a_stack_that_cannot_be_made(
    tmp_path: Path, asked: dict[str, Any], ends: list[str], left: int
) -> None:
    async def test(bed: Bed) -> None:
        body = template(A="{}") + "\n  B: {Type: 'AWS::Nothing::AtAll', DependsOn: A}"
        await bed.ask("CreateStack", TemplateBody=body, **asked)
        assert await bed.carry_on() == ends[-1]
        assert len(bed.groups.days) == left
        told = [s for n, s in bed.told() if n == "s"]
        assert told == ["CREATE_IN_PROGRESS", *ends]
        if ends[-1] == "DELETE_COMPLETE":  # its name is free
            await bed.ask("CreateStack", TemplateBody=template(A="{}"))
        if ends[-1] == "CREATE_FAILED":
            await bed.ask("RollbackStack")  # it has no state to go back to
            assert await bed.carry_on() == "DELETE_COMPLETE"
            assert bed.groups.days == {}
            stack = [s for n, s in bed.told() if n == "s"]
            assert stack == ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
            await bed.ask("CreateStack", TemplateBody=template(A="{}"))

    with_bed(tmp_path, test)


@pytest.mark.parametrize(
    ("said", "executed", "end"),
    [
        ({"OnStackFailure": "DELETE"}, {}, "DELETE_COMPLETE"),
        ({"OnStackFailure": "DO_NOTHING"}, {}, "CREATE_FAILED"),
        ({}, {"DisableRollback": True}, "CREATE_FAILED"),
        ({}, {"DisableRollback": False}, "ROLLBACK_COMPLETE"),
    ],
    ids=["delete", "nothing", "disabled", "enabled"],
)
def test_a_change_set_says_it_too(
    tmp_path: Path, said: dict[str, Any], executed: dict[str, Any], end: str
) -> None:
    async def test(bed: Bed) -> None:
        about = {"ChangeSetName": "c", "ChangeSetType": "CREATE", "TemplateBody": KEPT}
        await bed.ask("CreateChangeSet", **about, **said)
        if said:
            with pytest.raises(AwsError, match="Either DisableRollback or OnFailure"):
                await bed.ask("ExecuteChangeSet", ChangeSetName="c", DisableRollback=True)
        await bed.ask("ExecuteChangeSet", ChangeSetName="c", **executed)
        assert await bed.carry_on() == end

    with_bed(tmp_path, test)


@pytest.mark.parametrize("by", ["UpdateStack", "ExecuteChangeSet"])
def test_an_update_is_left_as_it_failed_and_goes_back_later(tmp_path: Path, by: str) -> None:
    """What was changed and made stays; then the owner asks for the rollback."""

    async def test(bed: Bed) -> None:
        old = {"A": "{LogGroupName: one}", "B": "{LogGroupName: two}"}
        new = {"A": "{LogGroupName: one, RetentionInDays: 7}", "B": "{LogGroupName: two}"}
        await bed.ask("CreateStack", TemplateBody=template(**old))
        await bed.carry_on()
        wrong = "\n  D: {Type: 'AWS::Nothing::AtAll', DependsOn: [A, B, C]}"
        body = template(**new, C="{LogGroupName: four}") + wrong
        if by == "ExecuteChangeSet":
            await bed.ask("CreateChangeSet", ChangeSetName="c", TemplateBody=body)
            await bed.ask(by, ChangeSetName="c", DisableRollback=True)
        else:
            await bed.ask(by, TemplateBody=body, DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_FAILED"
        assert bed.groups.days == {"one": 7, "two": None, "four": None}
        with pytest.raises(AwsError, match=r"non-terminal \[UPDATE_FAILED\] state"):
            await bed.ask("UpdateStack", TemplateBody=template(**old))
        bed.told()
        await bed.ask("RollbackStack")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days == {"one": None, "two": None}
        assert [s for n, s in bed.told() if n == "s"] == [
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
            "UPDATE_ROLLBACK_COMPLETE",
        ]
        with pytest.raises(AwsError, match="No updates are to be performed"):
            await bed.ask("UpdateStack", TemplateBody=template(**old))

    with_bed(tmp_path, test)


NONE = "\n  D: {Type: 'AWS::Nothing::AtAll', DependsOn: [A, C]}"


async def left(bed: Bed) -> None:
    """A stack of A, whose update changed it, made C and failed at D."""
    await bed.ask("CreateStack", TemplateBody=template(A="{LogGroupName: one}"))
    await bed.carry_on()
    new = template(A="{LogGroupName: one, RetentionInDays: 7}", C="{LogGroupName: four}")
    await bed.ask("UpdateStack", TemplateBody=new + NONE, DisableRollback=True)
    assert await bed.carry_on() == "UPDATE_FAILED"
    bed.told()


@pytest.mark.parametrize("by", ["UpdateStack", "ExecuteChangeSet"])
def test_an_update_goes_on_from_where_one_failed(tmp_path: Path, by: str) -> None:
    """What is done is not done again; what failed may be of another type now."""

    async def test(bed: Bed) -> None:
        await left(bed)
        new = {"A": "{LogGroupName: one, RetentionInDays: 9}", "C": "{LogGroupName: four}"}
        body = template(**new, D="{LogGroupName: five}")
        if by == "ExecuteChangeSet":
            await bed.ask("CreateChangeSet", ChangeSetName="c", TemplateBody=body)
            with pytest.raises(AwsError, match="please use the disable-rollback parameter"):
                await bed.ask(by, ChangeSetName="c")
            await bed.ask(by, ChangeSetName="c", DisableRollback=True)
        else:
            await bed.ask(by, TemplateBody=body, DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_COMPLETE"
        assert bed.groups.days == {"one": 9, "four": None, "five": None}
        assert "C" not in [n for n, _ in bed.told()]
        with pytest.raises(AwsError, match="is in UPDATE_COMPLETE state and can not roll back"):
            await bed.ask("RollbackStack")
        await bed.ask("UpdateStack", TemplateBody=template(A="{LogGroupName: one}"))
        assert await bed.carry_on() == "UPDATE_COMPLETE"
        assert bed.groups.days == {"one": None}

    with_bed(tmp_path, test)


def test_an_update_that_failed_twice_goes_back_to_before_the_first(tmp_path: Path) -> None:
    async def test(bed: Bed) -> None:
        await left(bed)
        new = template(A="{LogGroupName: one, RetentionInDays: 9}", C="{LogGroupName: four}")
        await bed.ask("UpdateStack", TemplateBody=new + NONE, DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_FAILED"
        assert bed.groups.days == {"one": 9, "four": None}
        await bed.ask("RollbackStack")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days == {"one": None}

    with_bed(tmp_path, test)


@pytest.mark.parametrize("by", ["UpdateStack", "ExecuteChangeSet"])
def test_what_failed_is_tried_again_with_the_same_template(tmp_path: Path, by: str) -> None:
    """Its cause lay elsewhere, and is mended."""

    async def test(bed: Bed) -> None:
        bed.__class__ = Unmovable
        assert isinstance(bed, Unmovable)
        old = template(A="{LogGroupName: one, RetentionInDays: 7}", B="{LogGroupName: two}")
        await bed.ask("CreateStack", TemplateBody=old)
        await bed.carry_on()
        bed.lock()
        new = template(A="{LogGroupName: one}", B="{LogGroupName: two}")
        await bed.ask("UpdateStack", TemplateBody=new, DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_FAILED"
        bed.unlock()
        again = {"DisableRollback": True}
        if by == "ExecuteChangeSet":
            await bed.ask("CreateChangeSet", ChangeSetName="c", UsePreviousTemplate=True)
            await bed.ask(by, ChangeSetName="c", **again)
        else:
            await bed.ask(by, UsePreviousTemplate=True, **again)
        assert await bed.carry_on() == "UPDATE_COMPLETE"
        assert bed.groups.days == {"one": None, "two": None}
        assert resource(bed, "A")["status"] == "UPDATE_COMPLETE"

    with_bed(tmp_path, test)


def test_a_creation_that_failed_is_brought_to_its_end_by_an_update(tmp_path: Path) -> None:
    async def test(bed: Bed) -> None:
        made = {"A": "{LogGroupName: one}", "C": "{LogGroupName: four}"}
        await bed.ask("CreateStack", TemplateBody=template(**made) + NONE, DisableRollback=True)
        assert await bed.carry_on() == "CREATE_FAILED"
        with pytest.raises(AwsError, match=r"non-terminal \[CREATE_FAILED\] state"):
            await bed.ask("UpdateStack", TemplateBody=template(**made))
        more = template(**made, E="{LogGroupName: six}") + NONE
        await bed.ask("UpdateStack", TemplateBody=more, DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_FAILED"
        assert bed.groups.days == {"one": None, "four": None, "six": None}
        await bed.ask("UpdateStack", TemplateBody=template(**made), DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_COMPLETE"
        assert bed.groups.days == {"one": None, "four": None}

    with_bed(tmp_path, test)


@pytest.mark.parametrize("by", ["RollbackStack", "CancelUpdateStack"])
def test_a_stack_that_never_stood_has_nothing_to_go_back_to(tmp_path: Path, by: str) -> None:
    """Its creation failed, and an update of what was left too, or it is cancelled."""

    async def test(bed: Bed) -> None:
        made = {"A": "{LogGroupName: one}", "C": "{LogGroupName: four}"}
        body = template(**made) + NONE
        await bed.ask("CreateStack", TemplateBody=body, DisableRollback=True)
        await bed.carry_on()
        await bed.ask("UpdateStack", TemplateBody=body, DisableRollback=True)
        if by == "RollbackStack":
            assert await bed.carry_on() == "UPDATE_FAILED"
        await bed.ask(by)
        ends = {"RollbackStack": "DELETE_COMPLETE", "CancelUpdateStack": "ROLLBACK_COMPLETE"}
        assert await bed.carry_on() == ends[by]
        assert bed.groups.days == {}

    with_bed(tmp_path, test)


def test_nothing_is_replaced_where_a_failure_is_to_be_left(tmp_path: Path) -> None:
    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=template(A="{LogGroupName: one}"))
        await bed.carry_on()
        new = template(A="{LogGroupName: two}")
        await bed.ask("UpdateStack", TemplateBody=new, DisableRollback=True)
        assert await bed.carry_on() == "UPDATE_FAILED"
        assert bed.groups.days == {"one": None}
        told = "Replacement type updates not supported on stack with disable-rollback."
        assert resource(bed, "A")["reason"] == told
        await bed.ask("RollbackStack")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        await bed.ask("UpdateStack", TemplateBody=new)
        assert await bed.carry_on() == "UPDATE_COMPLETE"
        assert bed.groups.days == {"two": None}

    with_bed(tmp_path, test)


def test_an_update_that_is_cancelled_is_rolled_back_all_the_same(tmp_path: Path) -> None:
    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=template(A="{LogGroupName: one}"))
        await bed.carry_on()
        new = template(A="{LogGroupName: one, RetentionInDays: 7}")
        await bed.ask("UpdateStack", TemplateBody=new, DisableRollback=True)
        bed.groups.cut = lambda operation, name: True
        with pytest.raises(asyncio.CancelledError):
            await bed.carry_on()
        bed.groups.cut = lambda operation, name: False
        await bed.ask("CancelUpdateStack")
        assert await bed.carry_on() == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days == {"one": None}

    with_bed(tmp_path, test)


def test_a_property_of_another_shape_fails_its_resource(tmp_path: Path) -> None:
    """At its making, where what is made of it goes again, and at its change."""

    async def test(bed: Bed) -> None:
        wrong = template(A="{Tags: 7}", B="{LogGroupName: [one], Tags: [{Key: k}]}")
        await bed.ask("CreateStack", TemplateBody=wrong)
        assert await bed.carry_on() == "ROLLBACK_COMPLETE"
        assert bed.groups.days == {}
        told = rows.listing(bed.store, PLACE, "stack/")[0]["reason"]
        assert "Properties validation failed for resource" in told
        await bed.ask("DeleteStack")
        await bed.carry_on()

    with_bed(tmp_path, test)


def test_a_change_of_another_shape_fails_its_resource(tmp_path: Path) -> None:
    """What was changed before is put back."""
    wrong = "{LogGroupName: one, RetentionInDays: 7, Tags: 7}"

    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=template(A="{LogGroupName: one}"))
        await bed.carry_on()
        await bed.ask("UpdateStack", TemplateBody=template(A=wrong))
        ended = await bed.carry_on()
        assert ended == "UPDATE_ROLLBACK_COMPLETE"
        assert bed.groups.days == {"one": None}

    with_bed(tmp_path, test)


def test_one_of_them_is_said(tmp_path: Path) -> None:
    async def test(bed: Bed) -> None:
        asked = {"OnFailure": "DELETE", "DisableRollback": True}
        with pytest.raises(AwsError, match="Either DisableRollback or OnFailure can be specified"):
            await bed.ask("CreateStack", TemplateBody=template(A="{}"), **asked)
        await bed.ask("CreateStack", TemplateBody=template(A="{}"))
        await bed.carry_on()
        with pytest.raises(AwsError, match="is in CREATE_COMPLETE state and can not roll back"):
            await bed.ask("RollbackStack")

    with_bed(tmp_path, test)


@pytest.mark.parametrize("discard", [False, True], ids=["kept", "discarded"])
def test_what_was_made_is_kept_by_its_policy_or_not(tmp_path: Path, discard: bool) -> None:
    async def test(bed: Bed) -> None:
        await bed.ask("CreateStack", TemplateBody=KEPT, RetainExceptOnCreate=discard)
        assert await bed.carry_on() == "ROLLBACK_COMPLETE"
        assert len(bed.groups.days) == (0 if discard else 1)

    with_bed(tmp_path, test)


def test_a_creation_that_was_cut_off_is_deleted_when_it_fails(tmp_path: Path) -> None:
    """``OnFailure=DELETE``, cut off in the middle of its deletion."""

    async def test(bed: Bed) -> None:
        body = template(A="{}") + "\n  B: {Type: 'AWS::Nothing::AtAll', DependsOn: A}"
        await bed.ask("CreateStack", TemplateBody=body, OnFailure="DELETE")
        bed.groups.cut = lambda operation, name: operation == "DeleteLogGroup"
        with pytest.raises(asyncio.CancelledError):
            await bed.carry_on()
        bed.groups.cut = lambda operation, name: False
        assert await bed.carry_on() == "DELETE_COMPLETE"
        stack = [s for n, s in bed.told() if n == "s"]
        assert stack == ["CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"]

    with_bed(tmp_path, test)
