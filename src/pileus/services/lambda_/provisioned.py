"""Provisioned concurrency: workers kept initialised for a version or alias.

https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
The operations write what is wanted; ``Keeper``, in one process of each machine, tells the runtime:
when the table changed, and once a minute, so that a restarted runtime learns it again and workers
get the role's fresh credentials. Several machines divide what is wanted among those that live;
what there is of it is asked of all their runtimes (``Standing``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from pileus import hub
from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import Kept
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
from pileus.telemetry.others import Others

QUESTION = "lambda.provisioned"
TELL_MS = 60_000
LOOK_S = 2.0  # how soon others are missed, or back

log = logging.getLogger(__name__)


class Standing:
    """What there is of provisioned workers, on all machines together."""

    def __init__(self, room: Room, targets: Targets, others: Others) -> None:
        self._room, self._targets, self._others = room, targets, others
        others.offer(QUESTION, self._here)

    async def of(self, names: list[FunctionName]) -> list[Kept]:
        """Of each version or alias. What a runtime that does not answer has is left out: it counts
        when it answers."""
        versions = [self._version(name) for name in names]
        question = [[v.plain.arn, v.number, v.asked] for v in versions if v is not None]
        if not question:
            return [Kept()] * len(names)
        heard = await self._others.ask(QUESTION, question)
        told = [await self._here(question), *heard.answers.values()]
        found = iter(zip(*told, strict=True))
        return [Kept() if v is None else await self._joined(v, next(found)) for v in versions]

    def _version(self, name: FunctionName) -> Version | None:
        try:
            return self._targets.find(name).first
        except AwsError:  # its alias or version was deleted
            return None

    async def _here(self, question: Any) -> list[Kept]:
        try:
            return [await self._room.runtime.kept(*about) for about in question]
        except Unavailable:
            return [Kept()] * len(question)

    async def _joined(self, version: Version, nodes: Iterable[Sequence[Any]]) -> Kept:
        allocated, available, troubles = zip(*nodes, strict=True)
        trouble = next(filter(None, troubles), "")
        try:
            await version.spec(self._room.roles)
        except AwsError as error:
            trouble = error.message
        return Kept(sum(allocated), sum(available), trouble)


async def put_config(room: Room, standing: Standing, call: Call) -> dict[str, Any]:
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
    (kept,) = await standing.of([name])
    told = _describe(config, kept._replace(trouble=""))  # of the wish before this one
    return told | {"Status": "IN_PROGRESS"}


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


async def get_config(room: Room, standing: Standing, call: Call) -> dict[str, Any]:
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
    (kept,) = await standing.of([name])
    return _describe(config, kept)


async def delete_config(room: Room, call: Call) -> None:
    name = _published(call)
    room.addressed(name)
    key = rows.of_qualifier("pc", name, name.qualifier)
    await room.store.submit("write", [[key, None]], call.invocation_id)


async def list_configs(room: Room, standing: Standing, call: Call) -> dict[str, Any]:
    name = called_function(call)
    room.function(name)
    marker, size = page_of(call)
    found, more = rows.page(room.store, name.place, f"pc/{name.name}/", marker, size)
    names = [replace(name, qualifier=config["qualifier"]) for config in found]
    items = [
        {"FunctionArn": each.qualified_arn, **_describe(config, kept)}
        for each, config, kept in zip(names, found, await standing.of(names), strict=True)
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


def _describe(config: Record, kept: Kept) -> dict[str, Any]:
    wanted = config["wanted"]
    told = {
        "RequestedProvisionedConcurrentExecutions": wanted,
        "AllocatedProvisionedConcurrentExecutions": min(kept.allocated, wanted),
        "AvailableProvisionedConcurrentExecutions": min(kept.available, wanted),
        "LastModified": stamp(config["modified"]),
    }
    if kept.available >= wanted:
        return told | {"Status": "READY"}
    if kept.trouble:
        return told | {"Status": "FAILED", "StatusReason": kept.trouble}
    return told | {"Status": "IN_PROGRESS"}


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
        await self._room.runtime.set_provisioned(spec, count, version.asked)
