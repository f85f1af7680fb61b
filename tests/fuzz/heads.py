"""Raw bytes for the HTTP server: pipelined requests whose lines, framing and chunks are hit."""

from __future__ import annotations

import random

from tests.fuzz import mutate
from tests.fuzz.sent import Sent

LINES = (
    *(b"Content-Length: 5", b"Content-Length: 5, 5", b"Content-Length: -1", b"content-length: 0x5"),
    *(b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b": empty"),
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked", b" folded: line"),
    *(b"Transfer-Encoding: chunked, identity", b"Expect: 100-continue", b"Expect: 200-ok"),
    *(b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"),
    *(b"Host: a", b"Host:", b"Host: [::1", b"X: " + b"y" * 9000, b"x\x00y: z", b"X: \xff\xfe"),
    *(
        b"Content-Encoding: gzip",
        b"Content-Encoding: aws-chunked",
        b"Range: bytes=--1",
        b"no colon",
    ),
)
STARTS = (
    *(b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET /", b"GET  /  HTTP/1.1"),
    *(b"get / http/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"PRI * HTTP/2.0"),
    *(b"GET http://a/b HTTP/1.1", b"POST //\\..\\a?#b HTTP/1.1", b"\x16\x03\x01\x02\x00\x01", b""),
    *(b"HEAD /%00%ff HTTP/1.1", b"GET /" + b"a" * 40_000 + b" HTTP/1.1", b"DELETE / HTTP/1.1 x"),
)


def raw(sent: Sent) -> bytes:
    """A request as bytes, its length told."""
    target = sent.path + ("?" + sent.query if sent.query else "")
    lines = [f"{sent.method} {target} HTTP/1.1"]
    lines += [f"{n}: {v}" for n, v in sent.headers.items()]
    if "transfer-encoding" not in sent.headers:
        lines.append(f"content-length: {len(sent.body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + sent.body


def damaged(requests: list[Sent], rng: random.Random) -> bytes:
    """One after another on a connection, each perhaps hit in its head, its body sent in chunks."""
    made = b""
    for sent in requests:
        data = raw(sent)
        if rng.random() < 0.3:
            data = _in_chunks(sent, rng)
        head, mark, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        for _ in range(rng.randint(0, 2)):
            at = rng.randrange(len(lines))
            match rng.randint(0, 5):
                case 0:
                    lines.insert(max(at, 1), rng.choice(LINES))
                case 1:
                    lines[0] = rng.choice(STARTS)
                case 2:
                    lines[at] = mutate.in_bytes(lines[at], rng)
                case 3:
                    lines.insert(at, lines[at])
                case 4:
                    mark = rng.choice((b"\n\n", b"\r\n", b"\r\r\n\n", b"\r\n \r\n"))
                case _:
                    lines += [b"x-%d: y" % n for n in range(rng.choice((3, 300)))]
        made += b"\r\n".join(lines) + mark + body
    return mutate.in_bytes(made, rng) if rng.random() < 0.3 else made


def _in_chunks(sent: Sent, rng: random.Random) -> bytes:
    """Transfer-Encoding: chunked, with extensions, trailers and sizes that may be wrong."""
    held = {n: v for n, v in sent.headers.items()} | {"transfer-encoding": "chunked"}
    head = raw(Sent(sent.name, "", sent.method, sent.path, sent.query, held))
    out, body = head, sent.body
    while body:
        size = rng.randint(1, max(1, len(body)))
        told = b"%x" % (size + rng.choice((0, 0, 0, 0, 1, -1)))
        told += rng.choice((b"", b"", b";a=b", b";" + b"x" * 2000, b" ", b"\t;", b"g"))
        out += told + b"\r\n" + body[:size] + rng.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b""))
        body = body[size:]
    return out + rng.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"00000\r\n", b""))
