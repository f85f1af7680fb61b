"""What a service is and does, as answers tell it: the row, and what the runtime reports."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

from pileus.errors import Unavailable
from pileus.outages import read_services
from pileus.services.call import Parts
from pileus.services.longrunning import rows, settings
from pileus.services.longrunning.placing import Nodes
from pileus.services.longrunning.rows import Record

log = logging.getLogger(__name__)


def arn_of(region: str, account: str, name: str) -> str:
    return f"arn:aws:pileus:{region}:{account}:service/{name}"


def stamp(ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


class Describer:
    """Asks the runtime what copies do; without an answer a service is told without copies."""

    def __init__(self, parts: Parts, nodes: Nodes) -> None:
        self._parts = parts
        self._nodes = nodes

    async def one(self, record: Record) -> dict[str, Any]:
        return (await self.several([record]))[0]

    async def several(self, records: list[Record]) -> list[dict[str, Any]]:
        """The descriptions of services."""
        if not records:
            return []
        trouble, live = "", {}
        try:
            report = await self._parts.runtime.report("", 0, -1, 0.0)
            live = {s["name"]: s for s in report.services if not s["ending"]}
        except Unavailable as e:
            trouble = f"{e}; {e.hint}" if e.hint else str(e)
        downtime = read_services(self._parts.config.home)
        told = []
        for record in records:
            here = live.get(record["name"])
            whole = together(here, self._nodes.name, self._elsewhere(record))
            told.append(self._describe(record, whole, downtime, trouble))
        return told

    def _elsewhere(self, record: Record) -> dict[str, dict[str, Any]]:
        """What live nodes beside this one wrote down of their copies."""
        others = set(record["nodes"]) - {self._nodes.name}
        if not others:
            return {}
        seen, alive = rows.seen(self._parts.store, record["name"]), self._nodes.alive()
        return {node: told for node, told in seen.items() if node in others and node in alive}

    def _describe(
        self, record: Record, live: dict[str, Any] | None, downtime: dict[str, Any], trouble: str
    ) -> dict[str, Any]:
        name, wished = record["name"], record["settings"]
        copies = [_copy(c, live["exits"]) for c in live["copies"]] if live else []
        status, reason = _status(record, live, copies, trouble)
        measured = downtime.get(name, {})
        answer = {
            "Name": name,
            "ServiceArn": arn_of(record["region"], record["account"], name),
            "Status": status,
            "CreatedAt": stamp(record["created_ms"]),
            "LastModified": stamp(record["changed_ms"]),
            **settings.told(wished),
            "CodeSha256": record["code"]["digest"],
            "CodeSize": record["code"]["size"],
            "Revision": record["revision"],
            "Deployment": _deployment(record, live),
            "HealthyCopies": sum(c["State"] == "HEALTHY" for c in copies),
            "CopyStates": copies,
            "LastExits": [_exit(e) for e in live["exits"]] if live else [],
            "Endpoints": self.endpoints(record),
            "LogGroup": f"/pileus/service/{name}",
            "Downtime": {
                "LongestAllowedSeconds": wished["downtime_s"],
                "LongestSeconds": measured.get("longest_s", 0.0),
                "Incidents": measured.get("incidents", []),
            },
        }
        return answer | ({"StatusReason": reason} if reason else {})

    def endpoints(self, record: Record) -> dict[str, str]:
        """Where the service answers."""
        wished, name = record["settings"], record["name"]
        told = {}
        if wished["port"]:
            told["Internal"] = f"http://{name}.service.internal/"
        if wished["route"]:
            base, edge = self._addresses()
            told["Path"] = f"{base}/_service/{name}/"
            told["Host"] = f"http://{name}.service.localhost:{base.rpartition(':')[2]}/"
            told["Edge"] = f"{edge}{wished['route']['path']}/"
        if wished["tcp_port"]:
            told["Tcp"] = f"{self._parts.config.bind}:{wished['tcp_port']}"
        return told

    def _addresses(self) -> tuple[str, str]:
        """The API's and the edge's base address, as the supervisor announced them."""
        try:
            told = json.loads(self._parts.config.path("run", "cloud.json").read_text())
            return told["endpoint"], told["edge"]
        except (OSError, ValueError):  # no supervisor: a front of its own, in a test
            config = self._parts.config
            return f"http://127.0.0.1:{config.port}", f"http://localhost:{config.edge_port}"


def together(
    here: dict[str, Any] | None, name: str, elsewhere: dict[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """One report of all nodes' copies; None when nobody reports."""
    reports = {node: told for node, told in ((name, here), *elsewhere.items()) if told}
    if not reports:
        return None
    whole = dict(next(iter(reports.values())))
    whole["copies"] = [c | {"node": node} for node, r in reports.items() for c in r["copies"]]
    exits = [e for r in reports.values() for e in r["exits"]]
    whole["exits"] = sorted(exits, key=lambda e: -e["at_ms"])
    return whole


def _copy(copy: dict[str, Any], exits: list[dict[str, Any]]) -> dict[str, Any]:
    last = next((e for e in exits if e["number"] == copy["number"]), None)
    told = {
        "Id": copy["id"],
        "Node": copy["node"],
        "Number": copy["number"],
        "State": copy["state"],
        "Since": stamp(copy["since_ms"]),
        "Revision": copy["revision"],
        "Restarts": copy["restarts"],
        "HealthFailures": copy["failures"],
    }
    if copy["reason"]:
        told["Reason"] = copy["reason"]
    return told | ({"LastExit": last["reason"]} if last else {})


def _exit(told: dict[str, Any]) -> dict[str, Any]:
    return {"Copy": told["copy"], "At": stamp(told["at_ms"]), "Reason": told["reason"]}


def _deployment(record: Record, live: dict[str, Any] | None) -> dict[str, Any]:
    told = record["deployment"]
    answer = {"State": told["state"], "Revision": record["revision"], "At": stamp(told["at_ms"])}
    if told["reason"]:
        answer["Reason"] = told["reason"]
    if live and live["deployment"]["revision"] == record["revision"]:
        answer["Failures"] = live["deployment"]["failures"]
    return answer


def _status(
    record: Record, live: dict[str, Any] | None, copies: list[dict[str, Any]], trouble: str
) -> tuple[str, str]:
    """(status, why): RUNNING, UPDATING, STARTING, DEGRADED, FAILING, STOPPED, UNKNOWN."""
    if not record["running"] or not record["settings"]["copies"]:
        return ("STOPPING" if copies else "STOPPED"), ""
    if live is None:
        return ("UNKNOWN", trouble) if trouble else ("STARTING", "")
    if live["tcp_error"]:
        return "DEGRADED", live["tcp_error"]
    healthy = sum(c["State"] == "HEALTHY" for c in copies)
    last = live["exits"][0]["reason"] if live["exits"] else ""
    if record["deployment"]["state"] == "IN_PROGRESS" and record["good"]:
        return "UPDATING", ""
    if healthy >= record["settings"]["copies"]:
        return "RUNNING", ""
    if healthy:
        return "DEGRADED", last
    return ("FAILING", last) if live["deployment"]["failures"] > 1 else ("STARTING", last)
