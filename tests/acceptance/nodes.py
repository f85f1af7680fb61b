"""A cluster of the rig as its users see it: clients at each node, a load, who is alive."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.disks import SIZE_MB, disks_work
from lab.history.cells import CellClient
from lab.rig import NodeFailed, Rig, RigNode
from lab.tables import keyed
from tests.conftest import SOURCE

WRITERS = 4
TABLE = "threenodes"
ASKING = Config(retries={"max_attempts": 8}, connect_timeout=2, read_timeout=10)
ONCE = Config(retries={"max_attempts": 0}, connect_timeout=1, read_timeout=8)
# Asked once, and waited for as long as a busy machine needs to answer or to refuse.
PATIENT = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=60)


@contextmanager
def rigged(count: int, base: Path, disk_mb: int = SIZE_MB, **settings: str) -> Iterator[Rig]:
    """Hosts for ``count`` nodes of this checkout, with disks of their own where that can be; their
    logs are printed at the end. ``settings`` go to every node; one shard where they do not say
    how many ("": as many as the product begins with)."""
    words = [sys.executable, "-m", "pileus.cli"]
    told = {"shards": "1"} | settings
    env = {f"PILEUS_{name.upper()}": value for name, value in told.items() if value}
    env["PYTHONPATH"] = str(SOURCE)
    disks = disks_work(base)
    with Rig(count, words, env, base=base, disks=disks, disk_mb=disk_mb) as made:
        try:
            yield made
        finally:
            for node in made.nodes:
                print(last_words(node))


class At:
    """A node as ``tests.acceptance.functions`` knows a cloud."""

    def __init__(self, cloud: Cloud, node: RigNode) -> None:
        self._cloud, self._node = cloud, node

    def client(self, service: str) -> Any:
        return self._cloud.client(service, self._node)


class Cloud:
    """The rig and its owner's keys."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.keys: dict[str, str] = {}
        self.page = ""  # a path of the edge, where a test has made one

    def client(self, service: str, node: RigNode, config: Config = ASKING) -> Any:
        return node.client(service, self.keys, config)

    def cells(self, node: RigNode) -> CellClient:
        key = self.keys["AWS_ACCESS_KEY_ID"], self.keys["AWS_SECRET_ACCESS_KEY"]
        return CellClient(node.endpoint, *key, self.keys["AWS_REGION"], "wide")

    def items(self, node: RigNode) -> dict[str, str]:
        """The whole table as a strong scan at ``node`` tells it."""
        pages = self.client("dynamodb", node).get_paginator("scan")
        found = pages.paginate(TableName=TABLE, ConsistentRead=True)
        return {i["k"]["S"]: i["v"]["S"] for page in found for i in page["Items"]}


def make_table(dynamodb: Any, name: str = TABLE) -> None:
    dynamodb.create_table(
        TableName=name,
        **keyed(k="S"),
    )


def put(dynamodb: Any, key: str, value: str) -> None:
    dynamodb.put_item(TableName=TABLE, Item={"k": {"S": key}, "v": {"S": value}})


def seen_from(node: RigNode) -> dict[str, dict[str, Any]]:
    """How ``node`` sees the others; nothing while it cannot tell."""
    try:
        return node.nodes()
    except NodeFailed as error:
        print("asked again:", str(error)[:300])
        return {}


def all_alive(node: RigNode, names: Sequence[str] = ("n1", "n2", "n3")) -> bool:
    """Whether ``node`` sees exactly ``names``, all arrived and alive."""
    seen = seen_from(node)
    return sorted(seen) == sorted(names) and all(
        n["health"] == "alive" and n["state"] == "member" for n in seen.values()
    )


def log_leader(asked: RigNode) -> str:
    """The node that leads the log, as ``asked`` sees it; "" while there is none."""
    told = seen_from(asked)
    return next((name for name, n in told.items() if "log-leader" in n["roles"]), "")


def whole(node: RigNode, names: Sequence[str] = ("n1", "n2", "n3")) -> bool:
    """Whether ``node`` sees exactly ``names`` alive, and three copies of the log that are up to
    date: one of them may be lost now."""
    kept = [n for n in seen_from(node).values() if {"log", "log-leader"} & set(n["roles"])]
    return all_alive(node, names) and len(kept) == 3


def last_words(node: RigNode) -> str:
    """The end of what a node logged, without each connection and refused request."""
    lines = node.log().splitlines()
    kept = [x for x in lines if '"logger":"http' not in x and "[INF]" not in x]
    return node.name + " " + "\n".join(kept)[-6000:]


class Load:
    """Writers that put unique items, each at the next node when one fails; what was acknowledged
    and the longest pause between two acknowledgements."""

    def __init__(self, cloud: Cloud, nodes: Sequence[RigNode] = ()) -> None:
        self.acknowledged: list[str] = []
        self.times: list[float] = []
        self._stop = threading.Event()
        self.failures: list[Exception] = []
        self._cloud, self._nodes = cloud, nodes or cloud.rig.nodes
        self._threads = [threading.Thread(target=self._write, args=(w,)) for w in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, writer: int) -> None:
        nodes = self._nodes
        clients = [self._cloud.client("dynamodb", node, ONCE) for node in nodes]
        number = 0
        while not self._stop.is_set():
            key = f"w{writer}-{number}"
            for at in range(writer, writer + len(nodes)):
                try:
                    put(clients[at % len(nodes)], key, "x")
                except (BotoCoreError, ClientError) as error:
                    self.failures.append(error)
                    continue
                self.acknowledged.append(key)
                self.times.append(time.monotonic())
                break
            number += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def worst_pause_s(self) -> float:
        times = sorted(self.times)
        return max(b - a for a, b in itertools.pairwise(times))
