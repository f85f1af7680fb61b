"""The log damaged on most nodes, the state whole: ways to do it, and the operator's procedure.

    PYTHONPATH=src:. python -m tests.acceptance.losing_log --rounds 5

runs every way, as often as asked, on a cluster of its own (part of ``make soak``).
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from lab.rig import RigNode, until
from tests.acceptance.nodes import ONCE, Cloud, make_table, put, rigged, whole

WRITES = 30
FLIPS_EACH = 4000  # bytes to a flipped bit
GOES_S, MENDED_S = 45, 40

Damage = Callable[[Cloud, Sequence[RigNode], int], list[str]]


def _write(cloud: Cloud, nodes: Sequence[RigNode], word: str) -> list[str]:
    """Some items through every node; the names of those that were acknowledged: all."""
    clients = [cloud.client("dynamodb", node) for node in nodes]
    written = [f"{word}{number}" for number in range(WRITES)]
    for number, name in enumerate(written):
        put(clients[number % len(clients)], name, "x")
    return written


def _kill(nodes: Sequence[RigNode]) -> None:
    for node in nodes:
        node.kill()


def rolled_back(cloud: Cloud, nodes: Sequence[RigNode], seed: int) -> list[str]:
    """The stores of most servers are what they were some time ago: disks that lost what they had
    synced. What was acknowledged since stands in no majority any more."""
    kept = {node: node.home.with_name(f"{node.name}-nats") for node in nodes[:2]}
    for node in nodes:  # at one moment: files come and go, and nobody is to miss another
        node.freeze()
    try:
        for node, aside in kept.items():
            shutil.copytree(node.home / "nats", aside)
    finally:
        for node in nodes:
            node.thaw()
    written = _write(cloud, nodes, f"rolled{seed}-")
    _kill(nodes)
    for node, aside in kept.items():
        shutil.rmtree(node.home / "nats")
        aside.rename(node.home / "nats")
    return written


def deleted(cloud: Cloud, nodes: Sequence[RigNode], seed: int) -> list[str]:
    """The stores of most servers are gone."""
    written = _write(cloud, nodes, f"deleted{seed}-")
    _kill(nodes)
    for node in nodes[:2]:
        shutil.rmtree(node.home / "nats")
    return written


def all_deleted(cloud: Cloud, nodes: Sequence[RigNode], seed: int) -> list[str]:
    """The stores of all servers are gone."""
    written = _write(cloud, nodes, f"all{seed}-")
    _kill(nodes)
    for node in nodes:
        shutil.rmtree(node.home / "nats")
    return written


def flipped(cloud: Cloud, nodes: Sequence[RigNode], seed: int) -> list[str]:
    """Bits of the messages are other ones on most servers."""
    written = _write(cloud, nodes, f"flipped{seed}-")
    _kill(nodes)
    chance = random.Random(seed)
    for node in nodes[:2]:
        for path in (node.home / "nats").rglob("streams/LOG_*/msgs/*.blk"):
            data = bytearray(path.read_bytes())
            for _ in range(4 + len(data) // FLIPS_EACH if data else 0):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
    return written


DAMAGES: tuple[Damage, ...] = (rolled_back, deleted, all_deleted, flipped)


def mended(cloud: Cloud, nodes: Sequence[RigNode], written: Sequence[str]) -> str:
    """All nodes are down with a damaged log: start them, do as docs/operations.md says where
    writing does not go on, and find everything. Answers what was done and how long it took."""
    began = time.monotonic()
    cloud.rig.start(nodes[:2])  # most, with their damaged stores, before the one that is whole
    cloud.rig.start(nodes[2:])
    done = "by itself"
    if not _goes_on(cloud, nodes, 3.0):
        for name in written[:1]:  # reads that need not be the newest go on
            found = cloud.client("dynamodb", nodes[0]).get_item(
                TableName="threenodes", Key={"k": {"S": name}}
            )
            assert "Item" in found
        done = _renewed(nodes)
    until(lambda: _goes_on(cloud, nodes, 1.0), GOES_S, "writing goes on")
    seconds = time.monotonic() - began
    until(lambda: whole(nodes[0], [n.name for n in nodes]), MENDED_S, "all are alive")
    for node in nodes:
        lost = set(written) - set(cloud.items(node))
        assert not lost, f"{node.name} lacks {len(lost)} acknowledged writes"
    return f"{done}, after {seconds:.1f} s"


def _goes_on(cloud: Cloud, nodes: Sequence[RigNode], seconds: float) -> bool:
    """Whether every node takes a write within some seconds."""
    deadline = time.monotonic() + seconds
    for node in nodes:
        while True:
            try:
                put(cloud.client("dynamodb", node, ONCE), "goes on", node.name)
                break
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.2)
    return True


def _renewed(nodes: Sequence[RigNode]) -> str:
    """The procedure: ask every node how far it has come, renew on the one that came furthest."""
    come = {node: int(node.run("renew-log").split("entry ")[1].split()[0]) for node in nodes}
    best = max(nodes, key=lambda node: come[node])
    said = best.run("renew-log", "--yes")
    assert "the log is LOG_0_" in said
    return "by renew-log"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    base = Path(tempfile.mkdtemp(prefix="losing-"))
    try:
        with rigged(3, base, front_processes="1") as rig:
            rig.form()
            cloud = Cloud(rig)
            cloud.keys = rig.nodes[0].keys()
            make_table(cloud.client("dynamodb", rig.nodes[0]))
            written: list[str] = []
            for seed in range(rounds):
                for damage in DAMAGES:
                    written += damage(cloud, rig.nodes, seed)
                    print(f"round {seed}, {damage.__name__}:", mended(cloud, rig.nodes, written))
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
