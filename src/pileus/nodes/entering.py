"""What makes a home a node: founding a cluster, or asking one to be let in. No process of a cloud
runs here."""

from __future__ import annotations

import datetime
import http.client
import os
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pileus import __version__
from pileus.config import Config
from pileus.errors import Unavailable
from pileus.nodes import certs, join, places, token
from pileus.nodes.places import EMBEDDED, PORTS, SHARED, Cluster, Files, Node, Secrets
from pileus.nodes.token import Token
from pileus.services.vault import root_key_path

ASK_S = 30.0
TRIES = 120  # another may be joining: one change at a time
PAUSE_S = 1.0
TRIES_UNHEARD = 4  # a node that does not answer may be starting; or there is none
ANSWER_BYTES_MAX = 1024 * 1024
FIRST = "n1"
SHARDS = 8  # of a new cloud of several machines (docs/capacity.md: what they cost)


def note_shards(config: Config) -> None:
    """Write to ``pileus.toml`` how many shards the cluster is to have, for every start to come.
    Where nothing was said a new home gets ``SHARDS``, one that holds a cloud keeps what it has.
    ``Unavailable`` when the file says otherwise."""
    if not config.shards and config.path("state.db").exists():
        return
    Files(config.home).prepare()
    file, wanted = config.path("pileus.toml"), config.shards or SHARDS
    said = file.read_text() if file.exists() else ""
    noted = tomllib.loads(said).get("shards")
    if noted is None:  # before all else: behind it might be another table's
        places.write(file, f"shards = {wanted}\n{said}".encode())
    elif noted != wanted:
        raise Unavailable(f"{file} says shards = {noted}, not {wanted}", "change it there")


def found(config: Config, ports: dict[str, int]) -> Cluster:
    """Make this home, new or of one machine, the first node of a new cluster. The cluster's log
    goes on where its state stands."""
    files = Files(config.home)
    files.prepare()
    now, cluster_id = datetime.datetime.now(datetime.UTC), os.urandom(6).hex()
    authority_key, key = certs.new_key(), certs.new_key()
    authority = certs.new_authority(authority_key, cluster_id, now)
    here = Node(name=FIRST, address=config.address, state="member", **ports)
    shared = {name: getattr(config, name) for name in SHARED}
    made = Cluster(cluster_id, FIRST, (here,), shared, founder=True, engine=EMBEDDED)
    certificate = certs.sign(
        certs.request(key),
        authority,
        authority_key,
        name=FIRST,
        address=here.address,
        now=now,
    )
    places.write(files.authority_key, authority_key)
    places.write(files.authority, authority)
    places.write(files.key, key)
    places.write(files.certificate, certificate)
    secret, password = os.urandom(token.SECRET_BYTES).hex(), os.urandom(24).hex()
    places.save_secrets(config.home, Secrets(secret, "pileus", password))
    places.save(config.home, made)  # last: the home is a node when this is there
    return made


def moved(config: Config) -> None:
    """A node is started at another address or other ports than last time: note it, and certify a
    new address. The rows follow when it runs."""
    cluster = places.load(config.home)
    assert cluster is not None
    ports = {name: getattr(config, name) for name in PORTS}
    here = replace(cluster.here, address=config.address, **ports)
    if here == cluster.here:
        return
    if here.address != cluster.here.address:
        files = Files(config.home)
        certificate = certs.sign(
            certs.request(files.key.read_bytes()),
            files.authority.read_bytes(),
            files.authority_key.read_bytes(),
            name=here.name,
            address=here.address,
            now=datetime.datetime.now(datetime.UTC),
        )
        places.write(files.certificate, certificate)
    places.save(config.home, cluster.knowing(here))


def token_of(home: Path) -> str:
    """The token that admits nodes to this home's cluster."""
    mark = certs.mark(Files(home).authority.read_bytes())
    return Token(bytes.fromhex(places.load_secrets(home).join), mark).text()


def belongs(home: Path, admitting: Token) -> bool:
    """Whether this home is a node of the token's cluster already."""
    if places.load(home) is None:
        return False
    return certs.mark(Files(home).authority.read_bytes()) == admitting.mark


def enter(config: Config, ports: dict[str, int], admitting: Token, host: str, port: int) -> Cluster:
    """Ask the node at ``host``:``port`` to be let in, and keep what it tells. May be repeated
    after a failure: the key made first is asked with again. ``Unavailable`` when it refuses."""
    files = Files(config.home)
    if config.path("state.db").exists() or places.load(config.home) is not None:
        raise Unavailable(
            f"{config.home} holds a cloud already", "a node joins with a new, empty --home"
        )
    files.prepare()
    if not files.key.exists():
        places.write(files.key, certs.new_key())
    refused = Unavailable(f"{host}:{port} refuses")
    heard = False
    for tries in range(TRIES):
        try:
            body, asking = _ask(files, config.address, ports, admitting, (host, port))
        except Unavailable:
            if not heard and tries + 1 >= TRIES_UNHEARD:
                raise
            time.sleep(PAUSE_S)  # with a second node the first starts its processes again
            continue
        heard = True
        if isinstance(body, bytes):
            return _keep(config, join.open_answer(asking, body))
        refused = Unavailable(f"{host}:{port} refuses: {body.message}", body.hint)
        if body.status not in (409, 503):
            break
        time.sleep(PAUSE_S)
    raise refused


class _Refusal:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.message, self.hint = join.refusal(body)


def _ask(
    files: Files,
    address: str,
    ports: dict[str, int],
    admitting: Token,
    where: tuple[str, int],
) -> tuple[bytes | _Refusal, join.Asking]:
    told = {name: ports[name] for name in PORTS}
    now_ms = time.time_ns() // 1_000_000
    key = files.key.read_bytes()
    asking = join.ask(admitting, key, address, told, __version__, now_ms)
    headers = {"content-type": "application/json", join.MAC_HEADER: asking.mac}
    connection = http.client.HTTPConnection(*where, timeout=ASK_S)
    try:
        connection.request("POST", join.PATH, asking.body, headers)
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
        if answer.length:  # a bounded read says nothing of an answer that broke off
            raise http.client.IncompleteRead(body, answer.length)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            f"{where[0]}:{where[1]} does not answer ({error})",
            "name the API address of a node that is up: TOKEN@HOST:PORT",
        ) from error
    finally:
        connection.close()
    return (body if answer.status == 200 else _Refusal(answer.status, body)), asking


def _keep(config: Config, told: join.Admission) -> Cluster:
    files = Files(config.home)
    places.write(files.authority_key, told.authority_key.encode())
    places.write(files.authority, told.authority.encode())
    places.write(files.certificate, told.certificate.encode())
    root = root_key_path(config)
    root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    places.write(root, told.root_key.encode())
    places.write(config.path("credentials.json"), told.credentials.encode())
    places.save_secrets(config.home, Secrets(**told.secrets))
    cluster = _read_cluster(told.cluster)
    places.save(config.home, cluster)  # last: the home is a node when this is there
    return cluster


def _read_cluster(told: dict[str, Any]) -> Cluster:
    nodes = tuple(Node(**node) for node in told["nodes"])
    return Cluster(**{**told, "nodes": nodes})
