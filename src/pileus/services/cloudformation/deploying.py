"""Bringing a stack to its template: create, update, replace, remove; roll back when a step fails.

The operation is a row; each resource's progress is a row. A worker that starts again continues
where the rows say.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Parts, Principal
from pileus.services.cloudformation import dynamic, outputs, rows
from pileus.services.cloudformation.answers import Answers
from pileus.services.cloudformation.existing import already_exists, is_there
from pileus.services.cloudformation.intrinsics import Scope, dependencies
from pileus.services.cloudformation.ordering import in_order, removal_order
from pileus.services.cloudformation.parameters import typed
from pileus.services.cloudformation.progress import Cancelled, Progress, Superseded
from pileus.services.cloudformation.resources import kind_of
from pileus.services.cloudformation.resources.kind import Kind, Made, Site, Unchanged, Unfinished
from pileus.services.cloudformation.steps import (
    check_renamed,
    check_replaceable,
    created,
    former,
    nothing,
    replaced,
    still_there,
    updated,
    well_formed,
)
from pileus.services.cloudformation.template import invalid

UNDELETED = "The following resource(s) failed to delete:"
log = logging.getLogger("pileus.cloudformation")
Record = dict[str, Any]


class Failed(Exception):
    """A resource could not be made, changed or removed; the text is CloudFormation's reason."""


