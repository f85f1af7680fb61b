"""What ``pileus up`` does: choose ports, start the processes, wait until healthy, deploy, tell the
user."""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pileus.config import Config
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.supervisor import (
    Part,
    Running,
    Supervisor,
    check_port,
    claim_home,
    free_port,
    healthy,
    running,
)

HEALTHY_SECONDS_MAX = 30.0
LATE_MS = 10_000  # lines may come a little late, and nodes' clocks differ
DEGRADED_SECONDS_MAX = 20.0  # nodes that start together find each other within that
CURRENT_SECONDS_MAX = 600.0  # a new node may have much to fetch
PORTS = ("port", "edge_port", "edge_tls_port")
NODE_PORTS = places.PORTS


def credentials(config: Config) -> dict[str, str]:
    """The owner's access key, written at the first start, readable by the home's owner only."""
    file = config.path("credentials.json")
    if not file.exists():
        raise Unavailable(
            "the cloud has no credentials yet", "wait until it is healthy: pileus status"
        )
    return dict(json.loads(file.read_text()))


def environment(config: Config, cloud: Running) -> dict[str, str]:
    """Variables by which AWS tools find this cloud and sign as its owner."""
    keys = credentials(config)
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": keys["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
    }


def session(config: Config, cloud: Running) -> functools.partial[Any]:
    """``session(service)`` is a boto3 client of this cloud, as its owner."""
    import boto3

    keys = credentials(config)
    made = boto3.session.Session(
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        region_name=cloud.region,
    )
    return functools.partial(made.client, endpoint_url=cloud.endpoint)


def up(config: Config, apps: str, detach: bool) -> None:
    """Run the cloud in this process, or with ``detach`` in a background one."""
    cluster = places.load(config.home)
    node = cluster is not None
    if cluster is not None and cluster.here.state == "gone":
        raise Unavailable(
            f"{cluster.name} has left its cluster for good", "join again with a new --home"
        )
    if node and running(config.home):
        _attach(config, detach)
        return
    claim_home(config)  # held until this process ends
    config = with_ports(config, NODE_PORTS if node else PORTS)
    if node:
        from pileus.nodes import entering

        entering.moved(config)
    gc.disable()  # nothing imported now is ever garbage: to look for it is a tenth of the start
    from pileus import processes

    supervisor = Supervisor(config, processes.parts(config))
    gc.freeze()
    gc.enable()
    if detach:
        pid = os.fork()
        if pid:
            greet(config, apps, pid)
            return
        _leave_terminal(config)
    else:
        greeter = functools.partial(_greet_beside, config, apps, os.getpid())
        supervisor.parts.append(Part("greeter", greeter, once=True))
    supervisor.run()
    if detach:
        os._exit(0)
    click.echo("stopped; everything acknowledged is on disk")


def _attach(config: Config, detach: bool) -> None:
    """A node that `join` has started already: say so; in the foreground stay until it stops."""
    cloud = wait_healthy(config)
    click.echo(f"this node already runs (process {cloud.pid})\n  AWS endpoint   {cloud.endpoint}")
    if detach:
        return
    try:
        while running(config.home):
            time.sleep(0.2)
    except KeyboardInterrupt:
        os.kill(cloud.pid, signal.SIGTERM)
        while running(config.home):
            time.sleep(0.05)
    click.echo("stopped; everything acknowledged is on disk")


