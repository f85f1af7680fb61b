"""Valid requests at the doors beside the AWS API: wide table, HTTP APIs, web sites, distributions,
function addresses. Their errors are their own; they must not be surprises."""

from __future__ import annotations

import base64

import orjson

from tests.fuzz.sent import Sent

CELL = "/_pileus/kv/table/row%20%C3%A9/column"


def requests(name: str) -> list[Sent]:
    """``name`` is the bucket of the site."""
    swap = orjson.dumps({"old": None, "new": base64.b64encode(b"v").decode()})
    made = [
        Sent("cell", "pileus", "PUT", CELL, "", {}, b"value"),
        Sent("cell", "pileus", "GET", CELL, "", {"range": "bytes=0-1", "if-none-match": '"1"'}),
        Sent("cell", "pileus", "PUT", CELL, "", {"if-match": '"7"'}, b"value"),
        Sent("cell", "pileus", "POST", CELL, "", {}, swap),
        Sent("cell", "pileus", "DELETE", CELL, "", {"if-match": '"7"'}),
        Sent("cells", "pileus", "GET", "/_pileus/kv/table/row", "prefix=a&after=b&limit=3"),
        Sent("rows", "pileus", "GET", "/_pileus/kv/table", "prefix=a&after=b&limit=3"),
    ]
    sites = f"{name}.s3-website.localhost:4566"
    hosts = {
        "_site": sites, "_api": "abcdefghij.execute-api.localhost:4566",
        "_cdn": "e1abc.cloudfront.localhost:8000", "_lambda": "abc.lambda-url.localhost:4566",
    }  # fmt: skip
    for path, host in hosts.items():
        headers = {"cookie": "a=b; c=d", "accept-encoding": "gzip, br;q=0.5", "range": "bytes=-5"}
        inside = host.partition(".")[0]
        for where, more in ((f"/{path}/{inside}/a/b", {}), ("/a/b", {"host": host})):
            for method, body in (("GET", b""), ("POST", b'{"a": 1}'), ("OPTIONS", b"")):
                told = {**headers, **more, "origin": "http://a"}
                made.append(Sent(path, "none", method, where, "x=1&y=%20", told, body, "none"))
    return made
