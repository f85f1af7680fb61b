"""The power of all nodes goes at once: what was acknowledged lies on two disks, whole; and the test
notices when a sync is taken out."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from pileus.engine.embedded.blobs import Files
from pileus.errors import Unavailable
from tests.nodes.rig import Node, Nodes, run
from tests.simulation.powercut import CutFiles, Disk

WRITERS, NEVER = 4, 1_000_000


def trial(home: Path, seed: int, lies: str = "") -> list[str]:
    """Write through all nodes until the power goes; answers the acknowledged blobs of which fewer
    than two whole copies are left."""
    rng = random.Random(seed)
    names = ("n1", "n2", "n3")
    cuts = dict.fromkeys(names, NEVER) | {rng.choice(names): rng.randint(20, 200)}
    home = home / f"{lies}{seed}"
    for name in names:
        (home / name / "blobs").mkdir(parents=True)
    disks = {n: Disk(home / n, home / "after" / n, seed, cuts[n], lies) for n in names}
    acknowledged: set[str] = set()
    kept: list[str] = []

    def cut_all() -> None:
        if not kept:
            kept.extend(acknowledged)
        for disk in disks.values():
            disk.cut_power()

    for disk in disks.values():
        disk.before_cut = cut_all

    async def write(node: Node) -> None:
        for _ in range(25):
            if any(disk.cut for disk in disks.values()):
                return
            writer = node.blobs.create()
            for _ in range(rng.choice((1, 1, 1, 12))):
                await writer.write(rng.randbytes(60_000))
            try:
                acknowledged.add(await writer.commit())
            except Unavailable:
                await writer.abort()

    async def body() -> None:
        files: dict[str, Files] = {n: CutFiles(d) for n, d in disks.items()}
        async with Nodes(home, 3, files) as nodes:
            await asyncio.gather(*(write(nodes[i % 3]) for i in range(WRITERS)))
            cut_all()

    run(body())
    whole = [_whole(home / "after" / n / "blobs") for n in names]
    assert kept
    return [d for d in kept if sum(d in found for found in whole) < 2]


def _whole(blobs: Path) -> set[str]:
    return {
        path.name
        for path in blobs.glob("??/*")
        if hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    }


@pytest.mark.parametrize("seed", range(4))
def test_two_copies_survive(tmp_path: Path, seed: int) -> None:
    assert trial(tmp_path, seed) == []


@pytest.mark.parametrize("lies", ["blob", "directory"])
def test_a_sync_left_out_is_noticed(tmp_path: Path, lies: str) -> None:
    assert any(trial(tmp_path, seed, lies) for seed in range(20))
