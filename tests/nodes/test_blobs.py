"""Blobs of a cluster over real doors: two copies or no answer, and every copy true in the end."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster.blobs_scrub import Scrub
from pileus.engine.cluster.placing import order
from pileus.engine.embedded.blobs import Files
from pileus.errors import Unavailable, WrongDigest
from pileus.nodes import places
from pileus.nodes.keeping import Keeping
from pileus.services.call import HttpRequest
from tests.nodes.rig import Node, Nodes, run


def some(size: int) -> bytes:
    """The same bytes every time: their name decides which nodes keep them."""
    return random.Random(size).randbytes(size)


SMALL, LARGE = some(40_000), some(3_000_000)


async def put(node: Node, data: bytes) -> str:
    writer = node.blobs.create()
    for at in range(0, len(data), 200_000):
        await writer.write(data[at : at + 200_000])
    return await writer.commit(hashlib.sha256(data).hexdigest())


async def got(node: Node, digest: str) -> bytes:
    return b"".join([piece async for piece in node.blobs.read(digest)])


def scrub_of(node: Node, named: list[str], spare_s: float = 3600.0) -> Scrub:
    def some(after: str, limit: int) -> list[str]:
        return sorted(d for d in named if d > after)[:limit]

    return Scrub(node.blobs, some, named.__contains__, rate_bytes_s=1e12, spare_s=spare_s)


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_three_nodes_have_it(tmp_path: Path, data: bytes) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            digest = await put(nodes[0], data)
            assert nodes[0].holds(digest)
            assert nodes[1].holds(digest) or nodes[2].holds(digest)
            await nodes[0].blobs.settle()
            for node in nodes:
                assert node.holds(digest) and await got(node, digest) == data
                assert os.listdir(node.home / "blobs" / "tmp") == []

    run(body())


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_an_owner_is_down(tmp_path: Path, data: bytes) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            first, second, third = nodes
            await third.down()
            digest = await put(first, data)
            assert first.holds(digest) and second.holds(digest)
            # Both down: no acknowledgement, also in a cluster of two.
            await second.down()
            with pytest.raises(Unavailable, match="no second node"):
                await put(first, data + b"x")
            # It comes back: its scrub fetches what it lacks.
            await third.up()
            scrub = scrub_of(third, [digest])
            assert await scrub.walk_names() == 1
            assert await got(third, digest) == data
            assert await scrub.walk_names() == 0 and scrub.counts.missing == 0

    run(body())


def test_two_nodes_need_both_and_one_needs_none(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 2) as nodes:
            digest = await put(nodes[0], SMALL)
            assert nodes[1].holds(digest)
            await nodes[1].down()
            with pytest.raises(Unavailable):
                await put(nodes[0], LARGE)
        (tmp_path / "alone").mkdir()
        async with Nodes(tmp_path / "alone", 1) as nodes:
            assert await got(nodes[0], await put(nodes[0], LARGE)) == LARGE

    run(body())


def test_a_silent_node_does_not_hold_up_an_upload(tmp_path: Path) -> None:
    """It accepts connections and bytes, and never answers (a frozen process)."""

    async def body() -> None:
        async with Nodes(tmp_path, 3, step_s=4.0) as nodes:

            async def mute(request: HttpRequest) -> Any:
                await asyncio.sleep(600)

            await nodes[2].down()
            await nodes[2].up(lambda handler: mute)
            for data in (SMALL, some(30_000_000)):
                async with asyncio.timeout(80):
                    digest = await put(nodes[0], data)
                assert nodes[1].holds(digest)

    run(body())


def test_an_upload_cut_half_way_leaves_nothing_anywhere(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            given_up = nodes[0].blobs.create()
            wrong = nodes[0].blobs.create()
            for writer in (given_up, wrong):
                for _ in range(3):
                    await writer.write(LARGE)
            await given_up.abort()
            with pytest.raises(WrongDigest):
                await wrong.commit("0" * 64)
            async with asyncio.timeout(80):
                while any(os.listdir(n.home / "blobs" / "tmp") for n in nodes):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert not any(n.local.list() for n in nodes)

    run(body())


def test_wrong_bytes_are_mended_on_a_read_and_by_the_scrub(tmp_path: Path) -> None:
    def flip(node: Node, digest: str) -> None:
        path = Path(node.local.path(digest))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))

    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            digests = [await put(nodes[0], data) for data in (SMALL, LARGE)]
            await nodes[0].blobs.settle()
            for digest, data in zip(digests, (SMALL, LARGE), strict=True):
                flip(nodes[0], digest)
                assert await nodes[0].blobs.mend(digest)
                assert await got(nodes[0], digest) == data
                assert (nodes[0].home / "blobs" / "damaged" / digest).exists()
                flip(nodes[1], digest)
            # A holder of wrong bytes does not hand them on: the other one's are taken.
            os.unlink(nodes[0].local.path(digests[1]))
            assert await got(nodes[0], digests[1]) == LARGE
            scrub = scrub_of(nodes[1], digests)
            await scrub.walk_files()
            assert scrub.counts.mended == 2 and scrub.counts.checked == 2
            assert await got(nodes[1], digests[0]) == SMALL
            await scrub.walk_files()
            assert scrub.counts.mended == 2

    run(body())


def test_a_read_of_a_whole_blob_gives_no_wrong_bytes(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            for data in (SMALL, LARGE):
                digest = await put(nodes[0], data)
                await nodes[0].blobs.settle()
                path = Path(nodes[0].local.path(digest))
                path.write_bytes(b"x" + data[1:])
                if data is LARGE:
                    got_before = 0
                    with pytest.raises(Unavailable, match="mended"):
                        async for piece in nodes[0].blobs.read(digest):
                            got_before += len(piece)
                    assert got_before < len(data)  # never whole
                assert await got(nodes[0], digest) == data
                assert path.read_bytes() == data
                path.write_bytes(data[:-10])  # cut short
                if data is LARGE:
                    with pytest.raises(Unavailable):
                        await got(nodes[0], digest)
                assert await got(nodes[0], digest) == data
                part = [p async for p in nodes[0].blobs.read(digest, 10, 20)]
                assert b"".join(part) == data[10:30]

    run(body())


def test_a_blob_nobody_has_is_unavailable(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            for _ in range(2):
                with pytest.raises(Unavailable, match="cannot be brought"):
                    await got(nodes[0], "ab" * 32)
            with pytest.raises(FileNotFoundError):
                await got(nodes[0], "../../etc/passwd")
            scrub = scrub_of(nodes[0], ["ab" * 32])
            await scrub.walk_names()
            assert scrub.counts.missing == 1

    run(body())


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_five_nodes_keep_three_copies_at_the_owners(tmp_path: Path, data: bytes) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 5) as nodes:
            name = hashlib.sha256(data).hexdigest()
            ranked = order(name, [n.name for n in nodes])
            owners = ranked[:3]
            stranger = next(n for n in nodes if n.name == ranked[4])
            assert await put(stranger, data) == name
            assert stranger.holds(name)  # it keeps what it took in, for now
            assert sum(n.holds(name) for n in nodes) >= 2
            await stranger.blobs.settle()
            assert all(n.holds(name) for n in nodes if n.name in owners)
            # Whoever holds it and is no owner lets go, not before an hour, not before all have it.
            kept = [n for n in nodes if n.name not in owners and n.holds(name)]
            assert stranger in kept
            await scrub_of(stranger, [name]).walk_files()
            assert stranger.holds(name)
            lacking = next(n for n in nodes if n.name == owners[2])
            os.unlink(lacking.local.path(name))
            await scrub_of(stranger, [name], 0.0).walk_files()
            assert stranger.holds(name)
            assert await scrub_of(lacking, [name]).walk_names() == 1
            for node in kept:
                await scrub_of(node, [name], 0.0).walk_files()
            assert sorted(n.name for n in nodes if n.holds(name)) == sorted(owners)
            # A node without it reads it all the same, and keeps it for now.
            assert await got(stranger, name) == data and stranger.holds(name)

    run(body())


def test_a_node_leaves_and_another_joins(tmp_path: Path) -> None:
    async def body() -> None:
        rig = Nodes(tmp_path, 3)
        async with rig as nodes:
            made = {await put(nodes[i % 3], some(1000 + i)): 1000 + i for i in range(12)}
            for node in nodes:
                await node.blobs.settle()
            fourth = await rig.add("n4")
            scrubs = [scrub_of(node, list(made), 0.0) for node in nodes]
            assert 0 < await scrubs[3].walk_names() < 12
            for scrub in scrubs:
                await scrub.walk_files()
            for digest in made:
                assert sum(node.holds(digest) for node in nodes) == 3
            # The first leaves: what it alone would have taken along goes to the others.
            rig.keepers.remove("n1")
            only = await put(nodes[0], b"taken in while leaving")
            made[only] = 22
            leaving = scrub_of(nodes[0], list(made))
            await fourth.down()
            assert await leaving.hand_over() > 0
            await fourth.up()
            await asyncio.sleep(0)
            assert await leaving.hand_over() == 0 and leaving.counts.left == 0
            for digest, size in made.items():
                assert all(node.local.size(digest) == size for node in nodes[1:])

    run(body())


def test_a_node_lost_for_long_is_replaced_where_there_is_another(tmp_path: Path) -> None:
    told = tmp_path / "nodes.json"

    def view(**since_ms: int) -> Keeping:
        seen = {n: {"health": "down", "since_ms": s, "applied": 0} for n, s in since_ms.items()}
        told.write_text(json.dumps(seen))
        return Keeping(told, 900.0, lambda: 1000.0)

    nodes = [places.Node(f"n{i}", "h", 1, 2, 3, 4, 5, 6) for i in range(1, 5)]
    assert view(n2=100_001).keepers(nodes) == ["n1", "n2", "n3", "n4"]
    assert view(n2=100_000).keepers(nodes) == ["n1", "n3", "n4"]
    assert view(n2=100_001).down("n2") and not view().down("n2")
    assert view(n2=1).keepers(nodes[:3]) == ["n1", "n2", "n3"]
    leaving = dataclasses.replace(nodes[0], state="leaving")
    assert view().keepers([leaving, *nodes[1:]]) == ["n2", "n3", "n4"]


def test_one_more_node_moves_only_its_share() -> None:
    before, after = [f"n{i}" for i in range(1, 6)], [f"n{i}" for i in range(1, 7)]
    digests = [hashlib.sha256(b"%d" % i).hexdigest() for i in range(2000)]
    moved = sum(len(set(order(d, after)[:3]) - set(order(d, before)[:3])) for d in digests)
    assert 0.4 < moved / len(digests) < 0.6  # three of six places: half a copy each
    held = [sum("n1" in order(d, after)[:3] for d in digests)]
    assert 850 < held[0] < 1150


class Counted(Files):
    """Notes what was synced before what was named."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self.told.append("sync")

    def rename(self, source: str, target: str) -> None:
        self.told.append("name")
        super().rename(source, target)

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        self.told.append("directory")


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_two_disks_have_it_synced_before_the_answer(tmp_path: Path, data: bytes) -> None:
    files = {f"n{i}": Counted() for i in (1, 2, 3)}

    async def body() -> None:
        async with Nodes(tmp_path, 3, files) as nodes:  # type: ignore[arg-type]
            for counted in files.values():
                counted.told.clear()
            await put(nodes[0], data)
            whole = [c.told for c in files.values()]
            assert sum(told == ["sync", "name", "directory"] for told in whole) >= 2

    run(body())


def test_64_mb_pass_in_flat_memory(tmp_path: Path) -> None:
    piece = some(256 * 1024)

    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            writer = nodes[0].blobs.create()
            tracemalloc.start()
            for i in range(256):
                await writer.write(i.to_bytes(4, "big") + piece)
            digest = await writer.commit()
            await nodes[0].blobs.settle()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 32 * 1024 * 1024  # of all three nodes, which are in this process
            assert [n.local.size(digest) for n in nodes] == [256 * (4 + len(piece))] * 3

    run(body())
