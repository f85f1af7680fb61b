"""What the commands for several machines do: found, join, ask the running node."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import time
from typing import Any

import click

from pileus import start
from pileus.config import Config, load
from pileus.errors import Unavailable
from pileus.nodes import entering, places, token
from pileus.nodes.places import PORTS
from pileus.supervisor import Running, running

NODES = "/_pileus/nodes"
LEAVE_SECONDS_MAX = 600.0
ASK_S = 30.0
COPY_SECONDS_MAX = 30.0
COPIES_MAX = 3


class Unknown(Unavailable):
    """The cluster has never heard of what was asked for."""


def init(config: Config) -> None:
    """Found a cluster on this home, or tell its token again."""
    founded = places.load(config.home)
    if founded is None:
        if running(config.home):
            raise Unavailable(
                "a cloud runs on this home",
                "stop it first (everything stays): pileus down; pileus init; pileus up",
            )
        config = start.with_ports(config, PORTS)
        ports = {name: getattr(config, name) for name in PORTS}
        entering.note_shards(config)
        founded = entering.found(config, ports)
    click.echo(f"this home is node {founded.name} of cluster {founded.id}")
    word = entering.token_of(config.home)
    home = f"--home {config.home}"
    click.echo(f"  start it       pileus up {home}")
    click.echo(f"  elsewhere      pileus join TOKEN@{founded.here.api} --host ADDRESS")
    click.echo("  whoever has the token can join; `pileus token` prints it again")
    click.echo(f"token {word}")


def join(config: Config, target: str) -> None:
    """Join, start the node in the background, return when it is current."""
    admitting, host, port = token.parse_target(target)
    if not entering.belongs(config.home, admitting):
        config = start.with_ports(config, PORTS)
        ports = {name: getattr(config, name) for name in PORTS}
        entering.enter(config, ports, admitting, host, port)
    config = load(home=config.home)
    start.up(config, "none", detach=True)
    cluster = places.load(config.home)
    assert cluster is not None
    _await_copy(config, cluster.name)
    click.echo(f"node {cluster.name} has joined; it runs in the background")


def _await_copy(config: Config, name: str) -> None:
    """Until the new node is one of those that keep the log, where not enough others do: before, the
    loss of another may stop the cloud."""
    deadline = time.monotonic() + COPY_SECONDS_MAX
    while time.monotonic() < deadline:
        cloud = running(config.home)
        if cloud is None:
            break
        if _keeps_log(config, cloud, name):
            return
        time.sleep(0.2)
    click.echo("its copy of the log is not whole yet: `pileus nodes` shows when it is", err=True)


def _keeps_log(config: Config, cloud: Running, name: str) -> bool:
    try:
        nodes = ask(config, cloud, "GET", NODES)["nodes"]
    except Unavailable:
        return False  # the log's leader changes when a node joins: it answers in a moment
    keeping = [n["name"] for n in nodes if {"log", "log-leader"} & set(n["roles"])]
    logs = {n["name"]: n["logs"] for n in nodes if n.get("logs")}
    if not logs:
        return name in keeping or len(keeping) >= COPIES_MAX
    shards, copies = max(n["of"] for n in logs.values()), sum(n["copies"] for n in logs.values())
    return (name in logs and logs[name]["copies"] >= shards) or copies >= COPIES_MAX * shards


def ask(
    config: Config, cloud: Running, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    """A signed request to the running node, as its owner; ``Unavailable`` when it refuses."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = start.credentials(config)
    data = json.dumps(body or {}).encode()
    headers = {"x-amz-content-sha256": hashlib.sha256(data).hexdigest()}
    request = AWSRequest(method, cloud.endpoint + path, headers=headers, data=data)
    owner = Credentials(keys["access_key_id"], keys["secret_access_key"])
    SigV4Auth(owner, "pileus", cloud.region).add_auth(request)
    connection = http.client.HTTPConnection(cloud.endpoint.rpartition("/")[2], timeout=ASK_S)
    try:
        connection.request(method, path, data, dict(request.headers.items()))
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"the node does not answer: {error}", "pileus status") from error
    finally:
        connection.close()
    if answer.status != 200:
        kind = Unknown if answer.status == 404 else Unavailable
        raise kind(str(told.get("message", told)), str(told.get("hint", "")))
    return told


