"""Clients that spread their requests over the nodes the cluster announces, and what came of it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session

from lab.rig import RigNode
from tests.acceptance.nodes import TABLE, Cloud, put

WRITERS = 4
# What takes long on a busy machine has not failed.
ONCE = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=60)
LOOK_S = 0.25
TOLD_S = 2.5  # counters are told each second
PAUSE_S = 0.02  # leaves the machine some time for the nodes themselves
BODY = b"b" * 70_000
SERVED = re.compile(r'pileus_requests_total\{[^}]*service="(dynamodb|s3)"[^}]*\} ([0-9.]+)')


def signed(cloud: Cloud, node: RigNode, path: str) -> bytes:
    """The answer of one of the cloud's own doors at ``node``."""
    keys = cloud.keys
    nothing = {"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}
    asked = AWSRequest("GET", node.endpoint + path, headers=nothing)
    owner = Credentials(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(owner, "pileus", keys["AWS_REGION"]).add_auth(asked)
    answer = URLLib3Session(timeout=(10, 60)).send(asked.prepare())
    if answer.status_code != 200:
        raise OSError(f"{path}: {answer.status_code}")
    return bytes(answer.content)


def told(cloud: Cloud, node: RigNode) -> dict[str, Any]:
    """``/_pileus/nodes`` as ``node`` tells it."""
    return dict(json.loads(signed(cloud, node, "/_pileus/nodes")))


def announced(cloud: Cloud, node: RigNode) -> list[str]:
    """The nodes that take requests, as ``node`` tells."""
    nodes = told(cloud, node)["nodes"]
    return [n["name"] for n in nodes if n["state"] == "member" and n["health"] != "down"]


def served(cloud: Cloud, nodes: Sequence[RigNode]) -> dict[str, int]:
    """Requests that each node says it has answered for the tables and the buckets, once nobody
    asks any more: a process tells its own a moment after it answered them."""
    before: dict[str, int] = {}
    while (now := _counted(cloud, nodes)) != before:
        before = now
        time.sleep(TOLD_S)
    return now


def _counted(cloud: Cloud, nodes: Sequence[RigNode]) -> dict[str, int]:

    def by(node: RigNode) -> int:
        text = signed(cloud, node, "/_pileus/metrics").decode()
        return int(sum(float(value) for _, value in SERVED.findall(text)))

    with ThreadPoolExecutor(len(nodes)) as pool:  # all at one moment
        return dict(zip([node.name for node in nodes], pool.map(by, nodes), strict=True))


class Spread:
    """Writers that put and read items, and now and then objects, each at the announced nodes in
    turn, without repeating what fails."""

    def __init__(self, cloud: Cloud, nodes: Mapping[str, RigNode]) -> None:
        self.acknowledged: list[str] = []
        self.failures: list[str] = []
        self._cloud, self._nodes = cloud, nodes
        self._stop, self._rest = threading.Event(), threading.Event()
        self._rested = [threading.Event() for _ in range(WRITERS)]
        self.now: list[str] = []
        self._look()
        work = [threading.Thread(target=self._write, args=(w,)) for w in range(WRITERS)]
        self._threads = [threading.Thread(target=self._follow), *work]
        for thread in self._threads:
            thread.start()

    def _look(self) -> None:
        for name in [*self.now, *self._nodes]:
            try:
                self.now = announced(self._cloud, self._nodes[name])
                return
            except (OSError, BotoCoreError) as error:  # asked of the next one
                last = error
        raise last

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._look()

    def _write(self, writer: int) -> None:
        clients = {
            name: (self._cloud.client("dynamodb", node, ONCE), self._cloud.client("s3", node, ONCE))
            for name, node in self._nodes.items()
        }
        number = 0
        while not self._stop.is_set():
            if self._rest.is_set():
                self._rested[writer].set()
                time.sleep(PAUSE_S)
                continue
            self._rested[writer].clear()
            name = self.now[(writer + number) % len(self.now)]
            try:
                self._ask(*clients[name], f"s{writer}-{number}", number)
            except (BotoCoreError, ClientError) as error:
                self.failures.append(f"{time.monotonic():.2f} {name}: {error}")
            number += 1
            time.sleep(PAUSE_S)

    def _ask(self, dynamodb: Any, s3: Any, key: str, number: int) -> None:
        if number % 20 == 19:
            s3.put_object(Bucket="spread", Key=key, Body=BODY + key.encode())
        elif number % 3 == 2:
            found = dynamodb.get_item(
                TableName=TABLE, Key={"k": {"S": key[: key.index("-")]}}, ConsistentRead=True
            )
            assert "Item" not in found
        else:
            put(dynamodb, key, "x")
            self.acknowledged.append(key)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Every request under way is answered, and none is begun while the block lasts."""
        for rested in self._rested:
            rested.clear()
        self._rest.set()
        try:
            assert all(rested.wait(120) for rested in self._rested), "a writer hangs"
            yield
        finally:
            self._rest.clear()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def even(counts: Mapping[str, int]) -> float:
    """How far the farthest is from the mean, in parts of the mean."""
    mean = sum(counts.values()) / len(counts)
    return max(abs(count - mean) for count in counts.values()) / mean
