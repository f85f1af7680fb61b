"""Between nodes everything is encrypted and both sides show a certificate of the cluster's
authority (RFC 8446, 4.4.2): ``home/cluster/{ca.pem,node.pem,node.key}``. A node's name is the first
DNS name of its certificate, or its common name.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def server_context(directory: Path) -> ssl.SSLContext:
    """For a door: clients without a certificate of the authority are refused."""
    return _shown(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), directory)


def client_context(directory: Path) -> ssl.SSLContext:
    """For a client, who must compare the name himself: nodes are reached by address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _shown(context, directory)


def _shown(context: ssl.SSLContext, directory: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(directory / "ca.pem")
    context.load_cert_chain(directory / "node.pem", directory / "node.key")
    return context


def name_of(certificate: Mapping[str, Any] | None) -> str | None:
    """The node that showed ``certificate`` (as ``SSLObject.getpeercert`` tells it); None when it
    names none."""
    if not certificate:
        return None
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "DNS":
            return str(value)
    for relative in certificate.get("subject", ()):
        for kind, value in relative:
            if kind == "commonName":
                return str(value)
    return None
