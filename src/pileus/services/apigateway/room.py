"""What the control operations share: the store, look-ups, one way to change an API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from pileus.config import Config
from pileus.engine import Clock
from pileus.services.apigateway import deploying, rows
from pileus.services.call import Call
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

T = TypeVar("T")
PAGE_MAX = 1000


@dataclass
class Room:
    """The parts this service works with."""

    store: Store
    clock: Clock
    config: Config

    def new_id(self, kind: str) -> str:
        return rows.new_id(self.clock, kind)

    def endpoint(self, api_id: str) -> str:
        return f"http://{api_id}.execute-api.localhost:{self.config.port}"

    def seconds(self) -> int:
        return self.clock.now_ms() // 1000

    def api(self, call: Call) -> dict[str, Any]:
        """The row of the API the call names, or ``NotFoundException``."""
        return owned(call, self.store.get_json(rows.api_key(call.params["ApiId"])))

    def part(self, call: Call, kind: str, part_id: str) -> dict[str, Any]:
        """One resource of the API, or ``NotFoundException``."""
        self.api(call)
        found = self.store.get_json(rows.part_key(call.params["ApiId"], kind, part_id))
        if found is None:
            raise rows.no_such(kind, part_id)
        return dict(found)

    def page(self, call: Call, kind: str) -> dict[str, Any]:
        """One page of an API's resources of a kind: ``{"Items": […], "NextToken": …}``."""
        self.api(call)
        start, end = rows.kind_span(call.params["ApiId"], kind)
        return self.paged(call, start, end, orjson.loads)

    def paged(
        self, call: Call, start: bytes, end: bytes, read: Callable[[bytes], Any]
    ) -> dict[str, Any]:
        """Up to ``MaxResults`` rows of a key range from ``NextToken``, each through ``read``."""
        size = page_size(call.params)
        token = call.params.get("NextToken")
        if token:
            start = max(start, _from_token(token) + b"\x00")
        found = self.store.range(start, end, size + 1)
        answer: dict[str, Any] = {"Items": [read(r.value or r.key) for r in found[:size]]}
        if len(found) > size:
            answer["NextToken"] = found[size - 1].key.hex()
        return answer

    async def change(
        self,
        call: Call,
        edit: Callable[[Draft, dict[str, Any]], T],
        deploys: bool = False,
        api_id: str = "",
    ) -> T:
        """Run ``edit(draft, api row)`` in one transaction. ``deploys``: what stages serve changes,
        so stages with auto-deploy get a new deployment (whose id is minted here, outside)."""
        api_id = api_id or call.params["ApiId"]
        deployment_id, now = self.new_id("deployment"), self.seconds()

        def change(draft: Draft) -> T:
            api = owned(call, draft.get_json(rows.api_key(api_id)), api_id)
            result = edit(draft, api)
            if deploys:
                deploying.auto_deploy(draft, api_id, deployment_id, now)
            return result

        return await self.store.transact(change, call.invocation_id)

    def new_name(self, key: bytes) -> str:
        """The sort part of a key: an identifier."""
        return keys.split(key)[2].decode()


def owned(call: Call, api: dict[str, Any] | None, api_id: str = "") -> dict[str, Any]:
    """``api`` where it exists and belongs to the caller's account and region."""
    if api is None or api["account"] != call.account or api["region"] != call.region:
        raise rows.no_such("api", f"{call.account}:{api_id or call.params.get('ApiId', '')}")
    return api


def page_size(params: dict[str, Any]) -> int:
    text = params.get("MaxResults")
    if text is None:
        return PAGE_MAX
    if not str(text).isdigit() or not 1 <= int(text) <= PAGE_MAX:
        raise rows.bad(f"Invalid value for maxResults: {text}")
    return int(text)


def _from_token(token: str) -> bytes:
    try:
        return bytes.fromhex(token)
    except ValueError:
        raise rows.bad("Invalid NextToken specified") from None
