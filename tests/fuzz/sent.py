"""One request before its signature, and how it is signed (S3 User Guide, "Signature calculations").

``auth``: ``header``, ``presigned``, ``chunked`` (each chunk signed), ``trailer`` (chunks unsigned,
a checksum after them), ``form`` (nothing: the form carries its policy's signature) or ``none``.
``after`` other than 0 is the seed of damage done to the signed request.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import random
import time
import zlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode

from tests.fuzz import mutate

REGION = "us-east-1"
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass
class Sent:
    """What goes over the wire, unsigned. ``service`` is the signing name; header names are lower
    case."""

    name: str
    service: str
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    auth: str = "header"
    after: int = 0

    def kept(self) -> dict[str, Any]:
        """As JSON, to be kept and sent again."""
        return {**dataclasses.asdict(self), "body": base64.b64encode(self.body).decode()}

    @classmethod
    def again(cls, kept: dict[str, Any]) -> Sent:
        return cls(**{**kept, "body": base64.b64decode(kept["body"])})


@dataclass(frozen=True)
class Key:
    """Who signs."""

    id: str
    secret: str

    def signing(self, day: str, service: str) -> bytes:
        made = b"AWS4" + self.secret.encode()
        for word in (day, REGION, service, "aws4_request"):
            made = hmac.digest(made, word.encode(), "sha256")
        return made


def visible(text: str) -> str:
    """Without what a request line cannot hold."""
    return "".join(c for c in text if "!" <= c <= "~" and c not in "#?")[:8000]


def signed(sent: Sent, key: Key) -> Sent:
    """The request as it goes out."""
    out = dataclasses.replace(sent, headers={"host": "localhost:4566", **sent.headers})
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    if sent.auth == "presigned":
        _presign(out, key, moment)
    elif sent.auth not in ("none", "form"):
        _sign(out, key, moment)
    if sent.after:
        _damage(out, random.Random(sent.after))
    return out


def _canonical_query(query: str) -> str:
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    plain = [
        (unquote_to_bytes(n.replace("+", " ")), unquote_to_bytes(v.replace("+", " ")))
        for n, v in pairs
    ]
    written = sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in plain)
    return "&".join(f"{n}={v}" for n, v in written)


def _canonical_path(sent: Sent) -> str:
    if sent.service in ("s3", "pileus"):
        return quote(unquote_to_bytes(sent.path), safe="/-_.~")
    return quote(sent.path, safe="/-_.~")


def _signature(sent: Sent, key: Key, moment: str, names: list[str], payload: str) -> str:
    lines = "".join(f"{n}:{' '.join(sent.headers[n].split())}\n" for n in names)
    what = (sent.method, _canonical_path(sent), _canonical_query(sent.query))
    canonical = "\n".join((*what, lines, ";".join(names), payload))
    scope = f"{moment[:8]}/{REGION}/{sent.service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
    return hmac.new(key.signing(moment[:8], sent.service), text.encode(), "sha256").hexdigest()


def _sign(sent: Sent, key: Key, moment: str) -> None:
    raw = sent.body
    payload = hashlib.sha256(raw).hexdigest()
    if sent.auth in ("chunked", "trailer"):
        payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
        sent.headers["x-amz-decoded-content-length"] = str(len(raw))
        sent.headers["content-encoding"] = "aws-chunked"
        if sent.auth == "trailer":
            payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
            sent.headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    sent.headers |= {"x-amz-date": moment, "x-amz-content-sha256": payload}
    names = sorted(n for n in sent.headers if n != "authorization")
    signature = _signature(sent, key, moment, names, payload)
    scope = f"{key.id}/{moment[:8]}/{REGION}/{sent.service}/aws4_request"
    told = f"Credential={scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    sent.headers["authorization"] = f"AWS4-HMAC-SHA256 {told}"
    if sent.auth == "trailer":
        crc = base64.b64encode(zlib.crc32(raw).to_bytes(4, "big"))
        sent.body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in _pieces(raw) if p)
        sent.body += b"0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % crc
    elif sent.auth == "chunked":
        sent.body = _chunks(raw, key, moment, sent.service, signature)


def _pieces(raw: bytes) -> list[bytes]:
    size = max(8192, (len(raw) + 2) // 3)
    return [raw[at : at + size] for at in range(0, len(raw), size)] or [b""]


def _chunks(raw: bytes, key: Key, moment: str, service: str, before: str) -> bytes:
    scope = f"{moment[:8]}/{REGION}/{service}/aws4_request"
    made = b""
    for piece in [*(p for p in _pieces(raw) if p), b""]:
        hashed = hashlib.sha256(piece).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{moment}\n{scope}\n{before}\n{EMPTY}\n{hashed}"
        before = hmac.new(key.signing(moment[:8], service), text.encode(), "sha256").hexdigest()
        made += b"%x;chunk-signature=%b\r\n%b\r\n" % (len(piece), before.encode(), piece)
    return made


def _presign(sent: Sent, key: Key, moment: str) -> None:
    scope = f"{key.id}/{moment[:8]}/{REGION}/{sent.service}/aws4_request"
    names = sorted(n for n in sent.headers if n == "host" or n.startswith("x-amz-"))
    terms = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": scope,
        "X-Amz-Date": moment,
        "X-Amz-Expires": "600",
        "X-Amz-SignedHeaders": ";".join(names),
    }
    sent.query = "&".join(part for part in (sent.query, urlencode(terms)) if part)
    signature = _signature(sent, key, moment, names, "UNSIGNED-PAYLOAD")
    sent.query += f"&X-Amz-Signature={signature}"


def _damage(sent: Sent, rng: random.Random) -> None:
    """What carries the signature is hit: the header, the query, the chunks."""
    if sent.auth == "presigned":
        pairs = [tuple(p.partition("=")[::2]) for p in sent.query.split("&")]
        made = mutate.in_pairs([(n, v) for n, v in pairs], rng)
        sent.query = visible("&".join(f"{n}={v}" for n, v in made))
    elif sent.auth in ("chunked", "trailer") and rng.random() < 0.8:
        sent.body = mutate.in_bytes(sent.body, rng)
    elif sent.auth != "form":
        name = rng.choice(sorted(sent.headers))
        sent.headers[name] = mutate.in_header(sent.headers[name], rng)
