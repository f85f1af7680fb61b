"""Provisioned concurrency: workers kept initialised for a version or alias.

https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
The operations write what is wanted; ``Keeper``, in one process of each machine, tells the runtime:
when the table changed, and once a minute, so that a restarted runtime learns it again and workers
get the role's fresh credentials. Several machines divide what is wanted among those that live.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson

from pileus import hub
from pileus.errors import AwsError, Unavailable
from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.elsewhere import Elsewhere
from pileus.services.lambda_.functions import listed, page_of
from pileus.services.lambda_.names import (
    USER,
    FunctionName,
    called_function,
    conflict,
    invalid,
)
from pileus.services.lambda_.room import Record, Room
from pileus.services.lambda_.settings import stamp
from pileus.services.lambda_.targets import Targets, Version, reserved_total

TELL_MS = 60_000
LOOK_S = 2.0  # how soon others are missed, or back

log = logging.getLogger(__name__)


async def put_config(room: Room, call: Call) -> dict[str, Any]:
    """Keep workers of a version or alias initialised."""
    wanted = call.params["ProvisionedConcurrentExecutions"]
    name = _published(
        call, "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    record = room.addressed(name)
    free = room.config.function_concurrency_max - reserved_total(room.store, name.place)
    if not 1 <= wanted <= free:
        raise invalid("Specified ConcurrentExecutions for function is greater than account's"
                      f" unreserved concurrency [{free}].")  # fmt: skip
    _check_apart(room, name, record["version"])
    config = {
        "qualifier": name.qualifier,
        "wanted": wanted,
        "modified": room.clock.now_ms(),
    }
    key = rows.of_qualifier("pc", name, name.qualifier)
    await room.store.submit("write", [[key, orjson.dumps(config)]], call.invocation_id)
    started = {
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    return _describe(config) | started


def _check_apart(room: Room, name: FunctionName, number: str) -> None:
    """Not both a version and an alias of it have provisioned workers."""
    if name.qualifier != number:
        if room.store.get(rows.of_qualifier("pc", name, number)) is not None:
            raise conflict("Alias can't be used for Provisioned Concurrency configuration on an"
                           " already Provisioned version")  # fmt: skip
        return
    found, _ = rows.page(room.store, name.place, f"pc/{name.name}/", "", 10_000)
    for config in found:
        alias = room.store.get_json(rows.of_qualifier("a", name, config["qualifier"]))
        if alias is not None and number in (alias["version"], *alias["weights"]):
            raise conflict("Version is pointed by a Provisioned Concurrency alias")


def get_config(room: Room, call: Call) -> dict[str, Any]:
    name = _published(call)
    room.addressed(name)
    config = room.store.get_json(rows.of_qualifier("pc", name, name.qualifier))
    if config is None:
        raise AwsError(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
            404,
            fields=USER,
        )
    return _describe(config)


async def delete_config(room: Room, call: Call) -> None:
    name = _published(call)
    room.addressed(name)
    key = rows.of_qualifier("pc", name, name.qualifier)
    await room.store.submit("write", [[key, None]], call.invocation_id)


def list_configs(room: Room, call: Call) -> dict[str, Any]:
    name = called_function(call)
    room.function(name)
    marker, size = page_of(call)
    found, more = rows.page(room.store, name.place, f"pc/{name.name}/", marker, size)
    items = [
        {"FunctionArn": f"{name.arn}:{config['qualifier']}", **_describe(config)}
        for config in found
    ]
    return listed("ProvisionedConcurrencyConfigs", items, more)


def _published(
    call: Call,
    refusal: str = "The function resource provided must be an alias or a published version.",
) -> FunctionName:
    name = called_function(call)
    if name.qualifier in ("", "$LATEST"):
        raise invalid(refusal)
    return name


def _describe(config: Record) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": config["wanted"],
        "AllocatedProvisionedConcurrentExecutions": config["wanted"],
        "AvailableProvisionedConcurrentExecutions": config["wanted"],
        "Status": "READY",
        "LastModified": stamp(config["modified"]),
    }


class Keeper:
    """Keeps the runtime told. ``elsewhere``: of several machines, who knows this one's share."""

    def __init__(self, room: Room, targets: Targets, elsewhere: Elsewhere | None) -> None:
        self._room = room
        self._targets = targets
        self._elsewhere = elsewhere
        self._told: dict[tuple[FunctionName, str], Version] = {}
        self._wake = hub.Wake(room.store, room.clock, rows.TABLE)

    async def run(self) -> None:
        while True:
            self._wake.look()
            now_ms = self._room.clock.now_ms()
            try:
                await self.tell()
                again_ms = now_ms + TELL_MS if self._told else None
            except Unavailable as error:
                log.warning("provisioned concurrency waits for the runtime: %s", error)
                again_ms = now_ms + 2000
            await self._wake.wait(again_ms)

    async def watch(self, alive: Callable[[], list[str]]) -> None:
        """Have the shares told anew when other nodes live than before."""
        known = sorted(alive())
        while True:
            await self._room.clock.sleep(LOOK_S)
            if (now := sorted(alive())) != known:
                known = now
                self._wake.ring()

    async def tell(self) -> None:
        """Ask for the workers that are wanted, and let go of those no longer wanted."""
        wanted: dict[tuple[FunctionName, str], Version] = {}
        for name in self._targets.provisioned():
            try:
                version = self._targets.find(name).first
            except AwsError:  # its alias or version was deleted
                continue
            wanted[version.function, version.number] = version
        for key, version in self._told.items():
            if key not in wanted:
                await self._set(version, 0)
        self._told = wanted
        for version in wanted.values():
            count = version.provisioned
            if self._elsewhere is not None:
                count = self._elsewhere.share(version, count)
            await self._set(version, count)

    async def _set(self, version: Version, count: int) -> None:
        try:
            spec = await version.spec(self._room.roles)
            if count:
                await self._room.bring(spec)
        except (AwsError, Unavailable) as error:
            log.warning("no provisioned workers for %s: %s", version.function.arn, error)
            return
        await self._room.runtime.set_provisioned(spec, count)
