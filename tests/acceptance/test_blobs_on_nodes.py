"""Objects on three machines: damaged or missing on one they are read all the same and mended, one
machine's death stops no upload, and every machine proves that it holds what the others hold (S4,
S6, S9)."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from lab.rig import RigNode, until
from tests.acceptance.nodes import Cloud, log_leader

LARGE, SMALL = (random.Random(size).randbytes(size) for size in (9_000_000, 60_000))


def blobs(node: RigNode) -> dict[str, Path]:
    return {path.name: path for path in (node.home / "blobs").glob("??/*")}


def alike(nodes: list[RigNode]) -> bool:
    """Whether they keep the same blobs."""
    return len({frozenset(blobs(node)) for node in nodes}) == 1


def get(cloud: Cloud, node: RigNode, key: str) -> bytes:
    return bytes(cloud.client("s3", node).get_object(Bucket="kept", Key=key)["Body"].read())


def test_objects_survive_damage_loss_and_death(three_nodes: Cloud) -> None:
    cloud, nodes = three_nodes, three_nodes.rig.nodes[:3]
    first, second, _ = nodes
    until(lambda: alike(nodes), 15, "three copies of what was there")
    before = len(blobs(first))
    cloud.client("s3", first).create_bucket(Bucket="kept")
    cloud.client("s3", first).put_object(Bucket="kept", Key="large", Body=LARGE)
    cloud.client("s3", second).put_object(Bucket="kept", Key="small", Body=SMALL)
    kept = lambda: alike(nodes) and len(blobs(first)) == before + 2  # noqa: E731
    until(kept, 15, "three copies of both")
    for node in nodes:
        assert get(cloud, node, "large") == LARGE and get(cloud, node, "small") == SMALL
    _damaged_and_missing(cloud, second)
    _one_dead(cloud)
    for node in nodes:
        told = until(lambda n=node: _proved(n), 30, "every node tells its rows")
        assert told["problems"] == []
        assert set(told["nodes"]["digests"]) == {"n1", "n2", "n3"}
        assert len(set(told["nodes"]["digests"].values())) == 1


def _damaged_and_missing(cloud: Cloud, node: RigNode) -> None:
    path = max(blobs(node).values(), key=lambda p: p.stat().st_size)
    with open(path, "rb+") as file:
        file.seek(4_000_000)
        file.write(b"not what was written")
    assert get(cloud, node, "large") == LARGE
    until(lambda: _right(path), 15, "its bytes are right again")
    path.unlink()
    assert get(cloud, node, "large") == LARGE
    until(lambda: _right(path), 15, "it is here again")


def _right(path: Path) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def _proved(node: RigNode) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(node.run("verify", "--json"))
    return {} if told["nodes"]["unasked"] else told


def _one_dead(cloud: Cloud) -> None:
    first, *others = cloud.rig.nodes[:3]
    leads = until(lambda: log_leader(first), 20, "a leader of the log")
    # Not the leader: an upload that meets an election is repeated, and leaves a blob without a
    # name.
    dead = next(node for node in others if node.name != leads)
    living = next(node for node in others if node is not dead)
    before = len(blobs(first))
    dead.kill()
    for number in range(3):
        body = LARGE[number:]
        cloud.client("s3", first).put_object(Bucket="kept", Key=f"new{number}", Body=body)
    assert alike([first, living]) and len(blobs(first)) == before + 3
    dead.switch_on()
    until(lambda: alike([first, dead]), 30, "the one that was dead fetched what it lacks")
    for number in range(3):
        assert get(cloud, dead, f"new{number}") == LARGE[number:]
