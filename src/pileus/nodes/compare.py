"""Are the nodes' states equal? Each node's rows, hashed as of one and the same entry.

Nodes stand at different entries from moment to moment. So each first copies its state as it is
(``POST /digests``); the furthest copy says the common entry; then each brings its own copy up to
there with the entries of its journal, and hashes the rows (``GET /digests/ID?at=ENTRY``). Nothing
on the way of requests waits for this. Each shard is compared by itself: ``shard=N`` names another
than the first.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import apsw
import orjson

from pileus.engine import LogEntry, WriterLog
from pileus.engine.cluster.placing import COPIES, order
from pileus.engine.damage import damaged
from pileus.errors import Unavailable
from pileus.nodes import places
from pileus.nodes.client import Client, PeerError, Place
from pileus.nodes.door import shard_of
from pileus.nodes.keeping import STATES
from pileus.nodes.peers import NodePeers, refusal
from pileus.nodes.tls import client_context
from pileus.services.call import HttpRequest, HttpResponse
from pileus.state import checkpoint, pages
from pileus.state.database import PAGE_BYTES, STATE_FILE, connect_reader
from pileus.state.opening import shards_of
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.shard import Shard
from pileus.state.versions import RuleBook

PATH = "/digests"
FOLDER = "comparing"
REACH_S = 30.0  # for this node to come to the common entry
KEPT_S = 900.0
WORK_S = 1800.0
PAGE = 1000
ROOM = 3  # times the state
_ONE = re.compile(r"/digests/([0-9a-f]{16})\?at=(\d{1,19})(?:&shard=\d{1,4})?\Z")


class Digests:
    """A node's side, mounted at its door. ``store``: the writer's; ``rules``: every service's;
    ``damaged(why, shard)`` is told when a state file cannot be read whole."""

    def __init__(
        self,
        store: Any,
        rules: Mapping[str, Rule] | RuleBook,
        damaged: Callable[[str, int], None] = lambda why, shard: None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._damaged = damaged
        self._turn = asyncio.Lock()
        for shard in store.shards:
            shutil.rmtree(shard.home / FOLDER, ignore_errors=True)

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """``{"id", "sequence"}`` of a fresh copy, or ``{"sequence", "rows_digest"}``."""
        one = _ONE.match(f"{request.path}?{request.query}")
        number = shard_of(request)
        if number >= len(self._store.shards):
            raise FileNotFoundError(f"shard {number}")
        shard = self._store.shards[number]
        if request.method == "POST" and request.path == PATH:
            found = await self._copy(shard)
        elif request.method == "GET" and one:
            found = await self._digest(shard, one[1], int(one[2]))
        else:
            raise FileNotFoundError(request.path)
        return HttpResponse(200, [("content-type", "application/json")], orjson.dumps(found))

    async def _copy(self, shard: Shard) -> dict[str, Any]:
        async with self._turn:  # one after the other: each reads the whole state
            try:
                return await asyncio.to_thread(_copy_now, shard.home)
            except apsw.Error as error:
                if not damaged(error):
                    raise
                self._damaged(str(error), shard.number)
                raise Unavailable(f"the state file is damaged: {error}") from error

    async def _digest(self, shard: Shard, name: str, at: int) -> dict[str, Any]:
        folder = shard.home / FOLDER
        copy = folder / f"{name}.db"
        try:
            sequence, _ = checkpoint.position(copy) if copy.exists() else (-1, 0)
            if not 0 <= sequence <= at:
                raise FileNotFoundError(name)
            entries = await _entries(shard, sequence, at)
            async with self._turn:
                found = await asyncio.to_thread(self._replay, copy, sequence, entries)
            return {"sequence": at, "rows_digest": found}
        finally:
            for path in folder.glob(f"{name}.db*"):
                path.unlink(missing_ok=True)

    def _replay(self, copy: Path, after: int, entries: list[LogEntry]) -> str:
        if entries:
            replica = SqliteReplica(copy, self._rules, synchronous="OFF", journal=False)
            try:
                for at in range(0, len(entries), PAGE):
                    page = [e.data for e in entries[at : at + PAGE]]
                    replica.apply_group(after + 1 + at, page)
            finally:
                replica.close()
        connection = connect_reader(copy)
        try:
            return checkpoint.rows_digest(connection)
        finally:
            connection.close()


def _copy_now(home: Path) -> dict[str, Any]:
    folder = home / FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > KEPT_S:
            old.unlink(missing_ok=True)
    name = secrets.token_hex(8)
    copy = folder / f"{name}.db"
    _need_room(home, folder)
    pages.copy(home / STATE_FILE, copy, PAGE_BYTES, checksums=False)
    return {"id": name, "sequence": checkpoint.position(copy)[0]}


def _need_room(home: Path, folder: Path) -> None:
    """A proof must not be what fills the disk."""
    size = (home / STATE_FILE).stat().st_size
    if shutil.disk_usage(folder).free < ROOM * size:
        raise Unavailable("there is no room for a copy of the state", "free disk space")


async def _entries(shard: Shard, after: int, last: int) -> list[LogEntry]:
    """The entries between the copy and the common one, when they are applied here."""
    replica, log = shard.replica, cast(WriterLog, shard.log)
    assert replica is not None
    deadline = time.monotonic() + REACH_S
    while replica.applied < last:
        if time.monotonic() > deadline:
            raise Unavailable(f"this node stands at entry {replica.applied}, not at {last}")
        await asyncio.sleep(0.05)
    found: list[LogEntry] = []
    while after + len(found) < last:
        page = await log.read(after + len(found), PAGE)
        if not page or page[0].sequence != after + len(found) + 1:
            raise Unavailable(f"the journal goes on below entry {last} no more", "ask again")
        found += page
    return found[: last - after]


@dataclass
class Comparison:
    """Every node's hash of its rows in ``shard`` after entry ``sequence``; ``unasked``: why one
    has none."""

    sequence: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    unasked: dict[str, str] = field(default_factory=dict)
    shard: int = 0

    @property
    def problems(self) -> list[str]:
        """What speaks against equal copies; nothing, when all say the same."""
        if len(set(self.digests.values())) <= 1:
            return []
        told = ", ".join(f"{node} {d[:16]}" for node, d in sorted(self.digests.items()))
        where = f" in shard {self.shard}" if self.shard else ""
        return [f"the nodes' rows differ after entry {self.sequence}{where}: {told}"]


def keeper(home: Path) -> Callable[[str], bool]:
    """Whether the node whose home this is should have a blob."""
    cluster = places.load(home)
    if cluster is None:
        return lambda digest: True
    name, names = cluster.name, [n.name for n in cluster.nodes if n.state in STATES]
    return lambda digest: name in order(digest, names)[:COPIES]


async def compare_home(home: Path, say: Callable[[str], None]) -> list[Comparison] | None:
    """``compare`` for each shard of the cluster ``home`` is a node of, this node included; None:
    it is of none."""
    cluster = places.load(home)
    if cluster is None:
        return None
    say("the nodes' rows, with each other")
    nodes = [Place(n.name, n.address, n.node_port) for n in cluster.nodes if n.present]
    client = Client(client_context(places.Files(home).folder))
    try:
        peers = NodePeers("", client, lambda: nodes)
        return [await compare(peers, number) for number in range(shards_of(home))]
    finally:
        client.close()


async def compare(peers: NodePeers, shard: int = 0) -> Comparison:
    """Ask every node of ``peers.places()``. Those that do not answer are told in ``unasked``."""
    result = Comparison(shard=shard)
    names = [place.name for place in peers.places()]
    of, more = (f"?shard={shard}", f"&shard={shard}") if shard else ("", "")
    copies = await _all(result, {n: _ask(peers, n, "POST", PATH + of) for n in names})
    result.sequence = max((told["sequence"] for told in copies.values()), default=0)
    query = f"?at={result.sequence}{more}"
    found = await _all(
        result, {n: _ask(peers, n, "GET", f"{PATH}/{t['id']}{query}") for n, t in copies.items()}
    )
    result.digests = {node: told["rows_digest"] for node, told in found.items()}
    return result


async def _all(result: Comparison, asked: dict[str, Any]) -> dict[str, Any]:
    answers = await asyncio.gather(*asked.values(), return_exceptions=True)
    found = {}
    for node, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Unavailable):
            result.unasked[node] = str(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[node] = answer
    return found


async def _ask(peers: NodePeers, node: str, method: str, path: str) -> Any:
    answer = await peers.ask(node, method, path, answer_s=WORK_S)
    if answer.status != 200:
        raise PeerError(await refusal(node, answer))
    return orjson.loads(await answer.read())
