"""What the operations of this service share: the store, the events, the look-ups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pileus.engine import Clock
from pileus.services.call import Call, Dispatch
from pileus.services.logs import rows
from pileus.services.logs.across import Across
from pileus.services.logs.events import Events
from pileus.state.draft import Draft
from pileus.state.store import Store


@dataclass
class Room:
    """The parts this service works with. ``events`` are this node's, ``across`` are all nodes'.
    ``wake_sweep`` asks the sweep to run soon."""

    store: Store
    clock: Clock
    events: Events
    across: Across
    dispatch: Dispatch
    sweep_wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def wake_sweep(self) -> None:
        self.sweep_wanted.set()

    def find_group(self, call: Call, name: str) -> dict[str, Any] | None:
        return self.store.get_json(rows.group_key(call.account, call.region, name))

    def group(self, call: Call) -> dict[str, Any]:
        """The group the call names, or ``ResourceNotFoundException``."""
        group = self.find_group(call, rows.group_name(call.params))
        if group is None:
            raise rows.no_group()
        return group

    def stream(self, group: dict[str, Any], name: str) -> dict[str, Any]:
        """A stream of the group, or ``ResourceNotFoundException``."""
        stream = self.store.get_json(rows.stream_key(group["id"], name))
        if stream is None:
            raise rows.no_stream()
        return stream

    async def edit_group(
        self, call: Call, edit: Callable[[dict[str, Any]], None], name: str = ""
    ) -> None:
        """Change one group's row."""
        key = rows.group_key(call.account, call.region, name or rows.group_name(call.params))

        def change(draft: Draft) -> None:
            group = draft.get_json(key)
            if group is None:
                raise rows.no_group()
            edit(group)
            draft.put_json(key, group)

        await self.store.transact(change, call.invocation_id)
