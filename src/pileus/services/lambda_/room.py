"""What the operations of this service share: the parts, the look-ups, the revisions."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pileus.config import Config
from pileus.engine import Clock
from pileus.errors import Unavailable
from pileus.runtime.function import FunctionSpec
from pileus.services.call import Call, Dispatch
from pileus.services.lambda_ import rows
from pileus.services.lambda_.names import (
    LATEST,
    FunctionName,
    no_alias,
    no_function,
    precondition_failed,
)
from pileus.services.lambda_.roles import Roles
from pileus.state.draft import Draft
from pileus.state.store import Store

log = logging.getLogger(__name__)

Record = dict[str, Any]


@dataclass
class Room:
    """The parts this service works with."""

    store: Store
    blobs: Any  # pileus.engine.Blobs whose path(digest) is a file
    clock: Clock
    config: Config
    dispatch: Dispatch
    runtime: Any  # pileus.runtime.client.Runtime
    roles: Roles

    def function(self, name: FunctionName) -> Record:
        """The function's own row (``$LATEST``), or ``ResourceNotFoundException``."""
        record = self.store.get_json(rows.function(name))
        if record is None:
            raise no_function(name)
        return record

    def version(self, name: FunctionName) -> Record:
        """The row of the version that ``name.qualifier`` leads to."""
        qualifier = name.qualifier or LATEST
        if qualifier == LATEST:
            return self.function(name)
        if not qualifier.isdigit():
            alias = self.store.get_json(rows.of_qualifier("a", name, qualifier))
            if alias is None:
                raise no_function(name)
            if alias["version"] == LATEST:
                return self.function(name)
            qualifier = alias["version"]
        record = self.store.get_json(rows.version(name, qualifier))
        if record is None:
            raise no_function(name)
        return record

    def addressed(self, name: FunctionName) -> Record:
        """Like ``version``, for operations about a qualifier: they miss the alias, not the
        function."""
        alias = re.fullmatch("(?![0-9]+$)[a-zA-Z0-9-_]+", name.qualifier)
        if alias and self.store.get(rows.of_qualifier("a", name, name.qualifier)) is None:
            raise no_alias(name, name.qualifier)
        return self.version(name)

    async def edit(
        self,
        call: Call,
        name: FunctionName,
        change: Callable[[Draft, Record], Any],
        revision: str | None = None,
    ) -> Any:
        """Run ``change(draft, record)`` on the function's row and keep what it made of it.
        ``revision`` is the RevisionId the caller expects. Answers what ``change`` answers."""

        def whole(draft: Draft) -> Any:
            record = draft.get_json(rows.function(name))
            if record is None:
                raise no_function(name)
            if revision and revision != record["revision"]:
                raise precondition_failed()
            answer = change(draft, record)
            draft.put_json(rows.function(name), record)
            return answer

        return await self.store.transact(whole, call.invocation_id)

    async def bring(self, spec: FunctionSpec) -> None:
        """Have the code on this machine: it may be on others only."""
        for code in (spec.code, *spec.layers):
            if not os.path.exists(code.path):
                with contextlib.suppress(FileNotFoundError):  # the runtime may have it unpacked
                    await self.blobs.fetch(code.digest)

    async def forget_workers(self, name: FunctionName) -> None:
        """Tell the runtime that workers of the function are of no more use."""
        try:
            await self.runtime.forget(name.arn)
        except Unavailable as error:
            # Safe to go on: a new spec has a new key, the old workers end by idleness.
            log.warning("workers of %s end later: %s", name.arn, error)
