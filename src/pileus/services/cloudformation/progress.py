"""The rows of an operation under way, and how it learns that something else is asked of its stack.

A deletion of a stack that is being created takes the place of the creation's work row; the
cancelling of an update writes into the update's. Whoever carries the former out sees it when it
writes next, at the latest, and starts nothing more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.services.call import Parts
from pileus.services.cloudformation import rows

Record = dict[str, Any]


class Superseded(Exception):
    """Another operation has taken this one's place; the rows are its own."""


class Cancelled(Exception):
    """The update is to be rolled back; the text is the reason."""


class Progress:
    """What is recorded of one operation: its work row, its stack and the stack's resources."""

    def __init__(self, parts: Parts, work: Record) -> None:
        self.parts = parts
        self.store = parts.store
        self.work = work
        self.stack_id: str = work["stack"]
        self.place: str = work["place"]
        self.stack: Record = self.store.get_json(rows.stack_key(self.place, self.stack_id))
        self.resources = rows.resources(self.store, self.stack_id)
        self.given_up = asyncio.Event()

    def check(self, reader: Any = None) -> None:
        """``Superseded`` or ``Cancelled`` where the work row is no longer this operation's."""
        row = (reader or self.store).get_json(rows.work_key(self.stack_id))
        if row is None or row["id"] != self.work["id"]:
            raise Superseded
        if row.get("rollback") and not self.work.get("rollback"):
            raise Cancelled(row["rollback"])

    async def heed(self) -> None:
        """End waits for others' answers, and the start of new steps, as soon as ``check`` fails."""
        while True:
            seen = self.store.generation(rows.WORK)
            try:
                self.check()
            except (Superseded, Cancelled):
                self.given_up.set()
                if self.work["kind"] != "UPDATE":
                    return
            await self.store.changed(rows.WORK, seen)

    async def _turn_back(self, reason: str) -> str:
        """Record that the operation is rolled back, and why: what was asked for comes first."""

        def change(draft: Any) -> Record:
            row = draft.get_json(rows.work_key(self.stack_id))
            if row is None or row["id"] != self.work["id"]:
                raise Superseded
            told = row | {"rollback": row.get("rollback") or reason}
            draft.put_json(rows.work_key(self.stack_id), told)
            return told

        self.work = await self.store.transact(change)
        self.given_up = asyncio.Event()
        return str(self.work["rollback"])

    async def _save_resource(self, logical: str, record: Record) -> None:
        """What came of a step counts, whatever is asked of the stack meanwhile."""
        record["updated"] = self.parts.clock.now_ms()
        self.resources[logical] = record

        def change(draft: Any) -> None:
            draft.put_json(rows.resource_key(self.stack_id, logical), record)

        await self.store.transact(change)

    async def _status(self, status: str, reason: str = "", ends: bool = False) -> None:
        """Record the stack's status, with its event; ``ends``: and that the operation is over."""
        told = {"status": status, "reason": reason, "updated": self.parts.clock.now_ms()}

        def change(draft: Any) -> None:
            self.check(draft)
            stack = self.stack | told
            draft.put_json(rows.stack_key(self.place, self.stack_id), stack)
            rows.put_event(draft, self.stack_id, rows.of_stack(stack, reason))
            if ends:
                self._end(draft, status)

        await self.store.transact(change)
        self.stack |= told

    def _end(self, draft: Any, status: str) -> None:
        draft.delete(rows.work_key(self.stack_id))
        rows.drop_answers(self.store, draft, self.stack_id)
        if status == "DELETE_COMPLETE":
            draft.delete(rows.name_key(self.place, self.stack["name"]))
            for output in self.stack.get("outputs", []):
                if "ExportName" in output:
                    draft.delete(rows.export_key(self.place, output["ExportName"]))

    async def _event(self, record: Record) -> None:
        await self.store.transact(lambda draft: rows.put_event(draft, self.stack_id, record))

    async def _finish(self, status: str, reason: str = "") -> None:
        await self._status(status, reason or self.work.get("rollback", ""), ends=True)
