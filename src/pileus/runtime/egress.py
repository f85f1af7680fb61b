"""Where code we host may connect: the public internet, and nothing of ours.

One policy for functions, short links and webhooks: loopback, private, link-local (cloud metadata),
shared, multicast and reserved addresses are refused, and so is every address of this machine. The
check runs on the resolved address and the connection goes to that very address, so that a name
cannot change its mind in between (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
EMBEDDING = (
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("2002::/16"),  # 6to4
    ipaddress.ip_network("2001::/32"),  # Teredo
    ipaddress.ip_network("::/96"),  # IPv4-compatible
)


class Refused(Exception):
    """The policy forbids the destination; the message says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked address to connect to."""

    family: int
    address: str
    port: int


def objection(text: str) -> str:
    """Why the policy forbids the address ``text``; '' when it is allowed."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif any(address in network for network in EMBEDDING):
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


async def resolve(host: str, port: int, allowed: Sequence[str] = ()) -> Destination:
    """Look ``host`` up and answer the first address the policy allows.

    ``allowed`` lists addresses permitted in spite of it. Raises ``Refused`` when none is
    allowed, ``OSError`` when the name does not resolve. Ports below 1 or above 65535 are refused.
    """
    if not 0 < port < 65536:
        raise Refused(f"port {port} does not exist")
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    reasons = []
    for family, _, _, _, sockaddr in found:
        address = str(sockaddr[0])
        reason = "" if address in allowed else objection(address)
        if not reason:
            return Destination(family, address, port)
        reasons.append(f"{address} is {reason}")
    raise Refused(f"{host}: {reasons[0] if reasons else 'no address'}")
