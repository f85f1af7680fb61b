"""What a node keeps on disk about its cluster, to start before it can read any row.

``cluster.json`` in the home names the nodes and their ports (no secret); ``cluster/`` beside it,
open to the home's owner only, holds the authority, this node's certificate and the secrets.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pileus.errors import Unavailable

JOIN_PATH = "/_pileus/join"
EMBEDDED, CLUSTER = "embedded", "cluster"
PORTS = ("port", "edge_port", "edge_tls_port", "node_port", "log_port", "log_route_port")
# What must be the same on every node, for they all answer for the same cloud.
SHARED = (
    *("account", "accounts", "region", "s3_day_s", "s3_restore_s", "s3_log_delivery_s"),
    *("s3_transition_bytes_min", "s3_legacy_defaults"),
)


@dataclass(frozen=True)
class Node:
    """One machine: ``name`` is given once and never again, ``address`` is where the others reach
    it. ``state``: joining, member, draining, leaving, gone."""

    name: str
    address: str
    port: int
    edge_port: int
    edge_tls_port: int
    node_port: int
    log_port: int
    log_route_port: int
    state: str = "member"

    @property
    def present(self) -> bool:
        """It holds data and takes part, or soon will."""
        return self.state != "gone"

    @property
    def api(self) -> str:
        return f"{bracketed(self.address)}:{self.port}"


@dataclass(frozen=True)
class Cluster:
    """The cluster as ``name``'s node last knew it. ``shared``: settings that are the cluster's.
    ``founder``: its state is where the cluster's log begins. ``engine``: what holds the log;
    the embedded one as long as the founder is alone."""

    id: str
    name: str
    nodes: tuple[Node, ...]
    shared: dict[str, Any]
    founder: bool
    engine: str = CLUSTER

    @property
    def here(self) -> Node:
        return next(n for n in self.nodes if n.name == self.name)

    @property
    def peers(self) -> tuple[Node, ...]:
        """The other nodes, but those that are gone."""
        return tuple(n for n in self.nodes if n.present and n.name != self.name)

    def knowing(self, node: Node) -> Cluster:
        """With ``node`` added, or told anew."""
        others = tuple(n for n in self.nodes if n.name != node.name)
        return replace(self, nodes=tuple(sorted((*others, node), key=_by_number)))


@dataclass(frozen=True)
class Secrets:
    """What only members know. ``join`` admits new ones; the log's servers know each other and
    their clients by ``log_user`` and ``log_password``."""

    join: str = field(repr=False)
    log_user: str
    log_password: str = field(repr=False)


@dataclass(frozen=True)
class Files:
    """Where things lie in a node's home."""

    home: Path

    @property
    def cluster(self) -> Path:
        return self.home / "cluster.json"

    @property
    def folder(self) -> Path:
        return self.home / "cluster"

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def authority_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        return self.folder / "node.pem"

    @property
    def key(self) -> Path:
        return self.folder / "node.key"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.json"

    @property
    def log_store(self) -> Path:
        return self.home / "nats"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)


def load(home: Path) -> Cluster | None:
    """The cluster this home is a node of, or None. ``ValueError`` when the file is damaged."""
    try:
        told = json.loads(Files(home).cluster.read_text())
    except FileNotFoundError:
        return None
    known = {f.name for f in fields(Node)}
    try:
        nodes = tuple(Node(**{k: v for k, v in n.items() if k in known}) for n in told["nodes"])
        facts = (told["shared"], told["founder"], told["engine"])
        return Cluster(told["id"], told["name"], nodes, *facts)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{Files(home).cluster} is damaged: {error!r}") from error


def departed(home: Path) -> str:
    """The name by which this home was a node, where it has left its cluster for good; else ""."""
    try:
        cluster = load(home)
    except (OSError, ValueError):
        return ""
    return cluster.name if cluster is not None and cluster.here.state == "gone" else ""


def save(home: Path, cluster: Cluster) -> None:
    """Replace ``cluster.json`` durably."""
    write(Files(home).cluster, json.dumps(asdict(cluster), indent=1).encode())


def load_secrets(home: Path) -> Secrets:
    """``Unavailable`` when the file is not there or damaged."""
    file = Files(home).secrets
    try:
        return Secrets(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise Unavailable(
            f"the cluster's credentials cannot be read: {file} ({type(error).__name__})",
            "put it back: it is the same on every node",
        ) from error


def save_secrets(home: Path, secrets: Secrets) -> None:
    write(Files(home).secrets, json.dumps(asdict(secrets)).encode())


def write(path: Path, data: bytes) -> None:
    """``path`` holds ``data``, for its owner only: either all of it or what was there before."""
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
    with _opened(path.parent) as directory:
        os.fsync(directory)


def bracketed(address: str) -> str:
    """An address as it stands before ``:PORT``."""
    return f"[{address}]" if ":" in address else address


def _by_number(node: Node) -> tuple[int, str]:
    digits = node.name.lstrip("n")
    return (int(digits) if digits.isdigit() else 0, node.name)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)
