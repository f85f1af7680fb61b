"""The ``pileus`` command: run a cloud, look at it, deploy to it, prove it.

Exit codes: 0 done, 1 it did not work (the message says what to do next), 2 wrong use, 3 no cloud is
running.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pileus import __version__, service_commands, tablet_commands
from pileus.cluster_commands import COMMANDS
from pileus.config import Config, load
from pileus.errors import Unavailable
from pileus.terminal import HOME, JSON, fail, node_ports, running_cloud, told


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pileus")
def main() -> None:
    """Pileus: a small cloud for machines people own.

    \b
    pileus up                run a cloud here (Ctrl-C stops it)
    eval "$(pileus env)"     point the AWS tools at it
    pileus deploy DIR        deploy an application by its template

    \b
    pileus init; pileus up   the first of several machines: prints a TOKEN
    pileus join TOKEN@HOST   one more; pileus nodes tells how all are

    Shell completion: eval "$(_PILEUS_COMPLETE=bash_source pileus)"   (zsh_source, fish_source)
    """


@main.command()
@HOME
@node_ports
@click.option("--bind", help="Address to listen on [--host, or 127.0.0.1].")
@click.option("--apps", type=click.Choice(["links", "none"]), default="links", show_default=True)
@click.option("--detach", is_flag=True, help="Return when the cloud is healthy.")
@click.option("--dev", is_flag=True, default=None, help="Accept ANY credentials as the owner.")
@click.option("--weak-isolation", is_flag=True, default=None, help="Run functions unjailed.")
@told
def up(apps: str, detach: bool, **flags: Any) -> None:
    """Run a cloud. It stays up until Ctrl-C."""
    from pileus import start

    start.up(load(**flags), apps, detach)


@main.command()
@HOME
@JSON
@told
def status(home: Path | None, as_json: bool) -> None:
    """Is the cloud up, and how are its parts?"""
    from pileus import downtime
    from pileus.supervisor import healthy

    config, cloud = running_cloud(home)
    health = healthy(cloud.endpoint)
    away = downtime.measured(config.home)
    if as_json:
        told = {"pid": cloud.pid, "endpoint": cloud.endpoint, "health": health, "downtime": away}
        click.echo(json.dumps(told))
    else:
        click.echo("\n".join(_standing(config, cloud, health)))
        click.echo("\n".join(["", *downtime.table(away)]))
    sys.exit(0 if health else 1)


def _standing(config: Config, cloud: Any, health: dict[str, Any] | None) -> list[str]:
    """What ``status`` says of the whole, a line each."""
    where = {"endpoint": cloud.endpoint, "edge": cloud.edge, "process": cloud.pid}
    if health is None:
        said = {
            "cloud": f"no answer; its log: {config.path('run', 'pileus.log')}",
            **where,
        }
    else:
        said = {
            "cloud": f"{health['status']}, Pileus {health['version']}",
            **where,
            "account": health["account"],
            "region": health["region"],
            "services": ", ".join(health["services"]),
        }
        if health["dev"]:
            said["warning"] = "--dev: any credentials are accepted as the account's owner"
    return [f"{name:<9} {value}" for name, value in said.items()]


@main.command()
@HOME
@told
def down(home: Path | None) -> None:
    """Stop the cloud; everything acknowledged is on disk already."""
    _, cloud = running_cloud(home)
    os.kill(cloud.pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(cloud.pid, 0)
        except ProcessLookupError:
            click.echo("stopped")
            return
        time.sleep(0.05)
    raise Unavailable(
        f"process {cloud.pid} does not stop", f"look at it, then: kill -9 {cloud.pid}"
    )


@main.command()
@HOME
@click.option("--format", "form", type=click.Choice(["shell", "json"]), default="shell")
@told
def env(home: Path | None, form: str) -> None:
    """The variables that point AWS tools at this cloud: eval "$(pileus env)"."""
    from pileus.start import environment

    config, cloud = running_cloud(home)
    values = environment(config, cloud)
    if form == "json":
        click.echo(json.dumps(values))
    else:
        click.echo("\n".join(f"export {name}={value}" for name, value in values.items()))


@main.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@HOME
@click.option("--stack", help="The stack's name [the directory's].")
@click.option(
    "--parameter", "-p", multiple=True, metavar="NAME=VALUE", help="A template parameter."
)
@JSON
@told
def deploy(
    directory: Path, home: Path | None, stack: str | None, parameter: tuple[str, ...], as_json: bool
) -> None:
    """Deploy an application: its template, its code, its pages."""
    from pileus import deploy as deploying
    from pileus import start

    config, cloud = running_cloud(home)
    given = dict(p.partition("=")[::2] for p in parameter)
    name = stack or directory.resolve().name
    outputs = deploying.deploy(start.session(config, cloud), directory, name, given)
    for site in deploying.addresses(directory, outputs, cloud.edge)[-1:]:
        outputs["Site"] = site
    cfn = start.session(config, cloud)("cloudformation")
    outputs |= service_commands.addresses(config, cloud, cfn, name)
    if as_json:
        click.echo(json.dumps(outputs))
    else:
        for key, value in outputs.items():
            click.echo(f"{key:<12} {value}")


@main.command("config")
@HOME
@JSON
@told
def config_(home: Path | None, as_json: bool) -> None:
    """Every setting and its value here."""
    import dataclasses

    values = {
        k: str(v) if isinstance(v, Path) else v
        for k, v in dataclasses.asdict(load(home=home)).items()
    }
    if as_json:
        click.echo(json.dumps(values))
    else:
        for name, value in values.items():
            click.echo(f"{name} = {value!r}")


@main.command()
@HOME
@JSON
@click.option("--here", is_flag=True, help="This node only, not all nodes.")
@told
def top(home: Path | None, as_json: bool, here: bool) -> None:
    """Watch it work: requests, latencies, errors, CPU and memory of all nodes, every second."""
    from pileus import top as looking
    from pileus.nodes import places

    config, cloud = running_cloud(home)

    def look() -> looking.Seen:
        if here or places.load(config.home) is None:
            return looking.here(config.home)
        from pileus import start_node  # one machine need not load it

        series = "/_pileus/series?newest=1&node=all"
        return looking.everywhere(start_node.ask(config, cloud, "GET", series))

    if as_json:
        click.echo(json.dumps(looking.told_all(look())))
        return
    try:
        looking.watch(look, click.echo)
    except KeyboardInterrupt:
        click.echo("")


@main.command()
@click.argument("name")
@HOME
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines.")
@click.option("--since", default="1h", show_default=True, help="How far back: 90s, 15m, 2h, 3d.")
@told
def logs(name: str, home: Path | None, follow: bool, since: str) -> None:
    """Print the log of a function (its name) or a log group (its full name)."""
    from pileus import start

    config, cloud = running_cloud(home)
    start.print_logs(start.session(config, cloud), name, follow, since)


@main.command()
@HOME
@JSON
@told
def buckets(home: Path | None, as_json: bool) -> None:
    """What each bucket holds: objects and bytes by storage class, and what a month of it would
    cost on AWS. May run while serving."""
    import dataclasses

    from pileus.services.s3.usage import PRICES, price, usage

    found = usage(_existing(home).home)
    if as_json:
        told = [
            dataclasses.asdict(u)
            | {"held": {k: h._asdict() for k, h in u.held.items()}}
            | {"aws_usd_month": round(u.aws_usd_month, 6)}
            for u in found
        ]
        click.echo(json.dumps(told))
        return
    for each in found:
        click.echo(_line(each.bucket, each.objects, each.size, each.aws_usd_month))
        for kind, held in sorted(each.held.items()):
            click.echo(_line(f"  {kind}", *held, price(kind, held)))
    if found:
        click.echo(f"$/month: {PRICES}")


def _line(what: str, objects: int, size: int, usd: float) -> str:
    return f"{what:<40} {objects:>12,} {size:>20,} B {usd:>12,.4f} $/month"


@main.command()
@HOME
@JSON
@told
def verify(home: Path | None, as_json: bool) -> None:
    """Prove the state: replay the log, compare every row, check every blob; on a cluster compare
    the nodes' rows with each other, too. May run while serving."""
    import asyncio
    import dataclasses

    from pileus.assembly import RULES
    from pileus.nodes.bringing import held
    from pileus.nodes.compare import compare_home, keeper
    from pileus.state.verify import verify as prove

    config = _existing(home)
    say = _step(as_json)
    report = prove(
        config.home, RULES, say, keeper(config.home), lambda lacking: held(config.home, lacking)
    )
    shards = asyncio.run(compare_home(config.home, say)) or []
    report.problems += [problem for shard in shards for problem in shard.problems]
    if as_json:
        compared = [dataclasses.asdict(shard) for shard in shards]
        told = {"nodes": compared[0], "shards": compared[1:]} if compared else {}
        click.echo(json.dumps(dataclasses.asdict(report) | told))
    elif report.ok:
        click.secho(
            f"true to its log: {report.entries} entries from {report.base} to {report.applied}, "
            f"{report.marks} hash marks, {report.blobs} blobs, rows {report.rows_digest[:16]}",
            fg="green",
        )
        for shard in shards:
            _tell_nodes(shard)
        if report.late:
            who = ", ".join(sorted(set(report.late.values())))
            late = f"{len(report.late)} blobs are yet to be copied here; they are safe on {who}"
            click.secho(late, fg="yellow")
    if not report.ok:
        hint = "stop it, keep the home as evidence, restore a backup: pileus restore --help"
        fail("; ".join(report.problems[:10]), hint)


