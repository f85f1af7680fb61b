"""Pileus::Service: a long-running service. A stack waits until its copies are healthy."""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources.kind import Made, Properties, Site, need

CONFIGURED = (
    "Command", "Runtime", "Environment", "Role", "Memory", "EphemeralStorage", "Copies", "Port",
    "HealthCheck", "Route", "TcpPort", "LongestDowntimeSeconds", "StopTimeoutSeconds",
)  # fmt: skip
CODE = ("S3Bucket", "S3Key", "S3ObjectVersion", "ZipFile")
LOOK_S = 0.2
STABLE_S = 120.0
FAILURES_MAX = 3  # of a new service's copies, before its creation is given up


class Service:
    replacing = frozenset({"Name"})

    async def create(self, site: Site, wish: Properties) -> Made:
        code, _ = need(wish, "Code", "Command")
        name = wish.get("Name") or site.name(40, lower=True)
        settings = {k: wish[k] for k in CONFIGURED if k in wish}
        await site.call("pileus", "CreateService", Name=name, Code=_code(code), **settings)
        try:
            return await self._stable(site, name)
        except AwsError:
            await site.gone("pileus", "DeleteService", Name=name)
            raise

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name = made.physical_id
        settings = {k: wish[k] for k in CONFIGURED if k in wish}
        reset = [k for k in CONFIGURED if k in old and k not in wish]
        code = _code(wish["Code"]) if wish.get("Code") != old.get("Code") else None
        told = await site.call(
            "pileus", "UpdateService", Name=name, Code=code, Reset=reset or None, **settings
        )
        if told["Service"]["Deployment"]["State"] == "ROLLED_BACK":
            # It went back by itself to what is wished: an update that failed is undone.
            return Made(name, _attributes(told["Service"]))
        return await self._stable(site, name)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("pileus", "DeleteService", Name=made.physical_id)

    async def _stable(self, site: Site, name: str) -> Made:
        """Wait until every copy is healthy; an error says why that does not come about."""
        deadline = asyncio.get_running_loop().time() + STABLE_S
        while True:
            found = await site.call("pileus", "DescribeServices", Name=name)
            if not found["Services"]:
                raise AwsError("ServiceNotFoundException", f"Service not found: {name}", 404)
            service = found["Services"][0]
            deployment = service["Deployment"]
            late = asyncio.get_running_loop().time() > deadline
            stopped = service["Status"] in ("STOPPED", "STOPPING")  # by an operator, or no copies
            if deployment["State"] == "COMPLETED" or stopped:
                return Made(name, _attributes(service))
            if (
                late
                or deployment["State"] == "ROLLED_BACK"
                or deployment.get("Failures", 0) >= FAILURES_MAX
            ):
                raise AwsError("ServiceNotStable", f"{name} is not stable: {_why(service)}", 400)
            await asyncio.sleep(LOOK_S)


def _code(code: Properties) -> dict[str, Any]:
    return {k: v for k, v in code.items() if k in CODE}


def _attributes(service: dict[str, Any]) -> dict[str, Any]:
    places = service["Endpoints"]
    told = {"Arn": service["ServiceArn"], "Name": service["Name"]}
    return told | {f"{kind}Endpoint": place for kind, place in places.items()}


def _why(service: dict[str, Any]) -> str:
    exits = service["LastExits"]
    known = service["Deployment"].get("Reason") or service.get("StatusReason")
    last = f"; the last copy: {exits[0]['Reason']}" if exits and not known else ""
    return f"{known or service['Status']}{last}; its log group is {service['LogGroup']}"


KINDS: dict[str, Any] = {"Pileus::Service": Service()}
