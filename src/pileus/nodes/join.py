"""How a new machine becomes a node: one request to any node's API port, one sealed answer.

The request proves by a MAC that its author holds the token and carries a signing request and a
one-time key (X25519). The answer is sealed (AES-256-GCM) under a key made of the token, both
one-time keys and the request, so that plain HTTP is enough, only the holder of the token reads
it, and who finds the token later reads no recorded answer.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.nodes import certs, places, token
from pileus.nodes.token import Token

PATH = places.JOIN_PATH
MAC_HEADER = "x-pileus-mac"
BODY_BYTES_MAX = 16 * 1024
SKEW_MS_MAX = 600_000
RAW = serialization.Encoding.Raw


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a new node tells. ``nonce``: 16 random bytes, hex. ``exchange``: its one-time public
    key, hex. ``release``: of its program."""

    nonce: str
    at_ms: int
    exchange: str
    csr: str
    address: str
    ports: dict[str, int]
    release: str


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What the cluster tells; ``sealed`` is ``Admission`` as JSON."""

    exchange: str
    nonce: str
    sealed: str


class Admission(msgspec.Struct, forbid_unknown_fields=True):
    """All a node needs to be one of the cluster. PEM texts; ``cluster`` and ``secrets`` as
    ``places`` keeps them."""

    cluster: dict[str, Any]
    secrets: dict[str, str]
    authority: str
    authority_key: str
    certificate: str
    root_key: str
    credentials: str


class WrongToken(ValueError):
    """The token is not of this cluster, or what came was changed on its way."""


@dataclass(frozen=True)
class Asking:
    """A request on its way: what is needed to read its answer."""

    body: bytes
    mac: str
    secret: bytes = field(repr=False)
    mark: bytes
    exchange: X25519PrivateKey = field(repr=False)


def ask(
    admitting: Token, key: bytes, address: str, ports: dict[str, int], release: str, now_ms: int
) -> Asking:
    """A request by the holder of the node key ``key`` (PEM)."""
    exchange = X25519PrivateKey.generate()
    told = Request(
        os.urandom(16).hex(),
        now_ms,
        exchange.public_key().public_bytes_raw().hex(),
        certs.request(key).decode(),
        address,
        ports,
        release,
    )
    body = msgspec.json.encode(told)
    mac = token.request_mac(admitting, body)
    return Asking(body, mac, admitting.secret, admitting.mark, exchange)


def read(body: bytes) -> Request:
    """A request whose MAC was right; ``ValueError`` when it is malformed all the same."""
    told = msgspec.json.decode(body, type=Request)
    if len(bytes.fromhex(told.nonce)) != 16 or len(bytes.fromhex(told.exchange)) != 32:
        raise ValueError("nonce or key of a wrong length")
    certs.public_mark(told.csr.encode())
    return told


def seal(secret: bytes, body: bytes, told: Request, admission: Admission) -> bytes:
    """The answer to ``body``."""
    exchange, nonce = X25519PrivateKey.generate(), os.urandom(12)
    shared = exchange.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(told.exchange)))
    key = token.answer_key(secret, shared, hashlib.sha256(body).digest())
    sealed = AESGCM(key).encrypt(nonce, msgspec.json.encode(admission), b"")
    own = exchange.public_key().public_bytes_raw().hex()
    return msgspec.json.encode(Answer(own, nonce.hex(), base64.b64encode(sealed).decode()))


def open_answer(asking: Asking, body: bytes) -> Admission:
    """What the cluster told; ``WrongToken`` when it does not come from the token's cluster."""
    try:
        answer = msgspec.json.decode(body, type=Answer)
        public = X25519PublicKey.from_public_bytes(bytes.fromhex(answer.exchange))
        shared = asking.exchange.exchange(public)
        key = token.answer_key(asking.secret, shared, hashlib.sha256(asking.body).digest())
        opened = AESGCM(key).decrypt(
            bytes.fromhex(answer.nonce), base64.b64decode(answer.sealed), b""
        )
        admission = msgspec.json.decode(opened, type=Admission)
        if certs.mark(admission.authority.encode()) != asking.mark:
            raise ValueError("another authority")
    except (ValueError, InvalidTag, msgspec.MsgspecError) as error:
        raise WrongToken("the answer is not from the cluster of this token") from error
    return admission


def refusal(body: bytes) -> tuple[str, str]:
    """Message and hint of an answer that refuses; it is not authenticated, so it is cut short."""
    try:
        told = json.loads(body[:2048])
        return str(told["message"])[:300], str(told.get("hint", ""))[:300]
    except (ValueError, KeyError, TypeError):
        return "it is no node of a cluster, or of another release", "there: pileus init"