def _leave_terminal(config: Config) -> None:
    os.setsid()
    log = os.open(config.path("run", "pileus.log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, onto in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(fd, onto)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s supervisor %(levelname)s %(name)s: %(message)s",
        force=True,
    )


def _greet_beside(config: Config, apps: str, pid: int) -> None:
    """``greet`` while the cloud runs on: what went wrong with the apps is told, not raised."""
    try:
        greet(config, apps, pid)
    except Unavailable as e:
        click.secho(f"pileus: {e}", fg="red", err=True)
        click.echo(f"  → {e.hint}" if e.hint else "", err=True)


def greet(config: Config, apps: str, pid: int) -> None:
    """Wait for health, deploy ``apps``, print addresses and how to go on. ``Unavailable``, after
    that, when the apps could not be deployed: the cloud runs without them."""
    cloud = wait_healthy(config, pid)
    sites: list[str] = []
    failure: Unavailable | None = None
    if apps != "none":
        from pileus import deploy

        try:
            outputs = deploy.deploy(session(config, cloud), _app(apps), apps)
            sites = deploy.addresses(_app(apps), outputs, cloud.edge)
        except Unavailable as e:
            failure = Unavailable(f"{apps} is not deployed: {e}", e.hint)
    told = healthy(cloud.endpoint) or {}
    if told.get("status") == "degraded":
        rows = f"for rows of shards {told['shards']} " if told.get("shards") else ""
        what = f"{rows}only eventual reads are answered ({told['why']})"
        click.secho(f"DEGRADED: {what}", fg="yellow")
        click.echo("  more than half of the nodes must be up: `pileus nodes` tells which are down")
    if config.dev:
        click.secho("DEV MODE: any credentials act as the account's owner.", fg="yellow", bold=True)
    keys = credentials(config)
    click.echo(f"\n  AWS endpoint   {cloud.endpoint}")
    click.echo(f"  users' edge    {cloud.edge}")
    click.echo(f"  console        {cloud.edge}/admin/")
    for label, site in zip((apps, ""), sites, strict=False):
        click.echo(f"  {label:<14} {site}")
    click.echo(f"  access key     {keys['access_key_id']}")
    click.echo(f"  secret         {keys['secret_access_key']}")
    home = "" if config.home == Path.home() / ".pileus" else f" --home {config.home}"
    click.echo(f'\n  eval "$(pileus env{home})"   then: aws s3 ls, aws dynamodb list-tables, …')
    click.echo(f"  pileus down{home}             stops it\n")
    if failure is not None:
        raise failure


def _app(name: str) -> Path:
    path = Path(__file__).resolve().parents[2] / "apps" / name
    if not path.exists():
        raise Unavailable(f"the app {name} is not beside this installation", "use --apps none")
    return path


def with_ports(config: Config, names: Sequence[str] = PORTS) -> Config:
    """With a free port for each of ``names`` that is 0; ``Unavailable`` for one that is taken."""
    chosen: dict[str, Any] = {}
    for name in names:
        chosen[name] = getattr(config, name)
        if chosen[name]:
            check_port(config.bind, chosen[name], "--" + name.replace("_", "-"))
            for address in config.binds[1:]:
                if name in PORTS and not is_free(address, chosen[name]):
                    config = dataclasses.replace(config, loopback=False)  # another node's
    for name in names:
        while not chosen[name]:
            port = free_port(config.bind)
            # A port that was asked for is free too until its process binds it.
            chosen[name] = 0 if port in chosen.values() else port
    return dataclasses.replace(config, **chosen)


def is_free(bind: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        check_port(bind, port, "")
    except Unavailable:
        return False
    return True


def wait_healthy(config: Config, pid: int = 0) -> Running:
    """Until the cloud answers its health check (a node: until it is current); ``Unavailable`` when
    its process (``pid``, or the one that runs there) ends or time runs out."""
    home = config.home
    node = places.load(home) is not None
    begun = time.monotonic()
    deadline = begun + (CURRENT_SECONDS_MAX if node else HEALTHY_SECONDS_MAX)
    while time.monotonic() < deadline:
        cloud = running(home)
        told = healthy(cloud.endpoint) if cloud else None
        late = time.monotonic() > begun + DEGRADED_SECONDS_MAX
        if cloud and told and (late or told["status"] != "degraded"):
            return cloud
        if (pid and not _lives(pid)) or (not pid and cloud is None):
            break
        time.sleep(0.02)
    if name := places.departed(home):
        raise Unavailable(f"{name} has left its cluster for good", "join again with a new --home")
    raise Unavailable("the cloud did not become healthy", f"its log: {home / 'run' / 'pileus.log'}")


def _lives(pid: int) -> bool:
    """One that has ended is listed until its parent, this process perhaps, has asked for it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _print_line(event: dict[str, Any]) -> None:
    moment = time.strftime("%H:%M:%S", time.localtime(event["timestamp"] / 1000))
    click.echo(f"{click.style(moment, dim=True)} {event['message'].rstrip()}")


def print_logs(client: Any, name: str, follow: bool, since: str) -> None:
    """Lines of a function's or a group's log, oldest first; ``since`` as ``90s``, ``15m``, ``2h``,
    ``3d``."""
    match = re.fullmatch(r"(\d+)([smhd])", since)
    if match is None:
        raise ValueError(f"--since {since!r} is not a number with s, m, h or d")
    span = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    group = name if name.startswith("/") else f"/aws/lambda/{name}"
    start, seen, without = int((time.time() - span) * 1000), set[str](), ""
    logs = client("logs")
    while True:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=start
            )
            for page in pages:
                missing = page["ResponseMetadata"]["HTTPHeaders"].get("x-pileus-missing", "")
                if missing and missing != without:
                    click.secho(f"without the lines of {missing}", fg="yellow", err=True)
                without = missing
                for event in (e for e in page["events"] if e["eventId"] not in seen):
                    seen.add(event["eventId"])
                    start = max(start, event["timestamp"] - LATE_MS)
                    _print_line(event)
        except logs.exceptions.ResourceNotFoundException:
            if not follow:
                raise Unavailable(
                    f"there is no log group {group}", "a function's group appears at its first run"
                ) from None
        if not follow:
            return
        time.sleep(0.5)
