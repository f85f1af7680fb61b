"""Three nodes of a rig as the fault matrix sees them: their owner's keys, clients at each, how each
sees the others, and whether all is whole."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from lab import probe
from lab.chores import FOR_LONG_S, Chores
from lab.history.cells import CellClient
from lab.history.load import prepare
from lab.history.names import Names
from lab.ledger import ONCE, PATIENT, Door
from lab.rig import API_PORT, Rig, RigNode, until

PATIENCE_S = 150.0  # given up then; the times it took are told
VIEW_S, TOLD_S = 2.0, 60.0
LAG_MAX = 1000
LEADS = "log-leader"
EDGE_PORT = 8000


class Cluster:
    """Nodes of a rig that form a cluster, their owner's keys, clients of each node that are kept
    between rounds; work that goes on in the background. ``day_s``: how long a day of lifecycle
    rules is there. ``shards``: how many the cloud has; ``names`` are of as many tables. The last of
    these is ``probed``: it lies in shard ``shard``, not the first, where there are others."""

    def __init__(self, rig: Rig, nodes: Sequence[RigNode] = (), day_s: float = FOR_LONG_S) -> None:
        self.rig = rig
        self.nodes = list(nodes or rig.nodes)
        self.keys = self.nodes[0].keys()
        self.name = f"faults-{random.randrange(16**8):08x}"
        self.shards = len(self._map()["shards"])
        self.names = Names(self.name, self.shards)
        self.probed = self.names.tables[-1]
        self.doors = [
            Door(n.name, cache(partial(self._client, n)), partial(self._cells, n))
            for n in self.nodes
        ]
        prepare(self.doors[0].client, self.names)
        self.shard = self._shard_of(self.probed)
        self.known = random.randbytes(32).hex()
        item = {"PK": {"S": "known"}, "v": {"S": self.known}}
        self.doors[0].client("dynamodb", PATIENT).put_item(TableName=self.probed, Item=item)
        routes = [f"http://{node.address}:{EDGE_PORT}" for node in self.nodes]
        self.chores = Chores(self.doors, self.name, self.told, routes, day_s)

    def _client(self, node: RigNode, service: str, config: Config) -> Any:
        return node.client(service, self.keys, config)

    def _cells(self, node: RigNode) -> CellClient:
        key = self.keys["AWS_ACCESS_KEY_ID"], self.keys["AWS_SECRET_ACCESS_KEY"]
        return CellClient(node.endpoint, *key, self.keys["AWS_REGION"], *self.names.wide)

    def _map(self) -> dict[str, Any]:
        return dict(json.loads(self.nodes[0].run("tablets", "--json")))

    def _shard_of(self, table: str) -> int:
        """Where a table lies; the map of one shard names none."""
        if self.shards == 1:
            return 0
        for tablet in self._map()["tablets"]:
            if table in tablet["holds"].replace(",", "").split():
                return int(tablet["shard"])
        raise LookupError(f"the map shows no table {table}")

    def signed(self, node: RigNode, service: str, method: str, path: str, **asked: Any) -> bytes:
        """A request as it goes over the wire."""
        made = AWSRequest(method, f"{node.endpoint}{path}", **asked)
        key = self.keys["AWS_ACCESS_KEY_ID"], self.keys["AWS_SECRET_ACCESS_KEY"]
        kind = S3SigV4Auth if service == "pileus" else SigV4Auth
        kind(Credentials(*key), service, self.keys["AWS_REGION"]).add_auth(made)
        body = (asked.get("data") or "").encode()
        heads = {"Host": f"{node.address}:{API_PORT}", "Connection": "close", **dict(made.headers)}
        heads["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in heads.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def told(self, method: str, path: str, body: Any) -> Any:
        """Ask Pileus' own API at the first node; ``ClientError`` for a verdict."""
        data = "" if body is None else json.dumps(body)
        heads = {"Content-Type": "application/json"}
        asked = self.signed(self.nodes[0], "pileus", method, path, headers=heads, data=data)
        try:
            head, _, answer = self._exchange(self.nodes[0], asked, TOLD_S).partition(b"\r\n\r\n")
            told = json.loads(answer or b"{}")
        except (OSError, ValueError) as error:
            raise HTTPClientError(error=error) from error
        status = int(head.split()[1])
        if status >= 400:
            said = {"Code": told.get("__type", ""), "Message": told.get("message", "")}
            meta = {"HTTPStatusCode": status}
            raise ClientError({"Error": said, "ResponseMetadata": meta}, method)  # type: ignore[arg-type]
        return told

    @staticmethod
    def _exchange(node: RigNode, asked: bytes, seconds_max: float) -> bytes:
        with socket.create_connection((node.address, API_PORT), timeout=seconds_max) as connection:
            connection.sendall(asked)
            with connection.makefile("rb") as answer:
                return answer.read()

    def asks(self, node: RigNode) -> dict[str, str]:
        """What the probe asks of a node, in hex."""

        def table(operation: str, **params: Any) -> bytes:
            heads = {
                "X-Amz-Target": f"DynamoDB_20120810.{operation}",
                "Content-Type": "application/x-amz-json-1.0",
            }
            data = json.dumps({"TableName": self.probed, **params})
            return self.signed(node, "dynamodb", "POST", "/", headers=heads, data=data)

        key = {"PK": {"S": "probed"}}
        asked = {
            "write": table("PutItem", Item=key),
            "strong": table("GetItem", Key=key, ConsistentRead=True),
            "read": table("GetItem", Key=key),
            probe.NODES: self.signed(node, "pileus", "GET", "/_pileus/nodes"),
        }
        return {kind: request.hex() for kind, request in asked.items()}

    def view(self, node: RigNode) -> list[dict[str, Any]]:
        """How ``node`` sees the nodes; nothing when it does not answer well."""
        asked = self.signed(node, "pileus", "GET", "/_pileus/nodes")
        try:
            answer = self._exchange(node, asked, VIEW_S)
            return list(json.loads(answer.partition(b"\r\n\r\n")[2])["nodes"])
        except (OSError, ValueError, KeyError):
            return []

    def leader(self) -> RigNode:
        """Who leads the log that ``probed`` is written to, by the servers' word, which is said
        every other second."""

        def found() -> list[RigNode]:
            told = [t["name"] for n in self.nodes for t in self.view(n) if self._leads(t)]
            return [n for n in self.nodes if n.name in told]

        return next(iter(until(found, PATIENCE_S, "a node that leads the log", 0.2)))

    def _leads(self, told: dict[str, Any]) -> bool:
        return self.shard in told["logs"]["leading"] if "logs" in told else LEADS in told["roles"]

    def led(self, node: RigNode) -> list[int]:
        """The shards whose logs ``node`` leads, as the first that answers sees it."""
        view = next((v for n in self.nodes if (v := self.view(n))), [])
        logs = [told.get("logs") for told in view if told["name"] == node.name]
        return logs[0]["leading"] if logs and logs[0] else []

    def even(self) -> bool:
        """Whether no node leads two logs more than another: nothing is to be evened out."""
        led = [len(self.led(node)) for node in self.nodes]
        return max(led) - min(led) < 2

    def whole(self) -> bool:
        """Whether every node answers, all see all alive and none behind, and each log has a
        leader."""
        seen = [self.view(node) for node in self.nodes]
        return all(
            len(view) == len(self.nodes) and self._logs_whole(view) for view in seen
        ) and all(
            told["health"] == "alive"
            and told["state"] == "member"
            and told["roles"]
            and (told["lag"] or 0) < LAG_MAX
            for view in seen
            for told in view
        )

    def _logs_whole(self, view: list[dict[str, Any]]) -> bool:
        if self.shards == 1:
            return True  # each node's roles tell
        leading = [n for told in view if "logs" in told for n in told["logs"]["leading"]]
        return sorted(leading) == list(range(self.shards))

    def _keeps_all(self, node: RigNode) -> bool:
        """Whether ``node``'s copies of all logs are whole: while there are writes one or the other
        is a moment behind at most times."""
        own = [told.get("logs") for told in self.view(node) if told["name"] == node.name]
        return bool(own) and (own[0] is None or own[0]["copies"] == own[0]["of"])

    def knows(self) -> bool:
        """Whether every node's own copy still has what was written in the beginning."""
        for door in self.doors:
            with suppress(BotoCoreError, ClientError):
                client = door.client("dynamodb", ONCE)
                item = client.get_item(TableName=self.probed, Key={"PK": {"S": "known"}}).get(
                    "Item", {}
                )
                if item.get("v") == {"S": self.known}:
                    continue
            return False
        return True

    def settled(self, settle_s: float) -> float:
        """Wait until the cluster is whole and stays so (nodes tell their roles every other
        second), and each node has told meanwhile that its copies of all logs are; the seconds it
        took to become so. It waits ``PATIENCE_S`` and no longer."""
        began = since = time.monotonic()
        behind = self.nodes
        while (now := time.monotonic()) < since + settle_s:
            behind = [node for node in behind if not self._keeps_all(node)]
            if not (self.whole() and self.knows()) or behind:
                since = time.monotonic()
                if since > began + PATIENCE_S:
                    break
            time.sleep(max(0.0, now + 0.1 - time.monotonic()))
        return since - began
