"""The operations: what should run is written down; the keeper and the runtime bring it about."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.longrunning import code, rows, settings
from pileus.services.longrunning.describe import Describer, arn_of
from pileus.services.longrunning.placing import Nodes, place
from pileus.services.longrunning.rows import Record
from pileus.state.draft import Draft

TRUSTED = "ecs-tasks.amazonaws.com"  # who a service's role must trust, as a container's on AWS
SERVICES_MAX = 500
PAGE_MAX = 100


@dataclass(frozen=True)
class Room:
    """What the operations share."""

    parts: Parts
    describer: Describer
    nodes: Nodes


async def create_service(room: Room, call: Call) -> dict[str, Any]:
    """CreateService: Name, Code, Command and what ``settings.PARAMETERS`` lists."""
    name = settings.name_of(call.params)
    wished = settings.read(call.params)
    await _check_role(room, wished)
    source = await code.take(room.parts, call, call.params.get("Code"))
    now_ms = room.parts.clock.now_ms()
    record: Record = {
        "name": name,
        "account": call.account,
        "region": call.region,
        "created_ms": now_ms,
        "changed_ms": now_ms,
        "settings": wished,
        "code": source,
        "revision": rows.revision(wished, source, 0),
        "good": None,
        "running": True,
        "restarts": 0,
        "nodes": place(name, wished["copies"], room.nodes.alive()),
        "deployment": {"state": "IN_PROGRESS", "reason": "", "at_ms": now_ms},
    }

    def change(draft: Draft) -> Record:
        others = rows.drafted(draft)
        if any(r["name"] == name for r in others):
            raise AwsError("ServiceAlreadyExistsException", f"Service already exists: {name}", 409)
        if len(others) >= SERVICES_MAX:
            raise AwsError("LimitExceededException", f"There are {SERVICES_MAX} services", 400)
        _check_places(room, record, others)
        rows.keep(draft, None, record)
        return record

    kept = await room.parts.store.transact(change, call.invocation_id)
    return {"Service": await room.describer.one(kept)}


async def update_service(room: Room, call: Call) -> dict[str, Any]:
    """UpdateService: what the call names changes; ``Reset`` lists parameters that go back to their
    defaults. Copies are replaced one after another, and come back if the new ones do not run."""
    name = settings.name_of(call.params)
    had = rows.mine(room.parts.store.get_json(rows.key(name)), call.account, name)
    await _check_role(room, settings.read(call.params, had["settings"]))
    source = None
    if call.params.get("Code") is not None:
        source = await code.take(room.parts, call, call.params["Code"])

    def change(draft: Draft, record: Record) -> None:
        record["settings"] = settings.read(call.params, record["settings"])
        record["code"] = source or record["code"]
        copies, had = record["settings"]["copies"], record["nodes"]
        record["nodes"] = place(name, copies, room.nodes.alive(), had)
        others = [r for r in rows.drafted(draft) if r["name"] != name]
        _check_places(room, record, others)

    return await _edit(room, call, name, change)


async def restart_service(room: Room, call: Call) -> dict[str, Any]:
    """RestartService: every copy is replaced by a new one, one after another."""

    def change(draft: Draft, record: Record) -> None:
        record["restarts"] += 1

    return await _edit(room, call, settings.name_of(call.params), change)


async def stop_service(room: Room, call: Call) -> dict[str, Any]:
    """StopService: no copy runs until StartService."""

    def change(draft: Draft, record: Record) -> None:
        record["running"] = False

    return await _edit(room, call, settings.name_of(call.params), change)


async def start_service(room: Room, call: Call) -> dict[str, Any]:
    """StartService: what StopService stopped runs again."""

    def change(draft: Draft, record: Record) -> None:
        record["running"] = True

    return await _edit(room, call, settings.name_of(call.params), change)


async def delete_service(room: Room, call: Call) -> dict[str, Any]:
    """DeleteService: its copies are stopped, its code is forgotten. Its log group stays."""
    name = settings.name_of(call.params)

    def change(draft: Draft) -> None:
        record = rows.mine(draft.get_json(rows.key(name)), call.account, name)
        rows.keep(draft, record, None)

    await room.parts.store.transact(change, call.invocation_id)
    return {"ServiceArn": arn_of(call.region, call.account, name)}


async def describe_services(room: Room, call: Call) -> dict[str, Any]:
    """DescribeServices: ``Names`` (or one ``Name``), each with its copies; what is not there is
    among ``Failures``."""
    names = call.params.get("Names") or [call.params.get("Name")]
    if not isinstance(names, list) or len(names) > PAGE_MAX:
        raise settings.invalid(f"Names is a list of at most {PAGE_MAX} names")
    found, missing = [], []
    for name in (settings.name_of({"Name": n}) for n in names):
        record = room.parts.store.get_json(rows.key(name))
        if record is None or record["account"] != call.account:
            missing.append({"Name": name, "Reason": "MISSING"})
        else:
            found.append(record)
    return {"Services": await room.describer.several(found), "Failures": missing}


async def list_services(room: Room, call: Call) -> dict[str, Any]:
    """ListServices: the account's services by name, with copies and states."""
    try:
        size = min(int(call.params.get("MaxResults") or PAGE_MAX), PAGE_MAX)
    except (TypeError, ValueError):
        size = 0
    if size < 1:
        raise settings.invalid(f"MaxResults lies between 1 and {PAGE_MAX}")
    after = str(call.params.get("NextToken") or "")
    own = [r for r in rows.every(room.parts.store) if r["account"] == call.account]
    page = [r for r in own if r["name"] > after]
    answer: dict[str, Any] = {"Services": await room.describer.several(page[:size])}
    if len(page) > size:
        answer["NextToken"] = page[size - 1]["name"]
    return answer


