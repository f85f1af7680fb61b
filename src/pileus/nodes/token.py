"""The token that admits a node: the cluster's join secret and the mark of its authority.

Whoever holds it may join, so it is as secret as the owner's keys. The mark (SHA-256 of the
authority's certificate) lets the new node know its cluster, though it asks over plain HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pileus.config import Config

PREFIX = "pileus1_"
SECRET_BYTES, MARK_BYTES = 24, 32


@dataclass(frozen=True)
class Token:
    """``secret``: 24 random bytes. ``mark``: the authority's fingerprint."""

    secret: bytes = field(repr=False)
    mark: bytes

    def text(self) -> str:
        """One word of letters, digits, ``-`` and ``_``."""
        return PREFIX + base64.urlsafe_b64encode(self.secret + self.mark).decode().rstrip("=")


def parse(text: str) -> Token:
    """``ValueError`` for anything but a token."""
    body = text.strip().removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not text.startswith(PREFIX) or len(raw) != SECRET_BYTES + MARK_BYTES:
        raise ValueError("this is not a join token: `pileus token` on a node prints it")
    return Token(raw[:SECRET_BYTES], raw[SECRET_BYTES:])


def parse_target(text: str) -> tuple[Token, str, int]:
    """``TOKEN@HOST`` or ``TOKEN@HOST:PORT`` (the API port of any node, if it is another than nodes
    have by default). ``ValueError`` when it is not."""
    word, at, where = text.strip().rpartition("@")
    untold = where.endswith("]") or ":" not in where
    host, _, port = (where, "", str(Config.port)) if untold else where.rpartition(":")
    if not at or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("say where to join: TOKEN@HOST:PORT (a node's API address)")
    return parse(word), host.strip("[]"), int(port)


def request_mac(admitting: Token, body: bytes) -> str:
    """What proves that the author of a join request holds the whole token (hex)."""
    key = _derived(admitting.secret, admitting.mark, b"pileus join request")
    return hmac.digest(key, body, "sha256").hex()


def answer_key(secret: bytes, shared: bytes, request: bytes) -> bytes:
    """The key of one answer: bound to the token, to both sides' one-time keys (``shared``) and to
    the request."""
    return _derived(secret + shared, request, b"pileus join answer")


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt or None, purpose).derive(secret)