def _tell_nodes(nodes: Any) -> None:
    where = f"shard {nodes.shard} " if nodes.shard else ""
    equal = f"{where}equal on {', '.join(sorted(nodes.digests))} after entry {nodes.sequence}"
    click.secho(equal if nodes.digests else "no node was asked", fg="green")
    for name, why in sorted(nodes.unasked.items()):
        click.secho(f"{name} was not compared: {why}", fg="yellow")


@main.command()
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@HOME
@JSON
@told
def backup(target: Path, home: Path | None, as_json: bool) -> None:
    """Add to TARGET what is new since the last backup there. May run while serving."""
    import dataclasses

    from pileus.nodes.bringing import bring
    from pileus.state.backup import backup as copy

    done = copy(_existing(home).home, target, _step(as_json), bring)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done)))
    else:
        click.secho(
            f"up to entry {done.last}: {done.entries} entries, {done.blobs} blobs", fg="green"
        )


@main.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@HOME
@click.option("--at", help="A moment: 2026-11-21T14:03:07 (UTC, or with an offset) [the last].")
@JSON
@told
def restore(source: Path, home: Path | None, at: str | None, as_json: bool) -> None:
    """Make an empty --home what it was at a second, from a backup."""
    import dataclasses
    from datetime import UTC, datetime

    from pileus.assembly import RULES
    from pileus.state.backup import restore as bring_back

    until = None
    if at is not None:
        moment = datetime.fromisoformat(at)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        until = int(moment.timestamp() * 1000) + 999  # the whole second
    done = bring_back(source, load(home=home).home, RULES, until, _step(as_json))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done)))
    else:
        click.secho(f"restored up to entry {done.last}; start it: pileus up", fg="green")


@main.command()
@HOME
@JSON
@told
def rekey(home: Path | None, as_json: bool) -> None:
    """Make a new root key and wrap every key with it; the cloud must be down. No data is touched.
    Run it again if it was interrupted."""
    from pileus.rekey import rekey as change

    done = change(_existing(home), _step(as_json))
    if as_json:
        told = {"keys": done.keys, "entries": done.entries, "old": str(done.old)}
        click.echo(json.dumps(told))
        return
    click.secho(f"{done.keys} keys are wrapped with a new root key", fg="green")
    click.echo(
        f"The old one is {done.old}: backups made before need it, and so does whoever restores to"
        " a moment before. Delete it when none is kept."
    )


def _existing(home: Path | None) -> Config:
    config = load(home=home)
    if not (config.home / "state.db").exists():
        raise Unavailable(f"{config.home} holds no cloud", "name it: --home DIR")
    return config


def _step(quiet: bool) -> Callable[[str], None]:
    """Says what is being done, on the terminal's error stream."""
    return lambda text: None if quiet else click.echo(f"… {text}", err=True)


for command in (*COMMANDS, service_commands.services, tablet_commands.tablets):
    main.add_command(command)

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