async def _edit(room: Room, call: Call, name: str, change: Any) -> dict[str, Any]:
    now_ms = room.parts.clock.now_ms()

    def whole(draft: Draft) -> Record:
        before = rows.mine(draft.get_json(rows.key(name)), call.account, name)
        record = copy.deepcopy(before)
        change(draft, record)
        record["changed_ms"] = now_ms
        revision = rows.revision(record["settings"], record["code"], record["restarts"])
        if revision != record["revision"]:
            record["revision"], record["done"] = revision, {}
            record["deployment"] = {"state": "IN_PROGRESS", "reason": "", "at_ms": now_ms}
        elif record["good"] and record["good"]["revision"] == revision:
            record["good"] = {k: record[k] for k in ("settings", "code", "revision")}
        rows.keep(draft, before, record)
        return record

    kept = await room.parts.store.transact(whole, call.invocation_id)
    return {"Service": await room.describer.one(kept)}


async def _check_role(room: Room, wished: settings.Settings) -> None:
    if wished["role"]:
        try:
            await room.parts.credentials.check(wished["role"], TRUSTED)
        except AwsError as e:
            text = f"Role cannot be assumed by {TRUSTED}: {wished['role']}"
            raise settings.invalid(text) from e


def _check_places(room: Room, record: Record, others: list[Record]) -> None:
    """Routes and ports belong to one service."""
    config, wished = room.parts.config, record["settings"]
    port, route = wished["tcp_port"], wished["route"]
    if port in (config.port, config.edge_port, config.edge_tls_port):
        raise settings.invalid(f"TcpPort: {port} is a port of the cloud itself")
    for other in others:
        if port and other["settings"]["tcp_port"] == port:
            raise AwsError("ResourceInUseException", f"TcpPort {port} is another service's", 409)
        taken = other["settings"]["route"]
        if route and taken and taken["path"] == route["path"]:
            text = f"Route {route['path']}/* is another service's"
            raise AwsError("ResourceInUseException", text, 409)
