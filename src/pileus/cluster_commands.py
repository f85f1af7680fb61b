"""The commands for several machines: init, join, token, nodes, drain, leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pileus.config import SHARDS_MAX, load
from pileus.errors import Unavailable
from pileus.terminal import HOME, JSON, node_ports, running_cloud, told


@click.command()
@HOME
@node_ports
@click.option(
    "--shards",
    type=click.IntRange(1, SHARDS_MAX),
    help="How many logs and state files to begin with [8; as many as there are, if any].",
)
@told
def init(**flags: Any) -> None:
    """Make this home the first node of a cluster; the last word printed is the join token."""
    from pileus import start_node

    start_node.init(load(**flags))


@click.command()
@click.argument("target", metavar="TOKEN@HOST[:PORT]")
@HOME
@node_ports
@told
def join(target: str, **flags: Any) -> None:
    """Make a new home a node of the cluster at HOST:PORT (any node's API address; its port is 4566
    where none is told), and run it. TOKEN: what `pileus init` and `pileus token` print there."""
    from pileus import start_node

    start_node.join(load(**flags), target)


@click.command()
@HOME
@told
def token(home: Path | None) -> None:
    """Print the token that admits nodes to this cluster. Whoever has it can join."""
    from pileus.nodes import entering, places

    config = load(home=home)
    if places.load(config.home) is None:
        raise Unavailable(f"{config.home} is not a node of a cluster", "pileus init")
    click.echo(entering.token_of(config.home))


@click.command()
@HOME
@JSON
@told
def nodes(home: Path | None, as_json: bool) -> None:
    """The nodes: where they are, alive, slow or down and since when, how far behind; what moves,
    how much is left, and what each node's part in the last move was."""
    from pileus import start_node

    config, cloud = running_cloud(home)
    told = start_node.ask(config, cloud, "GET", "/_pileus/nodes")
    if as_json:
        click.echo(json.dumps(told))
        return
    if not told["nodes"]:
        click.echo("one machine, no cluster; pileus init makes it the first of several")
    for each in told["nodes"]:
        click.echo(start_node.line(each))
    for each in told["moves"]:
        click.echo(start_node.move_line(each))


@click.command()
@click.argument("node", required=False)
@HOME
@click.option("--undo", is_flag=True, help="Give it work again.")
@told
def drain(node: str | None, home: Path | None, undo: bool) -> None:
    """Take work off NODE (a name as in `pileus nodes`; else this node) before it is stopped for a
    while. It keeps its data and goes on answering; --undo when it is back."""
    from pileus import start_node

    config, cloud = running_cloud(home)
    click.echo(start_node.drain(config, cloud, node, undo))


@click.command()
@click.argument("node", required=False)
@HOME
@told
def leave(node: str | None, home: Path | None) -> None:
    """Take this node out of its cluster for good, its data with others first; NODE (a name as in
    `pileus nodes`): another one, which will not come back."""
    from pileus import start_node
    from pileus.nodes import places

    left = places.departed(load(home=home).home)
    if left and node in (None, left):  # the command was cut off, perhaps
        click.echo(f"{left} has left for good")
        return
    config, cloud = running_cloud(home)
    click.echo(start_node.leave(config, cloud, node))


@click.command("renew-log")
@HOME
@click.option("--shard", type=int, help="Of this shard only; without it of all damaged ones.")
@click.option("--yes", is_flag=True, help="Make it anew from this node's state.")
@told
def renew_log(home: Path | None, shard: int | None, yes: bool) -> None:
    """Tell how far this node's state has come; make a lost log anew from it."""
    import asyncio

    from pileus.nodes import lost_log
    from pileus.state.shard import homes

    config = load(home=home)
    for number, place in enumerate(homes(config.home)):
        if shard in (None, number):
            stands = lost_log.standing(place)
            where = f"shard {number}: " if number else ""
            come = f"this node's state has come to entry {stands.applied} of {stands.stream}"
            click.echo(where + come)
    if yes:
        _renew(asyncio.run(lost_log.renew_log(config.home, shard)))


def _renew(renewed: Any) -> None:
    """What became of it (``nodes.lost_log.Renewed``); ``Unavailable`` when a log was left."""
    for one in renewed.done:
        if one.unasked:
            click.echo(f"not asked how far they have come: {', '.join(one.unasked)}")
        which = f"the log of shard {one.shard}" if one.shard else "the log"
        click.echo(f"{which} is {one.made.name} now, and goes on after entry {one.made.base}")
    if not renewed.done and not renewed.left:
        click.echo("no log is damaged; --shard N makes one anew all the same")
    if renewed.left:
        number, error = next(iter(renewed.left.items()))
        where = f"shard {number}: " if number else ""
        raise Unavailable(f"{where}{error}", error.hint)


COMMANDS = (init, join, token, nodes, drain, leave, renew_log)
