"""Answers kept ready are those of the whole way (E1, E4)."""

from __future__ import annotations

import itertools
from typing import Any

from pileus.edge.door import Edge
from pileus.services.call import HttpResponse
from pileus.wire.respond import ready
from pileus.wire.whole import WholeRequests
from tests.edge.conftest import World, cached, told_of

ASKED: list[dict[str, str]] = [
    {},
    {"accept_encoding": "gzip, br"},
    {"accept_encoding": "identity", "user_agent": "x", "cookie": "a=b"},
    {"range": "bytes=1-3"},
    {"range": "bytes=1-3", "if_range": '"other"'},
    {"if_none_match": '"e1"'},
    {"if_none_match": '"e2"'},
    {"if_modified_since": "Sat, 21 Nov 2026 00:00:00 GMT"},
    {"authorization": "x"},
    {"origin": "https://a.example"},
    {"origin": "https://b.example"},
]
CORS = {
    "Name": "c",
    "CorsConfig": {
        "AccessControlAllowOrigins": {"Quantity": 1, "Items": ["https://a.example"]},
        "AccessControlAllowHeaders": {"Quantity": 1, "Items": ["*"]},
        "AccessControlAllowMethods": {"Quantity": 1, "Items": ["GET"]},
        "AccessControlAllowCredentials": False,
        "OriginOverride": True,
    },
}


def plain(answer: HttpResponse) -> tuple[Any, ...]:
    """All of an answer but its id and its age, of which only the name."""
    told = [(n, "" if n in ("age", "x-amz-cf-id") else v) for n, v in answer.headers]
    return answer.status, sorted(told), answer.body


def age(answer: HttpResponse) -> int:
    return int(dict(answer.headers).get("age", -1))


def exact_edge(w: World) -> Edge:
    """A front process that keeps nothing ready."""
    edge = Edge(w.parts)
    edge._ready.keep = lambda *told: None  # type: ignore[method-assign]
    return edge


def kept(w: World) -> int:
    return len(w.edge._ready._known)


def test_as_the_whole_way_answers(run: Any) -> None:
    async def body(w: World) -> None:
        exact = exact_edge(w)
        w.put("a", b"<p>" + b"text " * 500, ContentType="text/html")
        w.put("odd", b"z" * 2000, Metadata={"note": "ä"})
        await w.make()
        plain_id = w.id
        made = await w.call("CreateResponseHeadersPolicy", ResponseHeadersPolicyConfig=CORS)
        policy = made["ResponseHeadersPolicy"]["Id"]
        await w.make({"ResponseHeadersPolicyId": policy})
        await w.get("/a"), await w.get("/odd")
        w.id, dressed_id = plain_id, w.id
        await w.get("/a"), await w.get("/odd")
        for turn in range(3):  # the first look-up, the one that is kept, the kept one
            for id_, method, path, more in itertools.product(
                (plain_id, dressed_id),
                ("GET", "HEAD", "OPTIONS", "POST"),
                ("/a", "/a?x=1", "/odd", f"/_cdn/{plain_id}/a"),
                ASKED,
            ):
                w.id = id_
                if path[:2] == "/_":
                    more = more | {"host": "127.0.0.1:8000"}
                got = [await w.get(path, method, edge, **more) for edge in (w.edge, exact)]
                assert plain(got[0]) == plain(got[1]), (turn, method, path, more)
                assert age(got[1]) == age(got[0])
            w.clock.ahead_s += 1.5
        assert kept(w)

    run(body)


def test_ends_with_what_it_hangs_on(run: Any) -> None:
    async def body(w: World) -> None:
        async def warm(want: bytes) -> HttpResponse:
            for _ in range(3):
                answer = await w.get("/a")
                assert answer.body == want
            assert kept(w) and cached(answer) == "Hit"
            return answer

        w.put("a", b"1")
        await w.make()
        one, two = await warm(b"1"), await w.get("/a")
        ids = [dict(a.headers)["x-amz-cf-id"] for a in (one, two)]
        assert ids[0] != ids[1] and len(ids[0]) == 56

        w.put("a", b"2")
        await w.forget("/a")
        await warm(b"2")

        w.put("a", b"3")
        w.clock.ahead_s += 25 * 3600  # the default time to live is a day
        assert dict((await w.get("/a")).headers)["x-cache"] != "Hit from cloudfront"

        w.edge._cache._ram.clear()  # memory needed for others
        w.put("a", b"4")
        await w.forget("/*")
        await warm(b"4")

        told = await w.call("GetDistributionConfig", Id=w.id)
        config = told["DistributionConfig"] | {"Enabled": False}
        await w.call("UpdateDistribution", Id=w.id, IfMatch=told["ETag"], DistributionConfig=config)
        assert (await w.get("/a")).status == 403

    run(body)


