"""The door at which a new node asks to be taken in: ``POST /_pileus/join`` on every node."""

from __future__ import annotations

import datetime
import hmac
import logging
from dataclasses import asdict, replace
from typing import Any

import orjson

from pileus.config import Config
from pileus.errors import AwsError, Unavailable
from pileus.nodes import certs, join, membership, places, token
from pileus.nodes.membership import Refused
from pileus.nodes.places import CLUSTER, PORTS, Cluster, Files, Node
from pileus.services.call import HttpRequest, HttpResponse
from pileus.services.vault import root_key_path

log = logging.getLogger("pileus.nodes")
TRIES_MAX, TRIES_EACH_MAX, TRIES_S = 60, 10, 60.0


class Tries:
    """Failed requests of the last minute: past a bound nothing is looked at any more."""

    def __init__(self) -> None:
        self._failed: list[tuple[float, str]] = []

    def allow(self, remote: str, now_s: float) -> bool:
        self._failed = [f for f in self._failed if f[0] > now_s - TRIES_S]
        of_one = sum(1 for _, who in self._failed if who == remote)
        return len(self._failed) < TRIES_MAX and of_one < TRIES_EACH_MAX

    def failed(self, remote: str, now_s: float) -> None:
        self._failed.append((now_s, remote))


class JoinDoor:
    """Admits whoever proves to hold the token. One per front process."""

    def __init__(self, store: Any, clock: Any, config: Config, release: str) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._release = release
        self._tries = Tries()

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """A sealed ``join.Admission``, or a refusal as JSON (``message``, ``hint``)."""
        try:
            return await self._answer(request)
        except Refused as error:
            return _told(error.status, str(error), error.hint)
        except AwsError as error:
            return _told(error.status, error.message)
        except Unavailable as error:
            return _told(503, str(error), error.hint)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return _told(405, "POST only")
        home, now_s = self._config.home, self._clock.monotonic()
        cluster = places.load(home)
        if cluster is None:
            raise Refused("this cloud is not a cluster", "there: pileus init", 404)
        if not self._tries.allow(request.remote, now_s):
            raise Refused("too many requests with a wrong token", "wait a minute", 429)
        body = await request.read(join.BODY_BYTES_MAX)
        secret = bytes.fromhex(places.load_secrets(home).join)
        whole = token.Token(secret, certs.mark(Files(home).authority.read_bytes()))
        mac = request.headers.get(join.MAC_HEADER, "")
        if not hmac.compare_digest(mac.encode(), token.request_mac(whole, body).encode()):
            self._tries.failed(request.remote, now_s)
            log.warning("a request to join with a wrong token came from %s", request.remote)
            raise Refused("the token is not of this cluster", "`pileus token` prints it", 403)
        admission, told = await self._admit(cluster, body)
        sealed = join.seal(secret, body, told, admission)
        headers = [("content-type", "application/json"), ("cache-control", "no-store")]
        return HttpResponse(200, headers, sealed)

    async def _admit(self, cluster: Cluster, body: bytes) -> tuple[join.Admission, join.Request]:
        try:
            told = join.read(body)
        except ValueError as error:
            raise Refused(f"the request is malformed: {error}", status=400) from error
        skew_ms = told.at_ms - self._clock.now_ms()
        if abs(skew_ms) > join.SKEW_MS_MAX:
            raise Refused(f"the clocks differ by {abs(skew_ms) // 1000} s", "set them", 403)
        asked = _asked(cluster, told)
        mark = certs.public_mark(told.csr.encode())
        node = await self._store.transact(
            lambda draft: membership.admit(draft, asked, mark, told.nonce)
        )
        log.info("%s joins at %s (release %s)", node.name, node.address, told.release)
        return self._admission(membership.known(self._store, cluster), node, told), told

    def _admission(self, cluster: Cluster, node: Node, told: join.Request) -> join.Admission:
        """What ``node`` needs to be one. Its key stays where it was made."""
        files = Files(self._config.home)
        authority = files.authority.read_bytes()
        now = datetime.datetime.fromtimestamp(self._clock.now_ms() / 1000, datetime.UTC)
        certificate = certs.sign(
            told.csr.encode(),
            authority,
            files.authority_key.read_bytes(),
            name=node.name,
            address=node.address,
            now=now,
        )
        theirs = replace(cluster.knowing(node), name=node.name, founder=False, engine=CLUSTER)
        return join.Admission(
            asdict(theirs) | {"nodes": [asdict(n) for n in theirs.nodes]},
            asdict(places.load_secrets(self._config.home)),
            authority.decode(),
            files.authority_key.read_text(),
            certificate.decode(),
            root_key_path(self._config).read_text(),
            self._config.path("credentials.json").read_text(),
        )


def _asked(cluster: Cluster, told: join.Request) -> Node:
    ports = told.ports
    if set(ports) != set(PORTS) or not all(0 < p < 65536 for p in ports.values()):
        raise Refused("the request does not name the node's ports", status=400)
    loopback = {_is_loopback(n.address) for n in (*cluster.peers, cluster.here)}
    if _is_loopback(told.address) not in loopback:
        raise Refused(
            f"{told.address} is not an address the other nodes can reach",
            "give --host the address by which the other machines know this one",
            400,
        )
    return Node(name="", address=told.address, state="joining", **ports)


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "localhost")


def _told(status: int, message: str, hint: str = "") -> HttpResponse:
    headers = [("content-type", "application/json")]
    return HttpResponse(status, headers, orjson.dumps({"message": message, "hint": hint}))
