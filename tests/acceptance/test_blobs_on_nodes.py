"""Objects on three machines: damaged or missing on one they are read all the same and mended, one
machine's death stops no upload, and every machine proves that it holds what the others hold (S4,
S6, S9)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from lab.rig import RigNode, until
from tests.acceptance.nodes import Cloud

LARGE, SMALL = os.urandom(9_000_000), os.urandom(60_000)


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
        told = json.loads(node.run("verify", "--json"))
        assert told["problems"] == [] and told["nodes"]["unasked"] == {}
        assert set(told["nodes"]["digests"]) == {"n1", "n2", "n3"}
        assert len(set(told["nodes"]["digests"].values())) == 1


def _damaged_and_missing(cloud: Cloud, node: RigNode) -> None:
    path = max(blobs(node).values(), key=lambda p: p.stat().st_size)
    with open(path, "rb+") as file:
        file.seek(4_000_000)
        file.write(b"not what was written")
    assert get(cloud, node, "large") == LARGE
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    path.unlink()
    assert get(cloud, node, "large") == LARGE and path.exists()


def _one_dead(cloud: Cloud) -> None:
    first, second, third = cloud.rig.nodes[:3]
    before = len(blobs(first))
    third.kill()
    for number in range(3):
        body = LARGE[number:]
        cloud.client("s3", first).put_object(Bucket="kept", Key=f"new{number}", Body=body)
    assert alike([first, second]) and len(blobs(first)) == before + 3
    third.up()
    until(lambda: alike([first, third]), 30, "the third fetched what it lacks")
    for number in range(3):
        assert get(cloud, third, f"new{number}") == LARGE[number:]