class Operation(Progress):
    """One create, update or delete of one stack, as recorded in ``work``."""

    def __init__(self, parts: Parts, work: Record) -> None:
        super().__init__(parts, work)
        self.id: str = work["id"]
        _, _, _, self.region, self.account, _ = self.stack_id.split(":", 5)
        self.principal = Principal.restore(work["principal"])
        self.template: Record = self.stack["template"]
        self.answers = Answers(parts)
        self.needs: dict[str, set[str]] = {}

    # -- the three operations

    async def run(self) -> None:
        """Carry the operation out and record how it ended; where something else is asked of the
        stack meanwhile, leave the rows to that."""
        heeding = asyncio.create_task(self.heed())
        try:
            await self._run(self.work["kind"])
        except Superseded:
            log.info("the %s of %s gives way", self.work["kind"], self.stack_id)
        finally:
            heeding.cancel()

    async def _run(self, kind: str) -> None:
        if kind == "DELETE":
            await self._delete_stack()
            return
        try:
            if self.work.get("rollback"):
                raise Failed(self.work["rollback"])
            await self._bring_up(self.template)
            await self._finish(f"{kind}_COMPLETE")
        except (Failed, Cancelled) as failure:
            await self._roll_back(kind, str(failure))

    async def _roll_back(self, kind: str, reason: str) -> None:
        reason = await self._turn_back(reason)
        if kind == "CREATE":
            await self._undo_creation(reason)
            return
        before = self.work["before"]
        if self.work.get("failure") == "DO_NOTHING":
            await self._settle(self.work)
            self.stack["stable"] = before
            await self._finish("UPDATE_FAILED")
            return
        if before is None:
            await self._undo_creation(reason)
            return
        if self.stack["status"] != "UPDATE_ROLLBACK_IN_PROGRESS":
            await self._status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        self.stack |= before
        self.template = self.stack["template"]
        await self._settle(self.work)
        self.id = f"{self.work['id']}/back"
        try:
            await self._bring_up(self.template)
            await self._finish("UPDATE_ROLLBACK_COMPLETE")
        except Failed as failure:
            await self._finish("UPDATE_ROLLBACK_FAILED", str(failure))

    async def _undo_creation(self, reason: str) -> None:
        """What ``OnFailure`` says is done with a stack whose creation failed."""
        what = self.work.get("failure", "ROLLBACK")
        if what == "DO_NOTHING":
            await self._settle(self.work)
            await self._finish("CREATE_FAILED")
            return
        step = "DELETE" if what == "DELETE" else "ROLLBACK"
        if self.stack["status"] != f"{step}_IN_PROGRESS":
            await self._status(f"{step}_IN_PROGRESS", reason)
        await self._settle(self.work)
        made = [*self._replaced(), *self.resources.values()]
        left = await self._remove(made, undoing=True)
        if step == "DELETE" and not left:
            self.stack["deleted"] = self.parts.clock.now_ms()
        await self._finish(f"{step}_FAILED" if left else f"{step}_COMPLETE")

    async def _delete_stack(self) -> None:
        if stopped := self.work.get("stopped"):
            await self._settle(stopped)
        retain = self.work.get("retain", [])
        kept = [r for n, r in self.resources.items() if n not in retain]
        left = await self._remove([*self._replaced(), *kept])
        if left:
            reason = f"{UNDELETED} [{', '.join(sorted(left))}]."
            await self._finish("DELETE_FAILED", reason)
        else:
            await self._finish("DELETE_COMPLETE")

    # -- bringing resources to the template

    async def _bring_up(self, template: Record) -> None:
        await self._clear()
        scope = self._scope(template)
        wanted = {
            name: r
            for name, r in template["Resources"].items()
            if "Condition" not in r or scope.holds(r["Condition"])
        }
        needs = dependencies(template["Resources"])
        self.needs = {n: needs[n] & wanted.keys() for n in wanted}
        await in_order(
            self.needs,
            lambda name: self._bring_one(name, wanted[name], scope),
            self.given_up,
        )
        self.check()
        try:
            await outputs.publish(self, template, scope)
        except AwsError as e:
            raise Failed(e.message) from e
        gone = [r for n, r in self.resources.items() if n not in wanted]
        past = self._replaced()
        if self.work["kind"] == "UPDATE":
            await self._status(f"{self._word()}_COMPLETE_CLEANUP_IN_PROGRESS")
        await self._remove([*past, *gone], undoing=bool(self.work.get("rollback")))
        for logical, record in self.resources.items():
            if record.pop("replaced", None):
                await self._save_resource(logical, record)

    async def _clear(self) -> None:
        """Delete what an operation before could not make whole: it is made anew."""
        halves = [
            r
            for r in self.resources.values()
            if r["status"] == "CREATE_FAILED" and r["physical"] and r["operation"] != self.id
        ]
        if not self.work.get("rollback") and await self._remove(halves, undoing=True):
            raise Failed(f"{UNDELETED} [{', '.join(sorted(r['logical'] for r in halves))}].")

    def _replaced(self) -> list[Record]:
        """What resources of the stack took the place of, and has not been cleaned up."""
        return [past | {"logical": n} for n, r in self.resources.items() for past in replaced(r)]

    def _word(self) -> str:
        return "UPDATE_ROLLBACK" if self.work.get("rollback") else "UPDATE"

    def _scope(self, template: Record) -> Scope:
        values = self.stack["parameters"] | self.stack.get("resolved", {})
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.stack["name"],
            "AWS::URLSuffix": "amazonaws.com",
        }
        return Scope(
            pseudo,
            typed(template, values),
            template.get("Mappings", {}),
            template.get("Conditions", {}),
            lambda name: outputs.exported(self, name),
        )

    async def _bring_one(self, logical: str, wanted: Record, scope: Scope) -> None:
        have = self.resources.get(logical)
        if have and have.get("operation") == self.id:  # before a crash
            if have["status"].endswith("_FAILED"):
                raise _failed(have)
            scope.resources[logical] = (have["physical"], have["attributes"])
            return
        kind, wish = kind_of(wanted["Type"]), {}
        try:
            if kind is None:
                raise invalid(f"Resource type {wanted['Type']} is not offered by Pileus")
            wish = scope.resolve(wanted.get("Properties", {}))
            wish = await dynamic.resolved(wish, self.parts.dispatch, self.principal, self.region)
            if have and logical in self.work.get("skip", ()):
                record = await self._skip(have, wish)
            else:
                record = await self._make(logical, wanted, kind, have, wish)
        except (AwsError, Unavailable) as e:
            reason = getattr(e, "message", "") or str(e)
            had = bool(have and have["physical"])
            step = "UPDATE" if had else "CREATE"
            kept = self.resources.get(logical) or nothing(logical, wanted["Type"])
            failed = kept | {"status": f"{step}_FAILED", "reason": reason, "operation": self.id}
            begun = failed.pop("begun", None)
            if isinstance(e, Unfinished) and not had:
                failed |= {"physical": e.made.physical_id, "properties": wish}
            elif begun and not begun["fresh"] and not isinstance(e, Unchanged):
                failed["begun"] = begun  # for the rollback to undo
            await self._save_resource(logical, failed)
            await self._event(failed)
            raise _failed(failed) from e
        scope.resources[logical] = (record["physical"], record["attributes"])

    async def _skip(self, have: Record, wish: Record) -> Record:
        """Take a resource that could not be rolled back for rolled back, as its owner asked."""
        kept = {n: v for n, v in have.items() if n not in ("begun", "reason")}
        kept |= {"properties": wish, "status": "UPDATE_COMPLETE", "operation": self.id}
        await self._save_resource(have["logical"], kept)
        await self._event(kept)
        return kept

    async def _make(
        self, logical: str, wanted: Record, kind: Kind, have: Record | None, wish: Record
    ) -> Record:
        type_ = wanted["Type"]
        site = self._site(logical, type_)
        policy = wanted.get("DeletionPolicy", "Delete")
        record: Record = {"logical": logical, "type": type_, "properties": wish, "policy": policy}
        record["needs"] = sorted(self.needs[logical])
        begun = (have or {}).get("begun")
        if have is None or not have["physical"]:
            step, old = "CREATE", None
        elif have["properties"] == wish and begun is None:
            kept = have | {"operation": self.id, "status": _complete(have["status"])}
            kept |= {"policy": policy, "needs": record["needs"]}
            await self._save_resource(logical, kept)
            return kept
        else:
            step, old = "UPDATE", have | {"properties": former(have, self.id, wish)}
        had = {} if old is None else old["properties"]
        back = self._taken_back(old, wish)
        replaces = any(had.get(p) != wish.get(p) for p in kind.replacing)
        fresh = old is None or (replaces and back is None)
        if old is not None and fresh:
            check_replaceable(self.work)
            check_renamed(type_, had, wish)
        if fresh and (begun or {}).get("operation") != self.id and await is_there(site, wish):
            await self._event(record | {"status": f"{step}_IN_PROGRESS"})
            raise already_exists(site, wish)
        await self._begin(step, record, have, had, fresh)
        if old is None or fresh:
            made = await created(kind, site, wish)
        elif back is not None:
            made = back
        else:
            there = Made(old["physical"], old["attributes"])
            made = await updated(kind, site, there, had, wish, begun)
        return await self._done(step, record, have, made, wanted.get("UpdateReplacePolicy"))

    async def _done(
        self, step: str, record: Record, have: Record | None, made: Made, policy: str | None
    ) -> Record:
        """Record that a step is done. ``policy``: of what it replaced."""
        if past := still_there(have, made.physical_id, policy or "Delete"):
            record["replaced"] = past
        record |= {
            "physical": made.physical_id,
            "attributes": dict(made.attributes),
            "status": f"{step}_COMPLETE",
            "operation": self.id,
        }
        await self._save_resource(record["logical"], record)
        await self._event(record)
        return record

    async def _settle(self, work: Record) -> None:
        """Bring steps of ``work`` that made something, and were cut off by a crash, to their end:
        what is not known cannot be removed. (Updates in place are undone as they are.)"""
        self.given_up.set()  # nobody's answer is worth the wait any more
        for record in list(self.resources.values()):
            kind, begun = kind_of(record["type"]), record.get("begun")
            if kind is None or not begun or not begun["fresh"]:
                continue
            if begun["operation"] != work["id"]:
                continue  # a step of the rollback, which is to be done
            site = self._site(record["logical"], record["type"])
            site.step, site.principal = work["id"], Principal.restore(work["principal"])
            new = record | {"properties": begun["properties"]}
            del new["begun"]
            try:
                made = await created(kind, site, begun["properties"])
            except Unfinished as unfinished:
                made = unfinished.made
            except (AwsError, Unavailable) as error:
                log.info("%s was not made: %s", record["logical"], error)
                kept = {n: v for n, v in record.items() if n != "begun"}
                await self._save_resource(record["logical"], kept)
                continue
            step = "UPDATE" if record["physical"] else "CREATE"
            await self._done(step, new, record, made, begun["policy"])
        self.given_up = asyncio.Event()

    def _taken_back(self, have: Record | None, wish: Record) -> Made | None:
        """Of a replacement that is taken back what was replaced, which is there until the
        clean-up."""
        if not self.work.get("rollback"):
            return None
        same = (past for past in replaced(have) if past["properties"] == wish)
        return next((Made(past["physical"], past["attributes"]) for past in same), None)

    async def _begin(
        self, step: str, record: Record, have: Record | None, old: Record, fresh: bool
    ) -> None:
        """Write down what is about to be done, before it is. ``fresh``: something new is made."""
        status = {"status": f"{step}_IN_PROGRESS", "physical": (have or {}).get("physical", "")}
        wanted = self.template["Resources"][record["logical"]]
        begun = {"operation": self.id, "properties": record["properties"], "old": old}
        begun |= {"fresh": fresh, "policy": wanted.get("UpdateReplacePolicy")}
        row = have if have and have["physical"] else record | {"attributes": {}}
        await self._save_resource(record["logical"], row | status | {"begun": begun})
        await self._event(record | status)

    def _site(self, logical: str, type_: str) -> Site:
        return Site(
            self.parts.dispatch,
            self.principal,
            self.region,
            self.account,
            self.stack["name"],
            self.stack_id,
            logical,
            type_,
            self.id,
            self.parts.config,
            self.answers,
            self.given_up,
            self.stack.get("tags", []),
        )

    def _spared(self, record: Record, undoing: bool) -> bool:
        """Whether the resource outlives its place in the stack. ``undoing``: the operation that
        made it is rolled back."""
        told = self.template["Resources"].get(record["logical"], {}).get("DeletionPolicy")
        policy = record.get("policy", told)  # resources of older stacks tell none
        if undoing and self.work.get("discard"):
            return False
        return policy == "Retain" or (policy == "RetainExceptOnCreate" and not undoing)

    async def _remove(self, records: list[Record], undoing: bool = False) -> set[str]:
        """Delete resources, dependents first, but for those whose policies keep them; the logical
        names that could not be deleted."""
        left: set[str] = set()
        order = removal_order(self.template, records)
        for record in order:
            self.check()
            logical, kind = record["logical"], kind_of(record["type"])
            is_current = self.resources.get(logical, {}).get("physical") == record["physical"]
            made_whole = record.get("status") not in ("CREATE_IN_PROGRESS", "CREATE_FAILED")
            spared = bool(record["physical"]) and made_whole and self._spared(record, undoing)
            if record["physical"] and kind is not None and not spared:
                await self._event(record | {"status": "DELETE_IN_PROGRESS", "reason": ""})
                made = Made(record["physical"], record.get("attributes", {}))
                try:
                    site = self._site(logical, record["type"])
                    with well_formed(logical):
                        await kind.delete(site, made, record.get("properties", {}))
                except (AwsError, Unavailable) as e:
                    left.add(logical)
                    failed = record | {"status": "DELETE_FAILED", "reason": str(e)}
                    if is_current:
                        await self._save_resource(logical, failed)
                    await self._event(failed)
                    continue
            done = "DELETE_SKIPPED" if spared else "DELETE_COMPLETE"
            await self._event(record | {"status": done, "reason": ""})
            if is_current:
                self.resources.pop(logical)
                await self.store.submit(
                    "write", [[rows.resource_key(self.stack_id, logical), None]]
                )
        return left


def _failed(record: Record) -> Failed:
    step = record["status"].removesuffix("_FAILED").lower()
    told = f"The following resource(s) failed to {step}: [{record['logical']}]."
    return Failed(f"{told} {record['reason']}")


def _complete(status: str) -> str:
    return status if status.endswith("_COMPLETE") else "UPDATE_COMPLETE"
