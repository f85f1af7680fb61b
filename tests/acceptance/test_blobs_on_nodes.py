"""Objects on three machines: damaged or missing on one they are read all the same and mended, one
machine's death stops no upload, and every machine proves that it holds what the others hold (S4,
S6, S9)."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.rig import Rig, RigNode, until
from tests.conftest import SOURCE

LARGE, SMALL = os.urandom(9_000_000), os.urandom(60_000)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    words = [sys.executable, "-m", "pileus.cli"]
    env = {"PYTHONPATH": str(SOURCE), "PILEUS_FRONT_PROCESSES": "1"}
    with Rig(3, words, env, base=tmp_path) as made:
        made.form()
        yield made
        for node in made.nodes:
            print(node.name, node.log()[-3000:])


def s3(node: RigNode) -> Any:
    keys = json.loads((node.home / "credentials.json").read_text())
    return boto3.client(
        "s3",
        endpoint_url=node.endpoint,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        region_name="us-east-1",
    )


def get(node: RigNode, key: str) -> bytes:
    return bytes(s3(node).get_object(Bucket="kept", Key=key)["Body"].read())


def blobs(node: RigNode) -> dict[str, Path]:
    return {path.name: path for path in (node.home / "blobs").glob("??/*")}


@pytest.mark.timeout(240)
def test_objects_survive_damage_loss_and_death(rig: Rig) -> None:
    first, second, third = rig.nodes
    s3(first).create_bucket(Bucket="kept")
    s3(first).put_object(Bucket="kept", Key="large", Body=LARGE)
    s3(second).put_object(Bucket="kept", Key="small", Body=SMALL)
    until(lambda: all(len(blobs(node)) == 2 for node in rig.nodes), 15, "three copies of both")
    assert blobs(first).keys() == blobs(second).keys() == blobs(third).keys()
    for node in rig.nodes:
        assert get(node, "large") == LARGE and get(node, "small") == SMALL
    _damaged_and_missing(second)
    _one_dead(rig)
    for node in rig.nodes:
        told = json.loads(node.run("verify", "--json"))
        assert told["problems"] == [] and told["nodes"]["unasked"] == {}
        assert set(told["nodes"]["digests"]) == {"n1", "n2", "n3"}
        assert len(set(told["nodes"]["digests"].values())) == 1


def _damaged_and_missing(node: RigNode) -> None:
    path = max(blobs(node).values(), key=lambda p: p.stat().st_size)
    with open(path, "rb+") as file:
        file.seek(4_000_000)
        file.write(b"not what was written")
    assert get(node, "large") == LARGE
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    path.unlink()
    assert get(node, "large") == LARGE and path.exists()


def _one_dead(rig: Rig) -> None:
    first, second, third = rig.nodes
    third.kill()
    for number in range(3):
        s3(first).put_object(Bucket="kept", Key=f"new{number}", Body=LARGE[number:])
    assert blobs(first).keys() == blobs(second).keys() and len(blobs(first)) == 5
    third.up()
    until(lambda: blobs(third).keys() == blobs(first).keys(), 30, "the third fetched what it lacks")
    for number in range(3):
        assert get(third, f"new{number}") == LARGE[number:]
