"""What the commands of the terminal share: options, messages with a next step, exit codes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from pileus.config import Config, load
from pileus.errors import AwsError, Unavailable

HOME = click.option(
    "--home", type=click.Path(path_type=Path), help="Data directory [$PILEUS_HOME or ~/.pileus]."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")


class NotRunning(Exception):
    """No cloud is up on this home. Start one with `pileus up`, or name another with --home."""


def fail(message: str, hint: str = "", code: int = 1) -> NoReturn:
    click.secho(f"pileus: {message}", fg="red", err=True)
    if hint:
        click.echo(f"  → {hint}", err=True)
    sys.exit(code)


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what can go wrong into a message with a next step and an exit code."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except NotRunning:
            fail("no cloud is running here", "start one: pileus up   (or name it: --home DIR)", 3)
        except Unavailable as e:
            fail(str(e), e.hint)
        except AwsError as e:
            fail(f"{e.code}: {e.message}")
        except ValueError as e:
            fail(str(e), code=2)

    return wrapped


def node_ports(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where a node is."""
    for name, default, what in reversed(
        (
            ("--port", 4566, "AWS API port"),
            ("--edge-port", 8000, "Users' port"),
            ("--edge-tls-port", 8443, "Users' TLS port"),
            ("--node-port", 4567, "Cluster: port between nodes"),
            ("--log-port", 4222, "Cluster: port of the log's server"),
            ("--log-route-port", 6222, "Cluster: port between the log's servers"),
        )
    ):
        text = f"{what} [{default}]; 0 picks a free one."
        function = click.option(name, type=click.IntRange(0, 65535), help=text)(function)
    text = "Address by which other machines reach this one [127.0.0.1]."
    return click.option("--host", help=text)(function)


def running_cloud(home: Path | None) -> tuple[Config, Any]:
    """The settings and the cloud that is up on ``home``; ``NotRunning`` when none is, or
    ``Unavailable`` where none can be."""
    from pileus.supervisor import running

    config = load(home=home)
    cloud = running(config.home)
    if cloud is None:
        from pileus.nodes import places

        if name := places.departed(config.home):
            message = f"no cloud is up here: {name} has left its cluster for good"
            raise Unavailable(message, "join again with a new --home")
        raise NotRunning
    return config, cloud
