"""Events for later: Invoke with InvocationType Event.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
The event is durable before the 202: its payload in the queue's row, over 4 KB in a row beside it,
over 256 KB in a blob.
Function errors are tried again twice, after one and two minutes; throttles and errors of ours as
long as the event is young enough (six hours). Then destination, dead-letter queue, or a kept row.
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus import hub
from pileus.errors import AwsError
from pileus.runtime.function import Invocation
from pileus.services.lambda_ import rows
from pileus.services.lambda_.destinations import Destinations, Ended
from pileus.services.lambda_.names import LATEST, FunctionName
from pileus.services.lambda_.room import Room
from pileus.services.lambda_.targets import Targets
from pileus.state import keys
from pileus.state.draft import Draft

QUEUE = "lambda.events"
INLINE_BYTES_MAX = 4096  # the queue's rows are read often: they stay small
ROW_BYTES_MAX = 256 * 1024
RETRIES = 2
AGE_S_MAX = 21_600
RETRY_MS = (60_000, 120_000)
BACKOFF_MS_MAX = 300_000


class EventQueue:
    """``put`` events; ``handle`` is the hub's way to work them off. ``run`` is ``Invoker.run``."""

    def __init__(
        self, room: Room, targets: Targets, run: Any, destinations: Destinations, owner: str
    ) -> None:
        self._room = room
        self._targets = targets
        self._run = run
        self._destinations = destinations
        # More than the runtime runs at once: what it throttles comes back, and waits in its row.
        parallel = 2 * room.config.function_concurrency_max
        self.queue = hub.Queue(
            room.store, room.clock, QUEUE, self.handle, owner=owner, parallel=parallel
        )

    async def put(
        self,
        name: FunctionName,
        request_id: str,
        payload: bytes,
        client_context: str | None,
        invocation_id: bytes,
    ) -> None:
        """Return when the event is durable."""
        event: dict[str, Any] = {
            "function": [name.account, name.region, name.name, name.qualifier],
            "request_id": request_id,
            "client_context": client_context,
            "at_ms": self._room.clock.now_ms(),
            "attempts": 0,
            "throttles": 0,
        }
        writes: list[list[Any]] = []
        if len(payload) <= INLINE_BYTES_MAX:
            event["payload"] = payload.decode()
        elif len(payload) <= ROW_BYTES_MAX:
            event["row"] = True
            writes.append([_payload_key(event), payload])
        else:
            event["blob"] = await self._room.blobs.put(payload)
            writes.append([_blob_key(event), b""])
        key = hub.queue.item_key(QUEUE, event["at_ms"], request_id)
        writes.append([key, orjson.dumps(event)])
        await self._room.store.submit("write", writes, invocation_id)
        self.queue.ring()

    async def handle(self, item: hub.Item) -> hub.Done | hub.Later:
        """One attempt."""
        event = item.body
        name = FunctionName(*event["function"])
        policy = self._policy(name)
        if self._room.clock.now_ms() - event["at_ms"] > 1000 * policy["age_s"]:
            return await self._give_up(event, name, policy, "EventAgeExceeded", None)
        payload = await self._payload(event)
        try:
            target = self._targets.find(name)
        except AwsError:  # deleted meanwhile: there is no one left to tell
            return _done(event)
        version = target.choose()
        try:
            told = (payload, event["request_id"], event["client_context"])
            invocation = Invocation(*told, invoked_arn=name.qualified_arn)
            outcome = await self._run(version, invocation)
        except AwsError as error:
            return self._put_off(event, error)
        ended = Ended(version, event, payload, outcome)
        if not outcome.function_error:
            await self._destinations.succeeded(policy, ended)
            return _done(event)
        if event["attempts"] >= policy["retries"]:
            return await self._give_up(event, name, policy, "RetriesExhausted", ended)
        delay_ms = RETRY_MS[min(event["attempts"], len(RETRY_MS) - 1)]
        again = {**event, "attempts": event["attempts"] + 1}
        return hub.Later(self._room.clock.now_ms() + delay_ms, again)

    def _put_off(self, event: dict[str, Any], error: AwsError) -> hub.Later:
        """Throttled, refused the role, or the runtime is away: once more after 1 s, 2 s … 5 min."""
        delay_ms = min(1000 * 2 ** min(event["throttles"], 9), BACKOFF_MS_MAX)
        again = {**event, "throttles": event["throttles"] + 1, "error": error.code}
        return hub.Later(self._room.clock.now_ms() + delay_ms, again)

    async def _give_up(
        self,
        event: dict[str, Any],
        name: FunctionName,
        policy: dict[str, Any],
        condition: str,
        ended: Ended | None,
    ) -> hub.Done:
        """Tell the destination or the dead-letter queue; what cannot be told is kept in a row."""
        try:
            version = ended.version if ended else self._targets.find(name).choose()
        except AwsError:
            return _done(event)
        ended = ended or Ended(version, event, await self._payload(event), None)
        undelivered = await self._destinations.failed(policy, ended, condition)
        if not undelivered:
            return _done(event)
        letter = {**event, "condition": condition, "undelivered": undelivered}
        key = keys.key("lambdadead", name.place, f"{name.name}/{event['request_id']}")

        def keep(draft: Draft) -> None:
            draft.put_json(key, letter)  # its payload's row or blob stays

        return hub.Done(keep)

    async def _payload(self, event: dict[str, Any]) -> bytes:
        if "payload" in event:
            return str(event["payload"]).encode()
        if "row" in event:
            return self._room.store.get(_payload_key(event)) or b"{}"
        return b"".join([bytes(chunk) async for chunk in self._room.blobs.read(event["blob"])])

    def _policy(self, name: FunctionName) -> dict[str, Any]:
        """Retries, age and destinations that hold for this function and qualifier."""
        store = self._room.store
        qualifier = name.qualifier or LATEST
        config = store.get_json(rows.of_qualifier("e", name, qualifier)) or {}
        function = store.get_json(rows.function(name)) or {"config": {}}
        retries, age_s = config.get("MaximumRetryAttempts"), config.get("MaximumEventAgeInSeconds")
        destinations = config.get("DestinationConfig", {})
        return {
            "retries": RETRIES if retries is None else retries,
            "age_s": AGE_S_MAX if age_s is None else age_s,
            "on_success": destinations.get("OnSuccess", {}).get("Destination", ""),
            "on_failure": destinations.get("OnFailure", {}).get("Destination", ""),
            "dead_letter": function["config"].get("DeadLetterConfig", {}).get("TargetArn", ""),
        }


def _payload_key(event: dict[str, Any]) -> bytes:
    return keys.key("lambdaevents", event["request_id"])


def _blob_key(event: dict[str, Any]) -> bytes:
    return rows.blob_reference(event["blob"], f"event/{event['request_id']}")


def _done(event: dict[str, Any]) -> hub.Done:
    """The event goes, with the payload kept beside it."""
    if "payload" in event:
        return hub.Done()
    key = _payload_key(event) if "row" in event else _blob_key(event)
    return hub.Done(lambda draft: draft.delete(key))
