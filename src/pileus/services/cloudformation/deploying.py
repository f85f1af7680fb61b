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
from pileus.services.cloudformation import dynamic, rows
from pileus.services.cloudformation.answers import Answers
from pileus.services.cloudformation.intrinsics import Scope, dependencies
from pileus.services.cloudformation.ordering import in_order, removal_order
from pileus.services.cloudformation.parameters import typed
from pileus.services.cloudformation.resources import kind_of
from pileus.services.cloudformation.resources.kind import Kind, Made, Site, Unfinished
from pileus.services.cloudformation.template import invalid

log = logging.getLogger("pileus.cloudformation")
Record = dict[str, Any]


class Failed(Exception):
    """A resource could not be made, changed or removed; the text is CloudFormation's reason."""


class Operation:
    """One create, update or delete of one stack, as recorded in ``work``."""

    def __init__(self, parts: Parts, work: Record) -> None:
        self.parts = parts
        self.store = parts.store
        self.work = work
        self.id: str = work["id"]
        self.stack_id: str = work["stack"]
        self.place: str = work["place"]
        self.principal = Principal.restore(work["principal"])
        self.stack: Record = self.store.get_json(rows.stack_key(self.place, self.stack_id))
        self.resources = rows.resources(self.store, self.stack_id)
        self.template: Record = self.stack["template"]
        self.answers = Answers(parts)
        self.needs: dict[str, set[str]] = {}
        self.given_up = asyncio.Event()

    # -- the three operations

    async def run(self) -> None:
        """Carry the operation out and record how it ended."""
        kind = self.work["kind"]
        if kind == "DELETE":
            await self._delete_stack()
            return
        try:
            if self.work.get("rollback"):
                raise Failed(self.work["rollback"])
            await self._bring_up(self.template)
            await self._finish(f"{kind}_COMPLETE")
        except Failed as failure:
            await self._roll_back(kind, str(failure))

    async def _roll_back(self, kind: str, reason: str) -> None:
        self.work["rollback"] = reason
        await self._save_work()
        self.given_up = asyncio.Event()
        if kind == "CREATE":
            await self._status("ROLLBACK_IN_PROGRESS", reason)
            if self.work.get("keep"):
                await self._finish("CREATE_FAILED")
                return
            left = await self._remove(list(self.resources.values()), undoing=True)
            await self._finish("ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE")
            return
        await self._status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        before = self.work["before"]
        self.stack |= before
        self.template = self.stack["template"]
        self.id = f"{self.work['id']}/back"
        try:
            await self._bring_up(self.template)
            await self._finish("UPDATE_ROLLBACK_COMPLETE")
        except Failed as failure:
            await self._finish("UPDATE_ROLLBACK_FAILED", str(failure))

    async def _delete_stack(self) -> None:
        retain = self.work.get("retain", [])
        left = await self._remove([r for n, r in self.resources.items() if n not in retain])
        if left:
            reason = f"The following resource(s) failed to delete: [{', '.join(sorted(left))}]."
            await self._finish("DELETE_FAILED", reason)
        else:
            await self._finish("DELETE_COMPLETE")

    # -- bringing resources to the template

    async def _bring_up(self, template: Record) -> None:
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
        try:
            await self._outputs(template, scope)
        except AwsError as e:
            raise Failed(e.message) from e
        gone = [r for n, r in self.resources.items() if n not in wanted]
        replaced = [
            r["replaced"] | {"logical": n} for n, r in self.resources.items() if r.get("replaced")
        ]
        if gone or replaced:
            await self._status(f"{self._word()}_COMPLETE_CLEANUP_IN_PROGRESS")
        await self._remove([*replaced, *gone], undoing=bool(self.work.get("rollback")))
        for logical, record in self.resources.items():
            if record.pop("replaced", None):
                await self._save_resource(logical, record)

    def _word(self) -> str:
        return "UPDATE_ROLLBACK" if self.work.get("rollback") else "UPDATE"

    def _scope(self, template: Record) -> Scope:
        values = self.stack["parameters"] | self.stack.get("resolved", {})
        _, _, _, region, account, _ = self.stack_id.split(":", 5)
        pseudo = {
            "AWS::AccountId": account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": region,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.stack["name"],
            "AWS::URLSuffix": "amazonaws.com",
        }
        return Scope(
            pseudo,
            typed(template, values),
            template.get("Mappings", {}),
            template.get("Conditions", {}),
            self._export,
        )

    def _export(self, name: str) -> str:
        found = self.store.get_json(rows.export_key(self.place, name))
        if found is None:
            raise invalid(f"No export named {name} found.")
        return str(found["value"])

    async def _stored(self, name: str) -> Record:
        """The parameter of a name, ``NAME:VERSION`` too, as the stack's owner may read it."""
        told = await self.parts.dispatch(
            "ssm",
            "GetParameter",
            {"Name": name},
            principal=self.principal,
            region=self.stack_id.split(":")[3],
        )
        return dict(told["Parameter"])

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
            wish = await dynamic.resolved(wish, self._stored)
            record = await self._make(logical, wanted, kind, have, wish)
        except (AwsError, Unavailable) as e:
            reason = getattr(e, "message", "") or str(e)
            step = "UPDATE" if have else "CREATE"
            kept = have or {"logical": logical, "type": wanted["Type"], "physical": ""}
            failed = kept | {"status": f"{step}_FAILED", "reason": reason, "operation": self.id}
            if isinstance(e, Unfinished):
                undo = {"physical": e.made.physical_id, "attributes": {}, "properties": wish}
                undo["needs"] = sorted(self.needs[logical])
                failed |= {"tried": wish} if have else undo
            await self._save_resource(logical, failed)
            await self._event(failed)
            raise _failed(failed) from e
        scope.resources[logical] = (record["physical"], record["attributes"])

    async def _make(
        self, logical: str, wanted: Record, kind: Kind, have: Record | None, wish: Record
    ) -> Record:
        type_ = wanted["Type"]
        site = self._site(logical, type_)
        policy = wanted.get("DeletionPolicy", "Delete")
        record: Record = {"logical": logical, "type": type_, "properties": wish, "policy": policy}
        record["needs"] = sorted(self.needs[logical])
        if have is None or not have["physical"] or have["type"] != type_:
            step, old = "CREATE", None
        elif have["properties"] == wish and "tried" not in have:
            kept = have | {"operation": self.id, "status": _complete(have["status"])}
            kept |= {"policy": policy, "needs": record["needs"]}
            await self._save_resource(logical, kept)
            return kept
        else:
            step, old = "UPDATE", have | {"properties": have.get("tried", have["properties"])}
        await self._begin(step, logical, type_, have, record)
        if old is None:
            made = await _created(kind, site, wish)
        elif self._undone(old, wish):
            made = Made(old["replaced"]["physical"], old["replaced"]["attributes"])
        elif any(old["properties"].get(p) != wish.get(p) for p in kind.replacing):
            made = await _created(kind, site, wish)
        else:
            before = Made(old["physical"], old["attributes"])
            made = await kind.update(site, before, old["properties"], wish)
        if old is not None and made.physical_id != old["physical"]:
            names = ("type", "physical", "attributes", "properties", "needs")
            record["replaced"] = {n: old[n] for n in names if n in old}
            record["replaced"]["policy"] = wanted.get("UpdateReplacePolicy", "Delete")
        record |= {
            "physical": made.physical_id,
            "attributes": dict(made.attributes),
            "status": f"{step}_COMPLETE",
            "operation": self.id,
        }
        await self._save_resource(logical, record)
        await self._event(record)
        return record

    def _undone(self, have: Record, wish: Record) -> bool:
        """Whether a replacement is taken back: what was replaced is there until the clean-up."""
        undoing = bool(self.work.get("rollback"))
        return undoing and have.get("replaced", {}).get("properties") == wish

    async def _begin(
        self, step: str, logical: str, type_: str, have: Record | None, record: Record
    ) -> None:
        status = {"status": f"{step}_IN_PROGRESS", "physical": (have or {}).get("physical", "")}
        if have is None:
            await self._save_resource(logical, record | status | {"attributes": {}})
        await self._event(record | status)

    def _site(self, logical: str, type_: str) -> Site:
        _, _, _, region, account, _ = self.stack_id.split(":", 5)
        return Site(
            self.parts.dispatch,
            self.principal,
            region,
            account,
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
        return policy == "Retain" or (policy == "RetainExceptOnCreate" and not undoing)

    async def _remove(self, records: list[Record], undoing: bool = False) -> set[str]:
        """Delete resources, dependents first, but for those whose policies keep them; the logical
        names that could not be deleted."""
        left: set[str] = set()
        order = removal_order(self.template, records)
        for record in order:
            logical, kind = record["logical"], kind_of(record["type"])
            is_current = self.resources.get(logical, {}).get("physical") == record["physical"]
            made_whole = str(record.get("status", "_COMPLETE")).endswith("_COMPLETE")
            spared = bool(record["physical"]) and made_whole and self._spared(record, undoing)
            if record["physical"] and kind is not None and not spared:
                await self._event(record | {"status": "DELETE_IN_PROGRESS", "reason": ""})
                made = Made(record["physical"], record.get("attributes", {}))
                try:
                    site = self._site(logical, record["type"])
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

    # -- records

    async def _outputs(self, template: Record, scope: Scope) -> None:
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
        old = {o["ExportName"] for o in self.stack.get("outputs", []) if "ExportName" in o}
        self.stack["outputs"] = outputs

        def change(draft: Any) -> None:
            for name in old - exports.keys():
                draft.delete(rows.export_key(self.place, name))
            for name, value in exports.items():
                key = rows.export_key(self.place, name)
                taken = draft.get_json(key)
                if taken and taken["stack"] != self.stack_id:
                    raise invalid(f"Export with name {name} is already exported by stack")
                draft.put_json(key, {"stack": self.stack_id, "name": name, "value": value})

        if old or exports:
            await self.store.transact(change)

    async def _save_work(self) -> None:
        def change(draft: Any) -> None:
            draft.put_json(rows.work_key(self.stack_id), self.work)

        await self.store.transact(change)

    async def _save_resource(self, logical: str, record: Record) -> None:
        record["updated"] = self.parts.clock.now_ms()
        self.resources[logical] = record

        def change(draft: Any) -> None:
            draft.put_json(rows.resource_key(self.stack_id, logical), record)

        await self.store.transact(change)

    async def _status(self, status: str, reason: str = "") -> None:
        """Record the stack's status, with its event."""
        self.stack |= {"status": status, "reason": reason, "updated": self.parts.clock.now_ms()}

        def change(draft: Any) -> None:
            draft.put_json(rows.stack_key(self.place, self.stack_id), self.stack)
            rows.put_event(draft, self.stack_id, rows.of_stack(self.stack, reason))

        await self.store.transact(change)

    async def _event(self, record: Record) -> None:
        await self.store.transact(lambda draft: rows.put_event(draft, self.stack_id, record))

    async def _finish(self, status: str, reason: str = "") -> None:
        await self._status(status, reason or self.work.get("rollback", ""))

        def change(draft: Any) -> None:
            draft.delete(rows.work_key(self.stack_id))
            rows.drop_answers(self.store, draft, self.stack_id)
            if status == "DELETE_COMPLETE":
                draft.delete(rows.name_key(self.place, self.stack["name"]))
                for output in self.stack.get("outputs", []):
                    if "ExportName" in output:
                        draft.delete(rows.export_key(self.place, output["ExportName"]))

        await self.store.transact(change)


async def _created(kind: Kind, site: Site, wish: Record) -> Made:
    """The resource; where it was made and then could not be set up, it is taken away again."""
    try:
        return await kind.create(site, wish)
    except (AwsError, Unavailable):
        if site.begun is not None:
            try:
                await kind.delete(site, site.begun, wish)
            except (AwsError, Unavailable):
                log.warning("%s is left behind", site.begun.physical_id, exc_info=True)
        raise


def _failed(record: Record) -> Failed:
    step = record["status"].removesuffix("_FAILED").lower()
    told = f"The following resource(s) failed to {step}: [{record['logical']}]."
    return Failed(f"{told} {record['reason']}")


def _complete(status: str) -> str:
    return status if status.endswith("_COMPLETE") else "UPDATE_COMPLETE"
