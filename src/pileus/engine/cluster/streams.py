"""The log's streams in JetStream: making, looking at, moving and purging them.

A shard's log is the stream ``LOG_<shard>``; made anew after it was lost, ``LOG_<shard>_<epoch>``,
so that nothing sent to the old one can reach the new. Requests go to JetStream's API as JSON
(https://docs.nats.io/reference/reference-protocols/nats_api_reference). Its answers about where a
stream ends may be old: they are for operating it, never for deciding what a reader may see.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pileus.engine.cluster import nats_client
from pileus.engine.cluster.nats import ENTRY_MESSAGE_BYTES_MAX, SYSTEM_SUFFIX
from pileus.engine.cluster.nats_client import Client
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.streams")
REPLICAS = 3
LOG_BYTES_MAX = 4 * 1024**3
DUPLICATE_WINDOW_S = 60
REQUEST_S = 5.0
NEAR = 100  # messages
NOT_FOUND = 10059  # JSStreamNotFoundErr
NAME_IN_USE = 10058  # JSStreamNameExistErr


@dataclass(frozen=True)
class Peer:
    """A server that holds a copy of a stream. ``lag``: messages it has not stored yet. ``near``:
    current, or as good as that: while there are writes a copy is a few messages behind at most
    moments."""

    name: str
    current: bool
    offline: bool
    lag: int

    @property
    def near(self) -> bool:
        return not self.offline and (self.current or self.lag <= NEAR)


@dataclass(frozen=True)
class StreamInfo:
    """A stream as its leader (or who was it lately) tells. ``base`` is the log's sequence number
    before its first entry, ``chain`` the running hash there (hex)."""

    name: str
    epoch: int
    base: int
    chain: str
    replicas: int
    first: int
    last: int
    size_bytes: int
    leader: str
    peers: tuple[Peer, ...]
    sealed: bool = False
    group: str = ""  # the name of the servers' raft group


def name(shard: int, epoch: int = 0) -> str:
    return f"LOG_{shard}_{epoch}" if epoch else f"LOG_{shard}"


def epoch_of(stream: str) -> int:
    """The epoch a stream's name tells."""
    words = stream.split("_")
    return int(words[2]) if len(words) > 2 else 0


def shard_of(stream: str) -> int:
    """The shard a stream's name tells."""
    return int(stream.split("_")[1])


def unheard(stream: str) -> StreamInfo:
    """What is known of a stream that nobody tells of now."""
    return StreamInfo(stream, epoch_of(stream), 0, "", 0, 0, 0, 0, "", ())


def subject(shard: int, epoch: int = 0) -> str:
    return f"log.{shard}.{epoch}"


async def connect(
    servers: Sequence[str],
    user: str,
    password: str,
    tls: ssl.SSLContext,
    *,
    label: str = "pileus",
    system: bool = False,
) -> Client:
    """A client of the cluster (``servers``: ``host:port``, the nearest first), which goes on to
    another server by itself when its own is gone. ``system``: as the operator of the servers."""
    who = user + SYSTEM_SUFFIX if system else user
    return await nats_client.connect(servers, who, password, tls, label)


class ApiError(Unavailable):
    """JetStream refused; ``code`` is its own number for why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the log's servers: {message}", "see the nodes' logs")
        self.code = code


async def ask(
    client: Client, what: str, body: Any = None, seconds_max: float = REQUEST_S
) -> dict[str, Any]:
    """One request of JetStream's API. ``ApiError`` when it is refused, ``Unavailable`` when nobody
    answers: what became of it is unknown then."""
    data = b"" if body is None else json.dumps(body).encode()
    try:
        told = await client.request(f"$JS.API.{what}", data, timeout=seconds_max)
    except (TimeoutError, OSError) as e:
        raise Unavailable(
            f"the log's servers do not answer ({type(e).__name__})",
            "more than half of the nodes must be up",
        ) from e
    answer = dict(json.loads(told.data))
    if answer.get("error"):
        error = answer["error"]
        raise ApiError(error.get("err_code", 0), error.get("description", "refused"))
    return answer


def settings(shard: int, epoch: int, replicas: int, base: int, chain: str) -> dict[str, Any]:
    """The stream's configuration."""
    return {
        "name": name(shard, epoch),
        "subjects": [subject(shard, epoch)],
        "retention": "limits",
        "storage": "file",
        "discard": "new",  # a full log refuses; it never forgets what a replica may need
        "num_replicas": replicas,
        "max_bytes": LOG_BYTES_MAX,
        "max_msg_size": ENTRY_MESSAGE_BYTES_MAX,
        "duplicate_window": DUPLICATE_WINDOW_S * 1_000_000_000,
        "deny_delete": True,
        "metadata": {"epoch": str(epoch), "base": str(base), "chain": chain},
    }


async def create(
    client: Client,
    shard: int,
    replicas: int,
    *,
    epoch: int = 0,
    base: int = 0,
    chain: str = "",
    near: str = "",
) -> StreamInfo:
    """Make the stream; the one there is when another node was first. ``base`` and ``chain``: the
    log's number and running hash of the state it continues. ``near``: the server that is to have
    the first copy, until there are more."""
    wanted = settings(shard, epoch, min(replicas, REPLICAS), base, chain)
    if near:
        wanted["placement"] = {"tags": [f"node:{near}"]}
    try:
        return _info(await ask(client, f"STREAM.CREATE.{wanted['name']}", wanted))
    except ApiError as e:
        if e.code != NAME_IN_USE:
            raise
    return await info(client, wanted["name"])


