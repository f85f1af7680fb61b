"""``pileus tablets``: which ranges of keys lie in which shard; cut one, move one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from pileus.errors import Unavailable
from pileus.terminal import HOME, JSON, running_cloud, told

PATH = "/_pileus/tablets"
LOOK_S = 0.5
WORDS = """\b
WHAT is
  12                 a tablet, by its number
  dynamodb:orders    a table with its indexes and its stream
  s3:photos          a bucket
  kv:pages           a wide table
  TABLE/PARTITION    a key of the state, as the map shows them; hex:… too
"""


@click.group(invoke_without_command=True)
@HOME
@JSON
@click.pass_context
@told
def tablets(context: click.Context, home: Path | None, as_json: bool) -> None:
    """The map: which keys lie in which shard, how many rows and bytes, and what is on its way.

    \b
    Examples:
      pileus tablets                              the map
      pileus tablets --json                       the same for programs
      pileus tablets split dynamodb:orders        a tablet of its own for a table
      pileus tablets move dynamodb:orders --to 2  let it lie in shard 2, while it serves
    """
    context.obj = home
    if context.invoked_subcommand is not None:
        return
    found = _ask(home, "GET", PATH + "?sizes=1")
    if as_json:
        click.echo(json.dumps(found))
        return
    _tell(found)


def _ask(home: Path | None, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    from pileus import start_node

    return start_node.ask(*running_cloud(home), method, path, body)


def _tell(found: dict[str, Any]) -> None:
    click.echo(f"map of version {found['epoch']}")
    for shard in found["shards"]:
        click.echo(
            f"shard {shard['shard']:<3} {shard['tablets']:>4} tablets"
            f"  {_count(shard['rows']):>10} rows  {_size(shard['bytes']):>9}"
        )
    width = max(len(_ends(t)) for t in found["tablets"])
    click.echo(f"\n{'tablet':>6} shard  {'keys':<{width}}  {'rows':>10}  {'size':>9}  epoch")
    for t in found["tablets"]:
        click.echo(
            f"{t['id']:>6} {t['shard']:>5}  {_ends(t):<{width}}  {_count(t['rows']):>10}"
            f"  {_size(t['bytes']):>9}  {t['epoch']:>5}  {t['holds']}{_bound(t)}"
        )


def _bound(t: dict[str, Any]) -> str:
    return "" if t["to"] is None else click.style(f"  → shard {t['to']}", fg="yellow")


def _ends(t: dict[str, Any]) -> str:
    return f"{_place(t['start']) or 'the first key'} … {_place(t['end']) or 'the last key'}"


def _place(place: dict[str, str]) -> str:
    return "/".join(filter(None, (place["table"], place["partition"], place["sort"])))


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


@tablets.command(epilog=WORDS)
@click.argument("what")
@HOME
@click.pass_context
@told
def split(context: click.Context, what: str, home: Path | None) -> None:
    """Cut WHAT out: a tablet of its own begins with it and ends with it."""
    _tell(_ask(home or context.obj, "POST", PATH + "/split", {"what": what}))


@tablets.command(epilog=WORDS)
@click.argument("what")
@click.option("--to", "shard", type=int, required=True, help="The shard's number.")
@click.option("--no-wait", is_flag=True, help="Return while it is on its way.")
@HOME
@click.pass_context
@told
def move(context: click.Context, what: str, shard: int, no_wait: bool, home: Path | None) -> None:
    """Let WHAT lie in another shard. Readers and writers go on meanwhile."""
    home = home or context.obj
    found = _ask(home, "POST", PATH + "/move", {"what": what, "shard": shard})
    begun = time.monotonic()
    going = [t for t in found["tablets"] if t["to"] == shard]
    if not going:
        click.echo(f"{what} lies in shard {shard}")
        return
    while going and not no_wait:
        time.sleep(LOOK_S)
        try:
            found = _ask(home, "GET", PATH)
        except Unavailable:
            continue  # this process restarts; the move goes on
        going = [t for t in found["tablets"] if t["to"] == shard]
    state = "is on its way to" if going else "lies in"
    click.echo(f"{what} {state} shard {shard} ({time.monotonic() - begun:.0f} s)")
