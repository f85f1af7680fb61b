"""Where hosted code may connect, and the two doors of a worker."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator

import pytest

from pileus.runtime import egress
from pileus.runtime.proxy import forward_head, parse_request
from tests.answering import Answering, listening
from tests.runtime.harness import Functions
from tests.runtime.test_lifecycle import another

FORBIDDEN = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1",
    "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::1", "2001:0:1::1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_forbidden(address: str) -> None:
    assert egress.objection(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public(address: str) -> None:
    assert egress.objection(address) == ""


def test_own_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "is_local", lambda address: str(address) == "8.8.4.4")
    assert egress.objection("8.8.4.4") == "an address of this machine"


def test_names_are_judged_by_what_they_resolve_to() -> None:
    for host in ("localhost", "127.1", "0x7f.1", "2130706433", "[::1]"):
        with pytest.raises((egress.Refused, OSError)):
            asyncio.run(egress.resolve(host, 80))
    with pytest.raises(egress.Refused):
        asyncio.run(egress.resolve("8.8.8.8", 0))
    goal = asyncio.run(egress.resolve("localhost", 80, egress.Allowed.parse(["127.0.0.1"])))
    assert (goal.address, goal.port) == ("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("entries", "host", "address", "port", "open_"),
    [
        ("10.0.0.0/8", "x", "10.2.3.4", 1, True),
        ("10.0.0.0/8:80, nas.lan:8080", "x", "10.2.3.4", 81, False),
        ("10.0.0.0/8:80, nas.lan:8080", "NAS.lan.", "192.168.0.9", 8080, True),
        ("nas.lan:8080", "nas.lan", "192.168.0.9", 80, False),
        ("nas.lan:8080", "other.lan", "192.168.0.9", 8080, False),
        ("127.0.0.1:9000", "x", "::ffff:127.0.0.1", 9000, True),
        ("[::1]:9000,[fd00::/8]", "x", "::1", 9000, True),
        ("[::1]:9000,[fd00::/8]", "x", "fd00::5", 1, True),
        ("::1", "x", "::1", 5, True),
        ("", "x", "10.0.0.1", 80, False),
    ],
)
def test_what_the_operator_opens(
    entries: str, host: str, address: str, port: int, open_: bool
) -> None:
    assert egress.Allowed.parse([entries]).covers(host, address, port) is open_


@pytest.mark.parametrize("entry", ["a:b", "host:", "host:0", "host:70000", "http://x", "a b", "/8"])
def test_what_is_no_target(entry: str) -> None:
    with pytest.raises(ValueError, match="egress_allow"):
        egress.Allowed.parse([entry])


def test_requests_of_the_proxy() -> None:
    plain = b"GET http://host.example:81/a?b=c HTTP/1.1\r\nProxy-Connection: x\r\nHost: h\r\n\r\n"
    assert parse_request(plain) == ("GET", "/a?b=c", "host.example", 81)
    head = forward_head(plain, "GET", "/a?b=c")
    assert head == b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    for bad in (b"GET / HTTP/1.1", b"GET ftp://x/ HTTP/1.1", b"CONNECT h HTTP/1.1", b"x", b"a b c"):
        with pytest.raises(ValueError):
            parse_request(bad + b"\r\n\r\n")


class Echo(Answering):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        told = [self.path, self.headers["Host"], len(self.asked())]
        self.answer(json.dumps(told).encode())


@pytest.fixture
def echo() -> Iterator[int]:
    with listening(Echo) as port:
        yield port


POST = """
import json, os, urllib.request
def handler(event, context):
    request = urllib.request.Request(event[0], data=b'x' * event[1], method='POST')
    return json.load(urllib.request.urlopen(request, timeout=25))
"""
NODE_POST = (
    "exports.handler = async ([url, size]) =>"
    " (await fetch(url, {method: 'POST', body: 'x'.repeat(size)})).json()"
)


def test_endpoint_and_proxy_from_inside(echo: int) -> None:
    with another("--api", f"127.0.0.1:{echo}", "--egress-allow", "127.0.0.1") as own:
        python = own.spec(POST, memory_mb=256)
        inside = "http://127.0.0.1:4566"
        assert own.answer(python, [f"{inside}/p", 5]) == ["/p", "127.0.0.1:4566", 5]
        big = 5_000_000
        assert own.answer(python, [f"{inside}/big", big])[2] == big
        open_proxy = own.spec(POST, environment={"no_proxy": "", "NO_PROXY": ""})
        url = f"http://127.0.0.1:{echo}/via"
        assert own.answer(open_proxy, [url, 3]) == ["/via", f"127.0.0.1:{echo}", 3]
        node = own.spec(
            {"index.js": NODE_POST}, runtime="nodejs22.x", handler="index.handler", memory_mb=256
        )
        if own.stats()["isolation"]["node"]:
            assert own.answer(node, [f"{inside}/n", 4]) == ["/n", "127.0.0.1:4566", 4]


def test_dead_endpoint_is_a_broken_connection(rt: Functions) -> None:
    with socket.socket() as s:  # bound as long as this takes: nobody else listens there
        s.bind(("127.0.0.1", 0))
        with another("--api", f"127.0.0.1:{s.getsockname()[1]}") as own:
            error = own.error(own.spec(POST), ["http://127.0.0.1:4566/", 1])
        assert error["errorType"] in ("URLError", "RemoteDisconnected", "ConnectionResetError")