async def info(client: Client, stream: str, seconds_max: float = REQUEST_S) -> StreamInfo:
    return _info(await ask(client, f"STREAM.INFO.{stream}", seconds_max=seconds_max))


async def newest(client: Client, shard: int, seconds_max: float = REQUEST_S) -> StreamInfo | None:
    """The shard's stream of the highest epoch; None where there is none. While the servers elect
    a leader a request is lost: who waits for one asks again soon."""
    listed = await ask(client, "STREAM.LIST", {"subject": f"log.{shard}.*"}, seconds_max)
    found = [_info(told) for told in listed.get("streams") or []]
    return max(found, key=lambda s: s.epoch, default=None)


async def newest_of(
    client: Client, shards: int, seconds_max: float = REQUEST_S
) -> dict[int, StreamInfo]:
    """``newest`` of the shards 0, 1, … below ``shards``, without those of which nobody tells now;
    ``Unavailable`` when nobody tells of any."""
    if shards > 1:  # one question, as long as every stream has a leader
        try:
            listed = await ask(client, "STREAM.LIST", {"subject": "log.>"}, min(1.0, seconds_max))
        except Unavailable as e:
            log.info("not all of the logs are told of at once: %s", e)
        else:
            told = sorted(map(_info, listed.get("streams") or []), key=lambda s: s.epoch)
            known = {shard_of(s.name): s for s in told}
            if len(known) >= shards:
                return {number: known[number] for number in range(shards) if number in known}
    asked = (newest(client, number, seconds_max) for number in range(shards))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Unavailable):
            raise answer
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if len(failed) == shards:
        raise failed[0]
    return {n: a for n, a in enumerate(answers) if isinstance(a, StreamInfo)}


def _info(told: dict[str, Any]) -> StreamInfo:
    config, state, where = told["config"], told["state"], told.get("cluster") or {}
    metadata = config.get("metadata") or {}
    peers = [
        Peer(p["name"], bool(p.get("current")), bool(p.get("offline")), int(p.get("lag", 0)))
        for p in where.get("replicas") or []
    ]
    return StreamInfo(
        name=config["name"],
        epoch=int(metadata.get("epoch", 0)),
        base=int(metadata.get("base", 0)),
        chain=metadata.get("chain", ""),
        replicas=config["num_replicas"],
        first=state["first_seq"],
        last=state["last_seq"],
        size_bytes=state["bytes"],
        leader=where.get("leader", ""),
        peers=tuple(peers),
        sealed=bool(config.get("sealed")),
        group=where.get("raft_group", ""),
    )


# -- membership: one change at a time, and only while every copy is current ---------------------


async def set_replicas(client: Client, stream: str, replicas: int) -> StreamInfo:
    """Keep ``replicas`` copies (1 to 3). Refused while there are too few servers: try again."""
    config = (await ask(client, f"STREAM.INFO.{stream}"))["config"]
    config["num_replicas"] = min(replicas, REPLICAS)
    config.pop("placement", None)  # of the first copy: now any server may have one
    return _info(await ask(client, f"STREAM.UPDATE.{stream}", config))


async def current(client: Client, stream: str, replicas: int, seconds_max: float) -> StreamInfo:
    """Wait until ``replicas`` copies are current; ``Unavailable`` when they are not in time."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while True:
        told = await info(client, stream)
        whole = [p for p in told.peers if p.current and not p.offline]
        if told.leader and len(whole) + 1 >= replicas and len(whole) == len(told.peers):
            return told
        if asyncio.get_running_loop().time() >= deadline:
            raise Unavailable(
                f"the copies of {stream} are not current: {told.peers}",
                "wait for the nodes that are behind, or remove the ones that are gone",
            )
        await asyncio.sleep(0.2)


async def step_down(client: Client, stream: str, prefer: str = "") -> None:
    """Have another copy lead (``prefer``: which): before a planned stop, so that writing pauses
    for milliseconds and not for an election."""
    body = {"placement": {"preferred": prefer}} if prefer else None
    await ask(client, f"STREAM.LEADER.STEPDOWN.{stream}", body)


async def remove_peer(client: Client, stream: str, server: str) -> None:
    """Move ``server``'s copy to another server. Refused within some ten seconds of a join."""
    await ask(client, f"STREAM.PEER.REMOVE.{stream}", {"peer": server})


async def remove_server(system: Client, server: str) -> None:
    """Take a server that will never come back out of the cluster (``system``: a client that
    connected with ``system=True``). Its name must never be used again."""
    await ask(system, "SERVER.REMOVE", {"peer": server})


async def seal(client: Client, stream: str) -> StreamInfo:
    """Nothing is ever taken in again: this log has ended, whatever becomes of its servers. Answers
    how it stands then."""
    config = (await ask(client, f"STREAM.INFO.{stream}"))["config"]
    if not config.get("sealed"):
        # A limit is room that is kept free for it: it needs no more than it has.
        await ask(client, f"STREAM.UPDATE.{stream}", config | {"sealed": True, "max_bytes": -1})
    return await info(client, stream)


async def purge_below(client: Client, stream: str, sequence: int) -> int:
    """Forget the messages below ``sequence`` (the stream's own numbers); answers how many."""
    return int((await ask(client, f"STREAM.PURGE.{stream}", {"seq": sequence}))["purged"])
