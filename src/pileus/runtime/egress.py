"""Where requests on somebody's word may go: the public internet, and nothing of ours.

One policy for functions, origins, HTTP integrations, key sets and webhooks: loopback, private,
link-local (cloud metadata), shared, multicast and reserved addresses are refused, and so is every
address of this machine. The check runs on the resolved address and the connection goes to that
very address, so that a name cannot change its mind in between (DNS rebinding). The operator may
open targets with the setting ``egress_allow``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
EMBEDDING = (
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("2002::/16"),  # 6to4
    ipaddress.ip_network("2001::/32"),  # Teredo
    ipaddress.ip_network("::/96"),  # IPv4-compatible
)
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,251}[A-Za-z0-9_])?")


class Refused(Exception):
    """The policy forbids the destination; the message says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked address to connect to."""

    family: int
    address: str
    port: int


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Allowed:
    """Targets opened in spite of the policy: networks and names, each with a port or 0 for all."""

    networks: tuple[tuple[Network, int], ...] = ()
    names: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Allowed:
        """From texts that list, separated by commas, ``HOST``, ``HOST:PORT``, ``CIDR`` or
        ``CIDR:PORT`` (IPv6 with a port in brackets: ``[fd00::/8]:80``). ``ValueError`` names the
        entry that is none of these."""
        networks, names = [], set()
        for entry in (e.strip() for text in entries for e in text.split(",")):
            if not entry:
                continue
            place, port = _split(entry)
            try:
                networks.append((ipaddress.ip_network(place, strict=False), port))
            except ValueError:
                if not NAME.fullmatch(place):
                    text = f"egress_allow: {entry!r} is no host, host:port or CIDR"
                    raise ValueError(text) from None
                names.add((place.lower(), port))
        return cls(tuple(networks), frozenset(names))

    def covers(self, host: str, address: str, port: int) -> bool:
        """Is ``address``, which ``host`` resolved to, open at ``port``?"""
        name = host.lower().rstrip(".")
        if (name, port) in self.names or (name, 0) in self.names:
            return True
        ip = plain(address)
        return any(ip in network and of in (0, port) for network, of in self.networks)


NOTHING = Allowed()


def _split(entry: str) -> tuple[str, int]:
    """(host or network, port); port 0 stands for every port."""
    place, port = entry, ""
    if entry.startswith("["):
        place, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        place, _, port = entry.partition(":")
        port = port or "none"
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"egress_allow: {entry!r} names no port")
    return place, int(port or 0)


def plain(text: str) -> Address:
    """The address ``text`` without scope; an IPv4 address in IPv6 clothes undressed."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def objection(text: str) -> str:
    """Why the policy forbids the address ``text``; '' when it is allowed."""
    address = plain(text)
    if address.version == 6 and any(address in network for network in EMBEDDING):
        return "an address that embeds another"
    for name in ("loopback", "link_local", "multicast", "unspecified", "private", "reserved"):
        if getattr(address, f"is_{name}"):
            return f"a {name.replace('_', '-')} address"
    if not address.is_global:
        return "not a public address"
    return "an address of this machine" if is_local(address) else ""


def is_local(address: Address) -> bool:
    """Does this machine own ``address``? It does if a socket can be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            s.bind((str(address), 0))
        except OSError:
            return False
    return True


async def resolve(host: str, port: int, allowed: Allowed = NOTHING) -> Destination:
    """Look ``host`` up and answer the first address the policy allows.

    ``allowed`` lists targets permitted in spite of it. Raises ``Refused`` when none is
    allowed, ``OSError`` when the name does not resolve. Ports below 1 or above 65535 are refused.
    ``localhost`` and the names below it are this machine (RFC 6761), whatever the resolver says.
    """
    if not 0 < port < 65536:
        raise Refused(f"port {port} does not exist")
    name = host.strip("[]").rstrip(".").lower()
    local = name == "localhost" or name.endswith(".localhost")
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo("127.0.0.1" if local else name, port, type=socket.SOCK_STREAM)
    reasons = []
    for family, _, _, _, sockaddr in found:
        address = str(sockaddr[0])
        reason = "" if allowed.covers(name, address, port) else objection(address)
        if not reason:
            return Destination(family, address, port)
        reasons.append(f"{address} is {reason}")
    raise Refused(f"{host}: {reasons[0] if reasons else 'no address'}")
