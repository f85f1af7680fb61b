"""``pileus services``: what long-running services do; restart, stop or start one."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import click

from pileus.config import Config
from pileus.errors import AwsError, Unavailable
from pileus.supervisor import Running
from pileus.terminal import HOME, JSON, running_cloud, told

PREFIX = "/_pileus/services"
ANSWER_S = 30.0


def ask(config: Config, cloud: Running, method: str, path: str = "") -> Any:
    """One call of the services' API, signed as the cloud's owner. Raises ``AwsError``."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    from pileus.start import credentials

    keys = credentials(config)
    request = AWSRequest(method, f"{cloud.endpoint}{PREFIX}{path}")
    signer = Credentials(keys["access_key_id"], keys["secret_access_key"])
    S3SigV4Auth(signer, "pileus", cloud.region).add_auth(request)
    connection = http.client.HTTPConnection(cloud.endpoint.partition("//")[2], timeout=ANSWER_S)
    try:
        connection.request(method, f"{PREFIX}{path}", headers=dict(request.headers))
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, ValueError) as e:
        raise Unavailable(f"the cloud does not answer: {e}", "look at it: pileus status") from e
    finally:
        connection.close()
    if answer.status != 200:
        raise AwsError(found["__type"], found["message"], answer.status)
    return found


def every(config: Config, cloud: Running) -> list[dict[str, Any]]:
    """The descriptions of all services of the owner's account."""
    found, after = [], ""
    while True:
        page = ask(config, cloud, "GET", f"?NextToken={after}" if after else "")
        found += page["Services"]
        after = page.get("NextToken", "")
        if not after:
            return found


def addresses(config: Config, cloud: Running, cfn: Any, stack: str) -> dict[str, str]:
    """Where the services of a stack answer, by name."""
    pages = cfn.get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [r for page in pages for r in page["StackResourceSummaries"]]
    names = {r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "Pileus::Service"}
    if not names:
        return {}
    return {s["Name"]: address(s) for s in every(config, cloud) if s["Name"] in names}


def address(service: dict[str, Any]) -> str:
    """The best of a service's addresses."""
    places = service["Endpoints"]
    return next((places[k] for k in ("Edge", "Path", "Tcp", "Internal") if k in places), "")


@click.group(invoke_without_command=True)
@HOME
@JSON
@click.pass_context
@told
def services(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Long-running services: what runs, where it answers, how often it was restarted."""
    context.obj = home
    if context.invoked_subcommand is not None:
        return
    found = every(*running_cloud(home))
    if as_json:
        click.echo(json.dumps(found))
        return
    if not found:
        click.echo("no service runs; a template declares one: Type: Pileus::Service")
    for service in found:
        _tell(service)


def _tell(service: dict[str, Any]) -> None:
    copies = f"{service['HealthyCopies']}/{service['Copies']}"
    colour = {"RUNNING": "green", "STOPPED": None}.get(service["Status"], "yellow")
    status = click.style(f"{service['Status']:<9}", fg=colour)
    click.echo(f"{service['Name']:<24} {status} {copies:>7}  {address(service)}")
    for copy in service["CopyStates"]:
        why = copy.get("Reason") or copy.get("LastExit", "")
        click.echo(
            f"  {copy['Id']:<34} {copy['State']:<9} {copy['Node']}  since {copy['Since']}"
            f"  restarts {copy['Restarts']}" + (f"  ({why})" if why else "")
        )
    trouble = service.get("StatusReason") or service["Deployment"].get("Reason")
    if trouble:
        click.secho(f"  {service['Deployment']['State']}: {trouble}", fg="yellow")


def _verb(verb: str, what: str) -> click.Command:
    @click.command(verb, help=what)
    @click.argument("name")
    @HOME
    @click.pass_context
    @told
    def run(context: click.Context, name: str, home: Path | None) -> None:
        config, cloud = running_cloud(home or context.obj)
        _tell(ask(config, cloud, "POST", f"/{name}/{verb}")["Service"])

    return run


for _name, _what in (
    ("restart", "Replace every copy, one after another."),
    ("stop", "End every copy until it is started again."),
    ("start", "Run what was stopped."),
):
    services.add_command(_verb(_name, _what))
