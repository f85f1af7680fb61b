"""The other nodes' front ends, as this node's Caddy reaches them.

A request for another node goes through a Unix socket of this Caddy to the other's, over TLS with
certificates of the cluster's authority on both sides, at its TLS port for viewers, asked by the
node's name. There it goes to that node's own front processes and no further. Who the viewer is and
how he came travels in the headers, believed only from a node that the cluster knows.
https://caddyserver.com/docs/json/apps/http/servers/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAG = "node"
# A node that is down fails every look at it, twice a second: that is told by beats, once.
UNTOLD = "between"
# How the first Caddy tells the second who the viewer is; each writes the usual headers anew.
VIEWER, SCHEME = "X-Pileus-Viewer", "X-Pileus-Viewer-Scheme"
TELLING = {
    "request": {"set": {VIEWER: ["{http.request.remote.host}"], SCHEME: ["{http.request.scheme}"]}}
}
BELIEVING = {
    "request": {
        "set": {
            "X-Forwarded-For": [f"{{http.request.header.{VIEWER}}}"],
            "X-Forwarded-Proto": [f"{{http.request.header.{SCHEME}}}"],
        },
        "delete": [VIEWER, SCHEME],
    }
}
# Who passes a request between nodes and gets no answer gives none: a connection that breaks is
# what makes the first Caddy pass that node over, and ask another where that does no harm. An
# answer of 502 would go to the viewer, and the next request to the same node.
BREAKING_OFF = {"handler": "static_response", "abort": True}
KEEPING_HOST = {"request": {"set": {"Host": ["{http.request.hostport}"]}}}


@dataclass(frozen=True)
class Neighbours:
    """``name`` is this node's; ``nodes`` the others, name → ``host:port`` of the TLS port for
    viewers; ``folder`` holds ``ca.pem``, ``node.pem`` and ``node.key``; ``run`` gets sockets."""

    name: str
    nodes: tuple[tuple[str, str], ...]
    folder: Path
    run: Path

    def sockets(self) -> list[Path]:
        """Where this Caddy takes requests for each of the others."""
        return [self._socket(name) for name, _ in self.nodes]

    def _socket(self, name: str) -> Path:
        return self.run / f"edge-to-{name}.sock"

    def _authority(self) -> dict[str, Any]:
        return {"provider": "file", "pem_files": [str(self.folder / "ca.pem")]}

    def policy(self) -> dict[str, Any]:
        """For connections that ask for this node by its name: other nodes'."""
        return {
            "match": {"sni": [self.name]},
            "certificate_selection": {"any_tag": [TAG]},
            "client_authentication": {"ca": self._authority(), "mode": "require_and_verify"},
            "protocol_min": "tls1.3",
        }

    def certificate_files(self) -> dict[str, Any]:
        files = {"certificate": "node.pem", "key": "node.key"}
        return {k: str(self.folder / v) for k, v in files.items()} | {"tags": [TAG]}

    def inner_route(self, proxy: dict[str, Any]) -> dict[str, Any]:
        """What another node sends goes to this node's fronts (``proxy``), the viewer as told."""
        return self._from_node(proxy | {"headers": BELIEVING})

    def inner_failure(self) -> dict[str, Any]:
        """What they could not answer goes no further: the node that sent it asks again."""
        return self._from_node(BREAKING_OFF)

    def _from_node(self, handler: dict[str, Any]) -> dict[str, Any]:
        subjects = [f"CN={name}" for name, _ in self.nodes]
        from_node = {
            "expression": f"{{http.request.tls.server_name}} == '{self.name}'",
            "vars": {"{http.request.tls.client.subject}": subjects},  # no text to an expression
        }
        return {"match": [from_node], "handle": [handler], "terminal": True}

    def outgoing(self, head_bytes_max: int) -> dict[str, Any]:
        """A server for each other node, which passes on what comes at its socket."""
        return {f"to-{name}": self._passing(name, at, head_bytes_max) for name, at in self.nodes}

    def _passing(self, name: str, address: str, head_bytes_max: int) -> dict[str, Any]:
        tls = {
            "ca": self._authority(),
            "server_name": name,
            "client_certificate_file": str(self.folder / "node.pem"),
            "client_certificate_key_file": str(self.folder / "node.key"),
            "handshake_timeout": "1s",
        }
        proxy = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": address}],
            "transport": {"protocol": "http", "dial_timeout": "300ms", "tls": tls},
            "headers": KEEPING_HOST,
            "flush_interval": -1,
        }
        return {
            "listen": [f"unix/{self._socket(name)}|0600"],
            "protocols": ["h1"],
            "automatic_https": {"disable": True},
            "logs": {"default_logger_name": UNTOLD},
            "max_header_bytes": head_bytes_max,
            "routes": [{"handle": [proxy]}],
            "errors": {"routes": [{"handle": [BREAKING_OFF]}]},
        }
