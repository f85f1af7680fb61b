"""Keeps the runtime told what should run, and writes down what came of it.

One per node, in the process that does the background work. After any loss (of the runtime, of this
process, of everything) the wishes are told again from the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import os
from typing import Any

from pileus import control
from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import Credentials
from pileus.runtime.longrunning import COMPLETED, FAILED, HealthCheck, ServiceSpec, Wish
from pileus.services.call import Parts, Principal
from pileus.services.logship import LogShip
from pileus.services.longrunning import rows
from pileus.services.longrunning.describe import arn_of
from pileus.services.longrunning.downtime import Downtime
from pileus.services.longrunning.operations import TRUSTED
from pileus.services.longrunning.placing import Nodes, OneMachine
from pileus.services.longrunning.rows import Record
from pileus.state import keys
from pileus.state.draft import Draft

REPORT_S = 1.0
AGAIN_S = 0.1
RENEW_BELOW_MS = 20 * 60_000
LOG_ROLE = "AWSServiceRoleForPileusServices"

log = logging.getLogger(__name__)


class Keeper:
    """``start`` and ``stop`` it."""

    def __init__(self, parts: Parts, ship: LogShip, nodes: Nodes) -> None:
        self._parts = parts
        self._nodes = nodes
        self._seen: dict[str, Any] = {}
        self._ship = ship
        self._task: asyncio.Task[None] | None = None
        self._downtime: Downtime | None = None
        self._credentials: dict[tuple[str, str], Credentials] = {}
        self._records: dict[str, Record] = {}
        self._boot, self._serial, self._logs = "", 0, 0
        self._told_any = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="services-keeper")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._downtime is not None:
            # Without its supervisor the cloud was not stopped: it is down from now on.
            self._downtime.save(stopped=control.supervised())

    async def _run(self) -> None:
        store = self._parts.store
        while True:
            generation = store.generation(rows.TABLE)
            records = rows.every(store)
            if not records and not self._told_any:
                await store.changed(rows.TABLE, generation, 3600.0)
                continue
            try:
                await self._tell(records)
                await self._follow(generation)
            except Unavailable as e:
                self._say_lost(e)
                await asyncio.sleep(AGAIN_S)

    def _say_lost(self, trouble: Unavailable) -> None:
        if self._boot:
            log.warning("services wait for the runtime: %s", trouble)
        self._boot, self._logs = "", 0
        if self._downtime is not None:
            self._downtime.lost(self._parts.clock.now_ms())
            self._downtime.save()

    # -- what should run --------------------------------------------------------------------

    async def _tell(self, records: list[Record]) -> None:
        wishes = [wish for r in records if (wish := await self._wish(r)) is not None]
        self._records = {r["name"]: r for r in records}
        await self._parts.runtime.wish(wishes)
        self._told_any = bool(records)
        if self._downtime is None and records:
            self._downtime = Downtime(self._parts.config.home)
        if self._downtime is not None:
            should = {r["name"] for r in records if r["running"] and self._share(r)}
            self._downtime.keep_only(should)

    def _share(self, record: Record) -> int:
        """How many copies are this node's."""
        return int(record["nodes"].count(self._nodes.name))

    async def _wish(self, record: Record) -> Wish | None:
        if not record["running"] or not self._share(record):
            return None
        spec = await self._spec(record, record)
        good = record["good"]
        if good is None or good["revision"] == record["revision"]:
            return Wish(spec, spec if good else None)
        return Wish(spec, await self._spec(record, good))

    async def _spec(self, record: Record, of: Record) -> ServiceSpec:
        told, name = of["settings"], record["name"]
        environment = dict(told["environment"])
        await self._have(of["code"]["digest"])
        if told["runtime"].startswith("nodejs"):
            heap_mb = max(32, told["memory"] * 9 // 10)
            environment.setdefault("NODE_OPTIONS", f"--max-old-space-size={heap_mb}")
        return ServiceSpec(
            name=name,
            arn=arn_of(record["region"], record["account"], name),
            account=record["account"],
            region=record["region"],
            revision=of["revision"],
            code_digest=of["code"]["digest"],
            code_path=str(self._parts.blobs.path(of["code"]["digest"])),
            command=tuple(told["command"]),
            environment=environment,
            memory_mb=told["memory"],
            ephemeral_mb=told["ephemeral"],
            copies=self._share(record),
            port=told["port"],
            tcp_port=told["tcp_port"],
            health=HealthCheck(**told["health"]),
            stop_s=told["stop_s"],
            credentials=await self._session(told["role"], name),
        )

    async def _have(self, digest: str) -> None:
        """The code's zip as a file of this node."""
        blobs = self._parts.blobs
        if not isinstance(self._nodes, OneMachine) and not os.path.exists(blobs.path(digest)):
            await blobs.fetch(digest)

    async def _session(self, role: str, name: str) -> Credentials:
        """The role's credentials, renewed when less than a third of their life is left."""
        if not role:
            return Credentials()
        known = self._credentials.get((role, name))
        now_ms = self._parts.clock.now_ms()
        if known is not None and known.expires_ms - now_ms > RENEW_BELOW_MS:
            return known
        try:
            made = await self._parts.credentials.mint(role, name, service=TRUSTED)
        except AwsError as e:
            log.warning("service %s has no credentials: %s", name, e.message)
            return known or Credentials()
        fresh = Credentials(
            made.access_key_id, made.secret_access_key, made.session_token, made.expires_ms
        )
        self._credentials[role, name] = fresh
        return fresh

    def _renewal_due(self) -> bool:
        now_ms = self._parts.clock.now_ms()
        used = {(r["settings"]["role"], r["name"]) for r in self._records.values()}
        held = {k: c for k, c in self._credentials.items() if k in used}
        return any(c.expires_ms - now_ms <= RENEW_BELOW_MS for c in held.values())

    # -- what comes of it -------------------------------------------------------------------

    async def _follow(self, generation: int) -> None:
        """Take in reports until the rows change or credentials run out. ``Unavailable`` when the
        runtime is lost."""
        store, runtime = self._parts.store, self._parts.runtime
        changed = asyncio.create_task(store.changed(rows.TABLE, generation, 3600.0))
        try:
            while True:
                asked = asyncio.create_task(
                    runtime.report(self._boot, self._serial, self._logs, REPORT_S)
                )
                await asyncio.wait({asked, changed}, return_when=asyncio.FIRST_COMPLETED)
                if not asked.done():
                    asked.cancel()
                    return
                report = asked.result()
                if self._boot and report.boot != self._boot:
                    self._boot, self._logs = "", 0
                    return
                self._boot, self._serial = report.boot, report.serial
                await self._take(report.services, report.logs)
                if changed.done() or self._renewal_due():
                    return
        finally:
            changed.cancel()

    async def _take(self, services: list[dict[str, Any]], logs: list[Any]) -> None:
        for number, name, stream, lines in logs:
            self._logs = number
            self._print(name, stream, lines)
        now_ms = self._parts.clock.now_ms()
        for service in services:
            record = self._records.get(service["name"])
            if record is None or service["ending"]:
                continue
            if record["running"] and self._share(record) and self._downtime is not None:
                healthy = any(c["state"] == "HEALTHY" for c in service["copies"])
                allowed = record["settings"]["downtime_s"]
                self._downtime.seen(service["name"], healthy, allowed, now_ms)
            await self._settle(record, service["deployment"])
            await self._show(service)
        if self._downtime is not None:
            self._downtime.save()

    async def _show(self, service: dict[str, Any]) -> None:
        """Write down for other nodes what changed of this node's copies."""
        if isinstance(self._nodes, OneMachine) or self._seen.get(service["name"]) == service:
            return
        self._seen[service["name"]] = service
        key = keys.key(rows.SEEN, service["name"], self._nodes.name)

        def change(draft: Draft) -> None:
            if draft.get(rows.key(service["name"])) is not None:
                draft.put_json(key, service)

        await self._parts.store.transact(change)

    def _print(self, name: str, stream: str, lines: list[tuple[int, str]]) -> None:
        record = self._records.get(name)
        if record is None:
            return  # its last words after it was deleted
        account = record["account"]
        who = Principal.owner(account, LOG_ROLE)
        group = f"/pileus/service/{name}"
        self._ship.put(who, record["region"], group, stream, [(ms, line) for ms, line in lines])

    async def _settle(self, record: Record, deployment: dict[str, Any]) -> None:
        """A configuration whose copies are all healthy is good from now on; one that is given up
        makes way for the good one."""
        state, revision = deployment["state"], deployment["revision"]
        if revision != record["revision"] or state not in (COMPLETED, FAILED):
            return
        good = record["good"]
        known = bool(good) and good["revision"] == revision
        done = record.get("done", {}).get(self._nodes.name) == revision
        if state == COMPLETED and (
            done or (known and record["deployment"]["state"] != "IN_PROGRESS")
        ):
            return
        now_ms = self._parts.clock.now_ms()

        def change(draft: Draft) -> None:
            before = draft.get_json(rows.key(record["name"]))
            if before is None or before["revision"] != revision:
                return
            after = copy.deepcopy(before)
            settled(after, state, deployment["reason"], now_ms, self._nodes.name)
            rows.keep(draft, before, after)

        await self._parts.store.transact(change)


def settled(record: Record, state: str, reason: str, now_ms: int, node: str) -> None:
    """Write the outcome of a deployment on ``node`` into its record. It is completed when it is on
    all nodes."""
    if state == COMPLETED:
        done = record.get("done", {})
        record["done"] = {n: done.get(n) for n in record["nodes"]} | {node: record["revision"]}
        if any(done != record["revision"] for done in record["done"].values()):
            return
        record["good"] = {k: record[k] for k in ("settings", "code", "revision")}
        # What was rolled back stays told until the next change.
        if record["deployment"]["state"] == "IN_PROGRESS":
            record["deployment"] = {"state": "COMPLETED", "reason": "", "at_ms": now_ms}
    elif record["good"] is not None:
        record |= {k: record["good"][k] for k in ("settings", "code", "revision")}
        record["deployment"] = {"state": "ROLLED_BACK", "reason": reason, "at_ms": now_ms}