def line(node: dict[str, Any]) -> str:
    """One node as a line of ``pileus nodes``."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(node["since_ms"] / 1000))
    health = f"{node['health']} since {since}" if node["health"] else ""
    lag = "" if node["lag"] is None else f"applied {node['applied']}  lag {node['lag']}"
    roles = ",".join(_roles(node))
    here = "*" if node["here"] else " "
    where = f"{node['address']}:{node['port']}"
    move = node.get("move")
    moving = f"  moving: {_left(move)}, {_megabytes(move['bytes'])} so far" if move else ""
    about = f"{node['name']:<5} {where:<22} {node['state']:<9} {health:<32} {lag}"
    return f"{here} {about}  {roles}{moving}"


def _roles(node: dict[str, Any]) -> list[str]:
    """What it does for all; of several logs how many it leads and keeps."""
    logs = node.get("logs")
    if not logs:
        return list(node["roles"])
    told = [role for role in node["roles"] if role not in ("log", "log-leader")]
    if logs["copies"]:
        told.append(f"leads {logs['leads']} of {logs['of']} logs")
    if logs["copies"] not in (0, logs["of"]):
        told.append(f"keeps {logs['copies']}")
    return told


def move_line(move: dict[str, Any]) -> str:
    """One node's part in the last move it saw the end of."""
    ended = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(move["ended_ms"] / 1000))
    seconds = (move["ended_ms"] - move["since_ms"]) / 1000
    parts = [
        f"{word} {move[name]} blobs ({_megabytes(move[name + '_bytes'])})"
        for name, word in (("fetched", "fetched"), ("given", "gave"), ("dropped", "let go of"))
        if move[name]
    ]
    if move["state_bytes"]:
        parts.insert(0, f"fetched the state ({_megabytes(move['state_bytes'])})")
    done = ", ".join(parts) or "had nothing to move"
    to = ",".join(move["keepers"])
    return f"  move to {to}: {move['node']} {done}; done {ended} after {seconds:.1f} s"


def _left(move: dict[str, Any]) -> str:
    return "counting" if move["left"] < 0 else f"{move['left']} blobs left"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def drain(config: Config, cloud: Running, name: str | None, undo: bool) -> str:
    """Take work off a node, or give it work again; answers what to tell."""
    name = name or _here(config)
    ask(config, cloud, "POST", f"{NODES}/{name}/{'undrain' if undo else 'drain'}")
    return f"{name} takes work again" if undo else f"{name} gets no new work"


def leave(config: Config, cloud: Running, name: str | None) -> str:
    """Take a node out for good; this one is stopped when it holds nothing any more."""
    here = _here(config)
    name = name or here
    try:
        ask(config, cloud, "POST", f"{NODES}/{name}/leave")
    except Unknown:
        raise
    except Unavailable:
        if not _has_gone(config, cloud, name):  # the command was cut off, perhaps, not the leaving
            raise
    deadline = time.monotonic() + LEAVE_SECONDS_MAX
    while not _has_gone(config, cloud, name):
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} is still leaving", "look again: pileus nodes")
        time.sleep(0.2)
    if name == here:
        with contextlib.suppress(ProcessLookupError):  # it stops by itself, too
            os.kill(cloud.pid, signal.SIGTERM)
        while running(config.home):
            time.sleep(0.05)
    return f"{name} has left for good"


def _has_gone(config: Config, cloud: Running, name: str) -> bool:
    if places.departed(config.home) == name:
        return True
    try:
        nodes = ask(config, cloud, "GET", NODES)["nodes"]
    except Unavailable:
        return False  # the log's copies move just now: it answers in a moment
    return name not in [n["name"] for n in nodes]


def _here(config: Config) -> str:
    cluster = places.load(config.home)
    if cluster is None:
        raise Unavailable(f"{config.home} is not a node of a cluster", "pileus init")
    return cluster.name
