"""Bringing another node's checkpoint here: what a new node begins with, and one that stands below
the log's beginning.

The newest of all nodes that answer is taken. It is written aside (``home/incoming``), goes on where
it stopped when the connection breaks or the process dies, and gets its name only when all of it is
synced and hashes to what its node told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pileus.errors import Unavailable
from pileus.nodes.client import PeerError
from pileus.nodes.peers import NodePeers, refusal
from pileus.state.checkpoint import file_sha256
from pileus.state.groups import sync_directory

log = logging.getLogger("pileus.nodes.catchup")
TAKE_S = 600.0  # a node may first have to take one
TRIES = 5  # without a byte of progress between
PAUSE_S = 1.0


class Told(msgspec.Struct, frozen=True):
    """A checkpoint as its node describes it."""

    sequence: int
    log_ms: int
    sha256: str
    size: int


@dataclass(frozen=True)
class Offer:
    node: str
    shard: int
    told: Told


def of_shard(number: int) -> str:
    """Said in a query of every shard but the first."""
    return f"&shard={number}" if number else ""


class Changed(Unavailable):
    """What came is not what was told, or is offered no more."""


async def fetch_checkpoint(
    peers: NodePeers, home: Path, target: Path, at_least: int = 0, shard: int = 0
) -> Told:
    """Write the newest checkpoint of a shard that another node has, one that has applied entry
    ``at_least``, to ``target``: whole, verified, synced. ``home``: the shard's own.
    ``Unavailable`` when no node can give one now."""
    aside = home / "incoming"
    aside.mkdir(parents=True, exist_ok=True, mode=0o700)
    reasons: list[str] = []
    for offer in await _offers(peers, shard, at_least, reasons):
        try:
            part = await _fetch(peers, offer, aside)
        except Unavailable as e:
            log.warning("the checkpoint %d: %s", offer.told.sequence, e)
            reasons.append(str(e))
            continue
        part.rename(target)
        sync_directory(target.parent)
        shutil.rmtree(aside)
        return offer.told
    raise Unavailable(
        f"no node gives a checkpoint: {'; '.join(reasons) or 'there is no other node'}",
        "start another node that is current: `pileus nodes`",
    )


async def _offers(peers: NodePeers, shard: int, at_least: int, reasons: list[str]) -> list[Offer]:
    """What each node has, the newest first."""
    answers = await asyncio.gather(
        *(_ask(peers, p.name, shard, at_least) for p in peers.places()), return_exceptions=True
    )
    found: list[Offer] = []
    for answer in answers:
        if isinstance(answer, Offer):
            found.append(answer)
        elif isinstance(answer, Unavailable):
            reasons.append(str(answer))
        else:
            raise answer
    return sorted(found, key=lambda offer: -offer.told.sequence)


async def _ask(peers: NodePeers, node: str, shard: int, at_least: int) -> Offer:
    path = f"/checkpoint?at_least={at_least}{of_shard(shard)}"
    answer = await peers.ask(node, "GET", path, answer_s=TAKE_S)
    if answer.status != 200:
        raise PeerError(await refusal(node, answer))
    raw = await answer.read()
    try:
        return Offer(node, shard, msgspec.json.decode(raw, type=Told))
    except msgspec.MsgspecError as e:
        raise PeerError(f"{node} describes its checkpoint oddly: {e}") from e


async def _fetch(peers: NodePeers, offer: Offer, aside: Path) -> Path:
    """All bytes of a checkpoint in a file beside; what an earlier try brought is not asked for
    again."""
    told = offer.told
    part = aside / f"{told.sequence:016}-{told.sha256[:16]}.part"
    for other in aside.iterdir():
        if other != part:
            other.unlink()  # of a checkpoint that is newest no more
    failures = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have >= told.size:
            break
        log.info(
            "checkpoint %d of %s: at %d of %d bytes", told.sequence, offer.node, have, told.size
        )
        try:
            await _bytes_from(peers, offer, part, have)
        except PeerError:
            came = part.stat().st_size if part.exists() else 0
            failures = 0 if came > have else failures + 1
            if failures >= TRIES:
                raise
            await asyncio.sleep(PAUSE_S)
    if have != told.size or await asyncio.to_thread(file_sha256, part) != told.sha256:
        part.unlink()
        raise Changed(f"the checkpoint {told.sequence} of {offer.node} came damaged")
    return part


async def _bytes_from(peers: NodePeers, offer: Offer, part: Path, have: int) -> None:
    path = f"/checkpoint/{offer.told.sequence}.db{of_shard(offer.shard).replace('&', '?')}"
    headers = {"range": f"bytes={have}-"}
    answer = await peers.ask(offer.node, "GET", path, headers=headers)
    if answer.status != 206:
        raise Changed(await refusal(offer.node, answer))
    with open(part, "ab") as out:
        async with contextlib.aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(out.write, piece)
        out.flush()
        await asyncio.to_thread(os.fsync, out.fileno())