def test_bounded(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("pileus.edge.ready.READY_MAX", 8)

    async def body(w: World) -> None:
        w.put("a", b"1")
        await w.make()
        for i in range(50):
            assert (await w.get(f"/a?n={i}")).body == b"1"
        assert 0 < kept(w) <= 8
        known = kept(w)
        long = f"/a?n={'x' * 3000}"
        assert {(await w.get(long)).body for _ in range(3)} == {b"1"} and kept(w) == known

    run(body)


DATE = b"date: today\r\n"


def unlike(raw: bytes) -> tuple[list[bytes], bytes]:
    """Header lines but for age and id, and the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    per_answer = (b"age", b"x-amz-cf-id")
    lines = head.split(b"\r\n")
    return sorted(line for line in lines if not line.startswith(per_answer)), body


def request_bytes(path: str, headers: dict[str, str], method: str = "GET") -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


def test_by_their_bytes_as_when_they_are_read(run: Any) -> None:
    """What is answered before it is read is what is answered after."""

    async def body(w: World) -> None:
        reader = WholeRequests(8192)
        w.put("a", b"<p>" + b"text " * 500, ContentType="text/html")
        w.put("b", b"other")
        await w.make({"ViewerProtocolPolicy": "redirect-to-https"})
        secure_id = w.id
        await w.make()
        known = 0

        async def both(raw: bytes, proxied: bool) -> None:
            nonlocal known
            edge = w.edge
            instant = (edge.proxied if proxied else edge.direct).answer(raw, DATE)
            request = reader.read(raw, "192.0.2.1")
            assert request is not None
            serve = edge.serve_proxied if proxied else edge.serve
            plain_answer = serve(request)
            if not isinstance(plain_answer, HttpResponse):
                plain_answer = await plain_answer
            if instant is None:
                return
            known += 1
            read = ready(plain_answer, DATE)
            assert read is not None
            assert unlike(read) == unlike(instant)

        hosts = [f"{id_.lower()}.cloudfront.localhost" for id_ in (w.id, secure_id)]
        viewers: list[dict[str, str]] = [
            {},
            {"X-Forwarded-Proto": "https"},
            {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"},
            {"Accept-Encoding": "gzip"},
            {"Range": "bytes=1-3"},
            {"If-None-Match": '"e1"'},
            {"Authorization": "x"},
            {"Connection": "keep-alive", "User-Agent": "x"},
        ]
        for _ in range(4):
            for proxied, host, more in itertools.product((False, True), hosts, viewers):
                for method in ("GET", "HEAD"):
                    for path in ("/a", "/b?x=1", f"/_cdn/{w.id}/b"):
                        await both(request_bytes(path, {"Host": host} | more, method), proxied)
        assert known > 40
        # The same bytes through the other door: a viewer's word for its scheme is not believed.
        https = request_bytes("/a", {"Host": hosts[1]} | viewers[1])
        assert w.edge.proxied.answer(https, DATE) and not w.edge.direct.answer(https, DATE)
        asked = request_bytes("/a", {"Host": hosts[0]})
        assert w.edge.direct.answer(asked, DATE)
        for raw in (asked + b"x", asked[:-2], asked + asked, asked.replace(b"GET", b"PUT")):
            assert w.edge.direct.answer(raw, DATE) is None
        await w.forget("/a")
        assert w.edge.direct.answer(asked, DATE) is None

    run(body)


def test_an_address_has_its_limit_here_too(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1")
        await w.make()
        w.clock.monotonic = lambda: 5.0  # type: ignore[method-assign]
        reader = WholeRequests(8192)
        host = f"{w.id.lower()}.cloudfront.localhost"
        raw = request_bytes("/a", {"Host": host, "X-Forwarded-For": "192.0.2.9"})
        for _ in range(3):
            request = reader.read(raw, "127.0.0.1")
            assert request is not None
            await told_of(w.edge.serve_proxied(request))
        answers = [w.edge.proxied.answer(raw, DATE) for _ in range(4200)]
        assert answers[0] and answers[-1] is None
        assert sum(answer is not None for answer in answers) == 3997

    run(body)
